// SPDX-License-Identifier: BSD-3-Clause
// A TCP server and its client: one coroutine for each connection, within a scope that ends when all of them have. serve() is
// written for any `stream`: it runs over TLS (serve_tls.cpp) and over an in-memory network too.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

using namespace fluxnet;

/// Sends back what arrives.
template <stream S>
static task<void> serve(S peer) {
    std::array<std::byte, 4096> bytes;
    for (;;) {
        const io_result got = co_await peer.read(bytes);
        if (got.ec) { co_return; }  // end_of_stream, or the connection is broken
        const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
        if (sent.ec) { co_return; }
    }
}

static task<void> accept_all(tcp_listener& door) {
    scope connections;
    for (;;) {
        result<tcp_stream> next = co_await door.accept();
        if (!next && next.error().code == errc::operation_canceled) { break; }
        if (next) { connections.spawn(serve(std::move(*next))); }
    }
    static_cast<void>(co_await connections.join());
}

static task<bool> ask(proto::ip_endpoint server) {
    result<tcp_stream> peer = co_await tcp_stream::connect(server);
    if (!peer) { co_return false; }
    constexpr std::string_view question = "is anybody there?";
    const io_result sent = co_await peer->write(std::as_bytes(std::span(question)));
    const wait_result ended = co_await peer->shutdown_write();
    std::size_t answered = 0;
    for (std::array<std::byte, 100> bytes;;) {
        const io_result got = co_await peer->read(bytes);
        answered += got.n;
        if (got.ec) { co_return !sent.ec && !ended && got.ec == errc::end_of_stream && answered == question.size(); }
    }
}

int main() {
    executor loop;
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    loop.spawn_background(accept_all(door));
    return loop.run(ask(door.local_endpoint())) ? 0 : 1;
}
