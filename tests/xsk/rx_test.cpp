// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/rx.hpp"

#include "fluxnet/xsk/packet_batch.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/mapped.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<rx>);
static_assert(std::is_nothrow_move_constructible_v<rx> && std::is_nothrow_move_assignable_v<rx>);

namespace {

/// A socket of 64 frames, all of them for receiving.
struct rx_fixture {
    explicit rx_fixture(std::uint32_t frames = 64, std::uint32_t ring = 64, std::uint32_t first_index = 0) {
        fake.first_index = first_index;
        auto built = sim_builder(fake, frames, ring).tx_frames(0).build_system().value();
        socket.emplace(std::move(built.rx));
    }

    void deliver(unsigned count, unsigned first = 0) {
        for (unsigned i = first; i < first + count; ++i) { REQUIRE(fake.deliver(payload(60 + i % 1000, i))); }
    }

    fake_kernel fake;
    std::optional<rx> socket;
};

}  // namespace

TEST_CASE("packets are received in order with their bytes") {
    rx_fixture f(64, 64, 0xffff'fff0U);
    std::vector<packet> into(16);
    CHECK(f.socket->try_recv(into) == 0);
    unsigned next = 0;
    for (unsigned round = 0; round < 50; ++round) {
        f.deliver(10, round * 10);
        CHECK(f.socket->available() == 10);
        REQUIRE(f.socket->try_recv(into) == 10);
        for (unsigned i = 0; i < 10; ++i, ++next) {
            CHECK(same(into[i].data(), payload(60 + next % 1000, next)));
            CHECK(into[i].headroom() == 512);
            CHECK(into[i].home() == &f.socket->home());
        }
        CHECK_FALSE(into[10]);
        f.socket->refill();
    }
    into.clear();
    CHECK_FALSE(f.socket->failure());
    check_census(f.socket->pool());
}

TEST_CASE("a receive takes no more than it has room for") {
    rx_fixture f;
    f.deliver(10);
    std::array<packet, 4> into;
    CHECK(f.socket->try_recv(std::span(into).first(0)) == 0);
    CHECK(f.socket->try_recv(into) == 4);
    CHECK(f.socket->available() == 6);
    CHECK(f.socket->try_recv(into) == 4);
    CHECK(f.socket->try_recv(into) == 2);
    CHECK(same(into[1].data(), payload(69, 9)));
    CHECK(same(into[3].data(), payload(67, 7)));  // of the receive before: not touched
    for (packet& one : into) { one.reset(); }
    check_census(f.socket->pool());
}

TEST_CASE("what stood in the span is dropped") {
    rx_fixture f;
    f.deliver(2);
    packet one;
    CHECK(f.socket->try_recv(std::span(&one, 1)) == 1);
    CHECK(f.socket->pool().census().user == 1);
    CHECK(f.socket->try_recv(std::span(&one, 1)) == 1);
    CHECK(f.socket->pool().census().user == 1);
    CHECK(same(one.data(), payload(61, 1)));
    one.reset();
    check_census(f.socket->pool());
}

TEST_CASE("the longest packet that a frame holds arrives and one byte more is dropped") {
    rx_fixture f;
    CHECK(f.fake.deliver(payload(1536, 1)));
    CHECK_FALSE(f.fake.deliver(payload(1537, 2)));
    packet one;
    REQUIRE(f.socket->try_recv(std::span(&one, 1)) == 1);
    CHECK(one.size() == 1536);
    CHECK(one.capacity() == 1536);
    CHECK(same(one.data(), payload(1536, 1)));
    CHECK(f.socket->statistics().rx_dropped == 1);
}

TEST_CASE("frames go back to the kernel by a refill") {
    rx_fixture f(32, 32);
    std::vector<packet> into(32);
    f.deliver(32);
    CHECK_FALSE(f.fake.deliver(payload(60, 0)));
    CHECK(f.socket->statistics().fill_ring_empty == 1);
    REQUIRE(f.socket->try_recv(into) == 32);
    CHECK(f.socket->low_on_frames());
    f.socket->refill();
    CHECK(f.socket->low_on_frames());
    into.resize(20);
    f.socket->refill();
    CHECK_FALSE(f.socket->low_on_frames());
    CHECK(f.socket->pool().census().fill == 12);
    f.deliver(12);
    CHECK_FALSE(f.fake.deliver(payload(60, 0)));
}

TEST_CASE("a loop that only receives keeps the kernel in frames") {
    for (const std::uint32_t frames : {1U, 8U, 48U, 63U, 64U, 200U}) {
        CAPTURE(frames);
        rx_fixture f(frames, 64);
        packet one;
        for (unsigned i = 0; i < 1000; ++i) {
            REQUIRE(f.fake.deliver(payload(60, i)));
            REQUIRE(f.socket->try_recv(std::span(&one, 1)) == 1);
            one.reset();
            REQUIRE(f.socket->try_recv(std::span(&one, 1)) == 0);
        }
        check_census(f.socket->pool());
    }
}

TEST_CASE("a loop that only receives takes back what other threads return") {
    rx_fixture f(16, 16);
    std::vector<packet> into(16);
    for (unsigned round = 0; round < 20; ++round) {
        f.deliver(16, round * 16);
        REQUIRE(f.socket->try_recv(into) == 16);
        std::thread([&] {
            for (packet& one : into) { one.reset(); }
        }).join();
        CHECK(f.socket->try_recv(into) == 0);
    }
    check_census(f.socket->pool());
}

TEST_CASE("low water is a quarter of what the fill ring can hold") {
    rx_fixture f(256, 64);
    std::vector<packet> into(64);
    CHECK_FALSE(f.socket->low_on_frames());
    f.deliver(48);
    CHECK_FALSE(f.socket->low_on_frames());
    f.deliver(1);
    CHECK(f.socket->low_on_frames());
    f.socket->refill();
    CHECK_FALSE(f.socket->low_on_frames());
}

TEST_CASE("the kernel is called after a refill only when it asks for it") {
    rx_fixture f(32, 32);
    std::vector<packet> into(32);
    const auto turn = [&](auto after_arrival) {
        f.deliver(4);
        after_arrival();
        REQUIRE(f.socket->try_recv(into) == 4);
        for (packet& one : into) { one.reset(); }
        f.socket->refill();
    };
    turn([] {});
    CHECK(f.fake.calls(fake_call::kick_rx) == 0);
    turn([&] { f.fake.set_needs_wakeup(fake_ring::fill, true); });
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    f.socket->refill();  // nothing was stocked
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    turn([&] { f.fake.set_link(false); });
    CHECK_FALSE(f.socket->failure());
    f.fake.set_link(true);
    turn([&] { f.fake.fail(fake_call::kick_rx, 1, EAGAIN); });
    CHECK_FALSE(f.socket->failure());
    turn([&] { f.fake.remove_interface(); });
    CHECK(f.socket->failure() == errc::interface_gone);
}

TEST_CASE("a driver that asks for a kick after the last refill is kicked by the next receive that finds nothing") {
    rx_fixture f(32, 32);
    std::vector<packet> into(32);
    CHECK(f.socket->try_recv(into) == 0);
    CHECK(f.fake.calls(fake_call::kick_rx) == 0);
    f.fake.set_needs_wakeup(fake_ring::fill, true);  // frames wait there since the socket was opened
    CHECK(f.socket->try_recv(into) == 0);
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    // Not on the path that receives, nor while there is nothing in the ring to look at.
    f.deliver(32);
    CHECK(f.socket->try_recv(std::span(into).first(16)) == 16);
    CHECK(f.socket->try_recv(std::span(into).last(16)) == 16);
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    packet none;
    CHECK(f.socket->try_recv(std::span(&none, 1)) == 0);
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    f.fake.remove_interface();
    for (packet& one : into) { one.reset(); }
    CHECK(f.socket->try_recv(into) == 0);
    CHECK(f.socket->failure() == errc::interface_gone);
}

TEST_CASE("a driver that asks for a kick after the last refill is kicked before the thread sleeps") {
    rx_fixture f(32, 32);
    f.fake.set_needs_wakeup(fake_ring::fill, true);
    f.socket->wake_if_needed();
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    f.fake.set_needs_wakeup(fake_ring::fill, false);
    f.socket->wake_if_needed();
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
    f.fake.set_needs_wakeup(fake_ring::fill, true);
    CHECK_FALSE(f.socket->wait(1ns));
    CHECK(f.fake.calls(fake_call::kick_rx) >= 2);
    f.fake.remove_interface();
    CHECK(f.socket->wait(std::chrono::hours::max()));  // no poll would tell
    CHECK(f.socket->failure() == errc::interface_gone);
}

TEST_CASE("a batch that finds nothing kicks a driver that asks for it") {
    rx_fixture f(32, 32);
    f.fake.set_needs_wakeup(fake_ring::fill, true);
    packet_batch batch(*f.socket, 0);
    CHECK(batch.receive(16) == 0);
    CHECK(f.fake.calls(fake_call::kick_rx) == 1);
}

TEST_CASE("a descriptor outside the UMEM ends the handle") {
    const fluxnet::xdp_desc wrong[] = {
        {{64 * 2048}, 60, 0}, {{~std::uint64_t{0}}, 60, 0}, {{std::uint64_t{1} << 40}, 60, 0}, {{512}, 1537, 0},
        {{2047}, 2, 0},
    };
    for (const fluxnet::xdp_desc& desc : wrong) {
        rx_fixture f;
        f.deliver(2);
        f.fake.push_rx(desc);
        f.deliver(1);
        std::vector<packet> into(8);
        CHECK(f.socket->try_recv(into) == 2);
        CHECK(f.socket->failure() == errc::ring_corruption);
        CHECK(same(into[1].data(), payload(61, 1)));
        CHECK(f.socket->try_recv(into) == 0);
        into.clear();
        CHECK(f.socket->pool().census().user == 0);
        CHECK(f.socket->pool().census().sum() == 64);
    }
}

TEST_CASE("a frame that the kernel was not given ends the handle of a checked build") {
    FLUXNET_SKIP_IF(why_not_checked());
    rx_fixture f;
    f.deliver(1);
    packet first;
    REQUIRE(f.socket->try_recv(std::span(&first, 1)) == 1);
    const std::uint64_t frame = f.socket->home().addr_of(first.data().data()).value;
    f.fake.push_rx({{frame}, 60, 0});
    packet second;
    CHECK(f.socket->try_recv(std::span(&second, 1)) == 0);
    CHECK_FALSE(second);
    CHECK(f.socket->failure() == errc::ring_corruption);
    CHECK(same(first.data(), payload(60, 0)));
    first.reset();
    CHECK(f.socket->pool().census().user == 0);
}

TEST_CASE("an index that cannot be ends the handle") {
    for (const bool fill : {false, true}) {
        rx_fixture f;
        std::vector<packet> into(8);
        f.deliver(3);
        if (fill) {
            f.fake.write_consumer(fake_ring::fill, 1000);
            CHECK(f.socket->try_recv(into) == 3);
            into.clear();
            f.socket->refill();
        } else {
            f.fake.write_producer(fake_ring::rx, 65);
            CHECK(f.socket->try_recv(into) == 0);
        }
        CHECK(f.socket->failure() == errc::ring_corruption);
        CHECK(f.socket->pool().census().user == 0);
    }
}

TEST_CASE("the first failure stays") {
    rx_fixture f;
    f.deliver(1);
    CHECK_FALSE(f.socket->failure());
    f.socket->fail(errc::program_detached);
    f.socket->fail(errc::interface_gone);
    CHECK(f.socket->failure() == errc::program_detached);
    packet one;
    CHECK(f.socket->try_recv(std::span(&one, 1)) == 0);
    CHECK_FALSE(one);
    check_census(f.socket->pool());
}

TEST_CASE("a released handle goes to another thread and back") {
    rx_fixture f;
    std::vector<packet> kept(2);
    f.deliver(2);
    REQUIRE(f.socket->try_recv(kept) == 2);
    f.socket->release();
    std::thread([&] {
        rx here = std::move(*f.socket);
        f.deliver(3, 2);
        std::vector<packet> into(8);
        CHECK(here.try_recv(into) == 3);
        CHECK(same(into[2].data(), payload(64, 4)));
        kept[0].reset();
        into.clear();
        here.refill();
        here.release();
        *f.socket = std::move(here);
    }).join();
    f.deliver(1, 5);
    packet one;
    CHECK(f.socket->try_recv(std::span(&one, 1)) == 1);
    CHECK(same(one.data(), payload(65, 5)));
    CHECK(same(kept[1].data(), payload(61, 1)));
    one.reset();
    kept.clear();
    check_census(f.socket->pool());
}

TEST_CASE("assigning a handle closes what it was") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    auto first = sim_builder(fake).build_system().value();
    auto second = sim_builder(fake).queue(1).build_system().value();
    { const tx gone = std::move(first.tx); }
    CHECK(fake.live_fds() == 2);
    first.rx = std::move(second.rx);
    CHECK(fake.live_fds() == 1);
    rx& self = first.rx;
    first.rx = std::move(self);
    CHECK(first.rx.queue() == 1);
    CHECK(fake.deliver(payload(60, 1)));
    packet one;
    CHECK(first.rx.try_recv(std::span(&one, 1)) == 1);
}

TEST_CASE("packets outlive the socket and keep the memory") {
    rx_fixture f;
    f.deliver(3);
    std::vector<packet> into(3);
    REQUIRE(f.socket->try_recv(into) == 3);
    const std::byte* base = f.socket->home().at(frame_index{0});
    f.socket.reset();
    check_nothing_left(f.fake);
    CHECK(is_mapped(base));
    CHECK(same(into[2].data(), payload(62, 2)));
    std::thread([&] { into[0].reset(); }).join();
    into[1].reset();
    CHECK(is_mapped(base));
    CHECK(same(into[2].data(), payload(62, 2)));
    into[2].reset();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("a full ring is counted and keeps one frame out of sight") {
    fake_kernel fake;
    auto built = sim_builder(fake, 16, 16).rx_ring(8).tx_frames(0).build_system().value();
    for (unsigned i = 0; i < 8; ++i) { CHECK(fake.deliver(payload(60, i))); }
    CHECK_FALSE(fake.deliver(payload(60, 100)));
    CHECK(built.rx.statistics().rx_ring_full == 1);
    CHECK(fake.producer(fake_ring::fill) - fake.consumer(fake_ring::fill) == 7);
    const frame_census census = built.rx.pool().census();
    CHECK(census.rx == 8);
    CHECK(census.fill == 8);
    check_census(built.rx.pool());
    std::vector<packet> into(8);
    CHECK(built.rx.try_recv(into) == 8);
    CHECK(fake.deliver(payload(60, 8)));
    CHECK(fake.producer(fake_ring::fill) - fake.consumer(fake_ring::fill) == 7);
    CHECK(built.rx.try_recv(into) == 1);
    CHECK(same(into[0].data(), payload(60, 8)));
    into.clear();
    check_census(built.rx.pool());
}

TEST_CASE("the error of the socket is taken once") {
    rx_fixture f;
    CHECK_FALSE(f.socket->take_socket_error());
    f.fake.set_socket_error(ENETDOWN);
    CHECK(f.socket->take_socket_error() == errc::link_down);
    CHECK_FALSE(f.socket->take_socket_error());
    f.fake.set_socket_error(ENXIO);
    CHECK(f.socket->take_socket_error() == errc::interface_gone);
    f.fake.fail(fake_call::socket_error, 1, EBADF);
    CHECK_FALSE(f.socket->take_socket_error());
}

TEST_CASE("a check of an rx finds the interface gone and asks no more then") {
    rx_fixture f;
    CHECK_FALSE(f.socket->check());
    f.fake.set_link(false);
    CHECK_FALSE(f.socket->check());
    f.fake.remove_interface();
    CHECK(f.socket->check() == errc::interface_gone);
    CHECK(f.socket->failure() == errc::interface_gone);
    const unsigned asked = f.fake.calls(fake_call::kick_rx);
    CHECK(f.socket->check() == errc::interface_gone);
    CHECK(f.fake.calls(fake_call::kick_rx) == asked);
}

TEST_CASE("a check keeps the error by which an rx ended before") {
    rx_fixture f;
    f.socket->fail(errc::ring_corruption);
    f.fake.remove_interface();
    CHECK(f.socket->check() == errc::ring_corruption);
}
