// SPDX-License-Identifier: BSD-3-Clause
// Scopes whose children are elsewhere, or that are used where they cannot be.
#include "fluxnet/runtime/core/scope.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// An executor on a thread of its own.
class other_thread {
public:
    other_thread() : guard_(loop), thread_([this] { loop.run(); }) {}
    ~other_thread() {
        guard_.release();
        thread_.join();
    }
    executor loop;

private:
    executor::work_guard guard_;
    std::thread thread_;
};

/// Leaves a scope by an exception, at a moment when `ready` says so, with one child that runs `work`.
template <class Work>
task<void> leave_by_exception(Work work, std::atomic<bool>& ready) {
    scope children;
    children.spawn(std::move(work));
    while (!ready) { static_cast<void>(co_await yield()); }
    throw std::runtime_error("out");
}

}  // namespace

TEST_CASE("a child that computes on another executor comes home before its scope is destroyed") {
    other_thread there;
    auto alive = std::make_shared<int>(0);
    std::atomic<bool> computing = false;
    std::atomic<bool> ended = false;
    const auto compute = [&, alive]() -> task<void> {
        static_cast<void>(co_await schedule_on(there.loop));
        computing = true;
        std::this_thread::sleep_for(5ms);  // a computation that nothing interrupts
        ended = true;
    };
    CHECK_THROWS_AS(sync_wait(leave_by_exception(compute, computing)), std::runtime_error);
    CHECK(ended);
    CHECK(alive.use_count() == 2);  // ours, and that of the function object
}

TEST_CASE("a child that waits on another executor is cancelled there before its scope is destroyed") {
    other_thread there;
    std::atomic<bool> away = false;
    std::atomic<bool> canceled = false;
    const auto wait = [&]() -> task<void> {
        static_cast<void>(co_await schedule_on(there.loop));
        away = true;
        const wait_result slept = co_await sleep_for(1h);
        canceled = slept == errc::operation_canceled;
    };
    CHECK_THROWS_AS(sync_wait(leave_by_exception(wait, away)), std::runtime_error);
    CHECK(canceled);
}

TEST_CASE("a child under a time limit that is elsewhere comes home likewise") {
    other_thread there;
    std::atomic<bool> away = false;
    std::atomic<bool> canceled = false;
    const auto wait = [&]() -> task<void> {
        static_cast<void>(co_await timeout(1h, [](executor& to, std::atomic<bool>& gone) -> task<wait_result> {
            static_cast<void>(co_await schedule_on(to));
            gone = true;
            const wait_result slept = co_await sleep_for(1h);
            co_return slept;
        }(there.loop, away)));
        canceled = true;
    };
    CHECK_THROWS_AS(sync_wait(leave_by_exception(wait, away)), std::runtime_error);
    CHECK(away);
}

TEST_CASE("a child elsewhere may need its home's executor to come to an end") {
    executor home;
    other_thread there;
    std::atomic<bool> away = false;
    std::atomic<bool> back = false;
    const auto wait = [&]() -> task<void> {
        static_cast<void>(co_await schedule_on(there.loop));
        scope grandchildren;
        grandchildren.spawn([&]() -> task<void> {
            static_cast<void>(co_await schedule_on(home));
            away = true;
            const wait_result slept = co_await sleep_for(1h);  // cancelled here, on the thread that waits for its parent
            back = slept == errc::operation_canceled;
        });
        static_cast<void>(co_await grandchildren.join());
    };
    CHECK_THROWS_AS(sync_wait(home, leave_by_exception(wait, away)), std::runtime_error);
    CHECK(back);
}

TEST_CASE("children on executors that one thread drives in turn are destroyed where they are") {
    executor home;
    executor there;
    auto alive = std::make_shared<int>(0);
    bool away = false;
    static_cast<void>(there.poll());  // this thread drives it
    home.spawn([&, alive]() -> task<void> {
        scope children;
        children.spawn([&, alive]() -> task<void> {
            static_cast<void>(co_await schedule_on(there));
            away = true;
            static_cast<void>(co_await sleep_for(1h));
        });
        children.spawn([&, alive]() -> task<void> {
            static_cast<void>(co_await yield());
            static_cast<void>(co_await yield());
            static_cast<void>(co_await schedule_on(there));  // still on its way when the scope goes
        });
        while (!away) { static_cast<void>(co_await sleep_for(0ns)); }
        throw std::runtime_error("out");
    });
    bool thrown = false;
    while (!thrown) {
        try {
            static_cast<void>(home.poll());
            if (!away) { static_cast<void>(there.poll()); }
        } catch (const std::runtime_error&) { thrown = true; }
    }
    CHECK(alive.use_count() == 1);
    CHECK(there.tasks().empty());
}

TEST_CASE("scopes are left while children travel to and fro") {
    other_thread there;
    executor home;
    std::atomic<int> alive = 0;
    constexpr int rounds = 300;
    for (int round = 0; round < rounds; ++round) {
        const auto leave = [&]() -> task<void> {
            scope children;
            for (int i = 0; i < 4; ++i) {
                children.spawn([&]() -> task<void> {
                    const struct counted {
                        std::atomic<int>& of;
                        ~counted() { --of; }
                    } here{alive};
                    ++alive;
                    for (;;) {
                        const wait_result gone = co_await schedule_on(there.loop);
                        const wait_result came = co_await schedule_on(home);
                        if (gone || came) { co_return; }
                    }
                });
            }
            for (int i = 0; i < round % 7; ++i) { static_cast<void>(co_await yield()); }
            throw std::runtime_error("out");
        };
        CHECK_THROWS_AS(sync_wait(home, leave()), std::runtime_error);
        CHECK(alive == 0);
    }
}

TEST_CASE("a scope used outside an executor or on another than its children's throws by name") {
    scope nowhere;
    std::error_code code;
    try {
        nowhere.spawn([]() -> task<void> { co_return; });
    } catch (const std::system_error& failure) { code = failure.code(); }
    CHECK(code == errc::no_executor);
    other_thread there;
    std::error_code spawned;
    std::error_code joined;
    sync_wait([&]() -> task<void> {
        executor& home = *executor::current();
        scope children;
        children.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
        static_cast<void>(co_await schedule_on(there.loop));
        try {
            children.spawn([]() -> task<void> { co_return; });
        } catch (const std::system_error& failure) { spawned = failure.code(); }
        try {
            static_cast<void>(co_await children.join());
        } catch (const std::system_error& failure) { joined = failure.code(); }
        static_cast<void>(co_await schedule_on(home));
        children.request_stop();
        static_cast<void>(co_await children.join());
    }());
    CHECK(spawned == errc::wrong_executor);
    CHECK(joined == errc::wrong_executor);
}

TEST_CASE("joining nobody completes well also in a cancelled task, however often") {
    executor loop;
    bool all_well = true;
    loop.spawn([&]() -> task<void> {
        loop.request_stop();
        scope children;
        for (int i = 0; i < 10'000; ++i) {  // more than are completed at once in a turn
            const wait_result joined = co_await children.join();
            if (joined) { all_well = false; }
        }
    });
    loop.run();
    CHECK(all_well);
}

TEST_CASE("an executor whose tasks have scopes is destroyed inside a coroutine of another") {
    executor outer;
    auto alive = std::make_shared<int>(0);
    outer.spawn([&]() -> task<void> {
        auto inner = std::make_unique<executor>(idle_policy{}, reactor_kind::automatic, reactor_threads::changing);
        inner->spawn([alive]() -> task<void> {
            scope children;
            children.spawn([alive]() -> task<void> { static_cast<void>(co_await sleep_for(1h)); });
            static_cast<void>(co_await children.join());
        });
        std::thread([&] { static_cast<void>(inner->run_for(1ms)); }).join();
        CHECK(alive.use_count() > 1);
        inner->release();
        inner.reset();
        co_return;
    });
    outer.run();
    CHECK(alive.use_count() == 1);
}

TEST_CASE("a child that came back under a time limit from another executor leaves that one's timer in order") {
    other_thread there;
    executor home;
    std::atomic<bool> back = false;
    bool canceled = false;
    const auto wait = [&]() -> task<void> {
        static_cast<void>(co_await schedule_on(there.loop));
        static_cast<void>(co_await timeout(1h, [](executor& to, std::atomic<bool>& here, bool& ended) -> task<void> {
            static_cast<void>(co_await schedule_on(to));
            here = true;
            const wait_result slept = co_await sleep_for(1h);
            ended = slept == errc::operation_canceled;
        }(home, back, canceled)));
    };
    CHECK_THROWS_AS(sync_wait(home, leave_by_exception(wait, back)), std::runtime_error);
    CHECK(canceled);  // it had to go where the timer is first
}

TEST_CASE("a second coroutine that joins a scope is refused and takes nothing from the first") {
    executor loop;
    std::error_code early;
    std::error_code late;
    bool first_threw = false;
    loop.spawn([&]() -> task<void> {
        event go;
        scope children;
        children.spawn([&]() -> task<void> {
            static_cast<void>(co_await go.wait());
            throw std::runtime_error("failed on purpose");
        });
        scope joining;
        joining.spawn([&]() -> task<void> {
            try {
                static_cast<void>(co_await children.join());
            } catch (const std::runtime_error&) { first_threw = true; }
        });
        joining.spawn([&]() -> task<void> {
            early = co_await children.join();
            CHECK(children.running() == 1);
            go.set();
            static_cast<void>(co_await yield());  // the child ends; the first joins no more, but has not resumed
            late = co_await children.join();
        });
        static_cast<void>(co_await joining.join());
    });
    loop.run();
    CHECK(early == errc::handle_in_use);
    CHECK(late == errc::handle_in_use);
    CHECK(first_threw);
}
