// SPDX-License-Identifier: BSD-3-Clause
// The engine on veth, in native and generic mode: with the kernel's packets, between two interfaces, under congestion, idle.
#include "fluxnet/runtime/packets/engine.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Ends the engine's run() when `done` is true, or ten seconds have passed.
template <class Done>
task<void> stop_when(engine& loop, Done done) {
    const deadline limit = 10s;
    for (bool over = false; !over; over = done() || limit.passed()) {
        const std::error_code waited = co_await sleep_for(1ms);
        if (waited) { co_return; }
    }
    loop.stop();
}

/// The numbers of the frames that reach `from` until nothing has come for 200 ms.
std::vector<std::uint32_t> all_numbers(packet_socket& from) {
    std::vector<std::uint32_t> numbers;
    while (const auto frame = from.recv(deadline(200ms))) {
        if ((*frame)[12] == std::byte{0x88}) { numbers.push_back(number_of(*frame)); }
    }
    return numbers;
}

builder small(const testbed& bed, xdp_mode mode, std::uint32_t tx_ring) {
    return builder(bed.name(side::host)).mode(mode).frames(512).tx_frames(16).tx_ring(tx_ring);
}

void check_frames(engine& loop) {
    for (std::size_t i = 0; i < loop.ports(); ++i) {
        CHECK(loop.port(i).sending().drain(2s));
        loop.port(i).sending().release();
    }
    check_census(loop.port(0).receiving().pool());
}

/// Sends `count` frames in bursts that the rings hold, from the peer, and echoes them by an engine.
struct echo_run {
    echo_run(xdp_mode mode, congestion when_full) {
        testbed bed;
        const network_namespace::scoped_enter inside(bed.host());
        auto loop = open_engine(small(bed, mode, 16).when_full(when_full)).value();
        packet_socket peer(bed.peer(), bed.name(side::peer));
        constexpr std::uint32_t count = 400;
        for (std::uint32_t i = 0; i < count; ++i) { peer.send(numbered_frame(i)); }
        loop->spawn(stop_when(*loop, [&] { return loop->port(0).counts().received >= count; }));
        CHECK_FALSE(loop->run([](packet_batch& batch) {
            for (const packet_ref one : batch) { one.send(); }
        }));
        CHECK(loop->port(0).sending().drain(2s));
        came_back = all_numbers(peer);
        counts = loop->port(0).counts();
        CHECK(loop->port(0).receiving().statistics().rx_ring_full == 0);
        CHECK(counts.received == count);
        check_frames(*loop);
    }

    std::vector<std::uint32_t> came_back;
    port_counts counts;
};

/// The share of its time that an engine that has nothing to do wants a CPU: runs, or waits for others to leave it one.
double idle_load(poller how) {
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    auto loop = open_engine(builder(bed.name(side::host)), {.how = how}).value();
    const auto wanted_now = [] {
        std::ifstream file("/proc/thread-self/schedstat");
        std::int64_t running = 0;
        std::int64_t queued = 0;
        REQUIRE((file >> running >> queued));
        return std::chrono::nanoseconds(running + queued);
    };
    std::thread stopper([&] {
        std::this_thread::sleep_for(1s);
        loop->stop();
    });
    const auto before = wanted_now();
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(loop->run([](packet_batch&) {}));
    const std::chrono::duration<double> wanted = wanted_now() - before;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    stopper.join();
    MESSAGE("load ", wanted.count() / passed.count());
    return wanted.count() / passed.count();
}

}  // namespace

TEST_CASE("on veth drop_new counts exactly the packets that did not leave") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        const echo_run run(mode, congestion::drop_new);
        CHECK(run.counts.sent + run.counts.no_room == run.counts.received);
        CHECK(run.counts.no_room > 0);
        CHECK(run.came_back.size() == run.counts.sent);
    }
}

TEST_CASE("on veth block loses no packet and keeps their order") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        const echo_run run(mode, congestion::block);
        CHECK(run.counts.no_room == 0);
        CHECK(run.counts.sent == run.counts.received);
        REQUIRE(run.came_back.size() == run.counts.sent);
        for (std::uint32_t i = 0; i < run.came_back.size(); ++i) { REQUIRE(run.came_back[i] == i); }
    }
}

TEST_CASE("an engine forwards between two interfaces over one UMEM") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        testbed left;
        testbed right;
        const umem memory = umem::create({.frame_count = 1024}).value();
        engine loop({.how = poller::wait});
        for (testbed* const bed : {&left, &right}) {
            const network_namespace::scoped_enter inside(bed->host());
            auto sockets = small(*bed, mode, 256).over(memory).build_system().value();
            REQUIRE(loop.add_port(std::move(sockets)).has_value());
        }
        packet_socket left_peer(left.peer(), left.name(side::peer));
        packet_socket right_peer(right.peer(), right.name(side::peer));
        for (std::uint32_t i = 0; i < 300; ++i) {
            left_peer.send(numbered_frame(i));
            right_peer.send(numbered_frame(1000 + i));
        }
        loop.spawn(
            stop_when(loop, [&] { return loop.port(0).counts().received >= 300 && loop.port(1).counts().received >= 300; }));
        CHECK_FALSE(loop.run([](packet_batch& batch) {
            for (const packet_ref one : batch) { one.send(static_cast<std::uint8_t>(1 - batch.port())); }
        }));
        // Each peer also sees its own frames leave, as packet sockets do not: only what came across.
        CHECK(all_numbers(right_peer) == numbers(0, 300));
        CHECK(all_numbers(left_peer) == numbers(1000, 300));
        check_frames(loop);
    }
}

TEST_CASE("a deleted interface ends the engine with the reason") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const poller how : {poller::wait, poller::adaptive, poller::busy}) {
        testbed bed;
        const network_namespace::scoped_enter inside(bed.host());
        auto loop = open_engine(builder(bed.name(side::host)), {.how = how}).value();
        std::thread remover([&] {
            std::this_thread::sleep_for(50ms);
            bed.delete_link();
        });
        std::error_code why;
        const auto start = std::chrono::steady_clock::now();
        why = loop->run([](packet_batch&) {});
        remover.join();
        CHECK(why == errc::interface_gone);
        CHECK(std::chrono::steady_clock::now() - start < 1s);
    }
}

TEST_CASE("an idle engine burns a CPU only when it is told to") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    CHECK(idle_load(poller::wait) < 0.01);
    CHECK(idle_load(poller::adaptive) < 0.01);
    CHECK(idle_load(poller::busy) > 0.95);
}
