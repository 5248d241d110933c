// SPDX-License-Identifier: BSD-3-Clause
// Whether the rare paths that probes mark are ever taken: by the seeds, and by what only other threads or a kernel at fault
// can bring about.
#include "fluxnet/xsk/base/detail/probe.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/virtual_workload.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

template <class Function>
void elsewhere(Function function) {
    std::thread(function).join();
}

/// A socket over a fake kernel, with packets to send.
struct port {
    explicit port(bool copy_foreign = false)
        : sockets(sim_builder(fake, 64, 32).tx_frames(32).copy_foreign(copy_foreign).build_system().value()) {}

    std::vector<packet> make(unsigned count) {
        std::vector<packet> packets(count);
        REQUIRE(sockets.tx.allocate(packets) == count);
        for (packet& one : packets) { REQUIRE(one.assign(payload(60, 1))); }
        return packets;
    }
    void queue(unsigned count = 1) {
        auto packets = make(count);
        REQUIRE(sockets.tx.try_send(packets) == count);
    }

    fake_kernel fake;
    system_sockets sockets;
};

void return_frames_elsewhere() {
    std::optional<port> here(std::in_place);
    frame_home& home = here->sockets.tx.home();
    auto packets = here->make(32);
    REQUIRE(home.publish_hungry());
    elsewhere([&] { packets[0].reset(); });
    home.withdraw_hungry();
    CHECK_FALSE(home.publish_hungry());
    CHECK(here->make(1).size() == 1);
    REQUIRE(here->fake.deliver(payload(60, 1)));
    std::array<packet, 1> received;
    REQUIRE(here->sockets.rx.try_recv(received) == 1);
    here->sockets.tx.release();
    elsewhere([&] {
        CHECK(here->sockets.tx.try_send(received) == 1);
        CHECK_FALSE(here->sockets.tx.flush());
        here->sockets.tx.release();
    });
    elsewhere([&] { packets[1].reset(); });
    here.reset();
    packets.clear();
}

void receive_from_a_kernel_at_fault() {
    {
        port here;
        std::vector<packet> into(24);
        for (unsigned i = 0; i < 21; ++i) {
            REQUIRE(here.fake.deliver(payload(60, i)));
            if (i == 0) { REQUIRE(here.sockets.rx.try_recv(into) == 1); }
        }
        CHECK(here.sockets.rx.try_recv(into) == 20);
        into.clear();
        here.fake.set_needs_wakeup(fake_ring::fill, true);
        here.sockets.rx.refill();
        here.fake.push_rx({{std::uint64_t{1} << 40}, 60, 0});
        std::array<packet, 1> one;
        CHECK(here.sockets.rx.try_recv(one) == 0);
    }
    {
        port here;
        here.fake.write_producer(fake_ring::rx, here.fake.producer(fake_ring::rx) + 1000);
        std::array<packet, 1> one;
        CHECK(here.sockets.rx.try_recv(one) == 0);
    }
    port here;
    here.fake.write_consumer(fake_ring::fill, here.fake.producer(fake_ring::fill) + 1000);
    static_cast<void>(here.sockets.rx.low_on_frames());
    here.sockets.rx.refill();
    CHECK(here.sockets.rx.failure() == errc::ring_corruption);
}

void send_through_kicks_that_fail() {
    port here(true);
    port elsewhere;
    auto foreign = elsewhere.make(2);
    CHECK(here.sockets.tx.try_send(foreign[0]));
    packet none;
    CHECK_FALSE(here.sockets.tx.try_send(none));
    {
        const auto all = here.make(31);
        CHECK_FALSE(here.sockets.tx.try_send(foreign[1]));
    }
    for (const int number : {EAGAIN, EBUSY}) {
        here.queue();
        here.fake.fail(fake_call::kick_tx, 1, number);
        CHECK_FALSE(here.sockets.tx.flush());
    }
    here.queue();
    here.fake.fail(fake_call::kick_tx, 1, EINTR, 100);
    CHECK_FALSE(here.sockets.tx.flush());
    here.fake.heal();
    here.fake.set_link(false);
    CHECK_FALSE(here.sockets.tx.flush());
    here.fake.set_link(true);
    CHECK(here.sockets.tx.drain(0ms));
    here.fake.hold_completions(true);
    here.queue(32);
    CHECK_FALSE(here.sockets.tx.drain(1ms));
    CHECK(here.sockets.tx.try_send(std::span(foreign).last(1)) == 0);
    CHECK(here.fake.release_completions() == 32);
    CHECK(here.sockets.tx.reap() == 32);
    here.queue();
    here.fake.remove_interface();
    CHECK(here.sockets.tx.flush() == errc::interface_gone);
}

void send_to_a_kernel_at_fault() {
    const auto fault = [](auto write) {
        port here;
        here.fake.hold_completions(true);
        here.queue();
        write(here.fake);
        here.sockets.tx.flush();
        CHECK(here.sockets.tx.failure() == errc::ring_corruption);
    };
    fault([](fake_kernel& fake) { fake.push_completion({std::uint64_t{1} << 40}); });
    fault([](fake_kernel& fake) { fake.push_completion({0}); });
    fault(
        [](fake_kernel& fake) { fake.write_producer(fake_ring::completion, fake.producer(fake_ring::completion) + 1000); });
    fault([](fake_kernel& fake) { fake.write_consumer(fake_ring::tx, fake.producer(fake_ring::tx) + 1000); });
}

task<void> send_many(async_tx& tx) {
    packet one;
    for (int i = 0; i < 12; ++i) {
        REQUIRE(tx.try_allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(payload(60, 1)));
        const io_result put = co_await tx.send(one);
        if (put.ec) {
            CHECK(put.ec == errc::closed);
            co_return;
        }
    }
    FAIL_CHECK("more was sent than there are completions");
}

task<void> close_soon(std::optional<async_sockets>& sockets) {
    static_cast<void>(co_await sleep_for(10ms));
    sockets.reset();
}

/// Sends until a send gives up, and then waits for frames until it is cancelled.
task<void> wait_in_vain(async_tx& tx) {
    packet one;
    io_result put;
    while (!put.ec) {
        const io_result made = co_await tx.allocate(one);
        REQUIRE(made.n == 1);
        REQUIRE(one.assign(payload(60, 1)));
        put = co_await tx.send(one);
    }
    CHECK(put.ec == errc::completions_missing);
    std::array<packet, 16> all;
    const io_result rest = co_await tx.allocate(all);
    CHECK(rest.n != 0);
    packet more;
    const io_result none = co_await tx.allocate(more);
    CHECK(none.ec == errc::operation_canceled);
}

task<void> stop_later(executor& loop) {
    static_cast<void>(co_await sleep_for(1min));
    loop.request_stop();
}

void wait_for_completions_that_never_come() {
    wire_options options;
    options.zero_copy = true;
    options.to_right.completions_end = 0ns;
    simulated_wire wire(options);
    virtual_clock clock(1);
    clock.attach(wire);
    executor loop(clock);
    builder small = wire.socket_on(simulated_wire::end::left);
    small.frames(32).tx_frames(16).rx_ring(8).tx_ring(8).fill_ring(8).completion_ring(8);
    async_sockets sockets = open_async(loop, small).value();
    loop.spawn(wait_in_vain(sockets.tx));
    loop.spawn(stop_later(loop));
    loop.run();
}

task<void> move(async_rx& rx, executor& target) {
    static_cast<void>(co_await rx.move_to(target));
}

void go_on_the_way_to_another_executor() {
    simulated_wire wire;
    executor there;
    executor here;
    async_sockets sockets = open_async(here, wire.socket_on(simulated_wire::end::left)).value();
    here.spawn(move(sockets.rx, there));
    here.poll();
    here.discard_tasks();
}

void close_while_a_send_waits() {
    wire_options options;
    options.to_right.completions_end = 0ns;
    simulated_wire wire(options);
    virtual_clock clock(1);
    clock.attach(wire);
    executor loop(clock);
    builder small = wire.socket_on(simulated_wire::end::left);
    small.frames(32).tx_frames(16).rx_ring(8).tx_ring(8).fill_ring(8).completion_ring(8);
    std::optional<async_sockets> sockets(open_async(loop, small).value());
    loop.spawn(send_many(sockets->tx));
    loop.spawn(close_soon(sockets));
    loop.run();
}

task<void> wait_for(event& what) {
    static_cast<void>(co_await what.wait());
}

task<void> wait_under(std::stop_token token, event& what) {
    stoppable under = run_under(token, wait_for(what));
    co_await under;
}

/// The event comes while a request to stop from another thread is on its way to the waiter.
task<void> set_against_a_stop(std::stop_source& source, event& what) {
    co_await requeue();
    elsewhere([&] { source.request_stop(); });
    what.set();
}

void cancel_against_a_completion() {
    executor loop;
    event done;
    std::stop_source source;
    loop.spawn(wait_under(source.get_token(), done));
    loop.spawn(set_against_a_stop(source, done));
    loop.run();
}

[[nodiscard]] std::uint64_t passed(const std::string& name) {
    std::uint64_t count = 0;
    fluxnet::detail::for_each_probe([&](const auto& each) { count += each.name() == name ? each.passed() : 0; });
    return count;
}

/// Waits on another executor; the stop that is requested meanwhile comes there too late.
void go_home_before_a_stop_is_seen() {
    event done;
    executor home;
    executor away;
    home.spawn([](executor& there, event& until) -> task<void> {
        static_cast<void>(co_await timeout(1h, [](executor& target, event& end) -> task<void> {
            static_cast<void>(co_await schedule_on(target));
            static_cast<void>(co_await end.wait());
        }(there, until)));
    }(away, done));
    const auto turns = [&] {
        for (int i = 0; i < 4; ++i) { home.poll(), away.poll(); }
    };
    turns();
    done.set();
    home.request_stop();
    home.poll();
    turns();
}

void post_to_a_sleeper() {
    executor loop;
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
    std::thread other([&] {
        while (passed("inbox: sleep ended by another thread") == 0) {
            loop.post([] {});
            std::this_thread::sleep_for(1ms);
        }
        loop.request_stop();
    });
    loop.run();
    other.join();
    loop.stop();
    loop.run();  // which returns at once
}

}  // namespace

TEST_CASE("every rare path that a probe marks is taken") {
    FLUXNET_SKIP_IF(fluxnet::detail::checked_build ? std::nullopt
                                                   : std::optional<std::string>("probes count in the checked build only"));
    for (std::uint64_t seed = 1; seed <= 100; ++seed) { CHECK(mixed_workload(seed).packets != 0); }
    return_frames_elsewhere();
    receive_from_a_kernel_at_fault();
    send_through_kicks_that_fail();
    send_to_a_kernel_at_fault();
    close_while_a_send_waits();
    wait_for_completions_that_never_come();
    go_on_the_way_to_another_executor();
    cancel_against_a_completion();
    go_home_before_a_stop_is_seen();
    post_to_a_sleeper();
    unsigned probes = 0;
    std::string missed;
    fluxnet::detail::for_each_probe([&](const auto& each) {
        ++probes;
        std::printf("%10llu  %s\n", 0ULL + each.passed(), each.name());
        if (each.passed() == 0) { missed += std::string(each.name()) + '\n'; }
    });
    std::printf("%u probes; not reached:\n%s", probes, missed.c_str());
    CHECK(probes >= 30);
    CHECK(missed.empty());
}
