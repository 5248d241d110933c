// SPDX-License-Identifier: BSD-3-Clause
// Engines under congestion, between two ports, and how they stop and idle.
#include "fluxnet/runtime/packets/engine.hpp"

#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/support/fake_kernel.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// An engine with two ports over one UMEM: queues 0 and 1 of a fake interface.
struct two_ports {
    explicit two_ports(const batch_options& batch = {}, std::uint32_t ring = 64, poller how = poller::wait)
        : loop({.how = how}) {
        fake.interface.index = 1;  // the loopback interface, which the link monitor finds
        fake.interface.queues = 2;
        fake.real_queues = 2;
        memory = umem::create({.frame_count = 128, .fill_ring = 64, .completion_ring = ring}).value();
        for (std::uint32_t queue = 0; queue < 2; ++queue) {
            auto sockets = sim_builder(fake, 64).tx_ring(ring).over(memory).tx_frames(8).queue(queue).build_system().value();
            fds[queue] = sockets.rx.fd();
            REQUIRE(loop.add_port(std::move(sockets), batch).value() == queue);
        }
    }

    void check_frames() {
        for (std::size_t i = 0; i < 2; ++i) {
            loop.port(i).sending().reap();
            loop.port(i).sending().release();
        }
        check_census(memory.pool());
    }

    fake_kernel fake;
    umem memory;
    engine loop;
    std::array<int, 2> fds{};
};

/// Runs an engine that nothing but `stop`, called by another thread once the engine is under way, can end.
template <class Stop>
void run_until_stopped(engine& loop, Stop stop) {
    const std::uint64_t before = loop.turns();
    std::thread asker([&] {
        while (loop.turns() == before) { std::this_thread::yield(); }
        stop();
    });
    CHECK_FALSE(loop.run([](packet_batch&) {}));
    asker.join();
}

template <class Test>
void for_each_poller(Test test) {
    for (const poller how : {poller::wait, poller::adaptive, poller::busy}) {
        CAPTURE(static_cast<int>(how));
        fake_kernel fake;
        fake.interface.index = 1;
        engine loop({.how = how});
        REQUIRE(loop.add_port(sim_builder(fake).build_system().value()).has_value());
        test(loop, fake);
    }
}

engine* engine_to_stop = nullptr;

}  // namespace

TEST_CASE("packets are forwarded between two ports without copying") {
    two_ports f;
    for (unsigned i = 0; i < 40; ++i) { REQUIRE(f.fake.deliver(payload(60, i), f.fds[i % 2])); }
    unsigned seen = 0;
    CHECK_FALSE(f.loop.run([&](packet_batch& batch) {
        for (const packet_ref one : batch) {
            one.send(static_cast<std::uint8_t>(1 - batch.port()));
            ++seen;
        }
        if (seen == 40) { f.loop.stop(); }
    }));
    CHECK(f.fake.take_sent().size() == 40);
    CHECK(f.loop.port(0).counts().sent == 20);
    CHECK(f.loop.port(1).counts().sent == 20);
    f.check_frames();
    // All frames are at work again, each on its own queue.
    for (std::size_t port = 0; port < 2; ++port) {
        f.loop.port(port).receiving().refill();
        const int fd = f.fds[port];
        for (unsigned i = 0; i < 50; ++i) { REQUIRE(f.fake.deliver(payload(60, i), fd)); }
    }
}

TEST_CASE("one batch may go to several ports") {
    two_ports f;
    for (unsigned i = 0; i < 30; ++i) { REQUIRE(f.fake.deliver(payload(60, i), f.fds[0])); }
    std::uint8_t next = 0;
    unsigned seen = 0;
    CHECK_FALSE(f.loop.run([&](packet_ref) {
        if (++seen == 30) { f.loop.stop(); }
        next = static_cast<std::uint8_t>((next + 1) % 3);
        return next == 2 ? action::drop : send_to(next);
    }));
    CHECK(f.fake.take_sent().size() == 20);
    CHECK(f.loop.port(0).counts().recycled == 10);
    f.check_frames();
}

TEST_CASE("drop_new counts exactly what is lost for want of room") {
    two_ports f({.when_full = congestion::drop_new}, 16);
    f.fake.hold_completions(true);
    for (unsigned i = 0; i < 50; ++i) { REQUIRE(f.fake.deliver(payload(60, i), f.fds[0])); }
    unsigned seen = 0;
    CHECK_FALSE(f.loop.run([&](packet_ref) {
        if (++seen == 50) { f.loop.stop(); }
        return action::send;
    }));
    CHECK(f.fake.take_sent().size() == 16);
    CHECK(f.loop.port(0).counts().sent == 16);
    CHECK(f.loop.port(0).counts().no_room == 34);
    CHECK(f.loop.port(0).counts().recycled == 34);
    f.fake.release_completions(~0U, f.fds[0]);
    f.check_frames();
}

TEST_CASE("block loses nothing and lets coroutines go on") {
    for (const poller how : {poller::wait, poller::busy}) {
        two_ports f({.when_full = congestion::block}, 16, how);
        f.fake.hold_completions(true);
        for (unsigned i = 0; i < 50; ++i) { REQUIRE(f.fake.deliver(payload(60, i), f.fds[0])); }
        unsigned seen = 0;
        unsigned ticks = 0;
        f.loop.spawn([&]() -> task<void> {
            while (seen < 50) {
                const std::error_code waited = co_await sleep_for(1ms);
                if (waited) { co_return; }
                if (++ticks % 5 == 0) { f.fake.release_completions(16, f.fds[0]); }
            }
            f.loop.stop();
        });
        CHECK_FALSE(f.loop.run([&](packet_ref) {
            ++seen;
            return action::send;
        }));
        CHECK(seen == 50);
        CHECK(ticks >= 15);
        f.loop.port(0).sending().flush();
        CHECK(f.fake.take_sent().size() == 50);
        CHECK(f.loop.port(0).counts().no_room == 0);
        CHECK(f.loop.port(0).counts().sent == 50);
        f.fake.release_completions(~0U, f.fds[0]);
        f.check_frames();
    }
}

TEST_CASE("an engine stops when another thread asks") {
    for_each_poller([](engine& loop, fake_kernel&) { run_until_stopped(loop, [&] { loop.stop(); }); });
}

TEST_CASE("an engine stops when a signal handler asks") {
    for_each_poller([](engine& loop, fake_kernel&) {
        engine_to_stop = &loop;
        std::signal(SIGUSR1, [](int) { engine_to_stop->stop(); });
        run_until_stopped(loop, [] { ::kill(::getpid(), SIGUSR1); });
        std::signal(SIGUSR1, SIG_DFL);
    });
}

TEST_CASE("an engine stops when a coroutine has awaited a signal") {
    for_each_poller([](engine& loop, fake_kernel&) {
        signal_set quit{SIGUSR2};
        loop.spawn([&]() -> task<void> {
            for (;;) {
                const int got = co_await quit.next();
                CHECK(got == SIGUSR2);
                loop.stop();
            }
        });
        run_until_stopped(loop, [] { ::kill(::getpid(), SIGUSR2); });
    });
}

TEST_CASE("an engine stops when its callback asks") {
    for_each_poller([](engine& loop, fake_kernel& fake) {
        REQUIRE(fake.deliver(payload(60, 1)));
        unsigned calls = 0;
        CHECK_FALSE(loop.run([&](packet_batch&) {
            ++calls;
            loop.stop();
            static_cast<void>(fake.deliver(payload(60, 2)));
        }));
        CHECK(calls == 1);
    });
}

TEST_CASE("a stop before run ends it at once and run can be called again") {
    fake_kernel fake;
    fake.interface.index = 1;
    engine loop;
    REQUIRE(loop.add_port(sim_builder(fake).build_system().value()).has_value());
    loop.stop();
    CHECK_FALSE(loop.run([](packet_batch&) {}));
    REQUIRE(fake.deliver(payload(60, 1)));
    unsigned seen = 0;
    CHECK_FALSE(loop.run([&](packet_ref) {
        ++seen;
        loop.stop();
        return action::drop;
    }));
    CHECK(seen == 1);
}

TEST_CASE("a ring that the kernel corrupts ends run with the reason") {
    fake_kernel fake;
    fake.interface.index = 1;
    engine loop;
    REQUIRE(loop.add_port(sim_builder(fake).build_system().value()).has_value());
    fake.write_producer(fake_ring::rx, 1000);
    CHECK(loop.run([](packet_batch&) {}) == errc::ring_corruption);
    CHECK(loop.port(0).failure() == errc::ring_corruption);
}

TEST_CASE("an opened engine keeps for each port what the bind ladder refused and what may surprise") {
    fake_kernel fake;
    fake.interface.index = 1;
    fake.interface.queues = fake.real_queues = 2;
    fake.interface.mtu = 1522;  // a frame holds 1536 bytes: a VLAN tag is too much
    const std::array ports{sim_builder(fake).mode(xdp_mode::automatic).tx_frames(8),
                           sim_builder(fake).tx_frames(8).queue(1)};
    const auto loop = open_engine(ports).value();
    REQUIRE(loop->ports() == 2);
    REQUIRE(loop->port(0).refusals().size() == 1);
    CHECK(contains(loop->port(0).refusals().front().message(), "zero-copy"));
    CHECK(loop->port(1).refusals().empty());  // copy mode was asked for
    for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(loop->port(i).notes().size() == 1);
        CHECK(contains(loop->port(i).notes().front(), "VLAN"));
    }
}

TEST_CASE("an engine says which of its ports has failed") {
    two_ports f;
    CHECK_FALSE(f.loop.failed_port());
    f.fake.write_producer(fake_ring::rx, 1000, f.fds[1]);
    CHECK(f.loop.run([](packet_batch&) {}) == errc::ring_corruption);
    CHECK(f.loop.failed_port() == 1);
    CHECK_FALSE(f.loop.port(0).failure());
}

TEST_CASE("an engine with a port that has failed before ends run at once") {
    for (const poller how : {poller::wait, poller::busy}) {
        two_ports f({}, 64, how);
        f.loop.port(1).receiving().fail(errc::interface_gone);
        CHECK(f.loop.run([](packet_batch&) {}) == errc::interface_gone);
        CHECK(f.loop.run([](packet_batch&) {}) == errc::interface_gone);
        CHECK(f.loop.failed_port() == 1);
        f.loop.port(0).sending().fail(errc::ring_corruption);
        CHECK(f.loop.run([](packet_batch&) {}) == errc::ring_corruption);
        CHECK(f.loop.failed_port() == 0);
    }
}
