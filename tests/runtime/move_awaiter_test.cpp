// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/move_awaiter.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/async_raw.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/drained_port.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<move_awaiter> && !std::is_move_constructible_v<move_awaiter>);

namespace {

template <class A>
concept takes_a_limit = requires(A&& work, executor::time_point until) {
    fluxnet::timeout(1ms, std::forward<A>(work));
    fluxnet::deadline(until, std::forward<A>(work));
};
static_assert(takes_a_limit<async_rx::recv_awaiter> && !takes_a_limit<move_awaiter> && !takes_a_limit<move_awaiter&>);

/// An executor that a thread of its own runs, until the end of the test or quit().
class worker {
public:
    explicit worker(reactor_kind kind) : loop({}, kind), guard_(loop), thread_([this] { loop.run(); }) {}
    ~worker() { quit(); }

    /// Returns when run() has.
    void quit() {
        guard_.release();
        if (thread_.joinable()) { thread_.join(); }
    }

    /// Runs a coroutine function there, to its end.
    template <class F>
    void run_there(F function) {
        std::atomic<bool> over = false;
        loop.post([&] {
            loop.spawn([&]() -> task<void> {
                co_await function();
                over = true;
            });
        });
        while (!over) { std::this_thread::sleep_for(1ms); }
    }

    executor loop;

private:
    executor::work_guard guard_;
    std::thread thread_;
};

/// Lets a packet arrive and makes the descriptor readable, as the kernel does.
void arrive(fake_kernel& kernel, int fd, std::uint32_t number) {
    const std::uint64_t one = 1;
    REQUIRE(kernel.deliver(numbered_frame(number)));
    REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
}

/// Takes the descriptor's readiness back, as draining the ring does.
void drained(int fd) {
    std::uint64_t value = 0;
    static_cast<void>(!::read(fd, &value, sizeof value));
}

/// Polls two executors of one thread in turn until both have nothing to do.
void poll_both(executor& one, executor& other) {
    for (int quiet = 0; quiet < 2;) {
        const bool more = one.poll();
        quiet = other.poll() || more ? 0 : quiet + 1;
    }
}

task<void> receive_one(async_rx& rx, std::uint32_t number) {
    packet one;
    const io_result got = co_await rx.recv(one);
    REQUIRE_FALSE(got.ec);
    CHECK(number_of(one.data()) == number);
    drained(rx.socket().fd());
}

}  // namespace

FLUXNET_REACTOR_TEST("a receiving handle goes on on the executor that it was moved to and outlives the one that it left") {
    fake_kernel kernel;
    worker there(kind);
    std::optional<executor> here(std::in_place, idle_policy{}, kind);
    async_sockets sockets = fake_port::open(*here, kernel);
    const int fd = sockets.rx.socket().fd();
    std::thread network;
    here->spawn([&]() -> task<void> {
        network = std::thread([&, sleeps = here->sleeps()] {
            wait_for_sleep(*here, sleeps + 1);
            arrive(kernel, fd, 1);
        });
        co_await receive_one(sockets.rx, 1);  // a poll was armed here
        const result<void> moved = co_await sockets.rx.move_to(there.loop);
        CHECK(moved.has_value());
        CHECK(executor::current() == &there.loop);
    });
    here->run();
    network.join();
    const std::uint64_t wakeups = sockets.rx.wakeups();
    CHECK(wakeups >= 1);
    arrive(kernel, fd, 2);
    for (int i = 0; i < 3; ++i) { here->poll(); }
    CHECK(sockets.rx.wakeups() == wakeups);  // its poll here is gone
    std::optional<async_tx> left_behind(std::move(sockets.tx));
    left_behind.reset();
    here.reset();
    there.run_there([&]() -> task<void> { co_await receive_one(sockets.rx, 2); });
    there.run_there([&]() -> task<void> {
        network = std::thread([&, sleeps = there.loop.sleeps()] {
            wait_for_sleep(there.loop, sleeps + 1);
            arrive(kernel, fd, 3);
        });
        co_await receive_one(sockets.rx, 3);
    });
    network.join();
    there.quit();
    CHECK(sockets.rx.wakeups() > wakeups);
    metrics numbers;
    numbers.add("moved", sockets.rx);
    CHECK(numbers.text().find("fluxnet_rx_packets_total{socket=\"moved\"} 3\n") != std::string::npos);
    CHECK(numbers.text().find("fluxnet_rx_wakeups_total{socket=\"moved\"} " + std::to_string(sockets.rx.wakeups())) !=
          std::string::npos);
    const frame_census census = sockets.rx.socket().pool().census();
    CHECK(census.exact);
    CHECK(census.user == 0);
    CHECK(census.sum() == census.frames);
}

FLUXNET_REACTOR_TEST("frames that come back to a receiving handle that was moved wake its new executor") {
    fake_kernel kernel;
    worker there(kind);
    std::optional<executor> here(std::in_place, idle_policy{}, kind);
    async_sockets sockets = fake_port::open(*here, kernel);
    for (std::uint32_t i = 0; i < fake_port::receiving; ++i) { REQUIRE(kernel.deliver(numbered_frame(i))); }
    std::vector<packet> hoard(fake_port::receiving);
    here->spawn([&]() -> task<void> {
        const io_result got = co_await sockets.rx.recv(hoard);
        CHECK(got.n == fake_port::receiving);  // the fill ring is empty: it is hungry whenever it sleeps
        static_cast<void>(co_await sleep_for(2ms));
        const result<void> moved = co_await sockets.rx.move_to(there.loop);
        CHECK(moved.has_value());
    });
    here->run();
    CHECK_FALSE(kernel.deliver(numbered_frame(0)));
    std::optional<async_tx> left_behind(std::move(sockets.tx));
    left_behind.reset();
    here.reset();
    std::this_thread::sleep_for(5ms);  // the other one sleeps
    hoard.clear();
    while (!kernel.deliver(numbered_frame(100))) { std::this_thread::sleep_for(1ms); }
    there.run_there([&]() -> task<void> { co_await receive_one(sockets.rx, 100); });
    there.quit();
}

FLUXNET_REACTOR_TEST("a sending handle sends what it was given on both executors and waits for room and frames on the new") {
    fake_kernel kernel;
    worker there(kind);
    executor here({}, kind);
    async_sockets sockets = fake_port::open(here, kernel);
    std::vector<packet> rest = numbered_packets(sockets.tx, fake_port::sending - 10, 10);
    io_result sent;
    io_result made;
    here.spawn([&]() -> task<void> {
        auto first = numbered_packets(sockets.tx, 10);
        const io_result queued = co_await sockets.tx.send(first);
        CHECK(queued.n == 10);
        const result<void> moved = co_await sockets.tx.move_to(there.loop);
        CHECK(moved.has_value());
        CHECK(kernel.calls(fake_call::kick_tx) == 1);  // what was queued did not wait for the way
        kernel.hold_completions(true);
        std::thread network([&] {
            std::this_thread::sleep_for(5ms);
            kernel.hold_completions(false);
            kernel.release_completions();
        });
        sent = co_await sockets.tx.send(std::span(rest).first(90));
        network.join();
        CHECK(executor::current() == &there.loop);
    });
    here.run();
    CHECK_FALSE(sent.ec);
    CHECK(sent.n == 90);
    there.run_there([&]() -> task<void> {
        while (sockets.tx.socket().in_flight() != 0) { static_cast<void>(co_await sleep_for(1ms)); }
        std::vector<packet> all(fake_port::sending - (rest.size() - 90));
        const io_result most = co_await sockets.tx.allocate(all);
        CHECK(most.n == all.size());
        std::thread dropping([&] {
            std::this_thread::sleep_for(5ms);
            rest.pop_back();
        });
        packet one;
        made = co_await sockets.tx.allocate(one);
        dropping.join();
    });
    CHECK(made.n == 1);
    there.quit();
    rest.clear();
    check_nothing_lost(sockets);
    std::vector<std::uint32_t> numbers_sent;
    for (const auto& frame : kernel.take_sent()) { numbers_sent.push_back(number_of(frame)); }
    CHECK(numbers_sent == numbers(0, 100));
}

FLUXNET_REACTOR_TEST("a raw handle receives descriptors on the executor that it was moved to") {
    fake_kernel kernel;
    kernel.interface.index = 1;
    worker there(kind);
    executor here({}, kind);
    async_raw raw(here, sim_builder(kernel, 32, 32).build_raw().value());
    const int fd = raw.socket().fd();
    std::thread network;
    const auto receive = [&]() -> task<void> {
        network = std::thread([&] {
            std::this_thread::sleep_for(5ms);
            arrive(kernel, fd, 1);
        });
        std::array<xdp_desc, 4> batch;
        const io_result got = co_await raw.recv_batch(batch);
        CHECK_FALSE(got.ec);
        CHECK(got.n == 1);
        drained(fd);
        network.join();
    };
    here.spawn([&]() -> task<void> {
        co_await receive();
        const result<void> moved = co_await raw.move_to(there.loop);
        CHECK(moved.has_value());
        co_await receive();
        CHECK(executor::current() == &there.loop);
    });
    here.run();
    there.quit();
}

FLUXNET_REACTOR_TEST("a handle goes to another executor of the same thread and back") {
    fake_kernel kernel;
    executor one({}, kind);
    executor other({}, kind);
    async_sockets sockets = fake_port::open(one, kernel);
    int steps = 0;
    one.spawn([&]() -> task<void> {
        const result<void> there = co_await sockets.rx.move_to(other);
        CHECK(there.has_value());
        CHECK(executor::current() == &other);
        ++steps;
        const result<void> already = co_await sockets.rx.move_to(other);
        CHECK(already.has_value());
        ++steps;
        co_await receive_one(sockets.rx, 5);
        ++steps;
        const result<void> back = co_await sockets.rx.move_to(one);
        CHECK(back.has_value());
        CHECK(executor::current() == &one);
        co_await receive_one(sockets.rx, 6);
        ++steps;
    });
    poll_both(one, other);
    CHECK(steps == 2);
    REQUIRE(kernel.deliver(numbered_frame(5)));
    one.poll();
    CHECK(steps == 2);  // the handle is not there any more
    poll_both(one, other);
    CHECK(steps == 3);
    REQUIRE(kernel.deliver(numbered_frame(6)));
    poll_both(one, other);
    CHECK(steps == 4);
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("a handle stays where it is when the task was asked to stop before") {
    fake_kernel kernel;
    executor one({}, kind);
    executor other({}, kind);
    async_sockets sockets = fake_port::open(one, kernel);
    std::error_code ended;
    one.request_stop();
    one.run();
    one.spawn([&]() -> task<void> {
        const result<void> moved = co_await sockets.rx.move_to(other);
        REQUIRE_FALSE(moved.has_value());
        ended = moved.error().code;
        CHECK(executor::current() == &one);
    });
    one.run();
    CHECK(ended == errc::operation_canceled);
    one.restart();
    one.spawn([&]() -> task<void> {
        REQUIRE(kernel.deliver(numbered_frame(3)));
        co_await receive_one(sockets.rx, 3);
    });
    one.run();
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("a handle that does not move may be destroyed before its task is told") {
    fake_kernel kernel;
    executor one({}, kind);
    executor other({}, kind);
    auto sockets = std::make_unique<async_sockets>(fake_port::open(one, kernel));
    std::error_code ended;
    std::string said;
    one.request_stop();
    one.run();
    one.spawn([&]() -> task<void> {
        const result<void> moved = co_await sockets->rx.move_to(other);
        REQUIRE_FALSE(moved.has_value());
        ended = moved.error().code;
        said = moved.error().step;
    });
    one.spawn([&]() -> task<void> {
        sockets.reset();  // in the turn in which the other task was told to go on
        co_return;
    });
    one.run();
    CHECK(ended == errc::operation_canceled);
    CHECK(said.starts_with("move the handle of interface "));
}

FLUXNET_REACTOR_TEST("a handle is moved only on the executor that it is bound to") {
    fake_kernel kernel;
    executor one({}, kind);
    executor other({}, kind);
    async_sockets sockets = fake_port::open(one, kernel);
    std::string said;
    other.spawn([&]() -> task<void> {
        const result<void> moved = co_await sockets.rx.move_to(other);
        REQUIRE_FALSE(moved.has_value());
        CHECK(moved.error().code == errc::wrong_executor);
        said = moved.error().message();
    });
    other.run();
    CHECK(said.find("fake0") != std::string::npos);
    CHECK(said.find("await move_to() on the executor that the handle is bound to") != std::string::npos);
    one.spawn([&]() -> task<void> {
        REQUIRE(kernel.deliver(numbered_frame(3)));
        co_await receive_one(sockets.rx, 3);
    });
    one.run();
    check_nothing_lost(sockets);
}

namespace {

/// Moves a handle while another coroutine waits at it.
void move_under_a_waiter(std::error_code& seen, io_result& got) {
    fake_kernel kernel;
    executor one;
    executor other;
    async_sockets sockets = fake_port::open(one, kernel);
    one.spawn([&]() -> task<void> {
        packet received;
        got = co_await sockets.rx.recv(received);
    });
    one.spawn([&]() -> task<void> {
        const result<void> moved = co_await sockets.rx.move_to(other);
        seen = moved.has_value() ? std::error_code() : moved.error().code;
    });
    one.poll();
    REQUIRE(kernel.deliver(numbered_frame(1)));
    one.run();
    check_nothing_lost(sockets);
}

}  // namespace

TEST_CASE("a handle that another coroutine awaits is not moved") {
    std::error_code seen;
    io_result got;
    if (asserts) {
        CHECK(dies([&] { move_under_a_waiter(seen, got); }));
    } else {
        move_under_a_waiter(seen, got);
        CHECK(seen == errc::handle_in_use);
        CHECK(got.n == 1);
    }
}

FLUXNET_REACTOR_TEST("a handle whose task was destroyed on the way belongs nowhere until it is moved again") {
    fake_kernel kernel;
    std::optional<executor> one(std::in_place, idle_policy{}, kind);
    executor other({}, kind);
    async_sockets sockets = fake_port::open(*one, kernel);
    one->spawn([&]() -> task<void> {
        static_cast<void>(co_await sockets.rx.move_to(other));
        FAIL_CHECK("it never came to run there");
    });
    one->spawn([&]() -> task<void> {
        static_cast<void>(co_await sockets.tx.move_to(other));
        FAIL_CHECK("it never came to run there");
    });
    one->poll();
    one.reset();
    other.spawn([&]() -> task<void> {
        REQUIRE(kernel.deliver(numbered_frame(1)));
        packet received;
        const io_result got = co_await sockets.rx.recv(received);
        CHECK(got.ec == errc::wrong_executor);
        packet fresh;
        const io_result made = co_await sockets.tx.allocate(fresh);
        CHECK(made.ec == errc::wrong_executor);
        auto packets = numbered_packets(sockets.tx, 1);
        const io_result refused = co_await sockets.tx.send(packets);
        CHECK(refused.ec == errc::wrong_executor);
        CHECK(static_cast<bool>(packets[0]));

        const result<void> rx_bound = co_await sockets.rx.move_to(other);
        CHECK(rx_bound.has_value());
        const result<void> tx_bound = co_await sockets.tx.move_to(other);
        CHECK(tx_bound.has_value());
        co_await receive_one(sockets.rx, 1);
        const io_result sent = co_await sockets.tx.send(packets);
        CHECK(sent.n == 1);
    });
    other.run();
    CHECK(kernel.take_sent().size() == 1);
    check_nothing_lost(sockets);
}

FLUXNET_REACTOR_TEST("a handle that belongs nowhere is destroyed like any other and by any thread") {
    fake_kernel kernel;
    for (const bool handle_first : {true, false}) {
        executor other({}, kind);
        executor one({}, kind);
        std::optional<async_sockets> sockets = fake_port::open(one, kernel);
        one.spawn([&]() -> task<void> { static_cast<void>(co_await sockets->rx.move_to(other)); });
        one.spawn([&]() -> task<void> { static_cast<void>(co_await sockets->tx.move_to(other)); });
        one.poll();
        if (handle_first) {
            sockets.reset();
            one.discard_tasks();
        } else {
            one.discard_tasks();
            std::thread([&] { sockets.reset(); }).join();
        }
        CHECK(kernel.live_fds() == 0);
        CHECK(kernel.live_mappings() == 0);
    }
}
