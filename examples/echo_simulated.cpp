// SPDX-License-Identifier: BSD-3-Clause
// echo_async's host and a client of it, in one process, joined by a simulated wire: no interface, no privilege.
// Usage: echo_simulated [--count N] [--seed N] [--loss P] [--delay MICROSECONDS]
#include "examples/command_line.hpp"
#include "examples/opening_report.hpp"
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <span>

using namespace fluxnet;

struct client_tally {
    std::uint64_t sent = 0;
    std::uint64_t answered = 0;
    std::uint64_t wrong = 0;
};

constexpr std::size_t payload_at = 42;  // behind Ethernet, IPv4 and UDP headers
constexpr std::size_t payload_size = 100;
constexpr proto::ipv4_address client_ip{10, 77, 0, 2};
constexpr proto::ipv4_address host_ip{10, 77, 0, 1};

static std::byte payload_byte(std::size_t at) {
    return static_cast<std::byte>(at * 7 + 1);
}

/// Writes a datagram to the echo port into an empty packet.
static void write_request(packet& into, proto::mac_address from, proto::mac_address to) {
    static_cast<void>(into.set_len(payload_at + payload_size));
    const auto frame = proto::ethernet_repr{to, from, proto::ethertype::ipv4}.emit(into.data());
    const std::size_t length = proto::udp_header_length + payload_size;
    const auto datagram = proto::ipv4_repr{client_ip, host_ip, proto::ip_protocol::udp, length}.emit(frame.payload());
    auto udp = proto::udp_repr{40000, proto::echo_host::well_known_echo_port, payload_size}.emit(datagram.payload());
    for (std::size_t i = 0; i < payload_size; ++i) { udp.payload()[i] = payload_byte(i); }
    udp.fill_checksum(client_ip, host_ip);
}

static task<void> answer(async_sockets& sockets, proto::echo_host& host) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await sockets.rx.recv(burst);
        if (got.ec) { co_return; }
        std::size_t replies = 0;
        for (std::size_t i = 0; i < got.n; ++i) {
            const auto length = host.answer(burst[i].data());
            if (length && burst[i].set_len(*length)) { burst[replies++] = std::move(burst[i]); }
        }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(replies));
        if (put.ec) { co_return; }
    }
}

static task<void> ask(async_sockets& sockets, std::uint64_t count, proto::mac_address to, client_tally& tally) {
    const proto::mac_address from(sockets.tx.socket().interface().mac_address);
    std::array<packet, 32> burst;
    while (tally.sent < count) {
        const std::size_t made =
            sockets.tx.try_allocate(std::span(burst).first(std::min<std::uint64_t>(32, count - tally.sent)));
        for (std::size_t i = 0; i < made; ++i) { write_request(burst[i], from, to); }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(made));
        tally.sent += put.n;
        if (put.ec) { co_return; }
        const std::error_code canceled = co_await sleep_for(std::chrono::microseconds(100));
        if (canceled) { co_return; }
    }
    const std::error_code waited = co_await sleep_for(std::chrono::milliseconds(100));  // for the last answers
    if (!waited) { executor::current()->request_stop(); }
}

static task<void> check_answers(async_rx& rx, client_tally& tally) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await rx.recv(burst);
        if (got.ec) { co_return; }
        for (const packet& one : std::span(burst).first(got.n)) {
            bool same = one.size() == payload_at + payload_size;
            for (std::size_t i = 0; same && i < payload_size; ++i) { same = one.data()[payload_at + i] == payload_byte(i); }
            ++(same ? tally.answered : tally.wrong);
        }
    }
}

int main(int argc, char** argv) try {
    std::uint64_t count = 100'000;
    wire_options options;
    double loss = 0;
    std::uint32_t delay_us = 20;
    command_line given("A user-space host and its client, joined by a simulated wire");
    given.optional("--count", count, "requests to send");
    given.optional("--seed", options.seed, "what the wire does is drawn from it");
    given.optional("--loss", loss, "probability that a packet is lost, each way", {0.0, 1.0});
    given.optional("--delay", delay_us, "microseconds that a packet travels", {0, 5'000});
    given.parse(argc, argv);
    options.to_left.loss = options.to_right.loss = loss;
    options.to_left.delay = options.to_right.delay = std::chrono::microseconds(delay_us);

    simulated_wire wire(options);
    executor loop;
    wire_pump pump(loop, wire);
    async_sockets client = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets server = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    for (const async_sockets* side : {&client, &server}) { print_opening_report(side->refusals, side->notes); }
    proto::echo_host host(proto::mac_address(server.rx.socket().interface().mac_address), host_ip);
    client_tally tally;
    loop.spawn(answer(server, host));
    loop.spawn(check_answers(client.rx, tally));
    loop.spawn(ask(client, count, host.hardware(), tally));
    loop.run();

    const wire_counts there = wire.counts(simulated_wire::end::left);
    const wire_counts back = wire.counts(simulated_wire::end::right);
    std::printf("client: %llu sent, %llu answered, %llu wrong\n", 0ULL + tally.sent, 0ULL + tally.answered,
                0ULL + tally.wrong);
    std::printf("wire: %llu lost on the way there, %llu on the way back\n", 0ULL + there.lost, 0ULL + back.lost);
    bool whole = true;
    for (const async_sockets* side : {&client, &server}) {
        const frame_census census = side->rx.socket().pool().census();
        whole = whole && census.exact && census.sum() == census.frames && census.user == 0;
        std::printf("census: frames %lld sum %lld user %lld tx %lld %s\n", 0LL + census.frames, 0LL + census.sum(),
                    0LL + census.user, 0LL + census.tx, census.exact ? "exact" : "snapshot");
    }
    const bool complete = tally.sent == count && tally.wrong == 0 && tally.answered + there.lost + back.lost == count;
    return whole && complete ? 0 : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
