// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/detail/return_stack.hpp"

#include "fluxnet/xsk/memory/detail/outstanding_count.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

using fluxnet::detail::outstanding_count;
using fluxnet::detail::return_stack;

static_assert(!std::is_copy_constructible_v<return_stack> && !std::is_move_constructible_v<return_stack>);

namespace {

struct stack_fixture {
    std::vector<std::uint32_t> take() {
        std::vector<std::uint32_t> taken;
        const std::uint32_t count = stack.take_all([&](std::uint32_t number) { taken.push_back(number); });
        CHECK(count == taken.size());
        return taken;
    }
    bool push(std::uint32_t number) { return stack.push({number, number, 1}); }

    std::array<std::uint32_t, 8> links{};
    return_stack stack{links.data()};
    std::atomic<int> wakes = 0;

    fluxnet::detail::return_waker waker() {
        return {[](void* count) noexcept { ++*static_cast<std::atomic<int>*>(count); }, &wakes};
    }
};

}  // namespace

TEST_CASE("what is pushed is taken once, the last first") {
    stack_fixture f;
    CHECK(f.stack.idle());
    CHECK(f.take().empty());
    CHECK(f.push(3));
    CHECK(f.push(0));
    CHECK(f.push(7));
    CHECK_FALSE(f.stack.idle());
    CHECK(f.take() == std::vector<std::uint32_t>{7, 0, 3});
    CHECK(f.stack.idle());
    CHECK(f.take().empty());
}

TEST_CASE("a chain is pushed at once and lies on what was there") {
    stack_fixture f;
    CHECK(f.push(5));
    f.links[1] = 2 + 1;  // a link is a number plus one
    f.links[2] = 4 + 1;
    CHECK(f.stack.push({1, 4, 3}));
    CHECK(f.take() == std::vector<std::uint32_t>{1, 2, 4, 5});
}

TEST_CASE("the first push after hunger wakes the owner and later ones do not") {
    stack_fixture f;
    f.stack.set_waker(f.waker());
    CHECK(f.stack.publish_hungry());
    CHECK(f.stack.hungry());
    CHECK(f.push(1));
    CHECK(f.push(2));
    CHECK(f.wakes == 1);
    CHECK_FALSE(f.stack.hungry());
    CHECK_FALSE(f.stack.publish_hungry());
    CHECK(f.take() == std::vector<std::uint32_t>{2, 1});
    f.stack.settle();
}

TEST_CASE("hunger that is withdrawn or taken wakes nobody") {
    stack_fixture f;
    f.stack.set_waker(f.waker());
    CHECK(f.stack.publish_hungry());
    f.stack.withdraw_hungry();
    CHECK(f.stack.idle());
    CHECK(f.push(1));
    f.take();
    CHECK(f.stack.publish_hungry());
    CHECK(f.take().empty());
    CHECK(f.push(1));
    CHECK(f.wakes == 0);
}

TEST_CASE("a closed stack tells what was on it and takes nothing more") {
    stack_fixture f;
    CHECK(f.stack.publish_hungry());
    CHECK(f.push(1));
    CHECK(f.push(2));
    CHECK(f.stack.close() == 2);
    CHECK_FALSE(f.push(3));
    CHECK_FALSE(f.stack.push({4, 5, 2}));
}

TEST_CASE("memory that outlives its last handle is freed by exactly one thread, after everything has come back") {
    CHECK(outstanding_count().close(0));
    for (int round = 0; round < 200; ++round) {
        constexpr std::uint32_t things = 8;
        std::array<std::uint32_t, things> links{};
        auto memory = std::make_unique<std::array<int, things>>();
        return_stack stack(links.data());
        outstanding_count outstanding;
        std::atomic<int> freed = 0;
        const auto free_it = [&] {
            ++freed;
            memory.reset();
        };
        std::array<std::thread, 2> others;
        for (std::uint32_t t = 0; t < others.size(); ++t) {
            others[t] = std::thread([&, t] {
                for (std::uint32_t i = t; i < things; i += 2) {
                    (*memory)[i] = 1;
                    if (!stack.push({i, i, 1}) && outstanding.returned(1)) { free_it(); }
                }
            });
        }
        if (outstanding.close(things - std::int64_t{stack.close()})) { free_it(); }
        for (std::thread& each : others) { each.join(); }
        REQUIRE(freed == 1);
        REQUIRE(memory == nullptr);
    }
}
