// SPDX-License-Identifier: BSD-3-Clause
// `channel<T>`: a bounded queue between coroutines, on one executor or several; any number of senders and receivers.
//
//     channel<packet> work(256);
//     packet burst[64];
//     auto [failure, n] = co_await work.recv(burst);      // a worker: waits until there is a packet
//     auto [ec, sent] = co_await work.send(packets);      // the receiving coroutine: waits while the channel is full
//     work.close();                                       // the worker receives what is left, then errc::closed
//
// Values are moved, one by one or in batches: packets keep their frames, and nothing is copied. Each value is received
// exactly once, in the order in which it was sent. Coroutines that wait are served in the order in which they began to wait.
// Nothing is allocated after construction. No lock is taken unless a coroutine has to wait, or one is waiting.
//
// Threads: send() and recv() are awaited on an executor, on any number of them. try_send(), try_recv() and close() may be
// called on any thread. The channel must outlive every call of it and every coroutine that waits for it. Values that it
// still holds at its end are destroyed with it.
//
// It is made of a queue without a lock (detail/bounded_queue.hpp) and a list of waiters for each side
// (detail/wait_list.hpp). A push reports whether a receiver was waiting; the sender then takes the lock and moves values
// from the queue to the receivers until no more can be moved. A pop reports the same of senders. A sender that claimed its
// slot before the receiver set the bit does not know of the receiver; so a receiver that begins to wait looks again until
// that slot is filled. A sender that begins to wait does the same until the slots that were being emptied are empty.
#pragma once

#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/sync/detail/bounded_queue.hpp"
#include "fluxnet/runtime/sync/detail/wait_list.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>

namespace fluxnet {

template <class T>
class channel {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_awaiter;

    /// Makes a channel that holds at least `capacity` values: 2, or the next power of two. Throws std::length_error for more
    /// than an address space can hold, std::bad_alloc without memory.
    explicit channel(std::size_t capacity) : queue_(capacity) {}

    /// Moves values in, in order, and waits while the channel is full. Completes when all are in, or with n, how many are,
    /// and why the rest is not: operation_canceled or closed. Those of the rest are untouched; `values` must stay valid
    /// until then.
    [[nodiscard]] send_awaiter send(std::span<T> values) noexcept { return {*this, values}; }
    [[nodiscard]] send_awaiter send(T& value) noexcept { return {*this, std::span(&value, 1)}; }

    /// Moves values out to the front of `into`: completes with n >= 1 as soon as there are any. Otherwise n is 0 and the
    /// error operation_canceled, or closed when there will never be more. `into` must stay valid until then. With an empty
    /// one n is 0 at once, without an error, as for a send of no values.
    [[nodiscard]] recv_awaiter recv(std::span<T> into) noexcept { return {*this, into}; }
    [[nodiscard]] recv_awaiter recv(T& into) noexcept { return {*this, std::span(&into, 1)}; }

    /// Moves as many values in, or out, as it can without waiting, and returns how many. It does not overtake coroutines
    /// that wait: while one waits on the same side, none is moved.
    std::size_t try_send(std::span<T> values) noexcept;
    std::size_t try_recv(std::span<T> into) noexcept;

    /// Refuses what is sent from now on, also what waits to be sent. What is in the channel can still be received.
    void close() noexcept;

    /// Tells whether close() was called.
    [[nodiscard]] bool closed() const noexcept { return queue_.closed(); }
    /// How many values it holds at most.
    [[nodiscard]] std::size_t capacity() const noexcept { return queue_.capacity(); }

    /// How many values it holds; a snapshot.
    [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }

private:
    class transfer;

    void match() noexcept;
    template <class Settled>
    void match_until(Settled settled) noexcept;
    bool feed_receivers() noexcept;
    bool drain_senders() noexcept;

    using queue = detail::bounded_queue<T>;

    queue queue_;
    std::mutex mutex_;  // guards the lists:
    detail::wait_list senders_{mutex_, queue_.tail_word(), queue::awaited_bit};
    detail::wait_list receivers_{mutex_, queue_.head_word(), queue::awaited_bit};
};

/// What both awaiters are: a span that is worked on from its front, and an operation if they have to wait.
template <class T>
class channel<T>::transfer {
protected:
    transfer(channel& with, std::span<T> values) noexcept : channel_(with), values_(values) {}

    /// Joins `line`, and looks again until the position `mark()` has `passed`. The position is read once the bit is set:
    /// threads that claim a later position learn of the waiter; threads that claimed an earlier one may not know of it.
    template <class Promise, class Mark, class Passed>
    void wait_in(detail::wait_list& line, const char* name, std::coroutine_handle<Promise> coroutine, Mark mark,
                 Passed passed) {
        wait_.emplace(*this, line, name);
        return wait_->suspend(coroutine, [&] {
            if (values_.empty()) {  // only lets others run
                wait_->complete(no_error);
                return;
            }
            wait_->line_up([&] {
                const std::uint64_t position = mark();
                channel_.match_until([&] { return !wait_->first_in_line() || passed(position); });
            });
        });
    }

    io_result result() noexcept {
        const std::error_code outcome = wait_ ? wait_->finish() : no_error;
        return {failure_ ? failure_ : outcome, moved_};
    }

    channel& channel_;
    std::span<T> values_;
    std::size_t moved_ = 0;  // with failure_ guarded by the mutex while it is in line
    std::error_code failure_ = no_error;

private:
    friend channel;

    class waiter final : public detail::waiter {
    public:
        waiter(transfer& of, detail::wait_list& line, const char* name) noexcept
            : detail::waiter(line), of_(of), name_(name) {}
        ~waiter() { abandon(); }

        [[nodiscard]] transfer& of() const noexcept { return of_; }
        using detail::waiter::finish;
        using detail::waiter::first_in_line;
        using detail::waiter::line_up;
        using detail::waiter::suspend;

    private:
        [[nodiscard]] const char* name() const noexcept override { return name_; }

        transfer& of_;
        const char* const name_;
    };

    [[nodiscard]] static transfer* first_of(detail::wait_list& line) noexcept {
        detail::waiter* const first = line.front();
        return first == nullptr ? nullptr : &static_cast<waiter*>(first)->of();
    }

    void grant_in(detail::wait_list& line) noexcept {
        line.remove(*wait_);
        wait_->grant();
    }

    std::optional<waiter> wait_;
};

template <class T>
class [[nodiscard]] channel<T>::send_awaiter final : private transfer {
public:
    send_awaiter(channel& to, std::span<T> values) noexcept : transfer(to, values) {}

    [[nodiscard]] bool await_ready() noexcept {
        if (!detail::draw_here()) [[unlikely]] { return false; }
        this->moved_ = this->channel_.try_send(this->values_);
        if (this->moved_ == this->values_.size()) { return true; }
        if (this->channel_.closed()) { this->failure_ = errc::closed; }
        return static_cast<bool>(this->failure_);
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        queue& values = this->channel_.queue_;
        return this->wait_in(
            this->channel_.senders_, "channel::send", waiting, [&] { return values.tail(); },
            [&](std::uint64_t taken) { return values.head() >= taken + values.capacity(); });
    }

    io_result await_resume() noexcept { return this->result(); }
};

template <class T>
class [[nodiscard]] channel<T>::recv_awaiter final : private transfer {
public:
    recv_awaiter(channel& from, std::span<T> into) noexcept : transfer(from, into) {}

    [[nodiscard]] bool await_ready() noexcept {
        if (!detail::draw_here()) [[unlikely]] { return false; }
        this->moved_ = this->channel_.try_recv(this->values_);
        if (this->moved_ != 0 || this->values_.empty()) { return true; }
        if (this->channel_.queue_.finished()) { this->failure_ = errc::closed; }
        return static_cast<bool>(this->failure_);
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        queue& values = this->channel_.queue_;
        return this->wait_in(
            this->channel_.receivers_, "channel::recv", waiting, [&] { return values.head(); },
            [&](std::uint64_t given) { return values.tail() >= given; });
    }

    io_result await_resume() noexcept { return this->result(); }
};

template <class T>
std::size_t channel<T>::try_send(std::span<T> values) noexcept {
    if (senders_.any()) [[unlikely]] { return 0; }
    const typename queue::outcome sent = queue_.push(values);
    if (sent.awaited) {
        const std::lock_guard lock(mutex_);
        match();
    }
    return sent.count;
}

template <class T>
std::size_t channel<T>::try_recv(std::span<T> into) noexcept {
    if (receivers_.any()) [[unlikely]] { return 0; }
    const typename queue::outcome received = queue_.pop(into);
    if (received.awaited) {
        const std::lock_guard lock(mutex_);
        match();
    }
    return received.count;
}

template <class T>
void channel<T>::close() noexcept {
    queue_.close();
    const std::lock_guard lock(mutex_);
    match();
}

template <class T>
void channel<T>::match() noexcept {
    bool moved = true;
    while (moved) {
        moved = feed_receivers();
        moved = drain_senders() || moved;
    }
}

// For a coroutine that has just begun to wait. Threads that claimed a place in the queue before it, and do not know of it,
// are a few moves from done.
template <class T>
template <class Settled>
void channel<T>::match_until(Settled settled) noexcept {
    match();
    for (unsigned looks = 1; !settled(); ++looks) {
        if (looks > 1000) { std::this_thread::sleep_for(std::chrono::microseconds(50)); }  // that thread lost the CPU
        match();
    }
    match();  // the last value may have gone to another waiter by then, with no thread to come that would call match()
}

template <class T>
bool channel<T>::feed_receivers() noexcept {
    bool any = false;
    while (transfer* const receiver = transfer::first_of(receivers_)) {
        receiver->moved_ = queue_.pop(receiver->values_).count;
        if (receiver->moved_ == 0) {
            if (!queue_.finished()) { break; }
            receiver->failure_ = errc::closed;
        }
        any = any || receiver->moved_ != 0;
        receiver->grant_in(receivers_);
    }
    return any;
}

template <class T>
bool channel<T>::drain_senders() noexcept {
    bool any = false;
    while (transfer* const sender = transfer::first_of(senders_)) {
        const std::size_t count = queue_.push(sender->values_.subspan(sender->moved_)).count;
        sender->moved_ += count;
        any = any || count != 0;
        if (sender->moved_ != sender->values_.size()) {
            if (!queue_.closed()) { break; }
            sender->failure_ = errc::closed;
        }
        sender->grant_in(senders_);
    }
    return any;
}

}  // namespace fluxnet
