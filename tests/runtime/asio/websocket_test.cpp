// SPDX-License-Identifier: BSD-3-Clause
// WebSockets of Boost.Beast's over our streams. Stays on the loopback interface.
#include "fluxnet/runtime/asio/async_stream.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/use_task.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace std::chrono_literals;
namespace net = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;

using async_tcp = asio::async_stream<tcp_stream>;
using async_local = asio::async_stream<unix_stream>;
static_assert(std::is_same_v<beast::lowest_layer_type<websocket::stream<async_tcp>>, async_tcp>);

namespace {

const std::string websocket_host = "127.0.0.1";

/// Echoes messages until the client closes. Returns how many.
template <class Stream>
net::awaitable<int> echo_messages(Stream& ws) {
    co_await ws.async_accept(net::use_awaitable);
    for (int count = 0;; ++count) {
        beast::flat_buffer message;
        try {
            co_await ws.async_read(message, net::use_awaitable);
        } catch (const boost::system::system_error& end) {
            CHECK(end.code() == websocket::error::closed);
            co_return count;
        }
        ws.text(ws.got_text());
        co_await ws.async_write(message.data(), net::use_awaitable);
    }
}

/// Sends messages, small ones and one of many pieces, compares what comes back, and closes.
template <class Stream>
net::awaitable<void> send_messages(Stream& ws) {
    co_await ws.async_handshake(websocket_host, "/", net::use_awaitable);
    for (const std::string& text : {std::string("one"), std::string(), std::string(1'000'000, 'x'), std::string("last")}) {
        co_await ws.async_write(net::buffer(text), net::use_awaitable);
        beast::flat_buffer message;
        co_await ws.async_read(message, net::use_awaitable);
        CHECK(beast::buffers_to_string(message.data()) == text);
    }
    co_await ws.async_close(websocket::close_code::normal, net::use_awaitable);
}

/// What a coroutine that ends well comes to.
auto note_messages(int& ended) {
    return [&ended](const std::exception_ptr& failure, auto... count) {
        if (failure) { std::rethrow_exception(failure); }
        ended += (1 + ... + count);
    };
}

task<tcp_stream> accept_one(tcp_listener& door) {
    result<tcp_stream> next = co_await door.accept();
    co_return std::move(next).value();
}

/// Both ends of a connection through the kernel's TCP.
task<void> meet(asio::execution& on, tcp_listener& door, std::unique_ptr<websocket::stream<async_tcp>>& server,
                std::unique_ptr<websocket::stream<async_tcp>>& client) {
    result<tcp_stream> near = co_await tcp_stream::connect(door.local_endpoint());
    tcp_stream far = co_await accept_one(door);
    server = std::make_unique<websocket::stream<async_tcp>>(async_tcp(on, std::move(far)));
    client = std::make_unique<websocket::stream<async_tcp>>(async_tcp(on, std::move(near).value()));
}

}  // namespace

TEST_CASE("WebSocket messages are echoed over the kernel's TCP, with both ends over streams of ours") {
    net::io_context context;
    asio::execution on(context);
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    std::unique_ptr<websocket::stream<async_tcp>> server;
    std::unique_ptr<websocket::stream<async_tcp>> client;
    on.loop().spawn(meet(on, door, server, client));
    context.run();
    REQUIRE(client != nullptr);
    int ended = 0;
    net::co_spawn(on.strand(), echo_messages(*server), note_messages(ended));
    net::co_spawn(on.strand(), send_messages(*client), note_messages(ended));
    context.restart();
    context.run();
    CHECK(ended == 6);
    // Both have closed their ends.
    CHECK_FALSE(server->next_layer().is_open());
    CHECK_FALSE(client->next_layer().is_open());
}

TEST_CASE("a client of Beast's over Asio's socket and a server over a stream of ours talk by a WebSocket") {
    net::io_context context;
    asio::execution on(context);
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    std::unique_ptr<websocket::stream<async_tcp>> server;
    websocket::stream<net::ip::tcp::socket> client(context);
    int ended = 0;
    on.loop().spawn([&]() -> task<void> {
        tcp_stream far = co_await accept_one(door);
        server = std::make_unique<websocket::stream<async_tcp>>(async_tcp(on, std::move(far)));
        net::co_spawn(on.strand(), echo_messages(*server), note_messages(ended));
    });
    client.next_layer().async_connect({net::ip::make_address_v4(websocket_host), door.local_endpoint().port},
                                      [&](const boost::system::error_code& code) {
                                          REQUIRE(!code);
                                          net::co_spawn(context, send_messages(client), note_messages(ended));
                                      });
    context.run();
    CHECK(ended == 6);
    CHECK_FALSE(server->next_layer().is_open());
}

TEST_CASE("the time limits of a WebSocket close a stream of ours") {
    net::io_context context;
    asio::execution on(context);
    auto ends = unix_stream::pair().value();
    websocket::stream<async_local> server(async_local(on, std::move(ends.first)));
    async_local silent(on, std::move(ends.second));
    server.set_option(websocket::stream_base::timeout{5ms, 5ms, false});
    boost::system::error_code told;
    server.async_accept([&](const boost::system::error_code& code) { told = code; });
    context.run();
    CHECK(told == beast::error::timeout);
    CHECK_FALSE(server.next_layer().is_open());
}
