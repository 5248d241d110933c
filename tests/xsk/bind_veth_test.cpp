// SPDX-License-Identifier: BSD-3-Clause
// What the running kernel makes of bind flags: XDP_USE_NEED_WAKEUP or not, and the rules that the models of it follow.
#include "fluxnet/xsk/builder.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/bare_socket.hpp"
#include "tests/xsk/bind_rules.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("packets are sent and received with need_wakeup and without") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool need_wakeup : {true, false}) {
        CAPTURE(need_wakeup);
        testbed bed;
        packet_socket wire(bed.peer(), bed.name(side::peer));
        std::optional<system_sockets> sockets;
        {
            const network_namespace::scoped_enter inside(bed.host());
            sockets.emplace(
                builder(bed.name(side::host)).frames(64).tx_frames(16).need_wakeup(need_wakeup).build_system().value());
        }
        packet one;
        for (unsigned i = 0; i < 200; ++i) {
            REQUIRE(sockets->tx.allocate(std::span(&one, 1)) == 1);
            REQUIRE(one.assign(payload(64, i)));
            REQUIRE(sockets->tx.try_send(one));
            REQUIRE_FALSE(sockets->tx.flush());
            const auto sent = wire.recv(5s);
            REQUIRE(sent.has_value());
            CHECK(same(*sent, payload(64, i)));

            wire.send(payload(64, i + 1));
            REQUIRE(sockets->rx.wait(5s));
            REQUIRE(sockets->rx.try_recv(std::span(&one, 1)) == 1);
            CHECK(same(one.data(), payload(64, i + 1)));
            one.reset();
            CHECK(sockets->tx.drain(100ms));
        }
        sockets->rx.refill();
        check_census(sockets->rx.pool());
    }
}

// What both models of the kernel do as well.
TEST_CASE("the kernel raises the TX flag for good in copy mode whether bind asks for need_wakeup or not") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const int flags : {0, XDP_USE_NEED_WAKEUP}) {
        CAPTURE(flags);
        testbed bed;
        const network_namespace::scoped_enter inside(bed.host());
        const umem memory = small_umem();
        bare_socket socket(system_kernel());
        REQUIRE(socket.make_all(memory));
        CHECK(socket.tx.needs_wakeup());
        REQUIRE(socket.bind(static_cast<int>(bed.ifindex(side::host)), 0, XDP_COPY | flags) == 0);
        for (int i = 0; i < 3; ++i) {
            CHECK(socket.tx.needs_wakeup());
            CHECK_FALSE(socket.fill.needs_wakeup());
            REQUIRE(socket.tx.reserve(1).push({{0}, 60, 0}));
            CHECK(socket.kick_tx() == 0);
            CHECK(socket.tx.pending() == 0);
        }
    }
}

TEST_CASE("the kernel's bind obeys the rules that its models follow") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    {
        testbed bed;
        const network_namespace::scoped_enter inside(bed.host());
        check_own_rules({system_kernel(), static_cast<int>(bed.ifindex(side::host)), 0});
    }
    testbed bed({.queues = 2});
    const network_namespace::scoped_enter inside(bed.host());
    const int index = static_cast<int>(bed.ifindex(side::host));
    check_sharing_rules({system_kernel(), index, 0}, {system_kernel(), index, 1});
}
