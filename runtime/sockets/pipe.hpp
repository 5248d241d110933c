// SPDX-License-Identifier: BSD-3-Clause
// `pipe_reader`, `pipe_writer`: the ends of a pipe, and whatever else is read and written like one: terminals, FIFOs, the
// standard streams of this process, sockets that were handed to it as such.
//
//     auto [out, in] = make_pipe().value();
//     const io_result sent = co_await in.write(bytes);
//     static_cast<void>(co_await in.shutdown_write());
//     const io_result got = co_await out.read(bytes);  // and then end_of_stream
//
// read() and write() are those of the concept `stream` (stream.hpp), a half of it for each end. Move-only; an end owns its
// descriptor, and destroying it closes it; an await on it that is under way ends with `closed`, and so does every await on
// an end that was moved from or released, at once.
//
// No call waits in the kernel: one that would is made again when the reactor says that the descriptor is ready. That does
// not need O_NONBLOCK, which all programs with the same pipe would share: an end that is adopted leaves it as it is. A
// terminal is the exception, for the kernel can write to one without waiting in no other way: it is opened anew, so that the
// flag is this end's own.
//
// A reader that has gone is told by EPIPE, never by SIGPIPE: the signal is blocked for the time of a write and taken back.
//
// Threads: one at a time, that of the executor where it is awaited. It may go to another while nobody awaits it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/pipe_lender.hpp"
#include "fluxnet/runtime/sockets/detail/pipe_transfer.hpp"
#include "fluxnet/runtime/sockets/detail/socket_state.hpp"
#include "fluxnet/runtime/sockets/kernel_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <poll.h>

namespace fluxnet {

class FLUXNET_EXPORT pipe_reader {
public:
    class [[nodiscard]] read_awaiter;
    class [[nodiscard]] borrow_awaiter;

    /// Owns a descriptor that can be read: subprocess::release_stdout(), or the end of a FIFO. Errors: invalid_option (a
    /// file on a disk, for which byte_source and file are; or not open for reading), or the kernel's.
    [[nodiscard]] static result<pipe_reader> adopt(descriptor of);

    /// The same with a duplicate of `fd`, which stays the caller's: STDIN_FILENO, if it is no file (byte_source.hpp reads
    /// whatever it is).
    [[nodiscard]] static result<pipe_reader> duplicate(int fd);

    /// Completes with what has arrived, n >= 1 bytes, as soon as there is something. `into` stays valid until then; an empty
    /// one completes at once. One system call, and a poll request if it waits. Errors: end_of_stream (nobody has the other
    /// end any more), operation_canceled (nothing was taken), closed, handle_in_use (another coroutine reads),
    /// not_in_virtual_time, or the kernel's.
    [[nodiscard]] read_awaiter read(std::span<std::byte> into) noexcept;

    /// Completes with what has arrived, 16 KiB at most, in a buffer of the reader's, which goes back when the
    /// received_buffer is destroyed, on any thread; it may outlive the reader. There are four buffers, made at the first
    /// call, and four more when all are lent. Nothing is read ahead: the pipe keeps what nobody has asked for. System calls
    /// and errors: as read(); ENOMEM when there is no memory for buffers.
    [[nodiscard]] borrow_awaiter read_borrowed() noexcept;

    /// The descriptor's number; it stays the reader's. Negative once it was given away or moved.
    [[nodiscard]] int fd() const noexcept { return detail::fd_of(state_.get()); }

    /// Gives the descriptor away. An await under way ends with `closed`.
    [[nodiscard]] descriptor release() noexcept;

private:
    friend result<std::pair<pipe_reader, class pipe_writer>> make_pipe();

    struct reader_state final : detail::socket_state {
        using socket_state::socket_state;
        detail::pipe_lender lender;
    };

    explicit pipe_reader(descriptor of) : state_(std::make_unique<reader_state>(std::move(of))) {}

    std::unique_ptr<reader_state> state_;
};

class FLUXNET_EXPORT pipe_writer {
public:
    class [[nodiscard]] write_awaiter;

    /// Owns a descriptor that can be written to. Errors: as pipe_reader::adopt().
    [[nodiscard]] static result<pipe_writer> adopt(descriptor of);

    /// The same with a duplicate of `fd`, which stays the caller's: STDOUT_FILENO, likewise (byte_sink).
    [[nodiscard]] static result<pipe_writer> duplicate(int fd);

    /// Completes when the kernel has taken all of `from`, or with an error; n tells how much it has taken. `from` stays
    /// valid until then. What another process writes to the same pipe may come between two parts of more than PIPE_BUF
    /// (4096) bytes. Three system calls for what the kernel takes at once, a poll request each time that it waits. Errors:
    /// operation_canceled, closed, handle_in_use (another coroutine writes), not_in_virtual_time, or the kernel's: EPIPE.
    [[nodiscard]] write_awaiter write(std::span<const std::byte> from) noexcept;

    /// Closes this end: the reader reads what was written, and then end_of_stream, if nobody else has this end too. Later
    /// writes say `closed`, and so does one under way. Completes at once.
    [[nodiscard]] kernel_stream::shutdown_awaiter shutdown_write() noexcept;

    /// The descriptor's number; it stays the writer's. Negative once it was given away, moved or shut
    /// down.
    [[nodiscard]] int fd() const noexcept { return detail::fd_of(state_.get()); }

    /// Gives the descriptor away. An await under way ends with `closed`.
    [[nodiscard]] descriptor release() noexcept;

private:
    friend result<std::pair<pipe_reader, pipe_writer>> make_pipe();

    explicit pipe_writer(descriptor of) : state_(std::make_unique<detail::socket_state>(std::move(of))) {}

    std::unique_ptr<detail::socket_state> state_;
};

/// Makes a pipe. Errors: EMFILE, ENFILE. One system call.
[[nodiscard]] FLUXNET_EXPORT result<std::pair<pipe_reader, pipe_writer>> make_pipe();

class [[nodiscard]] pipe_reader::read_awaiter final : private detail::pipe_transfer {
public:
    read_awaiter(detail::socket_state* at, std::span<std::byte> into) noexcept
        : pipe_transfer(at, &detail::socket_state::reader, into.size()), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept { return over_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(POLLIN); });
    }

    io_result await_resume() noexcept {
        const io_result ended = end_transfer();
        if (ended.ec || ended.n != 0 || into_.empty()) { return ended; }
        return {errc::end_of_stream, 0};
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "pipe_reader::read"; }
    [[nodiscard]] int attempt() noexcept override;

    std::span<std::byte> into_;
};

class [[nodiscard]] pipe_reader::borrow_awaiter final : private detail::pipe_transfer {
public:
    /// `at`: null for a reader that was moved from.
    explicit borrow_awaiter(reader_state* at) noexcept
        : pipe_transfer(at, &detail::socket_state::reader, 1), lender_(at != nullptr ? &at->lender : nullptr) {}

    [[nodiscard]] bool await_ready() noexcept { return over_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(POLLIN); });
    }

    borrowed_result<received_buffer> await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "pipe_reader::read_borrowed"; }
    [[nodiscard]] int attempt() noexcept override;

    detail::pipe_lender* lender_;  // there as long as the reader is; no attempt is made afterwards
    received_buffer lent_;
};

class [[nodiscard]] pipe_writer::write_awaiter final : private detail::pipe_transfer {
public:
    write_awaiter(detail::socket_state* at, std::span<const std::byte> from) noexcept
        : pipe_transfer(at, &detail::socket_state::writer, from.size()), from_(from) {}

    [[nodiscard]] bool await_ready() noexcept { return over_at_once(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(POLLOUT); });
    }

    io_result await_resume() noexcept { return end_transfer(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "pipe_writer::write"; }
    [[nodiscard]] int attempt() noexcept override;

    std::span<const std::byte> from_;
};

}  // namespace fluxnet
