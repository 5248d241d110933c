// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/offload.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/support/log_recorder.hpp"

#include <doctest/doctest.h>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Holds functions back until it is opened. Shared with them, for those that are abandoned.
class gate {
public:
    void open() { promise_.set_value(); }
    void pass() { opened_.wait(); }

private:
    std::promise<void> promise_;
    std::shared_future<void> opened_{promise_.get_future()};
};

/// Waits until another thread has set `flag`, while the executor's other tasks run.
task<void> until(const std::atomic<bool>& flag) {
    while (!flag.load()) { static_cast<void>(co_await sleep_for(1ms)); }
}

}  // namespace

TEST_CASE("an offloaded function gives its value, from another thread, where the coroutine was") {
    executor loop;
    std::thread::id ran;
    int value = 0;
    loop.spawn([&]() -> task<void> {
        const auto function = [&ran] {
            ran = std::this_thread::get_id();
            return 7;
        };
        const result<int> ended = co_await offload(function);
        value = ended.value();
        CHECK(executor::current() == &loop);
    });
    loop.run();
    CHECK(value == 7);
    CHECK(ran != std::thread::id());
    CHECK(ran != std::this_thread::get_id());
}

TEST_CASE("an offloaded function may return nothing, or what can only be moved") {
    executor loop;
    bool ran = false;
    std::unique_ptr<int> value;
    loop.spawn([&]() -> task<void> {
        const result<void> nothing = co_await offload([&ran] { ran = true; });
        CHECK(nothing.has_value());
        result<std::unique_ptr<int>> moved = co_await offload([] { return std::make_unique<int>(3); });
        value = std::move(*moved);
    });
    loop.run();
    CHECK(ran);
    REQUIRE(value);
    CHECK(*value == 3);
}

TEST_CASE("what an offloaded function throws comes out of the await") {
    executor loop;
    std::string text;
    loop.spawn([&]() -> task<void> {
        try {
            static_cast<void>(co_await offload([]() -> int { throw std::runtime_error("no such page"); }));
        } catch (const std::runtime_error& thrown) { text = thrown.what(); }
    });
    loop.run();
    CHECK(text == "no such page");
}

TEST_CASE("many functions run on four threads at most, which block all signals and have a name") {
    executor loop;
    constexpr int many = 64;
    std::atomic<int> running = 0;
    std::atomic<int> most = 0;
    std::atomic<int> wrong = 0;
    const auto function = [&] {
        const int now = ++running;
        for (int seen = most.load(); seen < now && !most.compare_exchange_weak(seen, now);) {}
        sigset_t mask;
        char name[16];
        if (::pthread_sigmask(SIG_BLOCK, nullptr, &mask) != 0 || ::sigismember(&mask, SIGTERM) != 1 ||
            ::pthread_getname_np(::pthread_self(), name, sizeof name) != 0 || std::string(name) != "fluxnet-offload") {
            ++wrong;
        }
        std::this_thread::sleep_for(100us);
        --running;
    };
    int ended = 0;
    for (int i = 0; i < many; ++i) {
        loop.spawn([&]() -> task<void> {
            const result<void> done = co_await offload(function);
            if (done) { ++ended; }
        });
    }
    loop.run();
    CHECK(ended == many);
    CHECK(most.load() <= 4);
    CHECK(wrong.load() == 0);
    sigset_t mine;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mine) == 0);
    CHECK(::sigismember(&mine, SIGTERM) == 0);
}

TEST_CASE("a function that has not begun is withdrawn when its task is cancelled") {
    executor loop;
    gate closed;
    std::atomic<int> holding = 0;
    const auto hold = [&] {
        ++holding;
        closed.pass();
    };
    bool ran = false;
    std::error_code seen;
    std::stop_source source;
    for (int i = 0; i < 4; ++i) {
        loop.spawn([&]() -> task<void> { static_cast<void>(co_await offload(hold)); });
    }
    const auto wait = [&]() -> task<void> {
        const result<void> ended = co_await offload([&ran] { ran = true; });
        REQUIRE_FALSE(ended.has_value());
        seen = ended.error().code;
        CHECK_FALSE(ended.error().step.empty());
    };
    loop.spawn([&]() -> task<void> {
        while (holding.load() != 4) { static_cast<void>(co_await sleep_for(1ms)); }
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
        closed.open();
    });
    loop.spawn([&]() -> task<void> {
        while (holding.load() != 4) { static_cast<void>(co_await sleep_for(1ms)); }
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
    CHECK_FALSE(ran);
}

TEST_CASE("a function that runs is waited for when its task is cancelled, and gives its value") {
    executor loop;
    gate closed;
    std::atomic<bool> begun = false;
    std::stop_source source;
    int value = 0;
    const auto function = [&] {
        begun = true;
        closed.pass();
        return 5;
    };
    const auto wait = [&]() -> task<void> {
        const result<int> ended = co_await offload(function);
        value = ended.value();
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        co_await until(begun);
        source.request_stop();
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(value == 0);
        closed.open();
    });
    loop.run();
    CHECK(value == 5);
}

TEST_CASE("a function that may be abandoned is left at once when its task is cancelled") {
    const auto closed = std::make_shared<gate>();
    const auto begun = std::make_shared<std::atomic<bool>>(false);
    const auto ended = std::make_shared<std::atomic<bool>>(false);
    {
        executor loop;
        std::stop_source source;
        std::error_code seen;
        const auto wait = [&]() -> task<void> {
            auto function = [closed, begun, ended] {
                *begun = true;
                closed->pass();
                *ended = true;
                return std::string(100, 'x');
            };
            const result<std::string> left = co_await offload(std::move(function), when_canceled::abandons);
            REQUIRE_FALSE(left.has_value());
            seen = left.error().code;
        };
        loop.spawn([&]() -> task<void> {
            stoppable under = run_under(source.get_token(), wait());
            co_await under;
            CHECK_FALSE(ended->load());
            closed->open();
        });
        loop.spawn([&]() -> task<void> {
            co_await until(*begun);
            source.request_stop();
        });
        loop.run();
        CHECK(seen == errc::operation_canceled);
    }
    CHECK(ended->load());  // the executor's end has waited for it
    CHECK(ended.use_count() == 1);
}

TEST_CASE("the log hears the exception of a function that was left") {
    log_recorder log;
    const auto closed = std::make_shared<gate>();
    const auto begun = std::make_shared<std::atomic<bool>>(false);
    {
        executor loop;
        std::stop_source source;
        const auto wait = [&]() -> task<void> {
            auto function = [closed, begun] {
                *begun = true;
                closed->pass();
                throw std::runtime_error("too late");
            };
            const result<void> left = co_await offload(std::move(function), when_canceled::abandons);
            CHECK(left.error().code == errc::operation_canceled);
        };
        loop.spawn([&]() -> task<void> {
            stoppable under = run_under(source.get_token(), wait());
            co_await under;
            closed->open();
        });
        loop.spawn([&]() -> task<void> {
            co_await until(*begun);
            source.request_stop();
        });
        loop.run();
    }
    CHECK(log.count("exception: a function of offload(), after its task had left it: too late") == 1);
}

TEST_CASE("a coroutine is destroyed while its function runs, and the function is waited for") {
    gate closed;
    std::atomic<bool> begun = false;
    std::atomic<bool> ended = false;
    std::thread opener;
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            int local = 0;
            static_cast<void>(co_await offload([&] {
                begun = true;
                closed.pass();
                local = 1;
                ended = local == 1;
            }));
        });
        loop.spawn([&]() -> task<void> {
            co_await until(begun);
            loop.stop();
        });
        loop.run();
        opener = std::thread([&] {
            std::this_thread::sleep_for(2ms);
            closed.open();
        });
    }
    CHECK(ended.load());
    opener.join();
}

TEST_CASE("executors go while functions are queued, running and done") {
    for (int round = 0; round < 50; ++round) {
        std::atomic<int> ran = 0;
        executor loop;
        for (int i = 0; i < 12; ++i) {
            loop.spawn([&]() -> task<void> {
                const when_canceled then = ran.load() % 2 == 0 ? when_canceled::waits : when_canceled::abandons;
                static_cast<void>(co_await offload([] { std::this_thread::yield(); }, then));
                if (++ran == 1 + round % 12) { loop.stop(); }
            });
        }
        loop.run();
        CHECK(ran.load() >= 1);
    }
}

TEST_CASE("a stop from another thread races with the end of a function") {
    for (int round = 0; round < 100; ++round) {
        executor loop;
        int ended = 0;
        for (int i = 0; i < 6; ++i) {
            loop.spawn([&, i]() -> task<void> {
                const when_canceled then = i % 2 == 0 ? when_canceled::waits : when_canceled::abandons;
                const result<int> given = co_await offload([] { return 1; }, then);
                CHECK((given.has_value() || given.error().code == errc::operation_canceled));
                ++ended;
            });
        }
        std::thread other([&] { loop.request_stop(); });
        loop.run();
        other.join();
        CHECK(ended == 6);
    }
}

TEST_CASE("nothing is offloaded in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    std::error_code seen;
    bool ran = false;
    loop.spawn([&]() -> task<void> {
        const result<void> ended = co_await offload([&ran] { ran = true; });
        REQUIRE_FALSE(ended.has_value());
        seen = ended.error().code;
    });
    loop.run();
    CHECK(seen == errc::not_in_virtual_time);
    CHECK_FALSE(ran);
}
