// SPDX-License-Identifier: BSD-3-Clause
// A TCP server and its client without the kernel's TCP: a host in user space at each end of a wire. What serves is the template
// of serve_tcp.cpp; only what listens and connects is another. On an interface builder("eth0") stands in place of the wire,
// with .only(host::filter_for(options)) if the kernel is to keep its own traffic, and the address is first asked for on the
// link, which takes some seconds.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
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
        if (got.ec) { co_return; }
        const io_result sent = co_await peer.write(std::span(bytes).first(got.n));
        if (sent.ec) { co_return; }
    }
}

static task<void> accept_all(host::tcp_listener& door) {
    scope connections;
    for (;;) {
        result<host::tcp_stream> next = co_await door.accept();
        if (!next) { break; }
        connections.spawn(serve(std::move(*next)));
    }
    static_cast<void>(co_await connections.join());
}

static task<bool> ask(host::ip_host& from, proto::ip_endpoint server) {
    bool answered = false;
    {
        result<host::tcp_stream> peer = co_await from.connect(server);
        if (!peer) { co_return false; }
        constexpr std::string_view question = "is anybody there?";
        const io_result sent = co_await peer->write(std::as_bytes(std::span(question)));
        std::array<std::byte, question.size()> bytes;
        std::size_t got = 0;
        for (io_result part; !part.ec && got != bytes.size(); got += part.n) {
            part = co_await peer->read(std::span(bytes).subspan(got));
        }
        answered = !sent.ec && got == bytes.size();
    }
    // The stream is closed now; what is left to be said goes on in the background, and a host that goes ends that.
    const auto settled = co_await timeout(std::chrono::seconds(5), from.settle());
    co_return answered && !settled.value;
}

static host::ip_host open_host(executor& loop, builder options, std::uint8_t number) {
    async_sockets sockets = open_async(loop, options.frames(512).tx_frames(128)).value();
    host::host_options wanted;
    wanted.addresses = {{proto::ipv4_address(192, 0, 2, number), 24}};
    wanted.hardware = proto::mac_address({0x02, 0, 0, 0, 0, number});
    wanted.probe_addresses = false;  // nobody else can have them here
    return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), wanted).value();
}

int main() {
    simulated_wire wire;
    executor loop;
    wire_pump pump(loop, wire);
    host::ip_host server = open_host(loop, wire.socket_on(simulated_wire::end::left), 1);
    host::ip_host client = open_host(loop, wire.socket_on(simulated_wire::end::right), 2);
    host::tcp_listener door = server.listen({proto::ipv4_address(192, 0, 2, 1), 7}).value();
    loop.spawn_background(accept_all(door));
    return loop.run(ask(client, door.local_endpoint())) ? 0 : 1;
}
