// SPDX-License-Identifier: BSD-3-Clause
// `memory_stream`: one end of a connection inside the process: a `stream` (fluxnet/runtime/core/stream.hpp) for tests.
//
//     auto [near, far] = memory_pair(net);
//     const io_result sent = co_await near.write(request);
//     const io_result got = co_await far.read(bytes);  // perhaps fewer bytes than were sent: read on
//
// Made by memory_network::connect(), a listener's accept() or memory_pair(). A move-only handle; destroying it closes the
// stream. It may outlive the network, not the executor. Nothing is allocated for a read or a write, once the network has
// the memory that its streams fill.
//
// How it behaves, beside what all streams do: a direction holds memory_options::buffer_bytes, and a writer waits while that
// is full. A read gives fewer bytes than there are, now and then, as the seed has it. What had arrived before a reset can
// still be read. Errors: end_of_stream; connection_reset; broken_pipe, for a write after shutdown_write(); handle_in_use,
// also from shutdown_write() while a write waits; closed, for a handle that was moved away, and for awaits whose stream is
// destroyed meanwhile; wrong_executor.
//
// Threads: that of the network's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/simulation/detail/memory_connection.hpp"
#include "fluxnet/runtime/simulation/memory_buffer.hpp"

#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT memory_stream {
public:
    class [[nodiscard]] read_awaiter;
    class [[nodiscard]] borrow_awaiter;
    class [[nodiscard]] write_awaiter;
    class [[nodiscard]] shutdown_awaiter;

    /// Makes a handle of no stream.
    memory_stream() = default;
    memory_stream(std::shared_ptr<detail::memory_connection> of, unsigned end) noexcept
        : connection_(std::move(of)), end_(end) {}
    memory_stream(memory_stream&& other) noexcept = default;
    memory_stream& operator=(memory_stream&& other) noexcept {
        if (this != &other) {
            close();
            connection_ = std::move(other.connection_);
            end_ = other.end_;
        }
        return *this;
    }
    ~memory_stream() { close(); }

    /// Completes as soon as there are bytes, with at least one.
    [[nodiscard]] read_awaiter read(std::span<std::byte> into) noexcept;

    /// The same without the copy; draws from one order of bytes with read().
    [[nodiscard]] borrow_awaiter read_borrowed() noexcept;

    /// Completes when all bytes were taken. Cancelled, n tells how many were: these arrive.
    [[nodiscard]] write_awaiter write(std::span<const std::byte> from) noexcept;

    /// Ends the direction now, unless its task was asked to stop before; completes in the next turn. Once more, it does
    /// nothing.
    [[nodiscard]] shutdown_awaiter shutdown_write() noexcept;

    /// Closes it now.
    void close() noexcept {
        if (const auto closing = std::exchange(connection_, nullptr)) { closing->close(end_); }
    }

    /// False once it was closed or moved from, and of a handle of no stream.
    [[nodiscard]] bool is_open() const noexcept { return connection_ != nullptr; }

    /// 0.0.0.0:0 of a stream that is not open.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return is_open() ? connection_->endpoint(end_) : proto::ip_endpoint();
    }
    [[nodiscard]] proto::ip_endpoint remote_endpoint() const noexcept {
        return is_open() ? connection_->endpoint(1 - end_) : proto::ip_endpoint();
    }

private:
    std::shared_ptr<detail::memory_connection> connection_;
    unsigned end_ = 0;
};

class [[nodiscard]] memory_stream::read_awaiter final : private detail::memory_transfer {
public:
    read_awaiter(detail::memory_connection* of, unsigned end, std::span<std::byte> into) noexcept
        : memory_transfer(of, end), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_stream::read"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || into_.empty() || of_->is_readable(end_); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }

    std::span<std::byte> into_;
};

class [[nodiscard]] memory_stream::borrow_awaiter final : private detail::memory_transfer {
public:
    borrow_awaiter(detail::memory_connection* of, unsigned end) noexcept : memory_transfer(of, end) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    borrowed_result<memory_buffer> await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_stream::read_borrowed"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || of_->is_readable(end_); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }
};

class [[nodiscard]] memory_stream::write_awaiter final : private detail::memory_transfer {
public:
    write_awaiter(detail::memory_connection* of, unsigned end, std::span<const std::byte> from) noexcept
        : memory_transfer(of, end), from_(from) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] {
            if (is_settled_) { complete(no_error); }
        });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_stream::write"; }
    void look() noexcept override {
        if (!waiting() || is_settled_) { return; }
        write_on();
        if (is_settled_) { complete(no_error); }
    }

    /// Has as much taken as there is room for.
    void write_on() noexcept;

    std::span<const std::byte> from_;
    std::size_t taken_ = 0;
    std::error_code failure_ = no_error;
    bool is_settled_ = false;
};

class [[nodiscard]] memory_stream::shutdown_awaiter final : private detail::operation {
public:
    shutdown_awaiter(std::shared_ptr<detail::memory_connection> of, unsigned end) noexcept : of_(std::move(of)), end_(end) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    wait_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_stream::shutdown_write"; }
    void start() noexcept;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    const std::shared_ptr<detail::memory_connection> of_;
    const unsigned end_;
};

inline memory_stream::read_awaiter memory_stream::read(std::span<std::byte> into) noexcept {
    return {connection_.get(), end_, into};
}

inline memory_stream::borrow_awaiter memory_stream::read_borrowed() noexcept {
    return {connection_.get(), end_};
}

inline memory_stream::write_awaiter memory_stream::write(std::span<const std::byte> from) noexcept {
    return {connection_.get(), end_, from};
}

inline memory_stream::shutdown_awaiter memory_stream::shutdown_write() noexcept {
    return {connection_, end_};
}

}  // namespace fluxnet
