// SPDX-License-Identifier: BSD-3-Clause
// What a `neighbour_table` does when it is full, flooded, or used at random.
#include "fluxnet/proto/neighbour/neighbour_table.hpp"

#include "tests/proto/neighbours.hpp"
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>

namespace fluxnet::proto::test::neighbours {

using namespace std::chrono_literals;

namespace {

using flood_hop = neighbour_table::hop;

/// What is known of a table without looking into it: what it told, and when.
struct table_model {
    struct told {
        neighbour_table::time_point used{};
        std::optional<neighbour_table::time_point> asked;
        std::optional<mac_address> hardware;
        bool waiting = false;
    };

    std::map<ip_address, told> addresses;
    std::uint64_t version = 0;

    /// What resolve() says, against what was said before.
    void resolved(const ip_address& address, const flood_hop& got, const neighbour_table& table,
                  neighbour_table::time_point now) {
        if (got.given_up) { addresses[*got.given_up].waiting = false; }
        told& before = addresses[address];
        const bool in_use = before.hardware && now - before.used < 60s && version == table.version();
        if (in_use) {
            CHECK(got.what == flood_hop::known);
            CHECK(got.hardware == *before.hardware);
        }
        before.waiting = got.what == flood_hop::waiting;
        before.hardware.reset();
        if (got.what == flood_hop::known) { before.hardware = got.hardware; }
        before.used = now;
        if (version != table.version()) {
            for (auto& [other, what] : addresses) {
                if (other != address) { what.hardware.reset(); }
            }
            version = table.version();
        }
    }

    void asked(const neighbour_table::probe& probe, neighbour_table::time_point now) {
        told& before = addresses[probe.address];
        if (before.asked) { CHECK(now - *before.asked >= 1s); }
        before.asked = now;
    }
};

}  // namespace

TEST_CASE("a scan of unanswered addresses holds its part of the table and displaces nobody (RFC 6583)") {
    neighbour_table table({.capacity = 64, .unresolved = 16}, secret);
    for (std::uint32_t host = 1; host <= 40; ++host) { make_known(table, v6(host), mac(host), at(0)); }
    std::size_t given_up = 0;
    for (std::uint32_t host = 1000; host != 11'000; ++host) {
        const flood_hop got = table.resolve(v6(host), at(10));
        CHECK(got.what == flood_hop::waiting);
        given_up += got.given_up ? 1 : 0;
        CHECK(table.unresolved() <= 16);
    }
    CHECK(given_up == 10'000 - 16);
    for (std::uint32_t host = 1; host <= 40; ++host) { CHECK(table.resolve(v6(host), at(10)).hardware == mac(host)); }
    CHECK(table.version() == 0);
}

TEST_CASE("a flood of new neighbours that all answer does not push out entries in use, but those unused for a minute") {
    neighbour_table table({.capacity = 64, .unresolved = 16}, secret);
    for (std::uint32_t host = 1; host <= 64; ++host) { make_known(table, v4(host), mac(host), at(static_cast<int>(host))); }
    CHECK(table.size() == 64);
    CHECK(table.resolve(v4(100), at(60)).what == flood_hop::full);
    CHECK(table.resolve(v4(1), at(60)).what == flood_hop::known);
    CHECK(table.resolve(v4(100), at(62)).what == flood_hop::waiting);  // in the place of 2, the longest unused
    CHECK(state(table, v4(1), at(62)) != neighbour_state::none);
    CHECK(state(table, v4(2), at(62)) == neighbour_state::none);
    CHECK(table.version() == 1);
}

TEST_CASE("what failed makes room first, and one whose failure was not yet told is told with the room") {
    neighbour_table table({.capacity = 2, .unresolved = 2}, secret);
    make_known(table, v4(1), mac(1), at(0));
    static_cast<void>(table.resolve(v4(2), at(0)));
    for (int second = 0; second != 4; ++second) { static_cast<void>(table.next_probe(at(second))); }
    CHECK(state(table, v4(2), at(3)) == neighbour_state::failed);
    CHECK(table.resolve(v4(3), at(100)).given_up == v4(2));
    CHECK(table.resolve(v4(1), at(100)).what == flood_hop::known);
    CHECK_FALSE(table.next_failure().has_value());
}

TEST_CASE("a neighbour given for good takes no room of entries in use or waited for") {
    neighbour_table table({.capacity = 3, .unresolved = 1}, secret);
    make_known(table, v4(1), mac(1), at(0));
    static_cast<void>(table.resolve(v4(2), at(0)));
    CHECK(table.add_permanent(v4(3), mac(3), at(0)));  // the questions are as many as may be, and the table is not full
    CHECK(state(table, v4(2), at(0)) == neighbour_state::incomplete);
    CHECK_FALSE(table.add_permanent(v4(4), mac(4), at(0)));
    for (int second = 0; second != 4; ++second) { static_cast<void>(table.next_probe(at(second))); }
    CHECK_FALSE(table.add_permanent(v4(4), mac(4), at(3)));  // the failure is not told yet
    CHECK(table.next_failure() == v4(2));
    CHECK(table.add_permanent(v4(4), mac(4), at(3)));
    CHECK_FALSE(table.add_permanent(v4(5), mac(5), at(3)));
    CHECK(table.add_permanent(v4(5), mac(5), at(60)));  // in the place of 1
}

TEST_CASE("all questions together keep to the bucket, and a quarter of it is for neighbours that are known") {
    neighbour_table table({.probes_per_second = 10, .probe_burst = 8}, secret);
    make_known(table, v4(1), mac(1), at(0));
    static_cast<void>(table.resolve(v4(1), at(100)));  // probed at 105
    for (std::uint32_t host = 100; host != 300; ++host) { static_cast<void>(table.resolve(v4(host), at(104) + 900ms)); }
    int unknown = 0;
    while (table.next_probe(at(104) + 900ms)) { ++unknown; }
    CHECK(unknown == 6);
    CHECK(table.deadline() == at(105));
    const auto known = table.next_probe(at(105));
    REQUIRE(known.has_value());
    CHECK(known->to == mac(1));
    for (int tenth = 1; tenth != 100; ++tenth) {
        while (table.next_probe(at(105) + tenth * 100ms)) { ++unknown; }
    }
    CHECK(unknown <= 6 + 100);
    CHECK(unknown >= 90);
}

TEST_CASE("a wait for tokens is no failure: only questions that went out count") {
    neighbour_table table({.probes_per_second = 1, .probe_burst = 4}, secret);
    for (std::uint32_t host = 1; host != 10; ++host) { static_cast<void>(table.resolve(v4(host), at(0))); }
    std::set<ip_address> asked;
    for (int second = 0; second != 12; ++second) {
        while (const auto probe = table.next_probe(at(second))) { asked.insert(probe->address); }
        while (const auto failed = table.next_failure()) { CHECK(asked.contains(*failed)); }
    }
    CHECK(asked.size() == 9);
}

TEST_CASE("a table allocates when it is made and never again") {
    neighbour_table table({.capacity = 32, .unresolved = 8}, secret);
    const fluxnet::test::allocation_watch watch;
    std::size_t probes = 0;
    for (std::uint32_t step = 0; step != 5000; ++step) {
        const auto now = at(0) + step * 100ms;
        static_cast<void>(table.resolve(v6(step % 50), now));
        while (table.next_probe(now)) { ++probes; }
        while (table.next_failure()) {}
        if (step % 3 == 0) { static_cast<void>(answer(table, v6(step % 50), mac(step), now)); }
        table.confirm(v6(step % 7), now);
        static_cast<void>(table.deadline());
    }
    const auto allocations = watch.allocations();
    CHECK(allocations == 0);
    CHECK(probes > 100);
    CHECK(table.memory_octets() > 32 * 64);
    CHECK(table.memory_octets() < 32 * 512);
}

TEST_CASE("at random, what is in use stays as it was told, every wait ends, and no address is asked for twice a second") {
    for (std::uint32_t seed = 0; seed != 20; ++seed) {
        std::mt19937 random(seed);
        const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
        neighbour_table table({.capacity = 24, .unresolved = 8, .probes_per_second = 20, .probe_burst = 8}, secret);
        table_model model;
        auto now = at(0);
        for (int step = 0; step != 4000; ++step) {
            now += std::chrono::milliseconds(below(8) == 0 ? below(9000) : below(50));
            const std::uint32_t host = 1 + below(40);
            const ip_address address = below(2) == 0 ? v4(host) : v6(host);
            const mac_address hardware = mac(below(4) == 0 ? 1000 + below(3) : host);
            auto& told = model.addresses[address];
            neighbour_table::news news;
            switch (below(8)) {
                case 0: news = table.heard_reply(address, hardware, now); break;
                case 1: news = table.heard_claim(address, hardware, now); break;
                case 2:
                    news = table.heard_advertisement(address, hardware, {below(2) == 0, below(2) == 0, below(2) == 0}, now);
                    break;
                case 3: table.confirm(address, now); break;
                default: model.resolved(address, table.resolve(address, now), table, now); break;
            }
            if (news.what == neighbour_table::news::resolved) { told.waiting = false; }
            while (const auto probe = table.next_probe(now)) { model.asked(*probe, now); }
            while (const auto failed = table.next_failure()) { model.addresses[*failed].waiting = false; }
            CHECK(table.size() <= 24);
            CHECK(table.unresolved() <= 8);
        }
        while (const auto next = table.deadline()) {  // nobody answers any more
            now = std::max(now, *next);
            while (table.next_probe(now)) {}
            while (const auto failed = table.next_failure()) { model.addresses[*failed].waiting = false; }
        }
        for (const auto& [address, what] : model.addresses) { CHECK_FALSE(what.waiting); }
    }
}

}  // namespace fluxnet::proto::test::neighbours
