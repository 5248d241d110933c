// SPDX-License-Identifier: BSD-3-Clause
// `either_stream`, `either_listener`: a stream and a listener that are the kernel's or a host's, so that conformance cases can
// have one of each kind at the two ends of a connection.
//
// As the handles in them: move-only, used on the executor's thread.
#pragma once

#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/tcp_listener.hpp"
#include "fluxnet/runtime/host/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <variant>

namespace fluxnet::test {

class either_stream {
public:
    using kernel_buffer = decltype(detail::awaiter_of(std::declval<tcp_stream&>().read_borrowed()).await_resume().buffer);

    class buffer {
    public:
        buffer() = default;
        explicit buffer(kernel_buffer lent) noexcept : of_(std::move(lent)) {}
        explicit buffer(host::tcp_buffer lent) noexcept : of_(std::move(lent)) {}

        [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
            if (const auto* const lent = std::get_if<kernel_buffer>(&of_)) { return lent->bytes(); }
            if (const auto* const lent = std::get_if<host::tcp_buffer>(&of_)) { return lent->bytes(); }
            return {};
        }

    private:
        std::variant<std::monostate, kernel_buffer, host::tcp_buffer> of_;
    };

    explicit either_stream(tcp_stream of) : of_(std::move(of)) {}
    explicit either_stream(host::tcp_stream of) : of_(std::move(of)) {}

    task<io_result> read(std::span<std::byte> into) {
        if (auto* const kernel = std::get_if<tcp_stream>(&of_)) {
            const io_result got = co_await kernel->read(into);
            co_return got;
        }
        const io_result got = co_await std::get<host::tcp_stream>(of_).read(into);
        co_return got;
    }
    task<io_result> write(std::span<const std::byte> from) {
        if (auto* const kernel = std::get_if<tcp_stream>(&of_)) {
            const io_result sent = co_await kernel->write(from);
            co_return sent;
        }
        const io_result sent = co_await std::get<host::tcp_stream>(of_).write(from);
        co_return sent;
    }
    task<borrowed_result<buffer>> read_borrowed() {
        borrowed_result<buffer> told;
        if (auto* const kernel = std::get_if<tcp_stream>(&of_)) {
            auto lent = co_await kernel->read_borrowed();
            told.ec = lent.ec;
            told.buffer = buffer(std::move(lent.buffer));
        } else {
            auto lent = co_await std::get<host::tcp_stream>(of_).read_borrowed();
            told.ec = lent.ec;
            told.buffer = buffer(std::move(lent.buffer));
        }
        co_return told;
    }
    task<wait_result> shutdown_write() {
        if (auto* const kernel = std::get_if<tcp_stream>(&of_)) {
            const wait_result ended = co_await kernel->shutdown_write();
            co_return ended;
        }
        const wait_result ended = co_await std::get<host::tcp_stream>(of_).shutdown_write();
        co_return ended;
    }

    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return std::visit([](const auto& of) { return of.local_endpoint(); }, of_);
    }
    [[nodiscard]] proto::ip_endpoint remote_endpoint() const noexcept {
        return std::visit([](const auto& of) { return of.remote_endpoint(); }, of_);
    }

private:
    std::variant<tcp_stream, host::tcp_stream> of_;
};

static_assert(stream<either_stream>);

class either_listener {
public:
    explicit either_listener(tcp_listener of) : of_(std::move(of)) {}
    explicit either_listener(host::tcp_listener of) : of_(std::move(of)) {}

    [[nodiscard]] bool is_kernels() const noexcept { return std::holds_alternative<tcp_listener>(of_); }

    task<result<either_stream>> accept() {
        if (auto* const kernel = std::get_if<tcp_listener>(&of_)) {
            auto next = co_await kernel->accept();
            if (!next) { co_return std::move(next).error(); }
            co_return either_stream(std::move(next).value());
        }
        auto next = co_await std::get<host::tcp_listener>(of_).accept();
        if (!next) { co_return std::move(next).error(); }
        co_return either_stream(std::move(next).value());
    }

    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return std::visit([](const auto& of) { return of.local_endpoint(); }, of_);
    }

private:
    std::variant<tcp_listener, host::tcp_listener> of_;
};

static_assert(listener<either_listener>);

}  // namespace fluxnet::test
