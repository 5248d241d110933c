// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/builder.hpp"

#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include <linux/if_xdp.h>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(std::is_copy_constructible_v<builder>);
static_assert(std::is_move_constructible_v<system_sockets> && !std::is_copy_constructible_v<system_sockets>);

TEST_CASE("the defaults are those of the documentation") {
    const builder options("eth0");
    CHECK(options.socket().interface == "eth0");
    CHECK(options.socket().queue == 0);
    CHECK(options.socket().rx_ring == 2048);
    CHECK(options.socket().tx_ring == 2048);
    CHECK(options.socket().mode == xdp_mode::automatic);
    CHECK(options.socket().need_wakeup);
    CHECK(options.socket().attach);
    CHECK(options.memory().frame_count == 2048);
    CHECK(options.memory().frame_size == 2048);
    CHECK(options.memory().headroom == 256);
    CHECK(options.memory().fill_ring == 2048);
    CHECK(options.memory().completion_ring == 2048);
    CHECK_FALSE(options.memory().huge_pages);
    CHECK_FALSE(options.memory().lock_memory);
}

TEST_CASE("a socket without an XDP program of ours refuses a filter before it opens anything") {
    fake_kernel fake;
    const auto refused = builder("fake0").calls(fake).attach(false).only({filter_rule::udp_to(7)}).build_system();
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::invalid_option);
    CHECK(refused.error().step == "filter the packets of fake0");
    const auto invalid = builder("fake0").calls(fake).only({{.ip_version = std::uint8_t{5}}}).build_raw();
    REQUIRE(invalid.has_error());
    CHECK(invalid.error().cause == "it is about IP version 5");
    CHECK(fake.calls(fake_call::open_socket) == 0);
    CHECK(fake.calls(fake_call::find_interface) == 0);
}

TEST_CASE("every option reaches the socket") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 8;
    fake.zero_copy = true;
    builder options("fake0");
    options.calls(fake).attach(false).queue(5).mode(xdp_mode::native_zero_copy).need_wakeup(false);
    options.rx_ring(128).tx_ring(64).fill_ring(32).completion_ring(256);
    options.frames(100).frame_size(4096).headroom(128).tx_frames(20);
    options.busy_deadline(std::chrono::milliseconds(20));
    auto built = options.build_system();
    REQUIRE(built.has_value());
    REQUIRE(fake.binds().size() == 1);
    CHECK(fake.binds()[0].queue == 5);
    CHECK(fake.binds()[0].flags == XDP_ZEROCOPY);
    CHECK(fake.binds()[0].stocked == 32);
    CHECK(fake.ring_size(fake_ring::rx) == 128);
    CHECK(fake.ring_size(fake_ring::tx) == 64);
    CHECK(fake.ring_size(fake_ring::fill) == 32);
    CHECK(fake.ring_size(fake_ring::completion) == 256);
    CHECK(fake.headroom() == 128);
    CHECK(built->rx.zero_copy());
    CHECK(built->rx.queue() == 5);
    CHECK(built->tx.queue() == 5);
    CHECK(built->rx.interface().name == "fake0");
    CHECK(built->rx.home().frame_count() == 80);
    CHECK(built->tx.home().frame_count() == 20);
    CHECK(built->tx.home().headroom() == 128);
    CHECK(built->rx.fd() == built->tx.fd());
    CHECK(built->refusals.empty());
    check_census(built->rx.pool());

    fake.fail(fake_call::bind, 1, EBUSY, 100);
    builder busy = options;
    CHECK_FALSE(busy.build_system().has_value());
    CHECK(fake.pauses() == std::vector<int>{10, 10});
}

TEST_CASE("a quarter of the frames sends unless told otherwise") {
    fake_kernel fake;
    const auto built = sim_builder(fake, 64).build_system();
    REQUIRE(built.has_value());
    CHECK(built->rx.home().frame_count() == 48);
    CHECK(built->tx.home().frame_count() == 16);
    CHECK(&built->rx.pool() == &built->tx.pool());
}

TEST_CASE("refusals of the bind ladder are kept") {
    fake_kernel fake;
    const auto built = sim_builder(fake).mode(xdp_mode::automatic).build_system();
    REQUIRE(built.has_value());
    REQUIRE(built->refusals.size() == 1);
    CHECK(contains(built->refusals[0].message(), "zero-copy"));
}

TEST_CASE("frames set aside for sending must leave some to receive into") {
    fake_kernel fake;
    for (const std::uint32_t count : {64U, 65U, ~0U}) {
        const auto built = sim_builder(fake, 64).tx_frames(count).build_system();
        REQUIRE_FALSE(built.has_value());
        CHECK(built.error().code == errc::invalid_option);
        CHECK(contains(built.error().message(), "tx frames " + std::to_string(count)));
        CHECK(contains(built.error().message(), "64 frames"));
        CHECK_FALSE(built.error().remedy.empty());
    }
    CHECK(fake.calls(fake_call::find_interface) == 0);
    CHECK(sim_builder(fake, 64).tx_frames(63).build_system().has_value());
    CHECK(sim_builder(fake, 64).tx_frames(0).build_system().has_value());
}

TEST_CASE("a memory that cannot be is refused by its own name") {
    fake_kernel fake;
    const auto none = sim_builder(fake, 0).build_system();
    REQUIRE_FALSE(none.has_value());
    CHECK(contains(none.error().message(), "frame count 0"));
    const auto raw = sim_builder(fake).frame_size(1000).build_raw();
    REQUIRE_FALSE(raw.has_value());
    CHECK(contains(raw.error().message(), "frame size 1000"));
    const auto ring = sim_builder(fake).fill_ring(48).build_system();
    REQUIRE_FALSE(ring.has_value());
    CHECK(contains(ring.error().message(), "fill ring size 48"));
    CHECK(fake.calls(fake_call::open_socket) == 0);
}

TEST_CASE("one frame is enough to receive") {
    fake_kernel fake;
    auto built = sim_builder(fake, 1, 1).build_system();
    REQUIRE(built.has_value());
    std::array<packet, 4> into;
    for (unsigned round = 0; round < 10; ++round) {
        CHECK(fake.deliver(payload(60, round)));
        CHECK_FALSE(fake.deliver(payload(60, round)));
        REQUIRE(built->rx.try_recv(into) == 1);
        CHECK(same(into[0].data(), payload(60, round)));
        into[0].reset();
        built->rx.refill();
    }
    check_census(built->rx.pool());
}

TEST_CASE("the two halves go to threads of their own from the start") {
    fake_kernel fake;
    auto built = sim_builder(fake).build_system();
    REQUIRE(built.has_value());
    CHECK_FALSE(built->rx.home().owned_here());
    CHECK_FALSE(built->tx.home().owned_here());
    CHECK(fake.deliver(payload(100, 1)));
    std::thread([half = std::move(built->rx)]() mutable {
        packet one;
        CHECK(half.try_recv(std::span(&one, 1)) == 1);
        CHECK(half.home().owned_here());
    }).join();
    CHECK(fake.live_fds() == 1);
    std::thread([half = std::move(built->tx)]() mutable {
        packet one;
        CHECK(half.allocate(std::span(&one, 1)) == 1);
    }).join();
    check_nothing_left(fake);
}

TEST_CASE("a builder opens several sockets alike") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    {
        builder options = sim_builder(fake);
        const auto first = options.build_system();
        const auto second = options.queue(1).build_system();
        REQUIRE(first.has_value());
        REQUIRE(second.has_value());
        CHECK(fake.live_fds() == 2);
        CHECK(fake.live_mappings() == 8);
        CHECK(fake.deliver(payload(60, 1), first->rx.fd()));
        CHECK(second->rx.statistics().rx_dropped == 0);
    }
    check_nothing_left(fake);
}

TEST_CASE("a failure at any call leaves nothing behind and says what to do") {
    for (const xdp_mode mode : {xdp_mode::native_copy, xdp_mode::automatic}) {
        for (const int number : {EPERM, EINVAL, ENOMEM, EIO, ENODEV, EBUSY}) {
            unsigned nth = 0;
            unsigned refused = 0;
            for (bool reached = true; reached;) {
                fake_kernel fake;
                fake.fail_any(++nth, number);
                {
                    CAPTURE(nth);
                    CAPTURE(number);
                    const auto built = sim_builder(fake).mode(mode).build_system();
                    reached = fake.failures() != 0;
                    if (built) {
                        CHECK(fake.live_fds() == 1);
                        CHECK(fake.live_mappings() == 4);
                        check_census(built->rx.pool());
                    } else {
                        ++refused;
                        CHECK(built.error().code);
                        CHECK_FALSE(built.error().step.empty());
                        CHECK_FALSE(built.error().remedy.empty());
                        CHECK(contains(built.error().message(), errno_text(number)));
                    }
                }
                check_nothing_left(fake);
                REQUIRE(nth < 100);
            }
            if (mode == xdp_mode::native_copy) {
                CHECK(nth == 15);  // one beyond the calls that a socket takes
                CHECK(refused ==
                      (number == EBUSY ? 12 : 13));  // the transmit budget may fail, and a busy queue is tried again
            } else {
                CHECK(nth > 15);
            }
        }
    }
}
