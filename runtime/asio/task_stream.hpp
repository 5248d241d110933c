// SPDX-License-Identifier: BSD-3-Clause
// `task_stream<S>`: a stream of Asio's as a `stream` of ours, so that tasks read and write it.
//
//     fluxnet::asio::task_stream<boost::asio::ip::tcp::socket> peer(std::move(socket));
//     const io_result got = co_await peer.read(bytes);
//
// Owns the stream: any AsyncReadStream and AsyncWriteStream, ssl::stream and Beast's among them. Every call is a lazy task
// that is awaited on an `execution`. One coroutine reads and one writes at a time: a second one is told handle_in_use. When
// it is destroyed, awaits under way end as the stream's own destructor ends them: most say operation_canceled.
//
// Threads: those of the execution on which it is used.
#pragma once

#include "fluxnet/runtime/asio/use_task.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/lent_bytes.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sync/detail/claim.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/write.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

namespace fluxnet::asio {

template <class S>
class task_stream {
public:
    /// What read_borrowed() reads at once, at most.
    static constexpr std::size_t lent_size = 16'384;

    /// Takes the stream over. Allocates.
    explicit task_stream(S&& owned) : shared_(std::make_shared<state>(std::move(owned))) {}
    task_stream(task_stream&&) noexcept = default;
    task_stream& operator=(task_stream&& other) noexcept {
        if (this != &other) {
            close();
            shared_ = std::move(other.shared_);
        }
        return *this;
    }
    ~task_stream() { close(); }

    /// Completes with what has arrived, as soon as there is anything. Errors: end_of_stream, operation_canceled, closed,
    /// handle_in_use, what the stream says.
    [[nodiscard]] task<io_result> read(std::span<std::byte> into) { return read_from(shared_, into); }

    /// Completes when all of `from` was taken, or with an error; n tells how much was. Errors: as read(); connection_reset,
    /// when the peer has gone; broken_pipe after shutdown_write().
    [[nodiscard]] task<io_result> write(std::span<const std::byte> from) { return write_to(shared_, from); }

    /// read(), into memory of its own: one allocation.
    [[nodiscard]] task<borrowed_result<lent_bytes>> read_borrowed() { return borrow_from(shared_); }

    /// Ends this direction: by the stream's async_shutdown() where it has one, else by the shutdown() of its lowest layer.
    [[nodiscard]] task<wait_result> shutdown_write() { return end_writing_to(shared_); }

    /// Closes it now.
    void close() noexcept {
        if (const auto closing = std::exchange(shared_, nullptr)) { closing->close(); }
    }

    /// False once it was closed or moved from.
    [[nodiscard]] bool is_open() const noexcept { return shared_ != nullptr; }

    /// The stream, of an open one.
    [[nodiscard]] S& next_layer() noexcept { return shared_->stream; }

private:
    struct state {
        explicit state(S&& owned) : stream(std::move(owned)) {}

        /// The object stays until the operations under way have ended, which refer to it.
        void close() noexcept {
            boost::system::error_code ignored;
            is_open = false;
            if constexpr (requires { stream.lowest_layer().close(ignored); }) {
                stream.lowest_layer().close(ignored);
            } else if constexpr (requires { stream.lowest_layer().close(); }) {
                stream.lowest_layer().close();
            } else {
                stream.close();
            }
        }

        S stream;
        bool is_open = true;
        bool is_read = false;
        bool is_written = false;
        bool read_ended = false;   // the stream has told its end, after which Asio's sockets may wait for ever
        bool write_ended = false;  // by shutdown_write()
    };
    using shared_state = std::shared_ptr<state>;

    static task<io_result> read_from(shared_state of, std::span<std::byte> into) {
        if (!of || !of->is_open) { co_return io_result{errc::closed, 0}; }
        if (into.empty()) { co_return io_result{}; }
        const fluxnet::detail::claim only(of->is_read);
        if (!only.is_mine()) { co_return io_result{errc::handle_in_use, 0}; }
        if (of->read_ended) { co_return io_result{errc::end_of_stream, 0}; }
        const net::mutable_buffer room(into.data(), into.size());
        const io_result got = co_await of->stream.async_read_some(room, use_task);
        if (got.ec == errc::end_of_stream) { of->read_ended = true; }
        co_return got;
    }

    static task<io_result> write_to(shared_state of, std::span<const std::byte> from) {
        if (!of || !of->is_open) { co_return io_result{errc::closed, 0}; }
        if (from.empty()) { co_return io_result{}; }
        const fluxnet::detail::claim only(of->is_written);
        if (!only.is_mine()) { co_return io_result{errc::handle_in_use, 0}; }
        const net::const_buffer bytes(from.data(), from.size());
        io_result sent = co_await net::async_write(of->stream, bytes, use_task);
        // The system says EPIPE of a peer that has gone too, of some sockets at once and of others the second time.
        const bool gone = sent.ec == std::errc::broken_pipe && !of->write_ended;
        if (gone) { sent.ec = std::make_error_code(std::errc::connection_reset); }
        co_return sent;
    }

    static task<borrowed_result<lent_bytes>> borrow_from(shared_state of) {
        std::unique_ptr<std::byte[]> bytes(new std::byte[lent_size]);
        const io_result got = co_await read_from(std::move(of), std::span(bytes.get(), lent_size));
        borrowed_result<lent_bytes> lent;
        lent.ec = got.ec;
        if (!got.ec) { lent.buffer = lent_bytes(std::move(bytes), got.n); }
        co_return lent;
    }

    static task<wait_result> end_writing_to(shared_state of) {
        if (!of || !of->is_open) { co_return wait_result(errc::closed); }
        of->write_ended = true;
        if constexpr (requires { of->stream.async_shutdown(use_task); }) {
            const wait_result ended = co_await of->stream.async_shutdown(use_task);
            co_return ended;
        } else {
            boost::system::error_code code;
            of->stream.lowest_layer().shutdown(net::socket_base::shutdown_send, code);
            co_return wait_result(detail::code_from_asio(code));
        }
    }

    shared_state shared_;  // null when it was closed, or moved from
};

}  // namespace fluxnet::asio
