// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/task.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/stack_span.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_default_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>> && std::is_nothrow_move_assignable_v<task<int>>);
static_assert(!std::is_copy_constructible_v<task<int>> && !std::is_copy_assignable_v<task<int>>);
static_assert(sizeof(task<std::string>) == sizeof(void*));

namespace {

/// Counts how many of its kind exist; moved-from ones do not count.
class tracked {
public:
    explicit tracked(int& alive) noexcept : alive_(&alive) { ++alive; }
    tracked(tracked&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
    tracked& operator=(tracked&&) = delete;
    ~tracked() {
        if (alive_ != nullptr) { --*alive_; }
    }

private:
    int* alive_;
};

task<int> seven() {
    co_return 7;
}

task<void> noted_and_failing(stack_span& stack) {
    stack.note();
    throw std::runtime_error("child");
    co_return;
}

task<std::uint64_t> count_down(unsigned depth, stack_span& stack) {
    stack.note();
    if (depth == 0) { co_return 0; }
    const std::uint64_t below = co_await count_down(depth - 1, stack);
    stack.note();
    co_return below + 1;
}

}  // namespace

TEST_CASE("a task returns its value to its awaiter") {
    executor loop;
    CHECK(sync_wait(loop, seven()) == 7);
}

TEST_CASE("a value that can only be moved reaches the awaiter") {
    executor loop;
    const auto make = [](int value) -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(value); };
    const std::unique_ptr<int> made = sync_wait(loop, make(3));
    REQUIRE(made != nullptr);
    CHECK(*made == 3);
}

TEST_CASE("a value is moved and never copied on its way") {
    struct counted {
        int moves = 0;
        counted() = default;
        counted(counted&& other) noexcept : moves(other.moves + 1) {}
        counted(const counted&) = delete;
        counted& operator=(counted&&) = delete;
    };
    executor loop;
    int moves = -1;
    loop.spawn([&]() -> task<void> {
        const auto make = []() -> task<counted> { co_return counted{}; };
        const counted got = co_await make();
        moves = got.moves;
    });
    loop.run();
    CHECK(moves == 2);
}

TEST_CASE("a reference in a parameter stays the reference that was given") {
    executor loop;
    std::string text = "a";
    const auto append = [](std::string& to) -> task<void> {
        to += 'b';
        co_return;
    };
    loop.spawn([&]() -> task<void> { co_await append(text); });
    loop.run();
    CHECK(text == "ab");
}

TEST_CASE("an exception travels to the awaiter and can be caught there") {
    executor loop;
    std::string caught;
    loop.spawn([&]() -> task<void> {
        const auto fail = []() -> task<int> {
            throw std::runtime_error("from below");
            co_return 0;
        };
        try {
            static_cast<void>(co_await fail());
        } catch (const std::runtime_error& failure) { caught = failure.what(); }
    });
    loop.run();
    CHECK(caught == "from below");
}

TEST_CASE("an exception passes through tasks that do not catch it and unwinds their locals") {
    executor loop;
    int alive = 0;
    int alive_when_caught = -1;
    const auto fail = []() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        throw std::logic_error("deep");
    };
    const auto pass = [&]() -> task<void> {
        const tracked local(alive);
        co_await fail();
    };
    loop.spawn([&]() -> task<void> {
        try {
            co_await pass();
        } catch (const std::logic_error&) { alive_when_caught = alive; }
    });
    loop.run();
    CHECK(alive_when_caught == 0);
}

TEST_CASE("a task that is never awaited does not run and lets go of its arguments") {
    int alive = 0;
    bool ran = false;
    {
        const auto body = [&ran](tracked) -> task<void> {
            ran = true;
            co_return;
        };
        const task<void> unstarted = body(tracked(alive));
        CHECK(alive == 1);
        CHECK(static_cast<bool>(unstarted));
    }
    CHECK(alive == 0);
    CHECK_FALSE(ran);
}

TEST_CASE("a task that is destroyed while suspended destroys the tasks that it awaits") {
    int alive = 0;
    std::vector<int> order;
    const auto inner = [&]() -> task<void> {
        const tracked local(alive);
        co_await never();
    };
    const auto outer = [&]() -> task<void> {
        const tracked local(alive);
        co_await inner();
    };
    {
        executor loop;
        loop.spawn(outer());
        loop.spawn([&]() -> task<void> {
            co_await requeue();
            loop.stop();
            co_await never();
        });
        loop.run();
        CHECK(alive == 2);
    }
    CHECK(alive == 0);
}

TEST_CASE("moving a task hands its coroutine over") {
    executor loop;
    task<int> first = seven();
    task<int> second = std::move(first);
    CHECK_FALSE(static_cast<bool>(first));
    CHECK(static_cast<bool>(second));
    task<int> third;
    third = std::move(second);
    CHECK(sync_wait(loop, std::move(third)) == 7);
}

TEST_CASE("the stop token of the executor flows down through every await") {
    executor loop;
    const std::stop_token* seen[3] = {};
    const auto inner = [&]() -> task<void> { seen[2] = co_await given_token(); };
    const auto outer = [&]() -> task<void> {
        seen[1] = co_await given_token();
        co_await inner();
    };
    bool equal = false;
    loop.spawn([&]() -> task<void> {
        seen[0] = co_await given_token();
        equal = seen[0] != nullptr && *seen[0] == loop.stop_token();
        co_await outer();
    });
    loop.run();
    CHECK(equal);
    CHECK(seen[0] == seen[1]);
    CHECK(seen[1] == seen[2]);
}

TEST_CASE("a stop token that a coroutine brings flows down instead of the executor's") {
    executor loop;
    std::stop_source source;
    bool ours = false;
    const auto inner = [&]() -> task<void> {
        const std::stop_token* const token = co_await given_token();
        ours = token != nullptr && *token == source.get_token();
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), inner());
        co_await under;
    });
    loop.run();
    CHECK(ours);
}

TEST_CASE("a hundred thousand awaited tasks that throw keep the stack flat") {
    executor loop;
    stack_span stack;
    unsigned caught = 0;
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 100'000; ++i) {
            try {
                co_await noted_and_failing(stack);
            } catch (const std::runtime_error&) { ++caught; }
        }
    });
    loop.run();
    CHECK(caught == 100'000);
    CHECK(stack.bytes() < flat_stack);
}

TEST_CASE("tasks a thousand deep return through all their awaiters") {
    executor loop;
    stack_span stack;
    CHECK(sync_wait(loop, count_down(1000, stack)) == 1000);
    MESSAGE("stack used: ", stack.bytes(), " bytes for a thousand levels");
}

TEST_CASE("a task that took the detour through the ready queue still returns its value in order") {
    executor loop;
    std::vector<int> order;
    for (int name = 0; name < 2; ++name) {
        loop.spawn([&order, name]() -> task<void> {
            for (int i = 0; i < 1000; ++i) {
                const int value = co_await [](int v) -> task<int> { co_return v; }(i);
                if (value != i) { order.push_back(-1); }
            }
            order.push_back(name);
        });
    }
    loop.run();
    CHECK(order == std::vector<int>{0, 1});
}

namespace {

/// Notes the order and the stack of destructors.
struct noted_end {
    stack_span& stack;
    std::vector<int>* order;
    int depth;
    ~noted_end() {
        stack.note();
        if (order != nullptr) { order->push_back(depth); }
    }
};

task<int> descend(int depth, stack_span& stack, std::vector<int>* order) {
    const noted_end here{stack, order, depth};
    if (depth == 0) {
        static_cast<void>(co_await sleep_for(std::chrono::hours(1)));
        co_return 0;
    }
    task<int> deeper = descend(depth - 1, stack, order);
    const int below = co_await deeper;
    co_return below + 1;
}

}  // namespace

TEST_CASE("a long chain of tasks that waits is destroyed without a deep stack") {
    stack_span stack;
    {
        executor loop;
        loop.spawn(descend(100'000, stack, nullptr));
        CHECK(loop.run_for(std::chrono::milliseconds(0)));
        while (loop.tasks().front().awaiting.empty()) { static_cast<void>(loop.poll()); }
        stack = {};
    }
    CHECK(stack.highest > 0);  // destructors ran
    CHECK(stack.bytes() < flat_stack);
}

TEST_CASE("a long chain of tasks under time limits is destroyed without a deep stack") {
    stack_span stack;
    struct chain {
        static task<int> of(int depth, stack_span& noted) {
            const noted_end here{noted, nullptr, depth};
            if (depth == 0) {
                static_cast<void>(co_await sleep_for(std::chrono::hours(1)));
                co_return 0;
            }
            auto limited = timeout(std::chrono::hours(1), of(depth - 1, noted));
            const timed<int> below = co_await limited;
            co_return below.value + 1;
        }
    };
    {
        executor loop;
        loop.spawn(chain::of(20'000, stack));
        CHECK(loop.run_for(std::chrono::milliseconds(0)));
        while (std::ranges::none_of(loop.tasks(), [](const task_info& each) { return each.awaiting == "sleep"; })) {
            static_cast<void>(loop.poll());
        }
        stack = {};
    }
    CHECK(stack.highest > 0);  // destructors ran
    CHECK(stack.bytes() < flat_stack);
}

TEST_CASE("the frames of a chain that waits go from the innermost outwards") {
    stack_span stack;
    std::vector<int> order;
    {
        executor loop;
        loop.spawn(descend(3, stack, &order));
        CHECK(loop.run_for(std::chrono::milliseconds(0)));
    }
    CHECK(order == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("a task that is destroyed while another coroutine awaits it leaves that one waiting") {
    executor loop;
    stack_span stack;
    auto inner = std::make_unique<task<int>>(descend(2, stack, nullptr));
    loop.spawn([](task<int>& awaited) -> task<void> { static_cast<void>(co_await awaited); }(*inner));
    CHECK(loop.run_for(std::chrono::milliseconds(0)));
    inner.reset();
    CHECK(loop.tasks().size() == 1);
    loop.discard_tasks();
    CHECK(loop.tasks().empty());
}
