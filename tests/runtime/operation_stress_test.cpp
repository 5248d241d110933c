// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/operation.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

static_assert(sizeof(fluxnet::detail::operation) <= 256);

namespace {

struct ends_tally {
    int completed = 0;
    int cancelled = 0;
    int other = 0;

    void note(const std::error_code& ec) {
        if (!ec) {
            ++completed;
        } else if (ec == errc::operation_canceled) {
            ++cancelled;
        } else {
            ++other;
        }
    }
    [[nodiscard]] int sum() const { return completed + cancelled; }
};

/// Lets up to `most` pass, so that two threads meet at ever different moments.
void linger(std::uint32_t& random, std::chrono::nanoseconds most) {
    random = random * 1664525U + 1013904223U;
    const auto until = std::chrono::steady_clock::now() + most * (random >> 22) / 1024;
    while (std::chrono::steady_clock::now() < until) {}
}

/// A thread that requests the stop of whatever source it is shown, a few microseconds later.
class canceller {
public:
    explicit canceller(std::chrono::nanoseconds most) : most_(most), thread_([this] { work(); }) {}
    canceller(const canceller&) = delete;
    canceller& operator=(const canceller&) = delete;
    ~canceller() {
        ended_ = true;
        thread_.join();
    }

    void show(std::stop_source& source) { target_.store(&source, std::memory_order_release); }

    /// Tells whether the source shown last has been stopped, so that it may end.
    [[nodiscard]] bool finished() const { return target_.load(std::memory_order_acquire) == nullptr; }

private:
    void work() {
        std::uint32_t random = 7;
        while (!ended_) {
            if (std::stop_source* const source = target_.load(std::memory_order_acquire)) {
                linger(random, most_);
                source->request_stop();
                target_.store(nullptr, std::memory_order_release);
            } else {
                std::this_thread::yield();
            }
        }
    }

    std::atomic<std::stop_source*> target_ = nullptr;
    std::atomic<bool> ended_ = false;
    const std::chrono::nanoseconds most_;
    std::thread thread_;
};

/// Goes from one executor to another and sleeps for some microseconds on each, until a stop reaches it wherever it is.
task<void> wander(executor_group& group, std::uint32_t seed, std::atomic<int>& ended) {
    for (std::uint32_t at = seed;; at = at * 1664525U + 1013904223U) {
        const wait_result gone = co_await schedule_on(group[(at >> 16) % group.size()]);
        if (gone) { break; }
        const wait_result slept = co_await sleep_for(std::chrono::microseconds(at >> 27));
        if (slept) { break; }
    }
    ++ended;
}

task<void> limited(task<void> work, bool by_time) {
    if (by_time) {
        static_cast<void>(co_await timeout(1h, std::move(work)));
    } else {
        co_await work;
    }
}

}  // namespace

TEST_CASE("fifty thousand sleeps that end while another thread cancels them end once each") {
    const int rounds = static_cast<int>(test::rounds(50'000, 25));
    executor loop;
    canceller other(30us);
    ends_tally seen;
    const auto sleeper = [&](std::chrono::nanoseconds time) -> task<void> { seen.note(co_await sleep_for(time)); };
    loop.spawn([&]() -> task<void> {
        std::uint32_t random = 1;
        for (int i = 0; i < rounds; ++i) {
            std::stop_source source;
            random = random * 1664525U + 1013904223U;
            stoppable under = run_under(source.get_token(), sleeper(std::chrono::nanoseconds(random >> 17)));
            other.show(source);
            co_await under;
            while (!other.finished()) {
                std::this_thread::yield();
                co_await requeue();
            }
        }
    });
    loop.run();
    MESSAGE(seen.completed, " completed, ", seen.cancelled, " cancelled");
    CHECK(seen.sum() == rounds);
    CHECK(seen.other == 0);
}

TEST_CASE("twenty thousand waits for a descriptor that becomes ready while another thread cancels them end once each") {
    const int rounds = static_cast<int>(test::rounds(20'000, 10));
    executor loop;
    canceller other(10us);
    ends_tally seen;
    const file_descriptor event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    const auto wait = [&]() -> task<void> { seen.note(co_await readable(event.get())); };
    loop.spawn([&]() -> task<void> {
        std::uint64_t value = 1;
        for (int i = 0; i < rounds; ++i) {
            std::stop_source source;
            stoppable under = run_under(source.get_token(), wait());
            if (i % 2 == 0) { REQUIRE(::write(event.get(), &value, sizeof value) == sizeof value); }
            other.show(source);
            co_await under;
            while (!other.finished()) {
                std::this_thread::yield();
                co_await requeue();
            }
            static_cast<void>(::read(event.get(), &value, sizeof value));
            value = 1;
        }
    });
    loop.run();
    MESSAGE(seen.completed, " completed, ", seen.cancelled, " cancelled");
    CHECK(seen.sum() == rounds);
    CHECK(seen.other == 0);
}

TEST_CASE("frames that are destroyed while another thread cancels them leave nothing behind") {
    constexpr int rounds = 2'000;
    canceller other(5us);
    std::uint32_t random = 1;
    for (int i = 0; i < rounds; ++i) {
        std::stop_source source;
        {
            executor loop;
            const auto sleeper = []() -> task<void> { static_cast<void>(co_await sleep_for(1h)); };
            loop.spawn([&]() -> task<void> {
                stoppable under = run_under(source.get_token(), sleeper());
                co_await under;
            });
            loop.spawn([&]() -> task<void> {
                loop.stop();
                co_return;
            });
            loop.run();
            other.show(source);
            linger(random, 5us);
        }
        while (!other.finished()) { std::this_thread::yield(); }
    }
}

TEST_CASE("tasks that go to and fro between executors are all cancelled by a stop from another thread") {
    const std::uint32_t rounds = test::rounds(1'000, 10);
    std::uint32_t random = 1;
    for (std::uint32_t round = 0; round < rounds; ++round) {
        executor_group group({.size = 3, .pinned = false, .idle = {}});
        std::atomic<int> ended = 0;
        for (std::uint32_t i = 0; i < 8; ++i) { group.spawn(i % 3, limited(wander(group, round * 8 + i, ended), i % 2 == 0)); }
        std::thread running([&] { group.run(); });
        linger(random, 300us);
        group.request_stop();
        running.join();
        CHECK(ended == 8);
    }
}

TEST_CASE("two threads that post and wake keep an executor that sleeps between them alive to every post") {
    const int rounds = static_cast<int>(test::rounds(20'000, 10));
    executor loop;
    std::atomic<int> answered = 0;
    std::atomic<bool> done = false;
    loop.spawn([&]() -> task<void> {
        while (!done) { static_cast<void>(co_await sleep_for(1h)); }
    });
    std::thread waker([&] {
        while (!done) {
            loop.wake();
            std::this_thread::yield();
        }
    });
    std::thread poster([&] {
        for (int i = 0; i < rounds; ++i) {
            loop.post([&] { ++answered; });
            while (answered.load() != i + 1) { std::this_thread::yield(); }
        }
        done = true;
        loop.request_stop();
    });
    loop.run();
    poster.join();
    waker.join();
    CHECK(answered == rounds);
}
