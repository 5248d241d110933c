// SPDX-License-Identifier: BSD-3-Clause
// Several sockets over one UMEM, on a fake kernel: what each gets, and what becomes of it when one closes.
#include "fluxnet/xsk/builder.hpp"

#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <optional>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

struct two_queues {
    two_queues() {
        fake.interface.queues = 2;
        fake.real_queues = 2;
        memory = umem::create({.frame_count = 128, .fill_ring = 64, .completion_ring = 64}).value();
    }

    [[nodiscard]] builder on(std::uint32_t queue) { return sim_builder(fake, 64).over(memory).tx_frames(16).queue(queue); }

    fake_kernel fake;
    umem memory;
};

}  // namespace

TEST_CASE("sockets over one UMEM draw on frames of their own") {
    two_queues f;
    system_sockets first = f.on(0).build_system().value();
    system_sockets second = f.on(1).build_system().value();
    CHECK(f.memory.pool().unassigned() == 0);
    CHECK(first.rx.home().number() != second.rx.home().number());
    check_census(f.memory.pool());
    const auto third = f.on(0).build_system();
    REQUIRE(third.has_error());
    CHECK(third.error().code == errc::invalid_option);
    CHECK(contains(third.error().message(), "of its 128 frames 0 are not set aside"));
}

TEST_CASE("a packet received on one socket is sent on another and its frame goes home") {
    two_queues f;
    system_sockets first = f.on(0).build_system().value();
    system_sockets second = f.on(1).build_system().value();
    REQUIRE(f.fake.deliver(payload(60, 1), first.rx.fd()));
    std::array<packet, 4> burst;
    REQUIRE(first.rx.try_recv(burst) == 1);
    const std::byte* const bytes = burst[0].data().data();
    REQUIRE(second.tx.try_send(burst[0]));
    CHECK(f.memory.contains({static_cast<std::uint64_t>(bytes - f.memory.base())}, 60));
    second.tx.flush();
    const auto sent = f.fake.take_sent();
    REQUIRE(sent.size() == 1);
    CHECK(same(sent[0], payload(60, 1)));
    check_census(f.memory.pool());
    second.tx.release();
    first.rx.refill();
    CHECK(first.rx.home().free_count() + f.fake.producer(fake_ring::fill, first.rx.fd()) >= 48);
}

TEST_CASE("a socket that closes gives the frames that the kernel had back to its homes") {
    two_queues f;
    std::optional<system_sockets> first = f.on(0).build_system().value();
    system_sockets second = f.on(1).build_system().value();
    // One packet unread, one in the user's hands, one unsent, one completed and not reaped.
    std::array<packet, 1> held;
    REQUIRE(f.fake.deliver(payload(60, 1), first->rx.fd()));
    REQUIRE(first->rx.try_recv(held) == 1);
    REQUIRE(f.fake.deliver(payload(60, 2), first->rx.fd()));
    std::array<packet, 2> made;
    REQUIRE(first->tx.allocate(made) == 2);
    for (packet& one : made) { REQUIRE(one.assign(payload(60, 3))); }
    REQUIRE(first->tx.try_send(made[0]));
    f.fake.kick_tx(first->tx.fd());
    REQUIRE(first->tx.try_send(made[1]));
    check_census(f.memory.pool(), 1, 2);
    first.reset();
    check_census(f.memory.pool(), 1, 0);
    CHECK(f.memory.pool().census().free + f.memory.pool().census().fill == 127);
    held[0].reset();
    check_census(f.memory.pool());
    // The next socket gets the homes of the one that closed.
    system_sockets again = f.on(0).build_system().value();
    CHECK(again.rx.home().number() == 0);
    REQUIRE(f.fake.deliver(payload(60, 4), again.rx.fd()));
    REQUIRE(again.rx.try_recv(held) == 1);
    CHECK(same(held[0].data(), payload(60, 4)));
    held[0].reset();
    check_census(f.memory.pool());
}

TEST_CASE("a hundred sockets one after the other use one part of a UMEM") {
    two_queues f;
    for (unsigned round = 0; round < 100; ++round) {
        system_sockets sockets = f.on(round % 2).build_system().value();
        REQUIRE(f.fake.deliver(payload(60, round), sockets.rx.fd()));
        std::array<packet, 1> one;
        REQUIRE(sockets.rx.try_recv(one) == 1);
        CHECK(same(one[0].data(), payload(60, round)));
    }
    CHECK(f.memory.pool().unassigned() == 64);
    check_census(f.memory.pool());
    CHECK(f.memory.pool().census().free == 128);
}

TEST_CASE("a hundred raw sockets one after the other use one part of a UMEM") {
    two_queues f;
    for (const bool asked : {false, true}) {
        for (unsigned round = 0; round < 100; ++round) {
            builder options = f.on(round % 2);
            if (asked) { options.prefill(64); }
            raw_socket socket = options.build_raw().value();
            CHECK(socket.fill.pending() == 64);
            REQUIRE(f.fake.deliver(payload(60, round), socket.fd()));
            CHECK(socket.rx.available() == 1);
        }
        CHECK(f.memory.pool().unassigned() == 64);
    }
    // A raw socket that cannot be opened keeps nothing either.
    f.fake.fail(fake_call::bind, 1, EPERM);
    REQUIRE(f.on(0).build_raw().has_error());
    CHECK(f.memory.pool().unassigned() == 64);
    CHECK(f.on(0).build_raw().value().fill.pending() == 64);
}

TEST_CASE("one builder opens every queue with frames of its own") {
    fake_kernel fake;
    fake.interface.queues = 4;
    fake.real_queues = 4;
    auto all = sim_builder(fake, 32, 32).build_queues(4).value();
    REQUIRE(all.size() == 4);
    for (std::uint32_t i = 0; i < 4; ++i) {
        CHECK(all[i].rx.queue() == i);
        CHECK(all[i].rx.home().frame_count() == 24);
        CHECK(&all[i].rx.pool() == &all[0].rx.pool());
    }
    CHECK(all[0].rx.pool().frame_count() == 128);
    // A queue whose packets are hoarded starves none but itself.
    std::vector<packet> hoard(24);
    for (unsigned i = 0; i < 24; ++i) { REQUIRE(fake.deliver(payload(60, i), all[0].rx.fd())); }
    REQUIRE(all[0].rx.try_recv(hoard) == 24);
    CHECK_FALSE(fake.deliver(payload(60, 0), all[0].rx.fd()));
    for (std::size_t i = 1; i < 4; ++i) { CHECK(fake.deliver(payload(60, 1), all[i].rx.fd())); }
    check_census(all[0].rx.pool(), 24);
    for (packet& one : hoard) { one.reset(); }
    check_census(all[0].rx.pool());
    const auto too_many = sim_builder(fake, 32, 32).build_queues(5);
    REQUIRE(too_many.has_error());
}
