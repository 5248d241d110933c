// SPDX-License-Identifier: BSD-3-Clause
// Channels and semaphores between executors on threads of their own, with cancellations at random moments.
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t producers = 8;
constexpr std::uint32_t consumers = 8;
constexpr std::uint32_t executors = 4;

struct numbered {
    std::uint32_t producer = 0;
    std::uint32_t number = 0;
};

struct tally {
    std::vector<std::atomic<std::uint8_t>> seen;  // by producer * count + number
    std::atomic<std::uint64_t> received = 0;
    std::atomic<std::uint64_t> canceled = 0;
    std::atomic<std::uint64_t> disorder = 0;
};

task<io_result> send_all(channel<numbered>& to, std::span<numbered> values) {
    co_return co_await to.send(values);
}

task<io_result> recv_some(channel<numbered>& from, std::span<numbered> into) {
    co_return co_await from.recv(into);
}

/// A time limit that has passed at the next turn, or up to 50 us: some waits end by it however fast the machine is.
std::chrono::microseconds short_limit(std::minstd_rand& random) {
    return std::chrono::microseconds(random() % 2 == 0 ? 0 : random() % 50);
}

/// Sends its numbers in batches; those that a cancelled send did not take are sent again.
task<void> produce(channel<numbered>& to, std::uint32_t name, std::uint32_t count, tally& result, latch& done) {
    std::minstd_rand random(name + 1);
    std::array<numbered, 16> batch;
    std::uint32_t next = 0;
    while (next < count) {
        const std::uint32_t size = std::min<std::uint32_t>(1 + random() % 16, count - next);
        for (std::uint32_t i = 0; i < size; ++i) { batch[i] = {name, next + i}; }
        const std::span values = std::span(batch).first(size);
        io_result put;
        if (random() % 4 == 0) {
            const auto limit = short_limit(random);
            const timed<io_result> sent = co_await timeout(limit, send_all(to, values));
            put = sent.value;
        } else {
            put = co_await to.send(values);
        }
        next += static_cast<std::uint32_t>(put.n);
        if (put.ec) { ++result.canceled; }
    }
    done.count_down();
}

task<void> consume(channel<numbered>& from, std::uint32_t name, std::uint32_t count, tally& result) {
    std::minstd_rand random(name + 100);
    std::array<numbered, 16> batch;
    std::array<std::uint32_t, producers> next{};  // of each producer: what this consumer may see at the earliest
    for (;;) {
        const std::span into = std::span(batch).first(1 + random() % 16);
        io_result taken;
        if (random() % 4 == 0) {
            const auto limit = short_limit(random);
            const timed<io_result> got = co_await timeout(limit, recv_some(from, into));
            taken = got.value;
        } else {
            taken = co_await from.recv(into);
        }
        if (taken.ec == errc::closed) { co_return; }
        if (taken.ec) { ++result.canceled; }
        for (const numbered& one : into.first(taken.n)) {
            if (one.number < next[one.producer]) { ++result.disorder; }
            next[one.producer] = one.number + 1;
            ++result.seen[one.producer * count + one.number];
        }
        result.received += taken.n;
    }
}

}  // namespace

TEST_CASE("every value goes through a channel exactly once and in order whoever cancels") {
    const std::uint32_t count = test::rounds(250'000, 10);
    for (const std::size_t capacity : {2U, 64U}) {
        channel<numbered> between(capacity);
        tally result{std::vector<std::atomic<std::uint8_t>>(std::size_t{producers} * count)};
        latch done(producers);
        std::vector<std::thread> threads;
        for (std::uint32_t t = 0; t < executors; ++t) {
            threads.emplace_back([&, t] {
                executor loop;
                for (std::uint32_t p = t; p < producers; p += executors) {
                    loop.spawn(produce(between, p, count / (capacity == 2 ? 10 : 1), result, done));
                }
                for (std::uint32_t c = t; c < consumers; c += executors) { loop.spawn(consume(between, c, count, result)); }
                if (t == 0) {
                    loop.spawn([&]() -> task<void> {
                        static_cast<void>(co_await done.wait());
                        between.close();
                    });
                }
                loop.run();
            });
        }
        for (std::thread& thread : threads) { thread.join(); }
        const std::uint32_t sent = count / (capacity == 2 ? 10 : 1);
        CHECK(result.received == std::uint64_t{producers} * sent);
        CHECK(result.disorder == 0);
        MESSAGE(result.canceled.load(), " sends and receptions cancelled");
        std::uint64_t wrong = 0;
        for (std::uint32_t p = 0; p < producers; ++p) {
            for (std::uint32_t i = 0; i < sent; ++i) { wrong += result.seen[std::size_t{p} * count + i] != 1 ? 1 : 0; }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("a value that bounces between two executors never lies where its receiver does not see it") {
    // One value, two who wait for it in turn: a wake-up that is lost once ends everything.
    const std::uint32_t most = test::rounds(300'000, 10);
    for (const poller how : {poller::adaptive, poller::wait}) {
        channel<std::uint32_t> there(2);
        channel<std::uint32_t> back(2);
        const auto until = std::chrono::steady_clock::now() + 2s;
        std::uint32_t bounces = 0;
        std::thread other([&] {
            executor loop({how, 20us});
            loop.spawn([&]() -> task<void> {
                for (;;) {
                    std::uint32_t value = 0;
                    const io_result got = co_await there.recv(value);
                    if (got.ec) { co_return; }
                    ++value;
                    static_cast<void>(co_await back.send(value));
                }
            });
            loop.run();
        });
        executor loop({how, 20us});
        loop.spawn([&]() -> task<void> {
            std::uint32_t value = 0;
            for (; bounces < most && std::chrono::steady_clock::now() < until; ++bounces) {
                static_cast<void>(co_await there.send(value));
                static_cast<void>(co_await back.recv(value));
            }
            there.close();
        });
        loop.run();
        other.join();
        MESSAGE(bounces, std::string(how == poller::wait ? " bounces, asleep in between" : " bounces, looking for a while"));
        CHECK(bounces > 100);
    }
}

TEST_CASE("one lock handed to and fro between two executors is never left without an owner") {
    const auto until = std::chrono::steady_clock::now() + 2s;
    mutex door;
    std::uint64_t entered = 0;  // guarded by the mutex
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
            executor loop({poller::adaptive, 20us});
            loop.spawn([&]() -> task<void> {
                while (std::chrono::steady_clock::now() < until) {
                    const mutex::guard held = co_await door.lock();
                    ++entered;
                }
            });
            loop.run();
        });
    }
    for (std::thread& thread : threads) { thread.join(); }
    MESSAGE(entered, " times");
    CHECK(entered > 1000);
}

TEST_CASE("an executor may go while the call that woke it for the last time still runs") {
    const std::uint32_t count = test::rounds(5'000, 5);
    std::uint64_t asleep = 0;
    for (std::uint32_t round = 0; round < count; ++round) {
        event over;
        std::atomic<executor*> running = nullptr;
        std::thread other([&] {
            executor loop;
            loop.spawn([&]() -> task<void> {
                running = executor::current();
                static_cast<void>(co_await over.wait());
            });
            loop.run();
            asleep += loop.sleeps();
        });
        while (running == nullptr) { std::this_thread::yield(); }
        if (round % 2 == 0) { std::this_thread::sleep_for(50us); }
        if (round % 4 < 2) {
            over.set();
        } else {
            running.load()->stop();
        }
        other.join();
    }
    MESSAGE(asleep, " times asleep");
}

TEST_CASE("a semaphore shared by executors never gives more than it has") {
    constexpr std::uint32_t units = 3;
    const std::uint32_t rounds = test::rounds(20'000, 10);
    semaphore shared(units);
    std::atomic<std::int64_t> held = 0;
    std::atomic<std::uint64_t> excess = 0;
    std::atomic<std::uint64_t> canceled = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < executors; ++t) {
        threads.emplace_back([&, t] {
            executor loop;
            for (std::uint32_t c = 0; c < 4; ++c) {
                loop.spawn([&, seed = t * 4 + c]() -> task<void> {
                    std::minstd_rand random(seed + 1);
                    const auto take = [](semaphore& from, std::uint32_t n) -> task<std::error_code> {
                        co_return co_await from.acquire(n);
                    };
                    for (std::uint32_t i = 0; i < rounds; ++i) {
                        const auto n = static_cast<std::uint32_t>(1 + random() % units);
                        const auto limit = std::chrono::microseconds(random() % 4 == 0 ? random() % 30 : 1'000'000'000);
                        const timed<std::error_code> got = co_await timeout(limit, take(shared, n));
                        if (got.value) {
                            ++canceled;
                            continue;
                        }
                        if ((held += n) > units) { ++excess; }
                        if (random() % 8 == 0) { static_cast<void>(co_await yield()); }
                        held -= n;
                        shared.release(n);
                    }
                });
            }
            loop.run();
        });
    }
    for (std::thread& thread : threads) { thread.join(); }
    CHECK(excess == 0);
    MESSAGE(canceled.load(), " waits cancelled");
    CHECK(shared.available() == units);
}
