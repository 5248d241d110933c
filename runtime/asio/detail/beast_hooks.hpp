// SPDX-License-Identifier: BSD-3-Clause
// What Boost.Beast asks of the stream under a WebSocket, for every `async_stream`. Beast finds the functions by their
// argument; its headers need not be there.
//
// Included by async_stream.hpp.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/core/stream.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

// Declared as Beast declares it: its headers may come before or after this one.
namespace boost::beast {
enum class role_type;
}

namespace fluxnet::asio {

template <stream S, class Executor>
class async_stream;

namespace detail {

/// Tells whether the stream is a server's end. `Stream` has the role looked at when Beast has defined it.
template <class Stream, class Role>
[[nodiscard]] constexpr bool is_server(Role role) noexcept {
    return role == Role::server;
}

/// Ends a connection that a WebSocket is done with: the server ends its direction first and the client when it has read the
/// server's end; what arrives until then is dropped.
template <class Stream>
class teardown_steps {
public:
    teardown_steps(Stream& stream, bool server) : stream_(stream), server_(server) {}

    template <class Self>
    void operator()(Self& self) {
        if (server_) { return end(self); }
        read(self);
    }

    /// This direction has ended.
    template <class Self>
    void operator()(Self& self, const boost::system::error_code& code) {
        if (!code && server_) { return read(self); }
        finish(self, code);
    }

    /// Something was read.
    template <class Self>
    void operator()(Self& self, const boost::system::error_code& code, std::size_t) {
        if (!code) { return read(self); }
        if (code == net::error::eof && !server_) { return end(self); }
        finish(self, code == net::error::eof ? boost::system::error_code() : code);
    }

private:
    template <class Self>
    void end(Self& self) {
        stream_.async_shutdown(std::move(self));
    }

    template <class Self>
    void read(Self& self) {
        if (dropped_ == nullptr) { dropped_ = std::make_unique<std::array<std::byte, 4096>>(); }
        const auto room = net::buffer(*dropped_);
        stream_.async_read_some(room, std::move(self));
    }

    template <class Self>
    void finish(Self& self, const boost::system::error_code& code) {
        if (!code) { stream_.close(); }
        self.complete(code);
    }

    Stream& stream_;
    const bool server_;
    std::unique_ptr<std::array<std::byte, 4096>> dropped_;
};

}  // namespace detail

/// Closes the stream: for the time limits of a WebSocket.
template <class S, class Executor>
void beast_close_socket(async_stream<S, Executor>& stream) noexcept {
    stream.close();
}

/// Ends the connection after a WebSocket's closing handshake. Signature: void(error_code). Errors: those of a read and of
/// async_shutdown(); at the peer's end there is none, and the stream is closed.
template <class S, class Executor, class Handler>
void async_teardown(boost::beast::role_type role, async_stream<S, Executor>& stream, Handler&& handler) {
    using steps = detail::teardown_steps<async_stream<S, Executor>>;
    net::async_compose<Handler, void(boost::system::error_code)>(
        steps(stream, detail::is_server<async_stream<S, Executor>>(role)), handler, stream);
}

}  // namespace fluxnet::asio
