// SPDX-License-Identifier: BSD-3-Clause
// A TLS server and its client: tls_stream is a `stream` over another one, so that what was written for a TCP connection runs
// over it unchanged. The client verifies the server's certificate and name.
#include "examples/cookbook/certificate.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/tls/tls_context.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

using namespace fluxnet;

/// Sends back what arrives.
template <stream S>
static task<void> serve(S& peer) {
    std::array<std::byte, 4096> bytes;
    for (;;) {
        const io_result got = co_await peer.read(bytes);
        if (got.ec) { break; }
        const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
        if (sent.ec) { break; }
    }
    static_cast<void>(co_await peer.shutdown_write());  // tells the peer that nothing was cut off
}

static task<void> accept_one(tcp_listener& door, tls_context context) {
    result<tcp_stream> next = co_await door.accept();
    if (!next) { co_return; }
    auto peer = co_await tls_stream<tcp_stream>::accept(std::move(*next), context);
    if (!peer) { co_return; }
    co_await serve(*peer);
}

static task<bool> ask(proto::ip_endpoint server, tls_context context) {
    result<tcp_stream> below = co_await tcp_stream::connect(server);
    if (!below) { co_return false; }
    auto peer = co_await tls_stream<tcp_stream>::connect(std::move(*below), context, "localhost");
    if (!peer) {
        std::fprintf(stderr, "%s\n", peer.error().message().c_str());
        co_return false;
    }
    constexpr std::string_view question = "nobody reads this";
    const io_result sent = co_await peer->write(std::as_bytes(std::span(question)));
    std::array<std::byte, 100> answer;
    const io_result got = co_await peer->read(answer);
    const wait_result ended = co_await peer->shutdown_write();
    co_return !sent.ec && !got.ec && !ended && got.n == question.size();
}

int main() {
    tls_options ours, trusted;
    ours.chain_text = cookbook::certificate;  // or chain_file and key_file
    ours.key_text = cookbook::key;
    trusted.trusted_text = cookbook::certificate;  // without it: the system's authorities
    executor loop;
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    loop.spawn_background(accept_one(door, tls_context::server(ours).value()));
    return loop.run(ask(door.local_endpoint(), tls_context::client(trusted).value())) ? 0 : 1;
}
