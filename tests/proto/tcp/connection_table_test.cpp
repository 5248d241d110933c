// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/connection_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

using namespace fluxnet::proto;
using tcp::connection_table;
using tcp::four_tuple;

namespace {

using table_secret = std::array<std::byte, 16>;

table_secret secret_of(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    table_secret octets;
    for (auto& octet : octets) { octet = static_cast<std::byte>(random()); }
    return octets;
}

detail::hash_key key_of_table(const table_secret& secret) {
    return detail::hash_key(secret);
}

const ipv4_address server(192, 0, 2, 1);

/// One of 2^48 names that a stranger may use toward port 80.
four_tuple stranger(std::uint64_t number) {
    return {server, 80, ipv4_address::from_host_order(static_cast<std::uint32_t>(number >> 16)),
            static_cast<std::uint16_t>(number)};
}

four_tuple stranger6(std::uint64_t number) {
    std::array<std::uint8_t, 16> octets{0x20, 0x01, 0x0d, 0xb8};
    for (std::size_t i = 0; i != 8; ++i) { octets[8 + i] = static_cast<std::uint8_t>(number >> (8 * i)); }
    return {*ipv6_address::parse("2001:db8::1"), 80, ipv6_address(octets), 443};
}

struct words_hash {
    std::size_t operator()(const four_tuple& name) const noexcept {
        const auto& w = name.words();
        return detail::hash_of({w[0], w[1], w[2], w[3], w[4]});
    }
};

}  // namespace

TEST_CASE("a table finds what was put in, and nothing else") {
    connection_table<int> table(4, secret_of(1));
    CHECK(table.find(stranger(1)) == nullptr);
    CHECK_FALSE(table.erase(stranger(1)));
    REQUIRE(table.insert(stranger(1), 7) != nullptr);
    REQUIRE(table.find(stranger(1)) != nullptr);
    CHECK(*table.find(stranger(1)) == 7);
    CHECK(table.find(stranger(2)) == nullptr);
    CHECK(table.find({server, 81, ipv4_address(), 1}) == nullptr);
    CHECK(table.erase(stranger(1)));
    CHECK(table.find(stranger(1)) == nullptr);
    CHECK(table.size() == 0);
}

TEST_CASE("a full table refuses, and takes again what it has room for after an erasure") {
    for (const std::size_t capacity : {1U, 2U, 3U, 100U}) {
        connection_table<std::size_t> table(capacity, secret_of(2));
        for (std::size_t i = 0; i != capacity; ++i) { CHECK(table.insert(stranger(i), i) != nullptr); }
        CHECK(table.is_full());
        CHECK(table.insert(stranger(capacity), 0) == nullptr);
        CHECK(table.erase(stranger(capacity / 2)));
        CHECK(table.insert(stranger(capacity), 0) != nullptr);
        CHECK(table.size() == capacity);
    }
}

TEST_CASE("an entry stays where it is while others come and go") {
    connection_table<int> table(1000, secret_of(3));
    int* const place = table.insert(stranger(0), 1);
    for (std::uint64_t round = 0; round != 3; ++round) {
        for (std::uint64_t i = 1; i != 1000; ++i) { CHECK(table.insert(stranger(i), 2) != nullptr); }
        for (std::uint64_t i = 1; i != 1000; ++i) { CHECK(table.erase(stranger(i))); }
    }
    CHECK(table.find(stranger(0)) == place);
    CHECK(*place == 1);
}

TEST_CASE("a table does what an unordered map does, with both versions of IP") {
    std::mt19937_64 random(4);
    constexpr std::size_t capacity = 3000;
    connection_table<std::uint64_t> table(capacity, secret_of(4));
    std::unordered_map<four_tuple, std::uint64_t, words_hash> model;
    std::size_t wrong = 0;
    for (int step = 0; step != 200'000; ++step) {
        const std::uint64_t number = random() % 4000;
        const four_tuple name = number % 2 == 0 ? stranger(number) : stranger6(number);
        std::uint64_t* const found = table.find(name);
        const auto expected = model.find(name);
        wrong += (found == nullptr) != (expected == model.end());
        if (found != nullptr && expected != model.end()) { wrong += *found != expected->second; }
        if (found == nullptr && random() % 2 == 0) {
            const std::uint64_t value = random();
            const bool added = table.insert(name, value) != nullptr;
            wrong += added != (model.size() < capacity);
            if (added) { model.emplace(name, value); }
        } else if (random() % 3 == 0) {
            wrong += table.erase(name) != (model.erase(name) == 1);
        }
        wrong += table.size() != model.size();
    }
    CHECK(wrong == 0);
    CHECK(model.size() > 1000);
}

TEST_CASE("no pattern of names makes long chains") {
    // 2^14 names in 2^15 buckets: with a random function the longest chain is about 7.
    constexpr std::size_t count = 1 << 14;
    const std::vector<std::pair<std::string, std::function<four_tuple(std::uint64_t)>>> patterns{
        {"ports of one host", stranger},
        {"hosts with one port", [](std::uint64_t i) { return stranger(i << 16 | 1024); }},
        {"hosts in the high octet", [](std::uint64_t i) { return stranger(i << 34); }},
        {"host and port alike", [](std::uint64_t i) { return stranger(i << 16 | i); }},
        {"low halves of IPv6 addresses", stranger6},
        {"high octets of IPv6 addresses", [](std::uint64_t i) { return stranger6(i << 40); }},
        {"local ports",
         [](std::uint64_t i) { return four_tuple(server, static_cast<std::uint16_t>(i), ipv4_address(10, 0, 0, 1), 80); }}};
    for (const auto& [text, pattern] : patterns) {
        for (std::uint64_t seed = 0; seed != 5; ++seed) {
            CAPTURE(text);
            connection_table<int> table(count, secret_of(seed));
            for (std::uint64_t i = 0; i != count; ++i) { REQUIRE(table.insert(pattern(i), 1) != nullptr); }
            CHECK(table.longest_chain() <= 14);
        }
    }
}

TEST_CASE("names that were chosen to share a bucket under one secret do not under another") {
    constexpr std::size_t count = 256;
    const tcp::detail::tuple_hash known(key_of_table(secret_of(5)));
    std::vector<four_tuple> chosen;
    for (std::uint64_t i = 0; chosen.size() != count; ++i) {
        if (known(stranger(i)) >> 23 == 0) { chosen.push_back(stranger(i)); }  // 2^9 buckets
    }
    connection_table<int> beaten(count, secret_of(5));
    for (const auto& name : chosen) { REQUIRE(beaten.insert(name, 1) != nullptr); }
    CHECK(beaten.longest_chain() == count);
    for (std::uint64_t seed = 6; seed != 16; ++seed) {
        connection_table<int> table(count, secret_of(seed));
        for (const auto& name : chosen) { REQUIRE(table.insert(name, 1) != nullptr); }
        CHECK(table.longest_chain() <= 8);
    }
}

TEST_CASE("two names that have one hash do not make a neighbouring pair have one") {
    const tcp::detail::tuple_hash hash(key_of_table(secret_of(7)));
    std::unordered_map<std::uint32_t, std::uint64_t> seen;
    std::size_t pairs = 0;
    std::size_t neighbours = 0;
    for (std::uint64_t i = 0; i != 1 << 18; ++i) {
        const std::uint32_t place = hash(stranger(i << 4)) >> 4;  // of 28 bits, so that there are pairs
        const auto [other, added] = seen.emplace(place, i);
        if (added) { continue; }
        ++pairs;
        neighbours += hash(stranger(i << 4 | 1)) >> 4 == hash(stranger(other->second << 4 | 1)) >> 4;
    }
    CHECK(pairs > 50);
    CHECK(neighbours <= 1);
}

TEST_CASE("a table tells its memory: 72 octets to a connection when the capacity is a power of 2") {
    const connection_table<void*> table(1 << 10, secret_of(8));
    CHECK(table.memory_bytes() == (1 << 10) * (64 + 8));
    CHECK(table.capacity() == 1 << 10);
}
