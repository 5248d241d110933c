// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/connection_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
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

/// Places with names, as a stack has them; the first free one is taken next.
class named_places {
public:
    named_places(std::size_t capacity, const table_secret& secret) : table(capacity, secret), names_(capacity) {
        for (std::size_t i = capacity; i != 0; --i) { free_.push_back(static_cast<std::uint32_t>(i - 1)); }
    }

    [[nodiscard]] std::optional<std::uint32_t> find(const four_tuple& name) const {
        return table.find(name, [this](std::uint32_t place) -> const four_tuple& { return names_[place]; });
    }
    /// Nothing when all places are taken.
    std::optional<std::uint32_t> insert(const four_tuple& name) {
        if (free_.empty()) { return std::nullopt; }
        const std::uint32_t place = free_.back();
        free_.pop_back();
        names_[place] = name;
        table.insert(name, place);
        return place;
    }
    bool erase(const four_tuple& name) {
        const auto place = find(name);
        if (!place || !table.erase(name, *place)) { return false; }
        free_.push_back(*place);
        return true;
    }

    connection_table table;

private:
    std::vector<four_tuple> names_;
    std::vector<std::uint32_t> free_;
};

struct words_hash {
    std::size_t operator()(const four_tuple& name) const noexcept {
        const auto& w = name.words();
        return detail::hash_of({w[0], w[1], w[2], w[3], w[4]});
    }
};

}  // namespace

TEST_CASE("a table finds what was put in, and nothing else") {
    named_places all(4, secret_of(1));
    CHECK_FALSE(all.find(stranger(1)));
    const auto place = all.insert(stranger(1));
    REQUIRE(place.has_value());
    CHECK(all.find(stranger(1)) == place);
    CHECK_FALSE(all.find(stranger(2)));
    CHECK_FALSE(all.find({server, 81, ipv4_address(), 1}));
    CHECK_FALSE(all.table.erase(stranger(1), *place + 1));
    CHECK_FALSE(all.table.erase(stranger(2), *place + 1));
    CHECK(all.table.size() == 1);
    CHECK(all.erase(stranger(1)));
    CHECK_FALSE(all.find(stranger(1)));
    CHECK(all.table.size() == 0);
}

TEST_CASE("a table has room for all its places, and for others after an erasure") {
    for (const std::size_t capacity : {1U, 2U, 3U, 100U}) {
        named_places all(capacity, secret_of(2));
        for (std::size_t i = 0; i != capacity; ++i) { CHECK(all.insert(stranger(i)).has_value()); }
        CHECK(all.table.size() == all.table.capacity());
        CHECK(all.erase(stranger(capacity / 2)));
        CHECK(all.insert(stranger(capacity)).has_value());
        CHECK(all.find(stranger(capacity)).has_value());
        CHECK(all.table.size() == capacity);
    }
}

TEST_CASE("a name keeps its place while others come and go") {
    named_places all(1000, secret_of(3));
    const auto place = all.insert(stranger(0));
    for (std::uint64_t round = 0; round != 3; ++round) {
        for (std::uint64_t i = 1; i != 1000; ++i) { CHECK(all.insert(stranger(i)).has_value()); }
        for (std::uint64_t i = 1; i != 1000; ++i) { CHECK(all.erase(stranger(i))); }
    }
    CHECK(all.find(stranger(0)) == place);
}

TEST_CASE("a table does what an unordered map does, with both versions of IP") {
    std::mt19937_64 random(4);
    constexpr std::size_t capacity = 3000;
    named_places all(capacity, secret_of(4));
    std::unordered_map<four_tuple, std::uint32_t, words_hash> model;
    std::size_t wrong = 0;
    for (int step = 0; step != 200'000; ++step) {
        const std::uint64_t number = random() % 4000;
        const four_tuple name = number % 2 == 0 ? stranger(number) : stranger6(number);
        const auto found = all.find(name);
        const auto expected = model.find(name);
        wrong += found.has_value() != (expected != model.end());
        if (found && expected != model.end()) { wrong += *found != expected->second; }
        if (!found && random() % 2 == 0) {
            const auto place = all.insert(name);
            wrong += place.has_value() != (model.size() < capacity);
            if (place) { model.emplace(name, *place); }
        } else if (random() % 3 == 0) {
            wrong += all.erase(name) != (model.erase(name) == 1);
        }
        wrong += all.table.size() != model.size();
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
            connection_table table(count, secret_of(seed));
            for (std::uint32_t i = 0; i != count; ++i) { table.insert(pattern(i), i); }
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
    connection_table beaten(count, secret_of(5));
    for (std::uint32_t i = 0; i != count; ++i) { beaten.insert(chosen[i], i); }
    CHECK(beaten.longest_chain() == count);
    for (std::uint64_t seed = 6; seed != 16; ++seed) {
        connection_table table(count, secret_of(seed));
        for (std::uint32_t i = 0; i != count; ++i) { table.insert(chosen[i], i); }
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

TEST_CASE("a table tells its memory: 16 octets to a connection when the capacity is a power of 2") {
    const connection_table table(1 << 10, secret_of(8));
    CHECK(table.memory_bytes() == (1 << 10) * (8 + 8));
    CHECK(table.capacity() == 1 << 10);
}
