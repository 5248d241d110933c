// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/wire_pump.hpp"

#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

static_assert(!std::is_copy_constructible_v<wire_pump> && !std::is_move_constructible_v<wire_pump>);

namespace {

task<void> echo(async_sockets& sockets, proto::echo_host& host) {
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

struct exchange_plan {
    std::uint64_t warm_up = 0;
    std::uint64_t count = 0;
};

/// What it cost between the end of the warm-up and the end.
struct exchange_cost {
    std::uint64_t answered = 0;
    std::uint64_t allocations = 0;
    std::uint64_t system_calls = 0;
};

/// Sends in bursts of 16 and waits for all answers before the next.
task<void> ask(async_sockets& sockets, std::span<const std::byte> request, exchange_plan plan, exchange_cost& cost) {
    std::array<packet, 16> burst;
    std::array<packet, 64> answers;
    std::optional<allocation_watch> allocations;
    std::optional<syscall_counter> calls;
    if (!syscall_counter::why_not_available()) { calls.emplace(::getpid()); }
    while (cost.answered < plan.warm_up + plan.count) {
        if (!allocations && cost.answered >= plan.warm_up) {
            if (calls) { calls->reset(); }
            allocations.emplace();
        }
        const std::uint32_t made = sockets.tx.try_allocate(burst);
        for (packet& one : std::span(burst).first(made)) { static_cast<void>(one.assign(request)); }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(made));
        if (put.ec) { co_return; }
        for (std::size_t left = put.n; left != 0;) {
            const io_result got = co_await sockets.rx.recv(answers);
            if (got.ec) { co_return; }
            left -= got.n;
            cost.answered += got.n;
        }
    }
    cost.allocations = allocations->allocations();
    if (calls) { cost.system_calls = calls->total(); }
    executor::current()->request_stop();
}

exchange_cost exchange(const wire_options& options, exchange_plan plan) {
    const proto::test::endpoints who{.host = proto::mac_address({2, 0, 0, 0, 0, 2}),
                                     .host_ip = *proto::ipv4_address::parse("10.77.0.1"),
                                     .client = proto::mac_address({2, 0, 0, 0, 0, 1}),
                                     .client_ip = *proto::ipv4_address::parse("10.77.0.2")};
    const auto request = proto::test::udp_request(who, proto::test::counting(18));
    simulated_wire wire(options);
    executor loop;
    wire_pump pump(loop, wire);
    async_sockets client = open_async(loop, wire.socket_on(end::left)).value();
    async_sockets server = open_async(loop, wire.socket_on(end::right)).value();
    proto::echo_host host(who.host, who.host_ip);
    exchange_cost cost;
    loop.spawn(echo(server, host));
    loop.spawn(ask(client, request, plan, cost));
    loop.run();
    for (async_sockets* side : {&client, &server}) {
        CHECK(side->tx.socket().drain(0ms));
        const frame_census census = side->rx.socket().pool().census();
        CHECK(census.exact);
        CHECK(census.sum() == census.frames);
        CHECK(census.user == 0);
        CHECK(census.tx == 0);
    }
    return cost;
}

}  // namespace

TEST_CASE("coroutines at both ends of a simulated wire talk without allocations and system calls for packets") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    constexpr std::uint64_t packets = 200'000;
    const exchange_cost cost = exchange({.hash_traffic = false}, {.warm_up = 10'000, .count = packets});
    CHECK(cost.answered >= packets);
    CHECK(cost.allocations == 0);
    CHECK(cost.system_calls < 20);  // those of the counters themselves
}

TEST_CASE("packets under way on a simulated wire arrive in real time while the executor sleeps") {
    wire_options options;
    options.to_left.delay = options.to_right.delay = 2ms;
    const auto start = std::chrono::steady_clock::now();
    const exchange_cost cost = exchange(options, {.warm_up = 0, .count = 160});
    const auto taken = std::chrono::steady_clock::now() - start;
    CHECK(cost.answered == 160);
    CHECK(taken >= 40ms);  // ten round trips of 4 ms
}

TEST_CASE("a pump polls the zero-copy drivers of a simulated wire") {
    for (const std::chrono::nanoseconds delay : {0us, 100us}) {
        wire_options options;
        options.zero_copy = true;
        options.to_left.delay = options.to_right.delay = delay;
        const exchange_cost cost = exchange(options, {.warm_up = 0, .count = 4000});
        CHECK(cost.answered >= 4000);
    }
}

TEST_CASE("a packet sent after an idle time still travels for as long as the wire takes") {
    wire_options options;
    options.to_right.delay = 5ms;
    simulated_wire wire(options);
    executor loop;
    wire_pump pump(loop, wire);
    async_sockets client = open_async(loop, wire.socket_on(end::left)).value();
    async_sockets server = open_async(loop, wire.socket_on(end::right)).value();
    std::chrono::steady_clock::time_point sent;
    std::chrono::steady_clock::time_point arrived;
    loop.spawn([&]() -> task<void> {
        packet one;
        const io_result got = co_await server.rx.recv(one);
        CHECK(got.n == 1);
        arrived = std::chrono::steady_clock::now();
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(30ms));
        packet one;
        CHECK(client.tx.try_allocate(std::span(&one, 1)) == 1);
        CHECK(one.assign(proto::test::counting(64)));
        sent = std::chrono::steady_clock::now();
        static_cast<void>(co_await client.tx.send(one));
    });
    loop.run();
    CHECK(arrived - sent >= 5ms);
}
