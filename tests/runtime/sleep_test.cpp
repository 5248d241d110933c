// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/sleep.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<sleep_awaiter> && !std::is_move_constructible_v<sleep_awaiter>);
static_assert(sizeof(sleep_awaiter) <= 320);

namespace {

using clock_type = std::chrono::steady_clock;

}  // namespace

TEST_CASE("sleeps end in the order of their deadlines") {
    executor loop;
    std::vector<int> order;
    const auto begin = clock_type::now();
    for (const int ms : {8, 2, 6, 4}) {
        loop.spawn([&order, begin, ms]() -> task<void> {
            static_cast<void>(co_await sleep_until(begin + std::chrono::milliseconds(ms)));
            order.push_back(ms);
        });
    }
    loop.run();
    CHECK(order == std::vector<int>{2, 4, 6, 8});
}

TEST_CASE("sleeps with the same deadline end in the order in which they began") {
    executor loop;
    std::vector<int> order;
    const auto deadline = clock_type::now() + 5ms;
    for (int i = 0; i < 100; ++i) {
        loop.spawn([&order, deadline, i]() -> task<void> {
            static_cast<void>(co_await sleep_until(deadline));
            order.push_back(i);
        });
    }
    loop.run();
    REQUIRE(order.size() == 100);
    CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a sleep is not shorter than asked") {
    executor loop;
    std::vector<clock_type::duration> late;
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 21; ++i) {
            const auto start = clock_type::now();
            const std::error_code ec = co_await sleep_for(3ms);
            late.push_back(clock_type::now() - start - 3ms);
            CHECK_FALSE(ec);
        }
    });
    loop.run();
    std::sort(late.begin(), late.end());
    CHECK(late.front() >= 0ns);
}

TEST_CASE("a deadline of now or of the past completes in a later turn") {
    executor loop;
    std::vector<int> order;
    int failures = 0;
    loop.spawn([&]() -> task<void> {
        const std::error_code now = co_await sleep_for(0ns);
        order.push_back(2);
        const std::error_code before = co_await sleep_for(-1h);
        const std::error_code at_boot = co_await sleep_until(clock_type::time_point{});
        const std::error_code second_ago = co_await sleep_until(clock_type::now() - 1s);
        failures = (now ? 1 : 0) + (before ? 1 : 0) + (at_boot ? 1 : 0) + (second_ago ? 1 : 0);
        order.push_back(3);
    });
    loop.spawn([&]() -> task<void> {
        order.push_back(1);
        co_return;
    });
    loop.run();
    CHECK(order == std::vector<int>{1, 2, 3});
    CHECK(failures == 0);
}

TEST_CASE("the earliest time that can be named has passed") {
    executor loop;
    loop.spawn([]() -> task<void> {
        static_cast<void>(co_await sleep_until(clock_type::time_point::min()));
        static_cast<void>(co_await sleep_for(std::chrono::nanoseconds::min()));
    });
    loop.run();
}

TEST_CASE("the latest time that can be named does not come") {
    executor loop;
    std::vector<std::error_code> seen;
    loop.spawn([&]() -> task<void> { seen.push_back(co_await sleep_until(clock_type::time_point::max())); });
    loop.spawn([&]() -> task<void> { seen.push_back(co_await sleep_for(std::chrono::nanoseconds::max())); });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(5ms));
        CHECK(seen.empty());
        loop.request_stop();
    });
    loop.run();
    CHECK(seen == std::vector<std::error_code>{errc::operation_canceled, errc::operation_canceled});
}

TEST_CASE("a cancelled sleep ends at once with operation_canceled") {
    executor loop;
    std::stop_source source;
    std::error_code seen;
    const auto sleeper = [&]() -> task<void> { seen = co_await sleep_for(1h); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), sleeper());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
    CHECK(seen == std::errc::operation_canceled);
}

TEST_CASE("a sleep that begins under a stop that was requested ends in the next turn and others run before") {
    executor loop;
    std::stop_source source;
    source.request_stop();
    std::vector<int> order;
    const auto sleeper = [&]() -> task<void> {
        const std::error_code ec = co_await sleep_for(1h);
        CHECK(ec == errc::operation_canceled);
        order.push_back(1);
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), sleeper());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        order.push_back(2);
        co_return;
    });
    loop.run();
    CHECK(order == std::vector<int>{2, 1});
}

TEST_CASE("a stop that comes after the time and before the resumption changes nothing") {
    executor loop;
    std::stop_source source;
    std::error_code seen = errc::closed;
    // Both timers fire in the same turn, and the task that requests the stop is resumed first.
    const auto deadline = clock_type::now() + 3ms;
    const auto sleeper = [&]() -> task<void> { seen = co_await sleep_until(deadline); };
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_until(deadline));
        source.request_stop();
    });
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), sleeper());
        co_await under;
    });
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("ten thousand timers fire once each and never early") {
    executor loop;
    const auto start = clock_type::now();
    std::uint32_t random = 1;
    int fired = 0;
    int early = 0;
    clock_type::time_point last{};
    int out_of_order = 0;
    for (int i = 0; i < 10'000; ++i) {
        random = random * 1664525U + 1013904223U;
        const auto deadline = start + std::chrono::microseconds(random >> 12 & 0x3fff);
        loop.spawn([&, deadline]() -> task<void> {
            static_cast<void>(co_await sleep_until(deadline));
            ++fired;
            if (clock_type::now() < deadline) { ++early; }
            if (deadline < last && last - deadline > 20ms) { ++out_of_order; }
            last = std::max(last, deadline);
        });
    }
    loop.run();
    CHECK(fired == 10'000);
    CHECK(early == 0);
    CHECK(out_of_order == 0);
}

TEST_CASE("ten thousand sleeps are cancelled by one request") {
    executor loop;
    int cancelled = 0;
    for (int i = 0; i < 10'000; ++i) {
        loop.spawn([&cancelled]() -> task<void> {
            const std::error_code ec = co_await sleep_for(1h);
            if (ec == errc::operation_canceled) { ++cancelled; }
        });
    }
    loop.spawn([&loop]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        loop.request_stop();
    });
    loop.run();
    CHECK(cancelled == 10'000);
}
