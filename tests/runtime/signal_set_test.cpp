// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/signal_set.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<signal_set> && !std::is_move_constructible_v<signal_set>);

namespace {

bool blocked(int number) {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return ::sigismember(&mask, number) == 1;
}

}  // namespace

TEST_CASE("a raised signal completes next with its number") {
    executor loop;
    signal_set signals{SIGUSR1, SIGUSR2};
    ::raise(SIGUSR2);
    CHECK(sync_wait(loop, signals.next()) == SIGUSR2);
}

TEST_CASE("a coroutine sleeps until a signal is sent to the process") {
    executor loop;
    signal_set signals{SIGUSR1, SIGUSR2};
    std::vector<int> seen;
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 3; ++i) { seen.push_back(co_await signals.next()); }
    });
    loop.spawn([]() -> task<void> {
        for (const int number : {SIGUSR1, SIGUSR2, SIGUSR1}) {
            static_cast<void>(co_await sleep_for(2ms));
            ::kill(::getpid(), number);
        }
    });
    loop.run();
    CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR2, SIGUSR1});
}

TEST_CASE("the signals of a set are blocked while it lives and restored afterwards") {
    CHECK_FALSE(blocked(SIGUSR1));
    {
        const signal_set signals{SIGUSR1};
        CHECK(blocked(SIGUSR1));
        CHECK_FALSE(blocked(SIGUSR2));
    }
    CHECK_FALSE(blocked(SIGUSR1));
}

TEST_CASE("a signal that was blocked before stays blocked after the set") {
    sigset_t mask;
    sigset_t former;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mask, &former) == 0);
    { const signal_set signals{SIGUSR1, SIGUSR2}; }
    CHECK(blocked(SIGUSR1));
    CHECK_FALSE(blocked(SIGUSR2));
    ::pthread_sigmask(SIG_SETMASK, &former, nullptr);  // for the cases that run in this process afterwards
}

TEST_CASE("sets with different signals may end in any order") {
    std::optional<signal_set> first;
    std::optional<signal_set> second;
    first.emplace({SIGUSR1});
    second.emplace({SIGUSR2});
    first.reset();
    CHECK_FALSE(blocked(SIGUSR1));
    CHECK(blocked(SIGUSR2));
    second.reset();
    CHECK_FALSE(blocked(SIGUSR1));
    CHECK_FALSE(blocked(SIGUSR2));
}

TEST_CASE("a cancelled wait for a signal gives 0 and the set goes on") {
    executor loop;
    signal_set signals{SIGUSR1};
    std::stop_source source;
    std::vector<int> seen;
    const auto wait = [&]() -> task<void> { seen.push_back(co_await signals.next()); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
        co_await wait();
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        static_cast<void>(co_await sleep_for(2ms));
        ::raise(SIGUSR1);
    });
    loop.run();
    CHECK(seen == std::vector<int>{0, SIGUSR1});
}

TEST_CASE("a set of no signals waits until it is cancelled") {
    executor loop;
    signal_set signals{};
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        loop.request_stop();
    });
    CHECK(sync_wait(loop, signals.next()) == 0);
}
