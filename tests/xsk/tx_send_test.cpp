// SPDX-License-Identifier: BSD-3-Clause
// What becomes of packets that a tx does not take as they are: handed back by send(), or copied from another UMEM.
#include "fluxnet/xsk/tx.hpp"

#include "tests/support/allocation_counter.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// One socket over a kernel of its own.
struct port {
    explicit port(std::uint32_t tx_frames = 8, std::uint32_t frame_size = 2048, bool copy = false)
        : sockets(sim_builder(fake).frame_size(frame_size).tx_frames(tx_frames).copy_foreign(copy).build_system().value()) {}

    packet make(std::size_t size, unsigned seed) {
        packet one;
        REQUIRE(sockets.tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(payload(size, seed)));
        return one;
    }

    void check_sent(const std::vector<std::vector<std::byte>>& wanted) {
        const auto sent = fake.take_sent();
        REQUIRE(sent.size() == wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) { CHECK(same(sent[i], wanted[i])); }
    }

    fake_kernel fake;
    system_sockets sockets;
};

}  // namespace

TEST_CASE("a packet that is taken leaves an empty handle and a refused one is handed back") {
    port here;
    port elsewhere;
    CHECK_FALSE(here.sockets.tx.send(here.make(60, 1)));
    CHECK(here.sockets.tx.pending() == 1);

    packet small = here.sockets.tx.send(here.make(13, 2));
    REQUIRE(small);
    CHECK(same(small.data(), payload(13, 2)));
    CHECK(here.sockets.tx.refusal(small) == errc::packet_too_small);
    packet foreign = here.sockets.tx.send(elsewhere.make(60, 3));
    REQUIRE(foreign);
    CHECK(same(foreign.data(), payload(60, 3)));
    CHECK(here.sockets.tx.refusal(foreign) == errc::foreign_packet);
    CHECK_FALSE(here.sockets.tx.send(packet()));

    here.sockets.tx.flush();
    here.check_sent({payload(60, 1)});
    here.sockets.tx.fail(errc::interface_gone);
    small.reset();
    packet late = here.sockets.tx.send(here.make(60, 4));
    CHECK(late);
    late.reset();
    foreign.reset();
    check_census(here.sockets.tx.pool());
    check_census(elsewhere.sockets.tx.pool());
}

TEST_CASE("a packet without credit is handed back and goes when there is credit again") {
    fake_kernel fake;
    fake.hold_completions(true);
    tx sender = sim_builder(fake).completion_ring(2).tx_frames(8).build_system().value().tx;
    std::vector<packet> packets(3);
    REQUIRE(sender.allocate(packets) == 3);
    for (unsigned i = 0; i < 3; ++i) {
        REQUIRE(packets[i].assign(payload(60, i)));
        packets[i] = sender.send(std::move(packets[i]));
    }
    CHECK_FALSE(packets[0]);
    CHECK_FALSE(packets[1]);
    REQUIRE(packets[2]);
    CHECK(same(packets[2].data(), payload(60, 2)));
    CHECK_FALSE(sender.refusal(packets[2]));
    sender.flush();
    CHECK(fake.release_completions(1) == 1);
    CHECK(sender.reap() == 1);
    CHECK_FALSE(sender.send(std::move(packets[2])));
    fake.hold_completions(false);
    fake.release_completions();
    sender.flush();
    CHECK(fake.take_sent().size() == 3);
    check_census(sender.pool());
}

TEST_CASE("a packet of another UMEM is copied when that was asked for and its frame goes home") {
    port here(8, 2048, true);
    port elsewhere(8, 4096);
    std::vector<packet> mixed;
    mixed.push_back(here.make(60, 1));
    mixed.push_back(elsewhere.make(61, 2));
    REQUIRE(elsewhere.fake.deliver(payload(62, 3)));
    REQUIRE(elsewhere.sockets.rx.try_recv(std::span(&mixed.emplace_back(), 1)) == 1);
    mixed.push_back(here.make(63, 4));
    CHECK(here.sockets.tx.try_send(mixed) == 4);
    for (const packet& one : mixed) { CHECK_FALSE(one); }
    CHECK(elsewhere.sockets.tx.home().free_count() == 8);
    CHECK(elsewhere.sockets.rx.home().free_count() == 1);
    CHECK(here.sockets.tx.home().free_count() == 4);
    here.sockets.tx.flush();
    here.check_sent({payload(60, 1), payload(61, 2), payload(62, 3), payload(63, 4)});
    check_census(here.sockets.tx.pool());
    check_census(elsewhere.sockets.tx.pool());
}

TEST_CASE("copying can be switched on and off") {
    port here;
    port elsewhere;
    packet foreign = elsewhere.make(60, 1);
    CHECK_FALSE(here.sockets.tx.try_send(foreign));
    here.sockets.tx.copy_foreign(true);
    CHECK_FALSE(here.sockets.tx.refusal(foreign));
    here.sockets.tx.copy_foreign(false);
    CHECK(here.sockets.tx.refusal(foreign) == errc::foreign_packet);
    CHECK_FALSE(here.sockets.tx.try_send(foreign));
    CHECK(same(foreign.data(), payload(60, 1)));
    packet none;
    here.sockets.tx.copy_foreign(true);
    CHECK(here.sockets.tx.refusal(none) == errc::foreign_packet);
    CHECK_FALSE(here.sockets.tx.try_send(none));
}

TEST_CASE("a copy takes what a whole frame holds and a longer packet is refused") {
    port here(8, 2048, true);
    port elsewhere(8, 4096);
    packet fitting = elsewhere.make(2048, 1);
    packet one_more = elsewhere.make(2049, 2);
    packet small = elsewhere.make(13, 3);
    CHECK_FALSE(here.sockets.tx.refusal(fitting));
    CHECK(here.sockets.tx.refusal(one_more) == errc::packet_too_large);
    CHECK(here.sockets.tx.refusal(small) == errc::packet_too_small);
    CHECK_FALSE(here.sockets.tx.try_send(one_more));
    CHECK_FALSE(here.sockets.tx.try_send(small));
    CHECK(here.sockets.tx.home().free_count() == 8);
    CHECK(same(one_more.data(), payload(2049, 2)));
    here.fake.interface.mtu = 4000;
    CHECK(here.sockets.tx.try_send(fitting));
    here.sockets.tx.flush();
    here.check_sent({payload(2048, 1)});
    check_census(here.sockets.tx.pool());
}

TEST_CASE("while no frame is free for a copy the packet stays with the caller") {
    port here(2, 2048, true);
    port elsewhere;
    std::vector<packet> foreign;
    for (unsigned i = 0; i < 4; ++i) { foreign.push_back(elsewhere.make(60 + i, i)); }
    CHECK(here.sockets.tx.credit() >= 4);
    CHECK(here.sockets.tx.try_send(foreign) == 2);
    CHECK_FALSE(here.sockets.tx.refusal(foreign[2]));  // it can be sent later
    CHECK(same(foreign[2].data(), payload(62, 2)));
    CHECK(same(foreign[3].data(), payload(63, 3)));
    here.sockets.tx.flush();  // sends two, and their frames come home
    CHECK(here.sockets.tx.try_send(std::span(foreign).subspan(2)) == 2);
    here.sockets.tx.flush();
    here.check_sent({payload(60, 0), payload(61, 1), payload(62, 2), payload(63, 3)});
    check_census(here.sockets.tx.pool());
    check_census(elsewhere.sockets.tx.pool());
}

TEST_CASE("copying allocates nothing") {
    port here(16, 2048, true);
    port elsewhere(16);
    std::vector<packet> foreign;
    for (unsigned i = 0; i < 16; ++i) { foreign.push_back(elsewhere.make(60 + 90 * i, i)); }
    const allocation_watch watch;
    const std::uint32_t taken = here.sockets.tx.try_send(foreign);
    CHECK(watch.allocations() == 0);
    CHECK(taken == 16);
    here.sockets.tx.flush();
    CHECK(here.fake.take_sent().size() == 16);
    check_census(here.sockets.tx.pool());
    check_census(elsewhere.sockets.tx.pool());
}

TEST_CASE("a frame that another thread returns is found for the next copy") {
    port here(1, 2048, true);
    port elsewhere;
    packet own = here.make(60, 1);
    packet foreign = elsewhere.make(60, 2);
    CHECK_FALSE(here.sockets.tx.try_send(foreign));
    std::thread([&] { own.reset(); }).join();
    CHECK(here.sockets.tx.try_send(foreign));
    here.sockets.tx.flush();
    here.check_sent({payload(60, 2)});
    check_census(here.sockets.tx.pool());
}

TEST_CASE("a tx whose home has no frames at all refuses what it would have to copy") {
    port here(0, 2048, true);
    port elsewhere;
    const packet foreign = elsewhere.make(60, 1);
    CHECK(here.sockets.tx.refusal(foreign) == errc::foreign_packet);
}
