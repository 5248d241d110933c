// SPDX-License-Identifier: BSD-3-Clause
// Packets that a receive, or recycle(), drops by the dozen: their frames go straight back to the kernel.
#include "fluxnet/xsk/rx.hpp"

#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// A socket on a kernel of its own, whose frames all receive.
struct recycle_fixture {
    explicit recycle_fixture(std::uint32_t frames = 64, std::uint32_t ring = 64, std::uint32_t first_index = 0) {
        fake.first_index = first_index;
        socket.emplace(sim_builder(fake, frames, ring).tx_frames(0).build_system().value().rx);
    }

    void deliver(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i, ++sent) { REQUIRE(fake.deliver(payload(60 + sent % 500, sent))); }
    }

    /// Receives `count` packets and checks their bytes.
    void receive(std::span<packet> into, std::uint32_t count) {
        REQUIRE(socket->try_recv(into) == count);
        for (std::uint32_t i = 0; i < count; ++i, ++seen) { CHECK(same(into[i].data(), payload(60 + seen % 500, seen))); }
    }

    [[nodiscard]] std::uint32_t in_fill_ring() { return fake.producer(fake_ring::fill) - fake.consumer(fake_ring::fill); }

    fake_kernel fake;
    std::optional<rx> socket;
    std::uint32_t sent = 0;
    std::uint32_t seen = 0;
};

}  // namespace

TEST_CASE("frames of packets that a receive drops are in the fill ring when it returns") {
    recycle_fixture f;
    std::vector<packet> into(32);
    f.deliver(32);
    f.receive(into, 32);
    CHECK(f.in_fill_ring() == 32);
    for (unsigned round = 0; round < 20; ++round) {
        f.deliver(32);
        CHECK(f.in_fill_ring() == 0);
        f.receive(into, 32);
        CHECK(f.in_fill_ring() == 32);
        CHECK(f.socket->home().free_count() == 0);
        check_census(f.socket->pool(), 32);
    }
    reset(into);
    check_census(f.socket->pool());
}

TEST_CASE("batches of any size keep their bytes across the end of the rings") {
    recycle_fixture f(96, 64, 0xffff'ffe0U);
    std::vector<packet> into(48);
    for (unsigned round = 0; round < 300; ++round) {
        const std::uint32_t count = 1 + round * 7 % 41;
        f.deliver(count);
        f.receive(into, count);
        f.socket->refill();
    }
    CHECK_FALSE(f.socket->failure());
    into.clear();
    check_census(f.socket->pool());
}

TEST_CASE("a receive drops what it cannot put into a full fill ring like any packet") {
    recycle_fixture f(128, 64);
    std::vector<packet> into(32);
    f.deliver(32);
    f.receive(into, 32);
    for (unsigned round = 0; round < 5; ++round) {
        f.socket->refill();
        f.deliver(32);
        f.socket->refill();
        REQUIRE(f.in_fill_ring() == 64);
        f.receive(into, 32);
        check_census(f.socket->pool(), 32);
    }
    into.clear();
    check_census(f.socket->pool());
}

TEST_CASE("handles may hold packets of several sockets when they receive") {
    recycle_fixture f;
    recycle_fixture other;
    std::vector<packet> into(20);
    other.deliver(20);
    other.receive(into, 20);
    f.deliver(20);
    f.receive(into, 20);
    check_census(other.socket->pool());
    other.deliver(2);
    other.receive(std::span(into).subspan(7, 2), 2);
    f.deliver(20);
    f.receive(into, 20);
    check_census(other.socket->pool());
    check_census(f.socket->pool(), 20);
    into.clear();
    check_census(f.socket->pool());
}

TEST_CASE("a bad descriptor in a large batch ends the handle behind the packets before it") {
    const fluxnet::xdp_desc wrong[] = {
        {{64 * 2048}, 60, 0}, {{~std::uint64_t{0}}, 60, 0}, {{512}, 1537, 0}, {{2047}, 2, 0}, {{512}, ~0U, 0}};
    for (const bool held : {false, true}) {
        for (const fluxnet::xdp_desc& desc : wrong) {
            recycle_fixture f;
            std::vector<packet> into(30);
            if (held) {
                f.deliver(30);
                f.receive(into, 30);
            }
            f.deliver(20);
            f.fake.push_rx(desc);
            f.deliver(5);
            f.receive(into, 20);
            CHECK(f.socket->failure() == errc::ring_corruption);
            CHECK(static_cast<bool>(into[20]) == held);
            into.clear();
            CHECK(f.socket->pool().census().user == 0);
            CHECK(f.socket->pool().census().sum() == 64);
        }
    }
}

TEST_CASE("a large batch of the second socket over a UMEM takes no frame of the first one") {
    const std::uint64_t begin = 64 * 2048;  // of the second one's frames
    for (const std::uint64_t wrong : {std::uint64_t{512}, begin - 1024, 2 * begin + 512, ~std::uint64_t{0}}) {
        fake_kernel fake;
        fake.interface.queues = 2;
        fake.real_queues = 2;
        const umem memory = umem::create({.frame_count = 128, .fill_ring = 64, .completion_ring = 64}).value();
        const auto open = [&](std::uint32_t queue) {
            return sim_builder(fake).over(memory).tx_frames(0).queue(queue).build_system().value();
        };
        system_sockets first = open(0);
        system_sockets second = open(1);
        REQUIRE(second.rx.home().frames().begin == begin);
        std::vector<packet> into(30);
        const auto deliver = [&](unsigned seed) { REQUIRE(fake.deliver(payload(60, seed), second.rx.fd())); };
        for (unsigned round = 0; round < 3; ++round) {
            for (unsigned i = 0; i < 30; ++i) { deliver(round + i); }
            REQUIRE(second.rx.try_recv(into) == 30);
            for (unsigned i = 0; i < 30; ++i) { CHECK(same(into[i].data(), payload(60, round + i))); }
            CHECK(memory.pool().census().user == 30);
            second.rx.refill();  // with what a batch at the end of the rings dropped one by one
        }
        for (unsigned i = 0; i < 20; ++i) { deliver(i); }
        fake.push_rx({{wrong}, 60, 0}, second.rx.fd());
        deliver(20);
        CHECK(second.rx.try_recv(into) == 20);
        CHECK(second.rx.failure() == errc::ring_corruption);
        CHECK_FALSE(first.rx.failure());
        into.clear();
        CHECK(memory.pool().census().user == 0);
    }
}

TEST_CASE("a frame that the kernel was not given ends a large batch of a checked build") {
    FLUXNET_SKIP_IF(why_not_checked());
    recycle_fixture f;
    std::vector<packet> into(20);
    f.deliver(20);
    f.receive(into, 20);
    f.deliver(10);
    f.fake.push_rx({f.socket->home().addr_of(into[15].data().data()), 60, 0});
    f.deliver(9);
    f.receive(into, 10);
    CHECK(f.socket->failure() == errc::ring_corruption);
    into.clear();
    CHECK(f.socket->pool().census().user == 0);
}

TEST_CASE("recycled packets go to the kernel or to the home that they came from") {
    recycle_fixture f;
    recycle_fixture other;
    std::vector<packet> packets(40);
    f.deliver(30);
    f.receive(std::span(packets).first(30), 30);
    other.deliver(2);
    other.receive(std::span(packets).subspan(10, 2), 2);
    REQUIRE(f.socket->home().free_count() == 2);
    REQUIRE(f.in_fill_ring() == 34);
    f.socket->recycle(packets);
    for (const packet& one : packets) {
        CHECK_FALSE(one);
        CHECK(one.empty());
    }
    CHECK(f.in_fill_ring() == 62);
    CHECK(f.socket->home().free_count() == 2);
    CHECK(other.socket->home().free_count() == 2);
    check_census(f.socket->pool());
    check_census(other.socket->pool());
    f.socket->recycle({});
    f.socket->recycle(packets);
    CHECK(f.in_fill_ring() == 62);
}

TEST_CASE("the kernel is called for recycled frames only when it asks for it") {
    recycle_fixture f;
    std::vector<packet> into(20);
    f.deliver(20);
    f.receive(into, 20);
    f.deliver(20);
    f.receive(into, 20);
    CHECK(f.fake.calls(fake_call::kick_rx) == 0);
    f.fake.set_needs_wakeup(fake_ring::fill, true);
    f.deliver(20);
    f.receive(into, 20);
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    f.socket->recycle(into);
    CHECK(f.fake.calls(fake_call::kick_rx) == 2);
    check_census(f.socket->pool());
}
