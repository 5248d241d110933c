// SPDX-License-Identifier: BSD-3-Clause
#include "examples/bounded_store.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>

using namespace store_example;
using namespace std::chrono_literals;

namespace {

constexpr bounded_store::time_point begin{1000s};
constexpr bounded_store::time_point never = bounded_store::never;

std::string value_in(bounded_store& store, const std::string& key, bounded_store::time_point now) {
    const std::string* const found = store.find(key, now);
    return found == nullptr ? "(none)" : *found;
}

}  // namespace

TEST_CASE("a store has what was set last, and not what was erased") {
    bounded_store store;
    CHECK(value_in(store, "a", begin) == "(none)");
    CHECK(store.set("a", "1", never, begin));
    CHECK(store.set("a", "", never, begin));
    CHECK(value_in(store, "a", begin) == "");
    CHECK(store.set("b", std::string("\0\r\n", 3), never, begin));
    CHECK(value_in(store, "b", begin) == std::string("\0\r\n", 3));
    CHECK(store.erase("a", begin));
    CHECK_FALSE(store.erase("a", begin));
    CHECK(store.size() == 1);
    CHECK(store.erase("b", begin));
    CHECK(store.octets() == 0);
}

TEST_CASE("a key of a store is gone at its time for whoever asks, and not before") {
    bounded_store store;
    CHECK(store.set("a", "1", begin + 5ms, begin));
    CHECK(value_in(store, "a", begin + 5ms - 1ns) == "1");
    CHECK(store.size() == 1);
    CHECK(value_in(store, "a", begin + 5ms) == "(none)");
    CHECK(store.size() == 0);
    CHECK(store.set("b", "1", begin + 5ms, begin));
    CHECK_FALSE(store.erase("b", begin + 5ms));
    CHECK(store.set("c", "1", begin - 1s, begin));
    CHECK(value_in(store, "c", begin) == "(none)");
    CHECK(store.octets() == 0);
    CHECK_FALSE(store.next_expiry().has_value());
}

TEST_CASE("setting a key of a store anew puts its time anew") {
    bounded_store store;
    CHECK(store.expiry_of("a") == never);
    CHECK(store.set("a", "1", begin + 1s, begin));
    CHECK(store.set("a", "2", begin + 3s, begin));
    CHECK(store.next_expiry() == begin + 3s);
    CHECK(store.expiry_of("a") == begin + 3s);
    CHECK(store.expire(begin + 2s) == 0);
    CHECK(store.set("a", "3", never, begin));
    CHECK_FALSE(store.next_expiry().has_value());
    CHECK(value_in(store, "a", begin + 10s) == "3");
}

TEST_CASE("a store frees what has expired, the earliest first and as much as it is told") {
    bounded_store store;
    for (int i = 0; i != 10; ++i) { CHECK(store.set(std::to_string(i), "x", begin + i * 1s, begin - 1s)); }
    CHECK(store.expire(begin + 5s, 2) == 2);
    CHECK(store.next_expiry() == begin + 2s);
    CHECK(store.expire(begin + 5s) == 4);
    CHECK(store.size() == 4);
    CHECK(store.expire(begin + 5s) == 0);
}

TEST_CASE("a store takes no more keys and octets than its limits, and leaves the old value when a new one has no room") {
    bounded_store few({.keys = 2, .octets = 1'000'000});
    CHECK(few.set("a", "1", never, begin));
    CHECK(few.set("b", "1", begin + 1s, begin));
    CHECK_FALSE(few.set("c", "1", never, begin));
    CHECK(few.set("a", "2", never, begin));
    CHECK(few.set("c", "1", never, begin + 1s));  // b's time has come
    CHECK(few.size() == 2);

    bounded_store small({.keys = 100, .octets = 2 * bounded_store::overhead + 20});
    CHECK(small.set("a", std::string(9, 'x'), never, begin));
    CHECK(small.set("b", std::string(9, 'x'), never, begin));
    CHECK_FALSE(small.set("c", "", never, begin));
    CHECK_FALSE(small.set("a", std::string(10, 'y'), never, begin));
    CHECK(value_in(small, "a", begin) == "xxxxxxxxx");
    CHECK(small.set("a", "1", never, begin));
    CHECK(small.set("b", std::string(17, 'x'), never, begin));
    CHECK_FALSE(small.set("b", std::string(1000, 'x'), never, begin));
    CHECK(small.octets() == 2 * bounded_store::overhead + 20);
}

TEST_CASE("a store does what a plain map would, whatever is asked of it") {
    std::mt19937_64 draw(7);
    bounded_store store({.keys = 20, .octets = 20 * bounded_store::overhead + 600});
    std::map<std::string, std::pair<std::string, bounded_store::time_point>> plain;
    auto now = begin;
    for (int round = 0; round != 20'000; ++round) {
        now += std::chrono::milliseconds(draw() % 3);
        std::erase_if(plain, [&](const auto& each) { return each.second.second <= now; });
        const std::string key = std::to_string(draw() % 30);
        switch (draw() % 4) {
            case 0: {
                const std::string value(draw() % 100, static_cast<char>('a' + draw() % 26));
                const auto until = draw() % 2 == 0 ? never : now + std::chrono::milliseconds(draw() % 50);
                std::size_t octets = 0;
                for (const auto& [other, had] : plain) {
                    if (other != key) { octets += other.size() + had.first.size() + bounded_store::overhead; }
                }
                const bool fits =
                    (plain.contains(key) || plain.size() < 20) &&
                    octets + key.size() + value.size() + bounded_store::overhead <= 20 * bounded_store::overhead + 600;
                REQUIRE(store.set(key, value, until, now) == fits);
                if (fits) { plain[key] = {value, until}; }
                std::erase_if(plain, [&](const auto& each) { return each.second.second <= now; });
                break;
            }
            case 1: REQUIRE(store.erase(key, now) == (plain.erase(key) == 1)); break;
            case 2: REQUIRE(value_in(store, key, now) == (plain.contains(key) ? plain[key].first : "(none)")); break;
            default: static_cast<void>(store.expire(now, draw() % 3)); break;
        }
    }
    static_cast<void>(store.expire(now));
    CHECK(store.size() == plain.size());
}
