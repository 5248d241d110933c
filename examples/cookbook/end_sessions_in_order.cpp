// SPDX-License-Identifier: BSD-3-Clause
// Ends a server's sessions at SIGTERM so that every peer knows that nothing was cut off: no new sessions begin, those that go on
// are left between two messages, and each says goodbye, which TLS has a message for. The signal is awaited: after
// executor::request_stop(), which stop_on() calls, no session could await anything any more.
#include "examples/cookbook/certificate.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/tls/tls_context.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

using namespace fluxnet;
using namespace std::chrono_literals;

using secure_stream = tls_stream<tcp_stream>;

/// Sends back what arrives, until the peer ends or the task is cancelled.
static task<void> echo(secure_stream& peer) {
    std::array<std::byte, 4096> bytes;
    for (;;) {
        const io_result got = co_await peer.read(bytes);
        if (got.ec) { co_return; }
        const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
        if (sent.ec) { co_return; }
    }
}

static task<void> wait_for(event& what) {
    static_cast<void>(co_await what.wait());
}

static task<void> serve(tcp_stream below, tls_context context, event& closing) {
    auto peer = co_await secure_stream::accept(std::move(below), context);
    if (!peer) { co_return; }
    static_cast<void>(co_await when_any(echo(*peer), wait_for(closing)));
    static_cast<void>(co_await timeout(5s, peer->shutdown_write()));  // not longer, for a peer that does not read
}

static task<void> accept_all(tcp_listener& door, tls_context context, scope& sessions, event& closing) {
    for (;;) {
        result<tcp_stream> next = co_await door.accept();
        if (!next) { co_return; }
        sessions.spawn(serve(std::move(*next), context, closing));
    }
}

static task<void> run_server(tcp_listener& door, tls_context context) {
    signal_set ending{SIGINT, SIGTERM};
    event closing;
    scope sessions;
    scope accepting;
    accepting.spawn(accept_all(door, context, sessions, closing));
    static_cast<void>(co_await ending.next());
    accepting.request_stop();
    static_cast<void>(co_await accepting.join());
    closing.set();
    static_cast<void>(co_await sessions.join());
}

/// Tells whether the server has said goodbye in the middle of a session.
static task<bool> be_left(proto::ip_endpoint server, tls_context context) {
    result<tcp_stream> below = co_await tcp_stream::connect(server);
    if (!below) { co_return false; }
    auto peer = co_await secure_stream::connect(std::move(*below), context, "localhost");
    if (!peer) { co_return false; }
    constexpr std::string_view question = "are you there?";
    const io_result sent = co_await peer->write(std::as_bytes(std::span(question)));
    std::array<std::byte, 100> answer;
    const io_result got = co_await peer->read(answer);
    if (sent.ec || got.ec) { co_return false; }
    ::raise(SIGTERM);  // in place of somebody who stops the server
    const io_result after = co_await peer->read(answer);
    std::printf("the session ended with: %s\n", after.ec.message().c_str());
    co_return after.ec == errc::end_of_stream;  // not tls_errc::truncated
}

int main() {
    tls_options ours, trusted;
    ours.chain_text = cookbook::certificate;
    ours.key_text = cookbook::key;
    trusted.trusted_text = cookbook::certificate;
    executor loop;
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    const auto both = loop.run(when_all(run_server(door, tls_context::server(ours).value()),
                                        be_left(door.local_endpoint(), tls_context::client(trusted).value())));
    return std::get<1>(both) ? 0 : 1;
}
