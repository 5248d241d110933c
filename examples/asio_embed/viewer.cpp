// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/viewer.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket.hpp>

#include <array>
#include <utility>

namespace embed_example {

namespace websocket = beast::websocket;

viewer::viewer(beast::tcp_stream peer, std::shared_ptr<feed> from, const viewer_limits& limits)
    : stream_(std::move(peer)), feed_(std::move(from)) {
    stream().expires_never();  // a WebSocket stream has limits of its own
    boost::system::error_code ignored;
    stream().socket().set_option(net::socket_base::send_buffer_size(limits.send_buffer), ignored);
    stream().socket().set_option(net::ip::tcp::no_delay(true), ignored);
    stream_.set_option(websocket::stream_base::timeout{limits.handshake, limits.silence, true});
    stream_.set_option(websocket::stream_base::decorator(
        [](websocket::response_type& response) { response.set(beast::http::field::server, "FluxNet asio_embed"); }));
    stream_.read_message_max(limits.message);
    stream_.text(true);
}

net::awaitable<void> viewer::serve(std::shared_ptr<viewer> self, beast::http::request<beast::http::empty_body> request) {
    boost::system::error_code failed;
    co_await self->stream_.async_accept(request, net::redirect_error(net::use_awaitable, failed));
    if (failed) { co_return; }
    self->frames_.emplace(self->feed_, self->stream_.get_executor());
    net::co_spawn(self->stream_.get_executor(), read_all(self), net::detached);
    for (;;) {
        const feed::frame next = co_await self->frames_->next();
        if (!next) { break; }
        co_await self->stream_.async_write(net::buffer(*next), net::redirect_error(net::use_awaitable, failed));
        if (failed) { break; }
    }
    if (self->stream_.is_open()) {
        const websocket::close_reason ends(websocket::close_code::going_away);
        co_await self->stream_.async_close(ends, net::redirect_error(net::use_awaitable, failed));
    }
    self->stream().close();
}

/// Without a read pings and the client's good-bye would not be seen.
net::awaitable<void> viewer::read_all(std::shared_ptr<viewer> self) {
    std::array<char, 512> dropped;
    boost::system::error_code failed;
    while (!failed) {
        co_await self->stream_.async_read_some(net::buffer(dropped), net::redirect_error(net::use_awaitable, failed));
    }
    self->frames_->end();
}

}  // namespace embed_example
