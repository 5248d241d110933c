// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/reassembly.hpp"

#include "tests/proto/fragments.hpp"
#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

namespace fluxnet::proto::test::fragments {

using namespace std::chrono_literals;

static_assert(std::is_nothrow_invocable_v<decltype(&reassembly::add), reassembly&, const reassembly::fragment&,
                                          reassembly::time_point>);

TEST_CASE("fragments in any order make the datagram, for both versions and every size") {
    std::mt19937 random(1);
    for (const bool v6 : {false, true}) {
        for (const std::size_t size : {9U, 1024U, 1025U, 4000U, 65'515U}) {
            for (const std::size_t each : {8U, 1024U, 1480U}) {
                const auto whole = counting(size);
                auto parts = cut_all(whole, each, v6);
                if (parts.size() < 2) { continue; }
                std::shuffle(parts.begin(), parts.end(), random);
                reassembly store({}, secret);
                for (std::size_t i = 0; i + 1 < parts.size(); ++i) { REQUIRE(add(store, parts[i], at(0s)).waits()); }
                const auto last = add(store, parts.back(), at(0s));
                REQUIRE(last.whole.has_value());
                CHECK(*last.whole == whole);
                CHECK(store.size() == 0);
                CHECK(store.held_octets() == 0);
                CHECK_FALSE(store.deadline().has_value());
            }
        }
    }
}

TEST_CASE("datagrams that differ in an address, the identification or, in IPv4, the protocol do not mix (RFC 791 3.2)") {
    const auto whole = counting(64);
    for (const bool v6 : {false, true}) {
        reassembly store({}, secret);
        REQUIRE(add(store, cut(whole, 0, 32, v6), at(0s)).waits());
        auto other = cut(whole, 32, 64, v6, 2);
        CHECK(add(store, other, at(0s)).waits());
        other = cut(whole, 32, 64, v6, 1, 3);
        CHECK(add(store, other, at(0s)).waits());
        other = cut(whole, 32, 64, v6);
        other.destination = host(v6, 9);
        CHECK(add(store, other, at(0s)).waits());
        CHECK(store.size() == 4);
        other = cut(whole, 32, 64, v6);
        other.protocol = 254;
        // IPv6: the next header of the first fragment counts, others may differ (RFC 8200 section 4.5).
        CHECK(add(store, other, at(0s)).waits() == !v6);
    }
    reassembly store({}, secret);
    auto second = cut(whole, 32, 64, true);
    second.protocol = 254;
    CHECK(add(store, second, at(0s)).waits());
    const auto got = store.add(cut(whole, 0, 32, true), at(0s));
    REQUIRE(got.has_value());
    REQUIRE(got->has_value());
    CHECK((*got)->protocol == plain);
}

TEST_CASE("a fragment that overlaps ends its datagram, and what else comes of it is refused (RFC 5722 4, RFC 8200 4.5)") {
    const auto whole = counting(4096);
    const auto other = counting(5000);
    struct row {
        const char* name;
        std::size_t from, to;
    };
    for (const bool v6 : {false, true}) {
        for (const row& test : {row{"its front", 504, 1008}, row{"its back", 1992, 2504}, row{"all of it", 992, 2008},
                                row{"within it", 1200, 1400}, row{"a part at its front", 1000, 1400},
                                row{"a part at its back", 1400, 2000}, row{"one unit", 1992, 2000}}) {
            CAPTURE(test.name);
            reassembly store({}, secret);
            REQUIRE(add(store, cut(whole, 1000, 2000, v6), at(0s)).waits());
            CHECK(add(store, cut(whole, test.from, test.to, v6), at(1s)).is(reason::reassembly_overlap));
            CHECK(store.held_octets() == 0);
            CHECK(store.size() == 1);
            CHECK(add(store, cut(whole, 0, 1000, v6), at(2s)).is(reason::reassembly_ended));
            CHECK(add(store, cut(whole, 2000, 4096, v6), at(2s)).is(reason::reassembly_ended));
            CHECK_FALSE(store.next_expired(at(60s)).has_value());  // nobody is told of it
            CHECK(store.size() == 0);
            CHECK(add(store, cut(whole, 0, 2000, v6), at(60s)).waits());  // the identification is free again
            CHECK(add(store, cut(whole, 2000, 4096, v6), at(60s)).whole == whole);
        }
    }
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 0, 1000), at(0s)).waits());
    CHECK(add(store, cut(std::span(other).subspan(1), 0, 1000), at(0s)).is(reason::reassembly_overlap));  // other octets
}

TEST_CASE("an overlap with two fragments that just fill its place is no copy") {
    const auto whole = counting(64);
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 0, 16), at(0s)).waits());
    REQUIRE(add(store, cut(whole, 16, 32), at(0s)).waits());
    CHECK(add(store, cut(whole, 0, 32), at(0s)).is(reason::reassembly_overlap));
}

TEST_CASE("an exact copy of a fragment is skipped (RFC 8200 4.5)") {
    const auto whole = counting(5000);
    for (const bool v6 : {false, true}) {
        reassembly store({}, secret);
        const auto parts = cut_all(whole, 1480, v6);
        for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
            CHECK(add(store, parts[i], at(0s)).waits());
            for (std::size_t j = 0; j <= i; ++j) { CHECK(add(store, parts[j], at(0s)).waits()); }
        }
        CHECK(add(store, parts.back(), at(0s)).whole == whole);
    }
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 4800, 5000), at(0s)).waits());
    CHECK(add(store, cut(whole, 4800, 5000), at(0s)).waits());
}

TEST_CASE("fragments that disagree about the end of the datagram end it") {
    const auto whole = counting(4096);
    const auto ended_by = [&](std::vector<reassembly::fragment> before, const reassembly::fragment& part) {
        reassembly store({}, secret);
        for (const auto& one : before) { REQUIRE(add(store, one, at(0s)).waits()); }
        CHECK(add(store, part, at(0s)).is(reason::reassembly_past_end));
        CHECK(store.held_octets() == 0);
    };
    const auto last_at = [&](std::size_t from, std::size_t to) {
        auto part = cut(whole, from, to);
        part.more = false;
        return part;
    };
    const auto more_at = [&](std::size_t from, std::size_t to) {
        auto part = cut(whole, from, to);
        part.more = true;
        return part;
    };
    ended_by({last_at(800, 1000)}, more_at(1600, 2400));  // beyond the end
    ended_by({last_at(800, 1000)}, more_at(992, 1008));   // over the end
    ended_by({last_at(800, 1000)}, last_at(1600, 1700));  // a later end
    ended_by({last_at(800, 1000)}, last_at(400, 500));    // an earlier end
    ended_by({last_at(800, 1000)}, last_at(800, 999));    // one octet earlier
    ended_by({more_at(1600, 2400)}, last_at(800, 1000));  // before what is there
    ended_by({last_at(800, 1000)}, more_at(800, 1000));   // the same, but more follow
}

TEST_CASE("a fragment in the middle whose length is no multiple of eight is refused alone (RFC 8200 4.5)") {
    const auto whole = counting(100);
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 0, 48), at(0s)).waits());
    CHECK(add(store, cut(whole, 48, 57), at(0s)).is(reason::reassembly_ragged));
    auto shifted = cut(whole, 50, 58);
    CHECK(add(store, shifted, at(0s)).is(reason::reassembly_ragged));
    CHECK(add(store, cut(whole, 48, 100), at(0s)).whole == whole);
}

TEST_CASE("a fragment that ends beyond 65,535 octets is refused alone (RFC 8200 4.5, the ping of death)") {
    const auto whole = counting(65'535);
    reassembly store({}, secret);
    const auto beyond = [&](std::size_t offset, std::size_t size, std::size_t header, bool v6) {
        auto part = cut(whole, 0, size, v6);
        part.offset = offset;
        part.more = false;
        part.header_length = header;
        return add(store, part, at(0s));
    };
    CHECK(beyond(65'528, 8, 20, false).is(reason::reassembly_too_long));
    CHECK(beyond(65'528, 1480, 20, false).is(reason::reassembly_too_long));
    CHECK(beyond(65'512, 4, 20, false).is(reason::reassembly_too_long));
    CHECK(beyond(65'528, 8, 0, true).is(reason::reassembly_too_long));
    CHECK(beyond(65'520, 8, 8, true).is(reason::reassembly_too_long));
    CHECK(store.size() == 0);
    CHECK(beyond(65'512, 3, 20, false).waits());  // 65,535 with its header
    CHECK(beyond(65'528, 7, 0, true).waits());
}

TEST_CASE("a fragment without an octet is refused, and an empty datagram behind a fragment header is whole") {
    const auto whole = counting(64);
    reassembly store({}, secret);
    for (const bool more : {true, false}) {
        auto part = cut(whole, 32, 32);
        part.more = more;
        CHECK(add(store, part, at(0s)).is(reason::reassembly_empty));
    }
    auto first = cut(whole, 0, 0);
    CHECK(add(store, first, at(0s)).is(reason::reassembly_empty));
    first.more = false;
    CHECK(add(store, first, at(0s)).whole.has_value());
}

TEST_CASE("an atomic fragment is a datagram of its own and meets no others (RFC 6946 4)") {
    const auto whole = counting(64);
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 0, 32, true), at(0s)).waits());
    auto atomic = cut(whole, 0, 64, true);
    const auto got = store.add(atomic, at(0s));
    REQUIRE(got.has_value());
    REQUIRE(got->has_value());
    CHECK((*got)->payload.data() == whole.data());  // not copied
    CHECK(store.size() == 1);
    CHECK(add(store, cut(whole, 32, 64, true), at(0s)).whole == whole);
}

TEST_CASE("a first fragment without the whole header chain is refused (RFC 7112 5, RFC 1858)") {
    auto tcp = counting(256);
    tcp[12] = std::byte{0x80};  // a header of 32 octets
    const auto first = [&](std::uint8_t protocol, std::size_t size, bool v6, std::span<const std::byte> whole) {
        reassembly store({}, secret);
        auto part = cut(whole, 0, size, v6);
        part.protocol = protocol;
        return add(store, part, at(0s));
    };
    for (const bool v6 : {false, true}) {
        CHECK(first(6, 8, v6, tcp).is(reason::reassembly_header_chain));
        CHECK(first(6, 24, v6, tcp).is(reason::reassembly_header_chain));
        CHECK(first(6, 32, v6, tcp).waits());
        CHECK(first(17, 8, v6, tcp).waits());
        CHECK(first(132, 8, v6, tcp).is(reason::reassembly_header_chain));
    }
    auto chain = counting(256);
    chain[0] = std::byte{60};  // hop by hop, 8 octets, then
    chain[1] = std::byte{0};
    chain[8] = std::byte{51};  // destination options, 16 octets, then
    chain[9] = std::byte{1};
    chain[24] = std::byte{17};  // authentication, 24 octets, then UDP
    chain[25] = std::byte{4};
    for (const std::size_t size : {8U, 16U, 24U, 32U, 40U, 48U}) {
        CHECK(first(0, size, true, chain).is(reason::reassembly_header_chain));
    }
    CHECK(first(0, 56, true, chain).waits());
    CHECK(first(44, 56, true, chain).is(reason::reassembly_header_chain));  // a fragment header within
    const std::vector<std::byte> endless(256);                              // hop by hop after hop by hop
    CHECK(first(0, 128, true, endless).is(reason::reassembly_header_chain));

    reassembly store({}, secret);
    REQUIRE(add(store, cut(tcp, 32, 64, true), at(0s)).waits());
    auto late = cut(tcp, 0, 32, true);
    late.protocol = 44;
    CHECK(add(store, late, at(0s)).is(reason::reassembly_header_chain));
    CHECK(add(store, cut(tcp, 64, 256, true), at(0s)).is(reason::reassembly_ended));
}

TEST_CASE("a datagram has 30 s in IPv4 and 60 s in IPv6 from its first fragment on, however many come (RFC 8200 4.5)") {
    const auto whole = counting(1024);
    for (const bool v6 : {false, true}) {
        const auto limit = v6 ? 60s : 30s;
        reassembly store({}, secret);
        for (int second = 0; second != limit / 1s; ++second) {  // without an end
            const auto from = static_cast<std::size_t>(second) * 8;
            REQUIRE(add(store, cut(whole, from, from + 8, v6), at(second * 1s)).waits());
            CHECK(store.deadline() == at(limit));
            CHECK_FALSE(store.next_expired(at(second * 1s)).has_value());
        }
        const auto late = store.next_expired(at(limit));
        REQUIRE(late.has_value());
        CHECK(late->source == host(v6, 2));
        CHECK(late->destination == host(v6, 1));
        CHECK(late->identification == 1);
        CHECK(late->protocol == plain);
        CHECK(std::ranges::equal(late->beginning, std::span(whole).first(static_cast<std::size_t>(limit / 1s) * 8)));
        CHECK_FALSE(store.next_expired(at(limit)).has_value());
        CHECK(store.held_octets() == 0);
    }
}

TEST_CASE("nobody is told of a datagram whose first fragment did not come (RFC 792)") {
    const auto whole = counting(4096);
    reassembly store({}, secret);
    REQUIRE(add(store, cut(whole, 2048, 4096), at(0s)).waits());
    const auto late = store.next_expired(at(30s));
    REQUIRE(late.has_value());
    CHECK(late->beginning.empty());
    REQUIRE(add(store, cut(whole, 0, 2048), at(0s)).waits());
    REQUIRE(add(store, cut(whole, 3072, 4096), at(0s)).waits());
    CHECK(store.next_expired(at(30s))->beginning.size() == 2048);
    REQUIRE(add(store, cut(whole, 0, 2048), at(0s)).waits());
    CHECK(add(store, cut(whole, 2048, 4096), at(30s)).waits());  // too late for the first half, whether or not that was told
    CHECK(add(store, cut(whole, 0, 2048), at(31s)).whole == whole);
}

TEST_CASE("a mark of congestion reaches the datagram unless the sender knows none (RFC 3168 5.3)") {
    struct row {
        std::uint8_t first, second;
        int whole;  // -1: refused
    };
    for (const row& test : {row{0, 0, 0}, row{2, 2, 2}, row{1, 2, 1}, row{2, 3, 3}, row{3, 1, 3}, row{3, 3, 3},
                            row{0, 3, -1}, row{3, 0, -1}, row{0, 2, 0}}) {
        const auto whole = counting(64);
        reassembly store({}, secret);
        auto first = cut(whole, 0, 32);
        first.ecn = test.first;
        auto second = cut(whole, 32, 64);
        second.ecn = test.second;
        REQUIRE(add(store, second, at(0s)).waits());
        const auto got = store.add(first, at(0s));
        CHECK(store.size() == 0);
        if (test.whole < 0) {
            CHECK(got.error() == reason::reassembly_ecn);
        } else {
            REQUIRE(got.has_value());
            CHECK((*got)->ecn == test.whole);
        }
    }
}

}  // namespace fluxnet::proto::test::fragments
