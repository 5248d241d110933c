// SPDX-License-Identifier: BSD-3-Clause
// The engine on veth, in native and generic mode: with the kernel's packets, between two interfaces, under congestion, idle.
#include "fluxnet/runtime/packets/engine.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
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

struct idle_engine {
    std::uint64_t turns;
    std::uint64_t sleeps;
};

/// Runs an engine that has nothing to do, until it satisfies `enough`.
idle_engine run_idle(poller how, bool (*enough)(const engine&)) {
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    auto loop = open_engine(builder(bed.name(side::host)), {.how = how}).value();
    std::thread stopper([&] {
        do { std::this_thread::sleep_for(300ms); } while (!enough(*loop));
        loop->stop();
    });
    CHECK_FALSE(loop->run([](packet_batch&) {}));
    stopper.join();
    MESSAGE(loop->turns(), " turns, ", loop->sleeps(), " sleeps");
    return {loop->turns(), loop->sleeps()};
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
        why = loop->run([](packet_batch&) {});
        remover.join();
        CHECK(why == errc::interface_gone);
    }
}

TEST_CASE("an idle engine burns a CPU only when it is told to") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const poller how : {poller::wait, poller::adaptive}) {
        CAPTURE(static_cast<int>(how));
        const idle_engine idle = run_idle(how, [](const engine& loop) { return loop.sleeps() != 0; });
        CHECK(idle.turns < 10'000);
    }
    const idle_engine busy = run_idle(poller::busy, [](const engine& loop) { return loop.turns() > 50'000; });
    CHECK(busy.sleeps == 0);
}

TEST_CASE("ports on the queues of one interface share its program") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed({.queues = 2});
    const network_namespace::scoped_enter inside(bed.host());
    const builder first = small(bed, xdp_mode::native, 16);
    const std::array ports{first, builder(first).queue(1)};
    auto loop = open_engine(ports);
    REQUIRE_MESSAGE(loop.has_value(), loop.error().message());
    const auto shared = (*loop)->port(0).receiving().redirect();
    REQUIRE(shared != nullptr);
    CHECK((*loop)->port(1).receiving().redirect() == shared);
    CHECK(shared->queues() == std::vector<std::uint32_t>{0, 1});
    CHECK(bed.xdp_program_id(side::host) == shared->id());
}
