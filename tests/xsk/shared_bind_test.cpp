// SPDX-License-Identifier: BSD-3-Clause
// What bind() answers, with XDP_SHARED_UMEM and without: the same from both models of the kernel as from the kernel.
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/xsk/bare_socket.hpp"
#include "tests/xsk/bind_rules.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using end = simulated_wire::end;

TEST_CASE("a bind without sharing needs a UMEM and four rings and happens once") {
    simulated_wire wire;
    check_own_rules({wire.side(end::left), 1, 0});
    fake_kernel fake;
    check_own_rules({fake, fake.interface.index, 0});
    check_nothing_left(fake);
}

TEST_CASE("a bind that shares a UMEM obeys the rules of the kernel") {
    wire_options options;
    options.queues = 2;
    {
        simulated_wire wire(options);
        check_sharing_rules({wire.side(end::left), 1, 0}, {wire.side(end::left), 1, 1});
    }
    {
        simulated_wire wire(options);
        check_sharing_rules({wire.side(end::left), 1, 0}, {wire.side(end::right), 2, 0});
    }
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    check_sharing_rules({fake, fake.interface.index, 0}, {fake, fake.interface.index, 1});
    check_nothing_left(fake);
}

TEST_CASE("unknown bind flags and both modes at once are refused") {
    simulated_wire wire;
    const umem memory = small_umem();
    const struct {
        int interface_index;
        std::uint32_t queue;
        int flags;
        int answer;
        bool spoils;  // the kernel has begun to use the rings, and they are lost
    } table[] = {
        {1, 0, 1 << 9, -EINVAL, false},
        {3, 0, plain, -ENODEV, false},
        {1, 0, XDP_COPY | XDP_ZEROCOPY, -EINVAL, true},
        {1, 0, XDP_ZEROCOPY, -EOPNOTSUPP, true},
        {1, 1, plain, -EINVAL, true},
    };
    for (const auto& row : table) {
        CAPTURE(row.flags);
        bare_socket one(wire.side(end::left));
        REQUIRE(one.make_all(memory));
        CHECK(one.bind(row.interface_index, row.queue, row.flags) == row.answer);
        CHECK(one.bind(1, 0, plain) == (row.spoils ? -EINVAL : 0));
    }
}

TEST_CASE("sockets on both ends of a wire work on one UMEM") {
    for (const bool zero_copy : {false, true}) {
        CAPTURE(zero_copy);
        wire_options options;
        options.zero_copy = zero_copy;
        options.queues = 2;
        simulated_wire wire(options);
        const umem memory = small_umem();
        bare_socket left(wire.side(end::left));
        REQUIRE(left.make_all(memory));
        REQUIRE(left.bind(1, 0, (zero_copy ? XDP_ZEROCOPY : XDP_COPY) | XDP_USE_NEED_WAKEUP) == 0);
        bare_socket right(wire.side(end::right));
        REQUIRE((right.make_rx_tx() == 0 && right.make_fill_comp() == 0 && right.map()));
        REQUIRE(right.bind(2, 0, XDP_SHARED_UMEM, left.fd()) == 0);
        xdp_options mode{};
        std::uint32_t size = sizeof mode;
        REQUIRE(wire.side(end::right).get_option(right.fd(), XDP_OPTIONS, &mode, &size) == 0);
        CHECK(mode.flags == (zero_copy ? XDP_OPTIONS_ZEROCOPY : 0));

        // A packet from the left lies in frame 3 on the right, is sent from there and comes back to frame 1 on the left.
        left.fill.reserve(1).push({1 * 2048});
        right.fill.reserve(1).push({3 * 2048});
        const auto sent = payload(60, 7);
        std::memcpy(memory.base() + 0, sent.data(), sent.size());
        left.tx.reserve(1).push({{0}, 60, 0});
        CHECK(left.kick_tx() == 0);
        {
            auto got = right.rx.consume();
            REQUIRE(got.size() == 1);
            const auto desc = got.next();
            CHECK(desc.addr.value / 2048 == 3);
            CHECK(same({memory.base() + desc.addr.value, desc.len}, sent));
            right.tx.reserve(1).push(desc);
        }
        CHECK(right.kick_tx() == 0);
        auto back = left.rx.consume();
        REQUIRE(back.size() == 1);
        const auto desc = back.next();
        CHECK(desc.addr.value / 2048 == 1);
        CHECK(same({memory.base() + desc.addr.value, desc.len}, sent));
        wire.advance_to(wire.now());
        CHECK(left.comp.consume().next().value == 0);
        CHECK(right.comp.consume().next().value / 2048 == 3);
    }
}

TEST_CASE("a socket whose UMEM another one shares may close first") {
    simulated_wire wire;
    const umem memory = small_umem();
    std::optional<bare_socket> left(std::in_place, wire.side(end::left));
    REQUIRE(left->make_all(memory));
    REQUIRE(left->bind(1, 0, plain) == 0);
    bare_socket right(wire.side(end::right));
    REQUIRE((right.make_rx_tx() == 0 && right.make_fill_comp() == 0 && right.map()));
    REQUIRE(right.bind(2, 0, XDP_SHARED_UMEM, left->fd()) == 0);
    left.reset();
    right.fill.reserve(1).push({2048});
    bare_socket next(wire.side(end::left));
    REQUIRE((next.make_rx_tx() == 0 && next.make_fill_comp() == 0 && next.map()));
    REQUIRE(next.bind(1, 0, XDP_SHARED_UMEM, right.fd()) == 0);
    next.tx.reserve(1).push({{4096}, 60, 0});
    CHECK(next.kick_tx() == 0);
    CHECK(right.rx.consume().size() == 1);
}

TEST_CASE("handles on both ends of a wire send each other's packets from one UMEM") {
    for (const bool zero_copy : {false, true}) {
        CAPTURE(zero_copy);
        wire_options options;
        options.zero_copy = zero_copy;
        simulated_wire wire(options);
        umem memory = umem::create({.frame_count = 128, .fill_ring = 64, .completion_ring = 64}).value();
        const auto open = [&](end which) {
            return wire.socket_on(which).over(memory).frames(64).tx_frames(16).build_system().value();
        };
        system_sockets left = open(end::left);
        system_sockets right = open(end::right);
        CHECK(right.rx.zero_copy() == zero_copy);
        CHECK(right.refusals.empty());  // the shared registration is tried first, and taken
        packet one;
        REQUIRE(left.tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(payload(60, 1)));
        for (int hop = 0; hop < 100; ++hop) {
            REQUIRE(left.tx.try_send(one));
            CHECK(left.tx.drain(std::chrono::milliseconds(5)));
            REQUIRE(right.rx.try_recv(std::span(&one, 1)) == 1);
            CHECK(one.home() == &right.rx.home());
            right.rx.refill();
        }
        CHECK(same(one.data(), payload(60, 1)));
        one.reset();
        right.rx.refill();
        check_census(memory.pool());
    }
}
