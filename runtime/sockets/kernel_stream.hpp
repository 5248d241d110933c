// SPDX-License-Identifier: BSD-3-Clause
// `kernel_stream`: the common part of streams that are the kernel's: TCP, Unix sockets, pipes of socket pairs.
//
//     const io_result got = co_await peer.read(bytes);
//     const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
//     auto lent = co_await peer.read_borrowed();  // lent.buffer.bytes() lie in a buffer of the executor's
//
// A model of the concept `stream` (stream.hpp). Move-only. Owns its socket, which is a blocking one: a call never waits in
// the kernel all the same. Destroying it closes it; awaits on it that are under way end with `closed`. The kernel then goes
// on sending what was written, or resets the connection if something that had arrived was not read (RFC 1122, 4.2.2.13).
// Of a stream that was moved from or released every await ends at once with `closed`, and fd() is -1.
//
// Threads: used on one thread at a time, that of the executor where it is awaited. It may go to another executor while
// nobody awaits it, unless somebody has borrowed: the executor of the first read_borrowed() goes on receiving for it.
// Elsewhere reads say wrong_executor then.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/socket_state.hpp"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <system_error>

namespace fluxnet {

class FLUXNET_EXPORT kernel_stream {
public:
    class [[nodiscard]] read_awaiter;
    class [[nodiscard]] write_awaiter;
    class [[nodiscard]] borrow_awaiter;
    class [[nodiscard]] shutdown_awaiter;

    /// Owns a connected stream socket, which is a blocking one.
    explicit kernel_stream(descriptor socket) : state_(std::make_unique<detail::socket_state>(std::move(socket))) {}
    kernel_stream(kernel_stream&&) noexcept = default;
    kernel_stream& operator=(kernel_stream&&) noexcept = default;

    /// Completes with what has arrived, n >= 1 bytes, as soon as there is something. `into` stays valid until then; an empty
    /// one completes at once. No system call of its own on io_uring, where requests go with the turn; recv(2) on epoll.
    /// Errors: end_of_stream, operation_canceled (nothing was taken), closed, handle_in_use (another coroutine reads),
    /// wrong_executor, or the kernel's: ECONNRESET, ETIMEDOUT. Needs none of the executor's buffers.
    [[nodiscard]] read_awaiter read(std::span<std::byte> into) noexcept;

    /// Completes when the kernel has taken all of `from`, or with an error; n tells how much it has taken. `from` stays
    /// valid until then. One send(2) on epoll; on io_uring too, if no other coroutine is ready to run: otherwise the request
    /// goes with the turn. Errors: operation_canceled, closed, handle_in_use (another coroutine writes), or the kernel's:
    /// ECONNRESET (the peer has gone, or has broken the connection), EPIPE (this end has ended the direction before), and no
    /// SIGPIPE; out_of_memory, when there is none for the request. The kernel itself tells a reset once only, to whichever
    /// call asks first, and io_uring asks behind what a request has sent in part and keeps the answer for itself; it says
    /// EPIPE from then on, as it does for a peer that had ended its own direction. Therefore each EPIPE that does not come of
    /// shutdown_write() is told as the reset that it is.
    [[nodiscard]] write_awaiter write(std::span<const std::byte> from) noexcept;

    /// Completes with what has arrived, in a buffer of the executor's (socket_buffers.hpp), which goes back when the
    /// received_buffer is destroyed. From the first call on the executor receives ahead, also while nobody waits. It stops
    /// once 16 buffers are full; what the kernel has filled by then comes besides. When all of the executor's are lent, it
    /// receives into one of the stream's own; when that is lent too, it waits until one comes back. Errors: as read();
    /// out_of_memory, when a piece was lost for want of it, and nothing comes behind that.
    [[nodiscard]] borrow_awaiter read_borrowed() noexcept;

    /// Ends this direction: the peer reads what was written, and then end_of_stream. Completes at once. One system call.
    [[nodiscard]] shutdown_awaiter shutdown_write() noexcept;

    /// The socket's number, for options; it stays the stream's. -1 once it was moved from or released.
    [[nodiscard]] int fd() const noexcept { return detail::fd_of(state_.get()); }

    /// Gives the socket away, which may hold what has not been read. Awaits under way end with `closed`. What was received
    /// ahead is gone: not after read_borrowed().
    [[nodiscard]] descriptor release() noexcept;

protected:
    ~kernel_stream() = default;

    /// Tells whether shutdown_write() has ended this direction.
    [[nodiscard]] bool has_ended_write() const noexcept { return state_ != nullptr && state_->write_ended; }

private:
    std::unique_ptr<detail::socket_state> state_;
};

class [[nodiscard]] kernel_stream::read_awaiter final : private detail::stream_transfer, private detail::receiver_waiter {
public:
    /// `at`: null for a stream that was moved from.
    read_awaiter(detail::socket_state* at, std::span<std::byte> into) noexcept : state_(at), into_(into) {}
    ~read_awaiter() { leave(); }

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "kernel_stream::read"; }
    void start();
    void leave() noexcept;
    void on_result(int result, unsigned flags) noexcept override;
    void on_arrival() noexcept override { complete(no_error); }
    bool on_no_buffer() noexcept override;
    void lose_socket() noexcept override;
    void cancel() noexcept override;

    detail::socket_state* state_;  // null once the stream is gone
    std::span<std::byte> into_;
    std::size_t n_ = 0;
    bool lost_ = false;
};

class [[nodiscard]] kernel_stream::write_awaiter final : private detail::operation, private detail::socket_await {
public:
    /// `at`: null for a stream that was moved from.
    write_awaiter(detail::socket_state* at, std::span<const std::byte> from) noexcept : state_(at), from_(from) {}
    ~write_awaiter() { leave(); }

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend_unless(waiting, [this](executor& on) { return send_at_once(on); }, [this] { start(); });
    }

    io_result await_resume() noexcept;

private:
    class request;

    [[nodiscard]] const char* name() const noexcept override { return "kernel_stream::write"; }
    [[nodiscard]] bool send_at_once(executor& on) noexcept;
    void start();
    void leave() noexcept;
    void send_rest() noexcept;
    void on_result(int result) noexcept;
    [[nodiscard]] std::error_code failure_of(int result) const noexcept;
    void drop_request() noexcept;
    void withdraw() noexcept;
    void lose_socket() noexcept override;
    void cancel() noexcept override;

    detail::socket_state* state_;  // null once the stream is gone
    std::span<const std::byte> from_;
    std::size_t n_ = 0;
    request* request_ = nullptr;  // once a send could not be made at once; apart, so that an idle session has no room for it
    bool refused_ = false;        // without waiting: there is no stream, or another coroutine writes
    bool stopping_ = false;
    bool lost_ = false;
};

class [[nodiscard]] kernel_stream::borrow_awaiter final : private detail::arrival_wait {
public:
    /// `at`: null for a stream that was moved from.
    explicit borrow_awaiter(detail::socket_state* at) noexcept : state_(at) {}
    ~borrow_awaiter() { leave(); }

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    borrowed_result<received_buffer> await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "kernel_stream::read_borrowed"; }
    void start();
    void leave() noexcept;
    void on_arrival() noexcept override { complete(no_error); }
    void lose_socket() noexcept override;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    detail::socket_state* state_;  // null once the stream is gone
};

/// Has ended when it is made.
class [[nodiscard]] kernel_stream::shutdown_awaiter final {
public:
    explicit shutdown_awaiter(wait_result ended) noexcept : ended_(ended) {}

    [[nodiscard]] bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    [[nodiscard]] wait_result await_resume() const noexcept { return ended_; }

private:
    wait_result ended_;
};

inline kernel_stream::read_awaiter kernel_stream::read(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
}

inline kernel_stream::write_awaiter kernel_stream::write(std::span<const std::byte> from) noexcept {
    return {state_.get(), from};
}

inline kernel_stream::borrow_awaiter kernel_stream::read_borrowed() noexcept {
    return borrow_awaiter(state_.get());
}

inline bool kernel_stream::write_awaiter::await_ready() noexcept {
    refused_ = state_ == nullptr || state_->writer != nullptr;
    return refused_ || (from_.empty() && detail::draw_here());
}

inline void kernel_stream::write_awaiter::leave() noexcept {
    if (request_ != nullptr) { drop_request(); }
    if (state_ != nullptr && state_->writer == this) { state_->writer = nullptr; }
}

inline io_result kernel_stream::write_awaiter::await_resume() noexcept {
    if (refused_) { return {state_ == nullptr ? errc::closed : errc::handle_in_use, 0}; }
    const std::error_code ended = finish();
    leave();
    return {ended, n_};
}

inline bool kernel_stream::borrow_awaiter::await_ready() noexcept {
    if (const std::error_code why = detail::why_not_read(state_)) {
        refuse(why);
        return true;
    }
    return state_->pieces && state_->pieces->ready() && detail::draw_here();
}

inline void kernel_stream::borrow_awaiter::start() {
    state_->reader = this;
    detail::receiver& pieces = state_->borrower();
    if (pieces.ready()) {
        complete(no_error);
    } else {
        pieces.wait(*this);
    }
}

inline void kernel_stream::borrow_awaiter::leave() noexcept {
    if (state_ == nullptr || state_->reader != this) { return; }
    state_->reader = nullptr;
    if (state_->pieces) { state_->pieces->forget_waiter(); }
}

// These lie in the frame of each session that borrows and writes.
static_assert(sizeof(kernel_stream::borrow_awaiter) <= 168 && sizeof(kernel_stream::write_awaiter) <= 200);

}  // namespace fluxnet
