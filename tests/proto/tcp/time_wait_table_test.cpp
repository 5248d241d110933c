// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/time_wait_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

using namespace fluxnet::proto;
using tcp::four_tuple;
using tcp::sequence_number;
using tcp::time_wait_table;
using namespace std::chrono_literals;
using verdict = time_wait_table::verdict;

namespace {

constexpr std::array<std::byte, 16> wait_secret{std::byte{1}, std::byte{2}};
const time_wait_table::time_point wait_now{1000s};

four_tuple waiting_name(std::uint32_t number) {
    if (number % 2 == 0) { return {ipv4_address(10, 0, 0, 1), 80, ipv4_address::from_host_order(number), 4000}; }
    std::array<std::uint8_t, 16> octets{0x20, 0x01, 0x0d, 0xb8};
    for (std::size_t i = 0; i != 4; ++i) { octets[12 + i] = static_cast<std::uint8_t>(number >> (8 * i)); }
    return {ipv6_address::loopback(), 80, ipv6_address(octets), 4000};
}

/// The numbers with which each sentence is tried: near 0, 2^31 and 2^32.
constexpr std::array<std::uint32_t, 6> edges{0, 2, 0x7fff'fffe, 0x8000'0001, 0xffff'fffe, 0xffff'ffff};

/// A table with one connection, whose RCV.NXT is at an edge, with or without timestamps.
struct lone_wait {
    explicit lone_wait(std::uint32_t edge, bool timestamps = false)
        : closed{.name = waiting_name(1),
                 .next_to_send = sequence_number(edge + 5000),
                 .next_to_receive = sequence_number(edge),
                 .timestamps = timestamps,
                 .last_timestamp = edge + 77,
                 .timestamp_offset = 99},
          table({.capacity = 4}, wait_secret) {
        table.add(closed, wait_now);
    }

    verdict receive(const time_wait_table::segment& came) { return table.receive(closed.name, came, wait_now + 1s).what; }

    /// A segment with ACK that is `octets` after RCV.NXT.
    [[nodiscard]] time_wait_table::segment at(std::int32_t octets) const {
        time_wait_table::segment made;
        made.sequence = closed.next_to_receive + static_cast<std::uint32_t>(octets);
        made.acknowledgment = closed.next_to_send;
        made.ack = true;
        made.timestamps = closed.timestamps;
        made.timestamp = closed.last_timestamp;
        return made;
    }

    [[nodiscard]] time_wait_table::segment syn_at(std::int32_t octets) const {
        time_wait_table::segment made = at(octets);
        made.syn = true;
        made.ack = false;
        return made;
    }

    time_wait_table::connection closed;
    time_wait_table table;
};

}  // namespace

TEST_CASE("an entry takes 64 octets, and the table 80 for each connection when the capacity is a power of 2") {
    const time_wait_table table({.capacity = 1024}, wait_secret);
    CHECK(table.memory_bytes() == 1024 * 80);
    CHECK(table.size() == 0);
    CHECK_FALSE(table.next_deadline());
}

TEST_CASE("RFC 9293 section 3.6.1: a connection waits for 2 MSL, and is unknown afterwards") {
    for (const std::chrono::nanoseconds length : {std::chrono::nanoseconds(60s), std::chrono::nanoseconds(1s), 0ns}) {
        time_wait_table table({.capacity = 4, .length = length}, wait_secret);
        table.add({.name = waiting_name(1)}, wait_now);
        CHECK(table.size() == 1);
        CHECK(table.contains(waiting_name(1), wait_now + length));
        CHECK_FALSE(table.contains(waiting_name(3), wait_now + length));
        const auto end = table.next_deadline();
        REQUIRE(end);
        CHECK(*end > wait_now + length);
        CHECK(*end <= wait_now + length + 34ms);
        CHECK(table.expire(*end - 17ms) == 0);
        CHECK(table.expire(*end) == 1);
        CHECK(table.size() == 0);
        CHECK(table.receive(waiting_name(1), {}, *end).what == verdict::unknown);
    }
}

TEST_CASE("a connection that has waited long enough is unknown without a call of expire()") {
    time_wait_table table({.capacity = 4}, wait_secret);
    table.add({.name = waiting_name(1)}, wait_now);
    CHECK(table.receive(waiting_name(1), {.fin = true}, wait_now + 61s).what == verdict::unknown);
    CHECK(table.size() == 0);
}

TEST_CASE("RFC 9293 section 3.10.7.4: the peer's FIN that comes again is acknowledged and begins the wait anew") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge, true);
        auto fin = one.at(-1);
        fin.fin = true;
        fin.timestamp += 10;
        const auto got = one.table.receive(one.closed.name, fin, wait_now + 50s);
        CHECK(got.what == verdict::acknowledge);
        CHECK(got.sequence == one.closed.next_to_send);
        CHECK(got.acknowledgment == one.closed.next_to_receive);
        CHECK(got.timestamps);
        CHECK(got.timestamp_offset == 99);
        CHECK(got.timestamp_echo == one.closed.last_timestamp + 10);
        CHECK(one.table.contains(one.closed.name, wait_now + 109s));
        CHECK_FALSE(one.table.contains(one.closed.name, wait_now + 111s));
    }
}

TEST_CASE(
    "RFC 9293 section 3.10.7.4: a FIN together with the data before it is the same FIN, one elsewhere does not prolong the "
    "wait") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        auto whole = one.at(-101);
        whole.length = 100;
        whole.fin = true;
        CHECK(one.table.receive(one.closed.name, whole, wait_now + 10s).what == verdict::acknowledge);
        CHECK(one.table.contains(one.closed.name, wait_now + 69s));
        for (const std::int32_t octets : {-2, 0, 1}) {
            auto other = one.at(octets);
            other.fin = true;
            const auto expected = octets < 0 ? verdict::acknowledge : verdict::challenge;
            CHECK(one.table.receive(one.closed.name, other, wait_now + 20s).what == expected);
        }
        CHECK_FALSE(one.table.contains(one.closed.name, wait_now + 71s));
    }
}

TEST_CASE("RFC 9293 section 3.10.7.4: data that comes again is acknowledged, data after the FIN within a limit") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        for (const auto& [octets, expected] : {std::pair{-200, verdict::acknowledge}, std::pair{-100, verdict::acknowledge},
                                               std::pair{-99, verdict::challenge}, std::pair{0, verdict::challenge},
                                               std::pair{1'000'000, verdict::challenge}}) {
            auto data = one.at(octets);
            data.length = 100;
            CHECK(one.receive(data) == expected);
        }
    }
}

TEST_CASE("a bare ACK in order gets nothing, so two ends in TIME-WAIT do not answer each other for ever") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        CHECK(one.receive(one.at(0)) == verdict::ignore);
        auto old = one.at(0);
        old.acknowledgment -= 3;
        CHECK(one.receive(old) == verdict::ignore);
        auto none = one.at(0);
        none.ack = false;
        CHECK(one.receive(none) == verdict::ignore);
    }
}

TEST_CASE("RFC 9293 section 3.10.7.4: a bare ACK out of order, or of what was never sent, gets an ACK within a limit") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        CHECK(one.receive(one.at(-1)) == verdict::challenge);  // a keepalive probe
        CHECK(one.receive(one.at(1)) == verdict::challenge);
        auto ahead = one.at(0);
        ahead.acknowledgment += 1;
        CHECK(one.receive(ahead) == verdict::challenge);
    }
}

TEST_CASE("RFC 1337 section 3: a RST does not end TIME-WAIT, whatever its numbers and other flags are") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        for (const std::int32_t octets : {-1, 0, 1}) {
            for (int flags = 0; flags != 8; ++flags) {
                auto rst = one.at(octets);
                rst.rst = true;
                rst.ack = (flags & 1) != 0;
                rst.syn = (flags & 2) != 0;
                rst.fin = (flags & 4) != 0;
                CHECK(one.receive(rst) == verdict::ignore);
            }
        }
        CHECK(one.table.contains(one.closed.name, wait_now + 59s));
    }
}

TEST_CASE("RFC 6191 section 2: a SYN opens anew by its timestamp where both connections have timestamps") {
    for (const std::uint32_t edge : edges) {
        for (const auto& [later, octets, expected] :
             {std::tuple{1U, -100'000, verdict::open}, std::tuple{1U, 5, verdict::open}, std::tuple{0U, 0, verdict::open},
              std::tuple{0U, -1, verdict::challenge}, std::tuple{~0U, 5, verdict::challenge},
              std::tuple{0x8000'0000U, 5, verdict::challenge}, std::tuple{0x7fff'ffffU, -5, verdict::open}}) {
            lone_wait one(edge, true);
            auto syn = one.syn_at(octets);
            syn.timestamp += later;
            CHECK(one.receive(syn) == expected);
            CHECK(one.table.size() == 1);
        }
    }
}

TEST_CASE("RFC 6191 section 2: a SYN without timestamps opens anew by its sequence number") {
    for (const std::uint32_t edge : edges) {
        for (const bool timestamps : {false, true}) {
            for (const auto& [octets, expected] :
                 {std::pair{0, verdict::open}, std::pair{1, verdict::open}, std::pair{0x7fff'ffff, verdict::open},
                  std::pair{-1, verdict::challenge}, std::pair{-100'000, verdict::challenge}}) {
                lone_wait one(edge, timestamps);
                auto syn = one.syn_at(octets);
                syn.timestamps = false;
                CHECK(one.receive(syn) == expected);
            }
        }
    }
}

TEST_CASE("RFC 6191 section 2: a SYN with timestamps opens anew after a connection that had none") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge, false);
        auto syn = one.syn_at(-100);
        syn.timestamps = true;
        CHECK(one.receive(syn) == verdict::open);
    }
}

TEST_CASE("RFC 9293 section 3.10.7.4: a SYN with ACK, or with FIN, asks for no connection and gets a challenge ACK") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        auto syn_ack = one.syn_at(5);
        syn_ack.ack = true;
        CHECK(one.receive(syn_ack) == verdict::challenge);
        auto syn_fin = one.syn_at(5);
        syn_fin.fin = true;
        CHECK(one.receive(syn_fin) == verdict::challenge);
        CHECK(one.table.size() == 1);
    }
}

TEST_CASE("RFC 1122 section 4.2.2.13: the new connection's sequence numbers begin beyond those of the old one") {
    for (const std::uint32_t edge : edges) {
        lone_wait one(edge);
        const auto got = one.table.receive(one.closed.name, one.syn_at(5), wait_now + 1s);
        REQUIRE(got.what == verdict::open);
        const sequence_number old = one.closed.next_to_send;
        CHECK(got.initial_sequence(old + 1) == old + 1);
        CHECK(got.initial_sequence(old + 0x7fff'ffff) == old + 0x7fff'ffff);
        for (const std::uint32_t behind : {0U, 1U, 1'000'000U, 0x7fff'ffffU}) {
            CHECK(got.initial_sequence(old - behind) - old == 250'000);
        }
    }
}

TEST_CASE("a full table drops the connection that has waited longest") {
    time_wait_table table({.capacity = 3}, wait_secret);
    for (std::uint32_t i = 0; i != 3; ++i) { CHECK_FALSE(table.add({.name = waiting_name(i)}, wait_now + i * 1s)); }
    time_wait_table::segment fin;
    fin.sequence = sequence_number(0xffff'ffff);
    fin.fin = true;
    CHECK(table.receive(waiting_name(0), fin, wait_now + 10s).what == verdict::acknowledge);
    CHECK(table.add({.name = waiting_name(3)}, wait_now + 11s));
    CHECK(table.contains(waiting_name(0), wait_now + 11s));  // its wait began anew
    CHECK_FALSE(table.contains(waiting_name(1), wait_now + 11s));
    CHECK(table.contains(waiting_name(2), wait_now + 11s));
    CHECK(table.contains(waiting_name(3), wait_now + 11s));
    CHECK_FALSE(table.add({.name = waiting_name(3)}, wait_now + 12s));  // in its own place
    CHECK(table.size() == 3);
}

TEST_CASE("a table does what a list of names in the order of their waits does") {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        std::mt19937_64 random(seed);
        constexpr std::size_t capacity = 100;
        time_wait_table table({.capacity = capacity, .length = 10s}, wait_secret);
        std::list<std::pair<std::uint32_t, time_wait_table::time_point>> model;  // a number and the end of its wait
        // Steps of the table's own clock, so that the model need not round.
        constexpr std::chrono::nanoseconds step(std::int64_t{1} << 24);
        const auto length = (10s / step + 2) * step;
        time_wait_table::time_point now{step * 1000};
        std::size_t wrong = 0;
        for (int i = 0; i != 50'000; ++i) {
            const auto number = static_cast<std::uint32_t>(random() % 250);
            const auto place = std::ranges::find(model, number, [](const auto& pair) { return pair.first; });
            const bool known = place != model.end() && place->second > now;
            switch (random() % 4) {
                case 0:
                    if (place != model.end()) { model.erase(place); }
                    if (model.size() == capacity) { model.pop_front(); }
                    model.emplace_back(number, now + length);
                    table.add({.name = waiting_name(number)}, now);
                    break;
                case 1: {
                    time_wait_table::segment syn;
                    syn.syn = true;
                    const auto got = table.receive(waiting_name(number), syn, now).what;
                    wrong += got != (known ? verdict::open : verdict::unknown);
                    wrong += table.erase(waiting_name(number)) != known;
                    if (place != model.end()) { model.erase(place); }
                    break;
                }
                case 2:
                    wrong += table.contains(waiting_name(number), now) != known;
                    if (!known && place != model.end()) { model.erase(place); }
                    break;
                default:
                    now += step * static_cast<int>(random() % 60);
                    wrong += table.expire(now) != std::erase_if(model, [&](const auto& pair) { return pair.second <= now; });
                    wrong += table.next_deadline().has_value() == model.empty();
                    if (!model.empty()) { wrong += *table.next_deadline() != model.front().second; }
            }
            wrong += table.size() != model.size();
        }
        CHECK(wrong == 0);
    }
}
