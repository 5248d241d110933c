// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/timer_wheel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <type_traits>
#include <vector>

using fluxnet::proto::tcp::timer_node;
using fluxnet::proto::tcp::timer_wheel;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<timer_wheel> && !std::is_copy_constructible_v<timer_node>);

namespace {

using wheel_time = timer_wheel::time_point;

const wheel_time wheel_start{5s};

std::vector<timer_node*> due_at(timer_wheel& wheel, wheel_time now) {
    std::vector<timer_node*> due;
    wheel.advance(now, [&](timer_node& node) { due.push_back(&node); });
    return due;
}

/// Sleeps as the wheel says until something is due; gives the times of waking.
std::vector<wheel_time> wake_until_due(timer_wheel& wheel) {
    std::vector<wheel_time> wakes;
    for (bool found = false; !found;) {
        const auto next = wheel.next_deadline();
        REQUIRE(next);
        wakes.push_back(*next);
        wheel.advance(*next, [&](timer_node&) { found = true; });
    }
    return wakes;
}

/// What the randomised test compares the wheel with.
struct wheel_model {
    std::multimap<wheel_time, std::size_t> queue;
    std::vector<std::optional<wheel_time>> when;

    void insert(std::size_t index, wheel_time rounded) {
        queue.emplace(rounded, index);
        when[index] = rounded;
    }
    void remove(std::size_t index) {
        if (!when[index]) { return; }
        auto place = queue.lower_bound(*when[index]);
        while (place->second != index) { ++place; }
        queue.erase(place);
        when[index].reset();
    }
};

}  // namespace

TEST_CASE("a node comes due at its deadline or less than a tick later, and never before") {
    timer_wheel wheel(wheel_start);
    CHECK_FALSE(wheel.next_deadline());
    for (const std::chrono::nanoseconds wait : {1ns, 4095ns, 4096ns, 4097ns, 50'000ns, 1'000'000ns, 200'000'000ns,
                                                60'000'000'000ns, 86'400'000'000'001ns, 40'000'000'000'000'003ns}) {
        CAPTURE(wait.count());
        timer_wheel fresh(wheel_start);
        timer_node node;
        const wheel_time deadline = wheel_start + wait;
        fresh.insert(node, deadline);
        REQUIRE(node.is_linked());
        CHECK(due_at(fresh, deadline - 1ns).empty());
        const wheel_time rounded = fresh.deadline(node);
        CHECK(rounded >= deadline);
        CHECK(rounded < deadline + timer_wheel::tick);
        CHECK(due_at(fresh, rounded - 1ns).empty());
        CHECK(fresh.next_deadline() == rounded);
        CHECK(due_at(fresh, rounded).size() == 1);
        CHECK_FALSE(node.is_linked());
        CHECK(fresh.is_empty());
    }
}

TEST_CASE("a deadline that has passed is due at once, also one before the wheel was made") {
    timer_wheel wheel(wheel_start);
    timer_node first;
    timer_node second;
    CHECK(due_at(wheel, wheel_start + 1s).empty());
    wheel.insert(first, wheel_start - 1h);
    wheel.insert(second, wheel_time::min());
    CHECK(*wheel.next_deadline() <= wheel_start + 1s);
    CHECK(due_at(wheel, wheel_start + 1s).size() == 2);
}

TEST_CASE("the ends of the clock are deadlines like any other") {
    for (const wheel_time start : {wheel_time::min(), wheel_time{}, wheel_time::max() - 1ns}) {
        timer_wheel wheel(start);
        timer_node node;
        wheel.insert(node, wheel_time::max());
        CHECK(due_at(wheel, wheel_time::max() - 1h).empty());
        CHECK(wheel.next_deadline() == wheel_time::max());
        wheel.remove(node);
        CHECK(wheel.is_empty());
    }
}

TEST_CASE("a time that goes back changes nothing") {
    timer_wheel wheel(wheel_start);
    timer_node node;
    CHECK(due_at(wheel, wheel_start + 10s).empty());
    wheel.insert(node, wheel_start + 11s);
    CHECK(due_at(wheel, wheel_start).empty());
    CHECK(due_at(wheel, wheel_start + 12s).size() == 1);
}

TEST_CASE("a lone node is waited for without a wake-up in between") {
    timer_wheel wheel(wheel_start);
    timer_node node;
    wheel.insert(node, wheel_start + 24h);
    CHECK(wake_until_due(wheel).size() == 1);
}

TEST_CASE("a crowd of nodes costs one early wake-up at most for each level") {
    timer_wheel wheel(wheel_start);
    std::vector<timer_node> nodes(100);
    for (auto& node : nodes) { wheel.insert(node, wheel_start + 24h); }
    const auto wakes = wake_until_due(wheel);
    CHECK(wakes.size() <= 6);  // 24 h are less than 64^6 ticks
    CHECK(wakes.back() >= wheel_start + 24h);
    CHECK(wheel.is_empty());
}

TEST_CASE("arm() leaves a node that is due early enough, and moves one that is due too late") {
    timer_wheel wheel(wheel_start);
    timer_node node;
    wheel.arm(node, wheel_start + 1s);
    const wheel_time before = wheel.deadline(node);
    wheel.arm(node, wheel_start + 2s);
    CHECK(wheel.deadline(node) == before);
    wheel.arm(node, wheel_start + 1ms);
    CHECK(wheel.deadline(node) < wheel_start + 2ms);
    wheel.remove(node);
    wheel.remove(node);
    CHECK_FALSE(node.is_linked());
}

TEST_CASE("a node that is put in again while nodes come due is not due in the same call") {
    timer_wheel wheel(wheel_start);
    timer_node node;
    wheel.insert(node, wheel_start + 1ms);
    int calls = 0;
    const auto again = [&](timer_node& due) {
        ++calls;
        wheel.insert(due, wheel_start);
    };
    wheel.advance(wheel_start + 1s, again);
    CHECK(calls == 1);
    wheel.advance(wheel_start + 1s, again);
    CHECK(calls == 1);
    CHECK(*wheel.next_deadline() <= wheel_start + 1s + timer_wheel::tick);
    wheel.advance(wheel_start + 2s, again);
    CHECK(calls == 2);
    wheel.remove(node);
}

TEST_CASE("nodes after one whose handler throws come due in the next call") {
    timer_wheel wheel(wheel_start);
    std::array<timer_node, 3> nodes;
    for (auto& node : nodes) { wheel.insert(node, wheel_start + 1ms); }
    CHECK_THROWS(wheel.advance(wheel_start + 1s, [](timer_node&) { throw 1; }));
    CHECK(due_at(wheel, wheel_start + 1s).size() == 2);
    CHECK(wheel.is_empty());
}

TEST_CASE("a node may be taken out while another one of the same tick, or of a later one, comes due") {
    timer_wheel wheel(wheel_start);
    std::array<timer_node, 8> nodes;
    for (std::size_t i = 0; i != nodes.size(); ++i) {
        wheel.insert(nodes[i], wheel_start + 1s + 10ms * static_cast<int>(i / 4));
    }
    int calls = 0;
    wheel.advance(wheel_start + 2s, [&](timer_node&) {
        if (++calls == 2) {
            for (auto& node : nodes) { wheel.remove(node); }
        }
    });
    CHECK(calls == 2);
    CHECK(wheel.is_empty());
}

TEST_CASE("nodes come due by ticks in order, whatever the jump") {
    timer_wheel wheel(wheel_start);
    std::mt19937_64 random(3);
    std::vector<timer_node> nodes(500);
    std::vector<wheel_time> when;
    for (auto& node : nodes) {
        wheel.insert(node, wheel_start + std::chrono::nanoseconds(random() >> (20 + random() % 40)));
        when.push_back(wheel.deadline(node));
    }
    std::vector<wheel_time> seen;
    wheel.advance(wheel_time::max(),
                  [&](timer_node& node) { seen.push_back(when[static_cast<std::size_t>(&node - nodes.data())]); });
    CHECK(seen.size() == nodes.size());
    CHECK(std::ranges::is_sorted(seen));
}

TEST_CASE("a wheel does what a multimap of deadlines does, over jumps of all lengths") {
    for (const unsigned seed : {1U, 2U, 3U, 4U}) {
        std::mt19937_64 random(seed);
        timer_wheel wheel(wheel_start);
        constexpr std::size_t count = 200;
        std::vector<timer_node> nodes(count);
        wheel_model model{{}, std::vector<std::optional<wheel_time>>(count)};
        wheel_time now = wheel_start;
        const auto length = [&](int shift) {
            return std::chrono::nanoseconds(random() >> (shift + static_cast<int>(random() % 40)));
        };
        const auto insert = [&](std::size_t index) {
            wheel.insert(nodes[index], now + length(18) - 1ms);
            model.insert(index, wheel.deadline(nodes[index]));
        };
        std::size_t wrong = 0;
        for (int step = 0; step != 20'000; ++step) {
            const std::size_t index = random() % count;
            if (random() % 3 != 0) {
                if (nodes[index].is_linked()) {
                    wheel.remove(nodes[index]);
                    model.remove(index);
                } else {
                    insert(index);
                }
                continue;
            }
            const auto next = wheel.next_deadline();
            wrong += next.has_value() != !model.queue.empty();
            if (next) { wrong += *next > model.queue.begin()->first; }
            now = next && random() % 2 == 0 ? std::max(now, *next) : now + length(22);
            const std::size_t expected =
                static_cast<std::size_t>(std::distance(model.queue.begin(), model.queue.upper_bound(now)));
            std::size_t due = 0;
            wheel.advance(now, [&](timer_node& node) {
                const auto found = static_cast<std::size_t>(&node - nodes.data());
                wrong += !model.when[found] || *model.when[found] > now;
                ++due;
                model.remove(found);
            });
            wrong += due != expected;
            if (!model.queue.empty()) { wrong += model.queue.begin()->first <= now; }
        }
        CHECK(wrong == 0);
        for (auto& node : nodes) { wheel.remove(node); }
        CHECK(wheel.is_empty());
    }
}
