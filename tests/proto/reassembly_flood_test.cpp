// SPDX-License-Identifier: BSD-3-Clause
// What `reassembly` does when it is flooded, and whether it does what a simple model does, at random.
#include "fluxnet/proto/reassembly.hpp"

#include "tests/proto/fragments.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace fluxnet::proto::test::fragments {

using namespace std::chrono_literals;

namespace {

constexpr reassembly::options small_store{.octets = std::size_t{128} << 10, .datagrams = 64};

/// Reassembles as slowly and plainly as can be: a list of what came for each datagram.
class reassembly_model {
public:
    outcome add(const reassembly::fragment& part, reassembly::time_point now) {
        const auto limit = part.source.is_v6() ? 60s : 30s;
        const std::tuple key(part.source, part.identification);
        if (const auto old = held_.find(key); old != held_.end() && now - old->second.begun >= limit) { held_.erase(old); }
        datagram& what = held_.try_emplace(key, datagram{now, false, {}}).first->second;
        if (what.ended) { return {reason::reassembly_ended, std::nullopt}; }
        const piece made{part.offset, part.more, {part.payload.begin(), part.payload.end()}};
        if (const auto why = refuse(what, made)) {
            what.ended = true;
            return {*why, std::nullopt};
        }
        what.pieces.push_back(made);
        std::sort(what.pieces.begin(), what.pieces.end(), [](const piece& a, const piece& b) { return a.from < b.from; });
        std::vector<std::byte> whole;
        for (const piece& one : what.pieces) {
            if (one.from > whole.size()) { return {}; }
            if (one.from < whole.size()) { continue; }  // a copy
            whole.insert(whole.end(), one.octets.begin(), one.octets.end());
        }
        if (what.pieces.back().more) { return {}; }
        held_.erase(key);
        return {std::nullopt, whole};
    }

private:
    struct piece {
        std::size_t from;
        bool more;
        std::vector<std::byte> octets;

        [[nodiscard]] std::size_t to() const { return from + octets.size(); }
        bool operator==(const piece&) const = default;
    };
    struct datagram {
        reassembly::time_point begun;
        bool ended;
        std::vector<piece> pieces;
    };

    static std::optional<reason> refuse(const datagram& what, const piece& made) {
        bool overlaps = false;
        for (const piece& one : what.pieces) {
            const bool beyond = (!one.more && made.to() > one.to()) || (!made.more && one.to() > made.to());
            const bool two_ends = (!one.more || !made.more) && one.to() == made.to() && one.more != made.more;
            const bool other_end = !one.more && !made.more && one.to() != made.to();
            if (beyond || two_ends || other_end) { return reason::reassembly_past_end; }
            overlaps = overlaps || (made != one && made.from < one.to() && one.from < made.to());
        }
        return overlaps ? std::optional(reason::reassembly_overlap) : std::nullopt;
    }

    std::map<std::tuple<ip_address, std::uint32_t>, datagram> held_;
};

}  // namespace

TEST_CASE("a flood of first fragments from one place displaces itself, not the datagram of another") {
    const auto whole = counting(8000);
    for (const bool v6 : {false, true}) {
        reassembly store(small_store, secret);
        const auto honest = cut_all(whole, 1480, v6, 7, 1000);
        for (std::size_t i = 0; i + 1 < honest.size(); ++i) { REQUIRE(add(store, honest[i], at(0s)).waits()); }
        for (std::uint32_t identification = 0; identification != 20'000; ++identification) {
            const auto forged = cut(whole, 0, 1480, v6, identification, 2);
            CHECK_FALSE(add(store, forged, at(1s)).whole.has_value());
            CHECK(store.size() <= 64);
            CHECK(store.held_octets() <= small_store.octets);
        }
        CHECK(store.displaced() > 19'000);
        CHECK(add(store, honest.back(), at(1s)).whole == whole);
    }
}

TEST_CASE("a flood of tiny fragments that each hold a block stays within the octets, and others go on") {
    const auto whole = counting(65'000);
    reassembly store(small_store, secret);
    const auto honest = cut_all(whole, 8000, true, 7, 1000);
    REQUIRE(add(store, honest[0], at(0s)).waits());
    std::mt19937 random(1);
    for (int i = 0; i != 20'000; ++i) {
        const std::size_t from = random() % 60 * 1024;
        const auto forged = cut(whole, from, from + 8, true, static_cast<std::uint32_t>(random() % 30), 2);
        CHECK_FALSE(add(store, forged, at(0s)).whole.has_value());
        CHECK(store.held_octets() <= small_store.octets);
    }
    for (std::size_t i = 1; i + 1 < honest.size(); ++i) { CHECK(add(store, honest[i], at(0s)).waits()); }
    CHECK(add(store, honest.back(), at(0s)).whole == whole);
}

TEST_CASE("datagrams that were ended are displaced like others, so an overlap costs no room for long") {
    const auto whole = counting(64);
    reassembly store(small_store, secret);
    for (std::uint32_t identification = 0; identification != 1000; ++identification) {
        REQUIRE(add(store, cut(whole, 0, 32, true, identification), at(0s)).waits());
        REQUIRE(add(store, cut(whole, 8, 16, true, identification), at(0s)).is(reason::reassembly_overlap));
    }
    CHECK(store.size() == 64);
    CHECK(store.held_octets() == 0);
    CHECK_FALSE(store.next_expired(at(60s)).has_value());
    CHECK(store.size() == 0);
}

TEST_CASE("a datagram that is the largest and the oldest waits for room of its own") {
    const auto whole = counting(65'000);
    reassembly store(small_store, secret);
    REQUIRE(add(store, cut(whole, 0, 64'000, false, 1, 2), at(0s)).waits());
    for (std::uint32_t source = 100; source != 163; ++source) {
        REQUIRE(add(store, cut(whole, 0, 1024, false, 1, source), at(0s)).waits());
    }
    CHECK(store.displaced() == 0);
    // 126 of the 128 blocks are held; three are wanted, and the first datagram is the largest.
    CHECK(add(store, cut(whole, 2048, 5120, false, 1, 120), at(0s)).waits());
    CHECK(store.displaced() == 1);
    CHECK(store.held_octets() == 66 * 1024);
}

TEST_CASE("a store allocates when it is made and never again") {
    const auto whole = counting(9000);
    reassembly store(small_store, secret);
    const auto parts = cut_all(whole, 1480, true);
    const fluxnet::test::allocation_watch watch;
    std::size_t complete = 0;
    for (std::uint32_t i = 0; i != 20'000; ++i) {
        auto part = parts[i % 8 % parts.size()];  // seven of them, and a copy of the first
        part.identification = i / 8;
        if (i % 24 == 3) { continue; }  // a third is never complete
        const auto now = at(i * 10ms);
        const auto got = store.add(part, now);
        if (got && *got) { ++complete; }
        while (store.next_expired(now)) {}
    }
    const auto allocations = watch.allocations();
    CHECK(allocations == 0);
    CHECK(complete > 100);
    CHECK(store.memory_octets() > small_store.octets);
    CHECK(store.memory_octets() < 2 * small_store.octets);
}

TEST_CASE("at random, a store does what a list of fragments does, octet for octet and reason for reason") {
    std::size_t complete = 0;
    std::size_t refused = 0;
    for (std::uint32_t seed = 0; seed != 30; ++seed) {
        std::mt19937 random(seed);
        const auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
        reassembly store({.octets = std::size_t{8} << 20, .datagrams = 1024}, secret);
        reassembly_model model;
        const auto bytes = counting(6000);
        auto now = at(0s);
        for (int step = 0; step != 3000; ++step) {
            now += std::chrono::milliseconds(below(40) == 0 ? below(20'000) : 1);
            const bool v6 = below(2) == 0;
            // Mostly pieces of one cut, so that some datagrams are completed; sometimes pieces of any place and length.
            const std::size_t each = below(30) == 0 ? 8 * (1 + below(100)) : 1000;
            const std::size_t end = below(60) == 0 ? 3000 + below(100) : 3004;
            const std::size_t from = below(30) == 0 ? below(end / 8) * 8 : below((end + each - 1) / each) * each;
            const std::size_t to = std::min(from + each, end);
            if (from == 0 && to == end) { continue; }
            auto part = cut(std::span(bytes).first(end), from, to, v6, static_cast<std::uint32_t>(below(12)));
            const auto spoilt = below(40) == 0 ? std::vector<std::byte>(part.payload.size()) : std::vector<std::byte>();
            if (!spoilt.empty()) { part.payload = spoilt; }
            const outcome expected = model.add(part, now);
            const outcome got = add(store, part, now);
            REQUIRE(got.refused == expected.refused);
            REQUIRE(got.whole == expected.whole);
            complete += got.whole ? 1U : 0U;
            refused += got.refused ? 1U : 0U;
            if (below(8) == 0) {
                while (store.next_expired(now)) {}
            }
        }
        CHECK(store.displaced() == 0);
        now += 60s;
        while (store.next_expired(now)) {}
        CHECK(store.size() == 0);
        CHECK(store.held_octets() == 0);
    }
    CHECK(complete > 1000);
    CHECK(refused > 1000);
}

TEST_CASE("at random and short of room, what comes out was sent, and all room comes back") {
    std::mt19937 random(7);
    reassembly store(small_store, secret);
    std::vector<std::vector<std::byte>> sent;
    for (std::size_t i = 0; i != 40; ++i) { sent.push_back(counting(2000 + i * 500)); }
    std::size_t complete = 0;
    for (int step = 0; step != 20'000; ++step) {
        const std::size_t which = random() % sent.size();
        const auto parts = cut_all(sent[which], 1480, which % 2 == 0, static_cast<std::uint32_t>(which),
                                   static_cast<std::uint32_t>(which % 7));
        const outcome got = add(store, parts[random() % parts.size()], at(step * 1ms));
        if (got.whole) {
            REQUIRE(*got.whole == sent[which]);
            ++complete;
        }
        REQUIRE(store.held_octets() <= small_store.octets);
    }
    CHECK(complete > 100);
    CHECK(store.displaced() > 0);
    while (store.next_expired(at(1000s))) {}
    CHECK(store.held_octets() == 0);
}

}  // namespace fluxnet::proto::test::fragments
