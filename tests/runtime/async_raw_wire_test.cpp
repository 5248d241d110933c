// SPDX-License-Identifier: BSD-3-Clause
// async_raw on a simulated wire: a raw reflector and a raw client, with what it costs and where the frames are afterwards.
#include "fluxnet/runtime/packets/async_raw.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

constexpr std::uint32_t frames = 256;
constexpr std::uint32_t prefilled = 128;

/// A raw socket and the frames that the program has.
struct raw_end {
    raw_end(executor& loop, simulated_wire& wire, end which) : raw(loop, open(wire, which)) {
        free.reserve(frames);
        for (std::uint32_t i = prefilled; i < frames; ++i) { free.push_back({i}); }
    }

    static raw_socket open(simulated_wire& wire, end which) {
        return wire.socket_on(which).frames(frames).prefill(prefilled).build_raw().value();
    }

    void reap() {
        raw_socket& socket = raw.socket();
        auto done = socket.comp.consume();
        while (done.remaining() != 0) { free.push_back(socket.umem.index_of(done.next())); }
    }

    void refill() {
        raw_socket& socket = raw.socket();
        auto slots = socket.fill.reserve(static_cast<std::uint32_t>(free.size()));
        while (slots.remaining() != 0 && free.size() > frames / 4) {
            slots.push(socket.umem.addr_of(free.back()));
            free.pop_back();
        }
    }

    void check_nothing_lost() {
        CHECK_FALSE(raw.socket().wakeup_tx());
        CHECK(raw.socket().tx.pending() == 0);
        const frame_census census = raw.socket().census(static_cast<std::uint32_t>(free.size()));
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.rx == 0);
        CHECK(census.tx == 0);
    }

    async_raw raw;
    std::vector<frame_index> free;
};

/// Sends every packet back in its own frame.
task<void> reflect(raw_end& self, std::uint64_t& reflected) {
    std::array<xdp_desc, 64> batch;
    raw_socket& socket = self.raw.socket();
    for (;;) {
        const auto [ec, n] = co_await self.raw.recv_batch(batch);
        if (ec) { co_return; }
        self.reap();
        {
            auto slots = socket.tx.reserve(static_cast<std::uint32_t>(n));
            for (const xdp_desc& desc : std::span(batch).first(n)) { REQUIRE(slots.push(desc)); }
        }
        REQUIRE_FALSE(socket.wakeup_tx());
        reflected += n;
        self.reap();
        self.refill();
    }
}

struct costs {
    std::uint64_t answered = 0;
    std::uint64_t allocations = 0;
    std::uint64_t system_calls = 0;
};

void send_burst(raw_end& self, std::uint32_t count, std::uint32_t first_number) {
    raw_socket& socket = self.raw.socket();
    {
        auto slots = socket.tx.reserve(count);
        REQUIRE(slots.capacity() == count);
        for (std::uint32_t i = 0; i < count; ++i) {
            const auto bytes = numbered_frame(first_number + i);
            const frame_addr addr = socket.umem.addr_of(self.free.back());
            self.free.pop_back();
            std::memcpy(socket.umem.bytes(addr, bytes.size()).data(), bytes.data(), bytes.size());
            slots.push({addr, static_cast<std::uint32_t>(bytes.size()), 0});
        }
    }
    REQUIRE_FALSE(socket.wakeup_tx());
    self.reap();
}

/// Sends bursts and waits for all of each to come back, in order.
task<void> ask(raw_end& self, std::uint64_t warm_up, std::uint64_t count, costs& cost, bool count_calls = false) {
    constexpr std::uint32_t burst = 16;
    std::array<xdp_desc, 64> batch;
    raw_socket& socket = self.raw.socket();
    std::optional<allocation_watch> allocations;
    std::optional<syscall_counter> calls;
    if (count_calls) { calls.emplace(::getpid()); }
    while (cost.answered < warm_up + count) {
        if (!allocations && cost.answered >= warm_up) {
            if (calls) { calls->reset(); }
            allocations.emplace();
        }
        send_burst(self, burst, static_cast<std::uint32_t>(cost.answered));
        for (std::uint32_t left = burst; left != 0;) {
            const auto [ec, n] = co_await self.raw.recv_batch(batch);
            REQUIRE_FALSE(ec);
            for (const xdp_desc& desc : std::span(batch).first(n)) {
                const bool in_order = number_of(socket.umem.bytes(desc.addr, desc.len)) == cost.answered++;
                REQUIRE(in_order);
                self.free.push_back(socket.umem.index_of(desc.addr));
            }
            left -= static_cast<std::uint32_t>(n);
        }
        self.refill();
    }
    cost.allocations = allocations->allocations();
    if (calls) { cost.system_calls = own_calls(*calls); }
    executor::current()->request_stop();
}

}  // namespace

TEST_CASE("raw coroutines at both ends of a simulated wire talk without allocations and system calls for packets") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    constexpr std::uint64_t packets = 100'000;
    wire_options options;
    options.hash_traffic = false;
    simulated_wire wire(options);
    executor loop;
    wire_pump pump(loop, wire);
    raw_end client(loop, wire, end::left);
    raw_end server(loop, wire, end::right);
    costs cost;
    std::uint64_t reflected = 0;
    loop.spawn(reflect(server, reflected));
    loop.spawn(ask(client, 5'000, packets, cost, true));
    loop.run();
    CHECK(cost.answered >= packets);
    CHECK(reflected == cost.answered);
    CHECK(cost.allocations == 0);
    CHECK(cost.system_calls < 20);  // those of the counters themselves
    client.check_nothing_lost();
    server.check_nothing_lost();
}

TEST_CASE("packets that travel for a while wake raw coroutines that sleep") {
    wire_options options;
    options.to_left.delay = options.to_right.delay = 1ms;
    simulated_wire wire(options);
    executor loop;
    wire_pump pump(loop, wire);
    raw_end client(loop, wire, end::left);
    raw_end server(loop, wire, end::right);
    costs cost;
    std::uint64_t reflected = 0;
    const auto start = std::chrono::steady_clock::now();
    loop.spawn(reflect(server, reflected));
    loop.spawn(ask(client, 0, 160, cost));
    loop.run();
    CHECK(std::chrono::steady_clock::now() - start >=
          19ms);  // of the wire's clock, which a turn may lag behind  // ten round trips of 2 ms
    CHECK(cost.answered == 160);
    client.check_nothing_lost();
    server.check_nothing_lost();
}
