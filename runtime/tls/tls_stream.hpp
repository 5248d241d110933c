// SPDX-License-Identifier: BSD-3-Clause
// `tls_stream<S>`: TLS over a `stream`, by OpenSSL; itself a `stream` (fluxnet/runtime/core/stream.hpp).
//
//     const tls_context context = tls_context::client().value();
//     result<tls_stream<tcp_stream>> peer =
//         co_await tls_stream<tcp_stream>::connect(std::move(socket), context, "www.example.org");
//     if (!peer) { std::cerr << peer.error().message(); }
//     const io_result sent = co_await peer->write(request);
//
// Owns the stream below. Every call is a lazy task: it begins when it is awaited. A read never writes to the stream below,
// so that a reader does not wait for a peer that does not read.
//
// Ends. shutdown_write() tells the peer that the direction ends, by a close_notify; the peer then reads end_of_stream. A
// stream that is destroyed without it looks to its peer as if somebody had cut the connection: call it last (not in a task
// that has been cancelled: the recipe end_sessions_in_order has how a server ends). Where that
// happens, a read tells tls_errc::truncated, a connection_reset to programs that know nothing of TLS, and never
// end_of_stream; then nothing can be written either.
//
// Cancellation. A cancelled read has lost nothing. A cancelled write tells in n how many bytes are in the records that it
// has made; the peer gets the last one whole (up to 16 KiB) when this side writes again or ends its direction, which goes on
// where the cancelled write stopped. A coroutine that is destroyed while it writes leaves unknown how much of a record has
// gone: later writes are refused with tls_errc::write_abandoned, and reading goes on. A handshake that is cancelled closes
// the stream below.
//
// Threads: those of the stream below, one at a time.
#pragma once

#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/lent_bytes.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sync/detail/claim.hpp"
#include "fluxnet/runtime/tls/detail/tls_connection.hpp"
#include "fluxnet/runtime/tls/detail/tls_engine.hpp"
#include "fluxnet/runtime/tls/tls_context.hpp"
#include "fluxnet/runtime/tls/tls_errc.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cassert>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace fluxnet {

template <stream S>
class tls_stream {
public:
    /// Makes a handle of no stream.
    tls_stream() = default;
    tls_stream(tls_stream&& other) noexcept = default;
    tls_stream& operator=(tls_stream&& other) noexcept {
        if (this != &other) {
            close();
            connection_ = std::move(other.connection_);
        }
        return *this;
    }
    ~tls_stream() { close(); }

    /// Shakes hands as the client. `host`, a name or an address, is asked for and looked for in the peer's certificate.
    /// Errors name step, cause and remedy: the certificate's, not_tls, alert_received and the rest of tls_errc;
    /// invalid_option; what the stream below says, operation_canceled among that.
    [[nodiscard]] static task<result<tls_stream>> connect(S below, tls_context context, std::string host) {
        return start(std::move(below), std::move(context), std::move(host), false);
    }

    /// Shakes hands as the server. Errors: as of connect().
    [[nodiscard]] static task<result<tls_stream>> accept(S below, tls_context context) {
        return start(std::move(below), std::move(context), std::string(), true);
    }

    /// Completes as soon as there are decrypted bytes.
    [[nodiscard]] task<io_result> read(std::span<std::byte> into) { return read_from(connection_, into); }

    /// The same, into memory of its own: one allocation of 16 KiB.
    [[nodiscard]] task<borrowed_result<lent_bytes>> read_borrowed() { return borrow_from(connection_); }

    /// Completes when the stream below has taken the records of all bytes. Errors: broken_pipe after shutdown_write();
    /// truncated; write_abandoned; what the stream below says.
    [[nodiscard]] task<io_result> write(std::span<const std::byte> from) { return write_to(connection_, from); }

    /// Sends what waits and a close_notify, and ends the direction of the stream below. Cancelled, it may have begun: then
    /// no more can be written. Called again, it goes on. Once something has broken the connection it tells the peer what (an
    /// alert), and returns it.
    [[nodiscard]] task<wait_result> shutdown_write() { return end_writing_to(connection_); }

    /// Closes it now, the stream below too.
    void close() noexcept {
        if (const auto closing = std::exchange(connection_, nullptr)) { closing->below.reset(); }
    }

    /// False once it was closed or moved from, and of a handle of no stream.
    [[nodiscard]] bool is_open() const noexcept { return connection_ != nullptr; }

    /// The stream below, for its endpoints and options; what is read from it or written to it breaks the connection. Of an
    /// open stream only: see is_open().
    [[nodiscard]] S& below() noexcept {
        assert(is_open() && "a stream that was closed or moved from has none below");
        return *connection_->below;
    }
    /// The protocol that ALPN chose; empty without, and of a stream that is not open.
    [[nodiscard]] std::string_view protocol() const noexcept {
        return is_open() ? connection_->engine->protocol() : std::string_view();
    }
    /// What broke the connection, in OpenSSL's words; empty while nothing has, and of a stream that is not open.
    [[nodiscard]] std::string_view failure_text() const noexcept {
        return is_open() ? std::string_view(connection_->engine->failure_text()) : std::string_view();
    }

private:
    using connection = detail::tls_connection<S>;
    using shared_connection = std::shared_ptr<connection>;

    explicit tls_stream(shared_connection of) noexcept : connection_(std::move(of)) {}

    static task<result<tls_stream>> start(S below, tls_context context, std::string host, bool is_server) {
        auto engine = detail::tls_engine::make(context, host, is_server);
        if (!engine) { co_return std::move(engine).error(); }
        tls_stream made(std::make_shared<connection>(std::move(below), std::move(*engine)));
        const std::error_code ended = co_await connection::shake_hands(*made.connection_);
        if (ended) { co_return made.connection_->engine->handshake_error(ended); }
        co_return result<tls_stream>(std::move(made));
    }

    static task<io_result> read_from(shared_connection of, std::span<std::byte> into) {
        const std::error_code stopped = co_await detail::tls_beginning();
        if (stopped) { co_return io_result{stopped, 0}; }
        if (!of || !of->below) { co_return io_result{errc::closed, 0}; }
        if (into.empty()) { co_return io_result{}; }
        const detail::claim only(of->is_read);
        if (!only.is_mine()) { co_return io_result{errc::handle_in_use, 0}; }
        for (;;) {
            const io_result got = of->engine->read(into);
            if (got.ec || got.n != 0) { co_return got; }
            const std::error_code failed = co_await connection::fill(*of);
            if (failed) { co_return io_result{failed, 0}; }
        }
    }

    static task<borrowed_result<lent_bytes>> borrow_from(shared_connection of) {
        constexpr std::size_t room = detail::tls_engine::record_bytes;
        std::unique_ptr<std::byte[]> bytes(new std::byte[room]);
        const io_result got = co_await read_from(std::move(of), std::span(bytes.get(), room));
        borrowed_result<lent_bytes> lent;
        lent.ec = got.ec;
        if (!got.ec) { lent.buffer = lent_bytes(std::move(bytes), got.n); }
        co_return lent;
    }

    static task<io_result> write_to(shared_connection of, std::span<const std::byte> from) {
        const std::error_code stopped = co_await detail::tls_beginning();
        if (stopped) { co_return io_result{stopped, 0}; }
        if (!of || !of->below) { co_return io_result{errc::closed, 0}; }
        if (from.empty()) { co_return io_result{}; }
        const detail::claim only(of->is_written);
        if (!only.is_mine()) { co_return io_result{errc::handle_in_use, 0}; }
        std::size_t taken = 0;
        for (;;) {
            const std::error_code refusal = of->engine->write_refusal();
            if (refusal) { co_return io_result{refusal, taken}; }
            const std::error_code unsent = co_await connection::flush(*of);  // at first, what a cancelled write left
            if (unsent || taken == from.size()) { co_return io_result{unsent, taken}; }
            const io_result made = of->engine->write(from.subspan(taken));
            if (made.ec) { co_return io_result{made.ec, taken}; }
            taken += made.n;
            if (made.n != 0) { continue; }
            const std::error_code failed = co_await connection::fill(*of);
            if (failed) { co_return io_result{failed, taken}; }
        }
    }

    static task<wait_result> end_writing_to(shared_connection of) {
        const std::error_code stopped = co_await detail::tls_beginning();
        if (stopped) { co_return stopped; }
        if (!of || !of->below) { co_return errc::closed; }
        const detail::claim only(of->is_written);
        if (!only.is_mine()) { co_return errc::handle_in_use; }
        detail::tls_engine& engine = *of->engine;
        if (engine.write_refusal() == tls_errc::write_abandoned) { co_return tls_errc::write_abandoned; }
        while (!engine.failure() && engine.end_writing() == detail::tls_engine::step::wants_bytes) {
            const std::error_code failed = co_await connection::fill(*of);
            if (failed) { co_return failed; }
        }
        const std::error_code unsent = co_await connection::flush(*of);  // or the alert that tells the peer why not
        if (unsent) { co_return unsent; }
        if (!of->below) { co_return errc::closed; }
        const wait_result ended = co_await of->below->shutdown_write();
        co_return engine.failure() ? wait_result(engine.failure()) : ended;
    }

    shared_connection connection_;
};

}  // namespace fluxnet
