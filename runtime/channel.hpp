// SPDX-License-Identifier: BSD-3-Clause
// `channel<T>`: a bounded queue between coroutines, on one executor or several; any number of senders and receivers.
//
// Values are moved, one by one or in batches: packets keep their frames, nothing is copied. A value is received exactly
// once, in the order in which it was sent; who waits is served first come, first served. Nothing is allocated after
// construction, and no lock is taken unless somebody has to wait or is waiting. send() and recv() are awaited on an
// executor; try_send(), try_recv() and close() may be called on any thread. The channel must outlive every call of it and
// everybody who waits; what it still holds at its end is destroyed with it. See detail/bounded_queue.hpp and
// detail/wait_list.hpp for the two protocols it is made of. Who succeeds without waiting asks afterwards whether the other
// side waits; if so it moves values between queue and waiters under the lock, until no more can be moved.
#pragma once

#include "runtime/detail/bounded_queue.hpp"
#include "runtime/detail/wait_list.hpp"
#include "runtime/io_result.hpp"
#include "xsk/error.hpp"

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <mutex>
#include <span>
#include <system_error>

namespace fluxnet {

template <class T>
class channel {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] recv_awaiter;

    /// Makes a channel that holds at least `capacity` values: 2, or the next power of two.
    explicit channel(std::size_t capacity) : queue_(capacity) {}

    /// Moves values in, in order, and waits while the channel is full. Completes when all are in, or with n, how many are,
    /// and why the rest is not: operation_canceled or closed. Those of the rest are untouched; `values` must stay valid
    /// until then.
    [[nodiscard]] send_awaiter send(std::span<T> values) noexcept { return {*this, values}; }
    [[nodiscard]] send_awaiter send(T& value) noexcept { return {*this, std::span(&value, 1)}; }

    /// Moves values out to the front of `into`: completes with n >= 1 as soon as there are any. Otherwise n is 0 and the
    /// error operation_canceled, or closed when there will never be more. `into` is not empty, and must stay valid until
    /// then.
    [[nodiscard]] recv_awaiter recv(std::span<T> into) noexcept { return {*this, into}; }
    [[nodiscard]] recv_awaiter recv(T& into) noexcept { return {*this, std::span(&into, 1)}; }

    /// Moves in, or out, as many as it can without waiting and without overtaking who waits; returns how many.
    std::size_t try_send(std::span<T> values) noexcept;
    std::size_t try_recv(std::span<T> into) noexcept;

    /// Refuses what is sent from now on, also what waits to be sent. What is in the channel can still be received.
    void close() noexcept;

    [[nodiscard]] bool closed() const noexcept { return queue_.closed(); }
    [[nodiscard]] std::size_t capacity() const noexcept { return queue_.capacity(); }

    /// How many values it holds; a snapshot.
    [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }

private:
    std::size_t push(std::span<T> values) noexcept;
    std::size_t pop(std::span<T> into) noexcept;
    void match() noexcept;
    bool feed_receivers() noexcept;
    bool drain_senders() noexcept;

    detail::bounded_queue<T> queue_;
    std::mutex mutex_;  // guards the lists:
    detail::wait_list senders_;
    detail::wait_list receivers_;
};

/// What both awaiters are: a span that is worked on from its front.
template <class T>
class [[nodiscard]] channel<T>::send_awaiter final : private detail::waiter {
public:
    send_awaiter(channel& to, std::span<T> values) noexcept : channel_(to), values_(values) {}
    ~send_awaiter() {
        if (!started_) { return; }
        {
            const std::lock_guard lock(channel_.mutex_);
            if (listed()) { channel_.senders_.remove(*this); }
        }
        end();
    }

    [[nodiscard]] bool await_ready() noexcept {
        moved_ = channel_.try_send(values_);
        if (moved_ == values_.size()) { return true; }
        if (channel_.closed()) { failure_ = errc::closed; }
        return static_cast<bool>(failure_);
    }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    io_result await_resume() noexcept {
        const std::error_code outcome = finish();
        started_ = false;
        return {failure_ ? failure_ : outcome, moved_};
    }

private:
    friend channel;

    [[nodiscard]] const char* name() const noexcept override { return "channel::send"; }

    void start() noexcept {
        started_ = true;
        const std::lock_guard lock(channel_.mutex_);
        channel_.senders_.announce();
        channel_.senders_.push_back(*this);
        channel_.match();
    }

    void cancel() noexcept override {
        {
            const std::lock_guard lock(channel_.mutex_);
            if (!listed()) { return; }
            channel_.senders_.remove(*this);
        }
        complete(errc::operation_canceled);
    }

    channel& channel_;
    std::span<T> values_;
    std::size_t moved_ = 0;  // with failure_ guarded by the mutex while it is listed
    std::error_code failure_;
    bool started_ = false;
};

template <class T>
class [[nodiscard]] channel<T>::recv_awaiter final : private detail::waiter {
public:
    recv_awaiter(channel& from, std::span<T> into) noexcept : channel_(from), into_(into) {}
    ~recv_awaiter() {
        if (!started_) { return; }
        {
            const std::lock_guard lock(channel_.mutex_);
            if (listed()) { channel_.receivers_.remove(*this); }
        }
        end();
    }

    [[nodiscard]] bool await_ready() noexcept {
        assert(!into_.empty() && "recv() needs room for a value");
        moved_ = channel_.try_recv(into_);
        if (moved_ != 0) { return true; }
        if (channel_.queue_.finished()) { failure_ = errc::closed; }
        return static_cast<bool>(failure_);
    }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    io_result await_resume() noexcept {
        const std::error_code outcome = finish();
        started_ = false;
        return {failure_ ? failure_ : outcome, moved_};
    }

private:
    friend channel;

    [[nodiscard]] const char* name() const noexcept override { return "channel::recv"; }

    void start() noexcept {
        started_ = true;
        const std::lock_guard lock(channel_.mutex_);
        channel_.receivers_.announce();
        channel_.receivers_.push_back(*this);
        channel_.match();
    }

    void cancel() noexcept override {
        {
            const std::lock_guard lock(channel_.mutex_);
            if (!listed()) { return; }
            channel_.receivers_.remove(*this);
        }
        complete(errc::operation_canceled);
    }

    channel& channel_;
    std::span<T> into_;
    std::size_t moved_ = 0;
    std::error_code failure_;
    bool started_ = false;
};

template <class T>
std::size_t channel<T>::push(std::span<T> values) noexcept {
    std::size_t count = 0;
    while (count < values.size() && queue_.push(values[count])) { ++count; }
    return count;
}

template <class T>
std::size_t channel<T>::pop(std::span<T> into) noexcept {
    std::size_t count = 0;
    while (count < into.size() && queue_.pop([&](T&& value) noexcept { into[count] = std::move(value); })) { ++count; }
    return count;
}

template <class T>
std::size_t channel<T>::try_send(std::span<T> values) noexcept {
    if (senders_.any_hint()) { return 0; }
    const std::size_t count = push(values);
    if (count != 0 && receivers_.any()) {
        const std::lock_guard lock(mutex_);
        match();
    }
    return count;
}

template <class T>
std::size_t channel<T>::try_recv(std::span<T> into) noexcept {
    if (receivers_.any_hint()) { return 0; }
    const std::size_t count = pop(into);
    if (count != 0 && senders_.any()) {
        const std::lock_guard lock(mutex_);
        match();
    }
    return count;
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

template <class T>
bool channel<T>::feed_receivers() noexcept {
    bool any = false;
    while (detail::waiter* const first = receivers_.front()) {
        auto& receiver = static_cast<recv_awaiter&>(*first);
        receiver.moved_ = pop(receiver.into_);
        if (receiver.moved_ == 0) {
            if (!queue_.finished()) { break; }
            receiver.failure_ = errc::closed;
        }
        any = any || receiver.moved_ != 0;
        receivers_.remove(receiver);
        receiver.grant();
    }
    return any;
}

template <class T>
bool channel<T>::drain_senders() noexcept {
    bool any = false;
    while (detail::waiter* const first = senders_.front()) {
        auto& sender = static_cast<send_awaiter&>(*first);
        const std::size_t count = push(sender.values_.subspan(sender.moved_));
        sender.moved_ += count;
        any = any || count != 0;
        if (sender.moved_ != sender.values_.size()) {
            if (!queue_.closed()) { break; }
            sender.failure_ = errc::closed;
        }
        senders_.remove(sender);
        sender.grant();
    }
    return any;
}

}  // namespace fluxnet
