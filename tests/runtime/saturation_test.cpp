// SPDX-License-Identifier: BSD-3-Clause
// Fairness under packet saturation: while packets never run out, timers, posts from another thread and descriptors that
// become readable are served all the same, on an executor and on an engine.
//
// The generator sends as many packets as were received, in the middle of the turn, and fills the RX ring up at its end; so
// the receiving side never finds it dry, whatever else the machine does, and would go on for ever if it were let. Each of
// the three is asked for 300 times. How late one is served is counted in turns of the executor and not in time, of which
// other programs may take any amount.
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;
using end = simulated_wire::end;

namespace {

constexpr std::size_t samples = 300;
constexpr std::uint64_t limit = 8;  // turns

/// Keeps the RX ring at the wire's right end filled.
class generator final : private fluxnet::detail::turn_handler {
public:
    generator(executor& on, simulated_wire& wire)
        : sockets_(wire.socket_on(end::left).frames(1024).tx_frames(512).build_system().value()) {
        fluxnet::detail::inside(on).add_handler(*this);
    }
    ~generator() { sockets_.tx.release(); }

    /// Fills the ring of this receiving half from now on.
    void feed(rx& receiver) noexcept {
        receiver_ = &receiver;
        fill();
    }

    /// Sends so many packets at once, at most a batch.
    std::uint32_t send(std::size_t count) noexcept {
        const std::uint32_t made = sockets_.tx.allocate(std::span(burst_).first(count));
        for (packet& one : std::span(burst_).first(made)) { static_cast<void>(one.set_len(60)); }
        const std::uint32_t sent = sockets_.tx.try_send(std::span(burst_).first(made));
        sockets_.tx.flush();
        return sent;
    }

    /// Turns since feed(), and those of them at the end of which the ring was dry.
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }
    [[nodiscard]] std::uint64_t dry_turns() const noexcept { return dry_turns_; }

private:
    static constexpr std::uint32_t full = 1024;

    void end_turn() noexcept override {
        if (receiver_ == nullptr) { return; }
        ++turns_;
        dry_turns_ += receiver_->available() == 0 ? 1 : 0;
        fill();
    }
    void fill() noexcept {
        receiver_->refill();
        while (receiver_->available() < full) {
            if (send(64) == 0) { break; }
        }
    }
    void before_sleep() noexcept override {}
    void after_sleep() noexcept override {}
    void end_run() noexcept override { sockets_.tx.release(); }

    system_sockets sockets_;
    rx* receiver_ = nullptr;
    std::array<packet, 64> burst_;
    std::uint64_t turns_ = 0;
    std::uint64_t dry_turns_ = 0;
};

/// What is asked of a saturated executor. After `over` was called, each of the three has been asked for `samples` times.
class probes final : private fluxnet::detail::turn_handler {
public:
    probes(executor& loop, std::function<void()> over) : loop_(loop), over_(std::move(over)) {
        fluxnet::detail::inside(loop_).add_handler(*this);
    }
    ~probes() {
        if (asking_.joinable()) { asking_.join(); }
    }

    void start() {
        loop_.spawn(sleep_again());
        loop_.spawn(read_again());
    }

    /// The longest delays, in turns. To be read after run().
    std::uint64_t timers = 0;
    std::uint64_t posts = 0;
    std::uint64_t descriptors = 0;

private:
    task<void> sleep_again() {
        for (std::size_t i = 0; i < samples; ++i) {
            passed_at_ = 0;
            due_ = loop_.now() + 1ms;
            const std::error_code failed = co_await sleep_for(1ms);
            if (failed) { co_return; }
            if (passed_at_ != 0) { timers = std::max(timers, loop_.turns() - passed_at_); }
            if (!asking_.joinable()) {
                asking_ = std::thread([this] { ask(); });
            }  // once the executor is under way
        }
        finish_one();
    }

    task<void> read_again() {
        for (std::size_t i = 0; i < samples; ++i) {
            const std::error_code failed = co_await readable(pipe_.read.get());
            if (failed) { co_return; }
            char asked = 0;
            REQUIRE(::read(pipe_.read.get(), &asked, 1) == 1);
            served_at_ = loop_.turns();
        }
        finish_one();
    }

    /// Waits until what was asked for is served, and returns in how many turns after the asking.
    std::uint64_t turns_until_served() {
        const std::uint64_t asked = loop_.turns();  // at the earliest: this thread may have lost its CPU since it asked
        while (served_at_ == 0) { std::this_thread::yield(); }
        const std::uint64_t served = served_at_.exchange(0);
        return served > asked ? served - asked : 0;
    }

    /// The body of the other thread.
    void ask() {
        for (std::size_t i = 0; i < samples; ++i) {
            loop_.post([this] { served_at_ = loop_.turns(); });
            posts = std::max(posts, turns_until_served());
            pipe_.put();
            descriptors = std::max(descriptors, turns_until_served());
        }
        loop_.post([this] { finish_one(); });
    }

    void finish_one() {
        if (++finished_ == 3) { over_(); }
    }

    void end_turn() noexcept override {
        if (passed_at_ == 0 && loop_.now() >= due_) { passed_at_ = loop_.turns(); }
    }
    void before_sleep() noexcept override {}
    void after_sleep() noexcept override {}
    void end_run() noexcept override {}

    executor& loop_;
    std::function<void()> over_;
    pipe_ends pipe_;
    clock_type::time_point due_ = clock_type::time_point::max();
    std::uint64_t passed_at_ = 0;  // the turn at whose end `due_` had passed; 0 before
    std::atomic<std::uint64_t> served_at_ = 0;
    unsigned finished_ = 0;
    std::thread asking_;
};

void check_served(const probes& asked) {
    MESSAGE("longest delays in turns: timer ", asked.timers, ", post ", asked.posts, ", descriptor ", asked.descriptors);
    CHECK(asked.timers <= limit);
    CHECK(asked.posts <= limit);
    CHECK(asked.descriptors <= limit);
}

void check_saturated(const generator& packets, std::uint64_t received) {
    REQUIRE(packets.turns() > 100);
    CHECK(packets.dry_turns() == 0);
    CHECK(received / packets.turns() >= 256);
    MESSAGE(received, " packets in ", packets.turns(), " turns");
}

}  // namespace

TEST_CASE("an executor with more packets than it can take serves timers and posts and descriptors within few turns") {
    simulated_wire wire({.hash_traffic = false});
    executor loop;
    async_sockets here = open_async(loop, wire.socket_on(end::right).frames(4096).tx_frames(64)).value();
    generator packets(loop, wire);
    probes asked(loop, [&] { loop.request_stop(); });
    std::uint64_t received = 0;
    loop.spawn([&]() -> task<void> {
        std::array<packet, 64> burst;
        packets.feed(here.rx.socket());
        for (;;) {
            const io_result got = co_await here.rx.recv(burst);
            if (got.ec) { co_return; }
            received += got.n;
            packets.send(got.n);
        }
    });
    const std::uint64_t sleeps = loop.sleeps();
    asked.start();
    loop.run();
    CHECK(loop.sleeps() - sleeps <= 1);
    check_saturated(packets, received);
    check_served(asked);
}

TEST_CASE("an engine with more packets than it can take serves timers and posts and descriptors within few turns") {
    simulated_wire wire({.hash_traffic = false});
    engine loop({.how = poller::busy});
    const auto port = loop.add_port(wire.socket_on(end::right).frames(4096).tx_frames(64).build_system().value());
    REQUIRE(port.has_value());
    generator packets(loop, wire);
    packets.feed(loop.port(0).receiving());
    probes asked(loop, [&] { loop.stop(); });
    std::uint64_t received = 0;
    asked.start();
    const std::error_code failed = loop.run([&](packet_batch& batch) {
        received += batch.size();
        packets.send(batch.size());
    });
    CHECK_FALSE(failed);
    check_saturated(packets, received);
    check_served(asked);
}
