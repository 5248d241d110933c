// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/neighbour/neighbour_table.hpp"

#include "tests/proto/neighbours.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace fluxnet::proto::test::neighbours {

using namespace std::chrono_literals;

static_assert(std::is_nothrow_invocable_v<decltype(&neighbour_table::resolve), neighbour_table&, const ip_address&,
                                          neighbour_table::time_point>);

namespace {

using hop = neighbour_table::hop;
using news = neighbour_table::news;

constexpr neighbour_table::advertisement_flags solicited{.router = false, .solicited = true, .overrides = true};
constexpr neighbour_table::advertisement_flags unsolicited{.router = false, .solicited = false, .overrides = true};

}  // namespace

TEST_CASE("an address is asked for, answered, and then known (RFC 4861 7.2.2, RFC 826)") {
    for (const ip_address& address : {v4(2), v6(2)}) {
        neighbour_table table({}, secret);
        CHECK(table.resolve(address, at(0)).what == hop::waiting);
        const auto probe = table.next_probe(at(0));
        REQUIRE(probe.has_value());
        CHECK(probe->address == address);
        CHECK_FALSE(probe->unicast);
        CHECK(probe->to == (address.is_v4() ? mac_address::broadcast() : mac_address({0x33, 0x33, 0xff, 0, 0, 2})));
        CHECK_FALSE(table.next_probe(at(0)).has_value());
        CHECK(answer(table, address, mac(2), at(0)).what == news::resolved);
        const hop found = table.resolve(address, at(0));
        CHECK(found.what == hop::known);
        CHECK(found.hardware == mac(2));
        CHECK(state(table, address, at(0)) == neighbour_state::reachable);
        CHECK_FALSE(table.deadline().has_value());
    }
}

TEST_CASE("an address is asked for once a second, three times, and then given up and told once (RFC 4861 7.2.2)") {
    neighbour_table table({}, secret);
    static_cast<void>(table.resolve(v4(2), at(0)));
    for (int second = 0; second != 3; ++second) {
        CHECK(table.next_probe(at(second)).has_value());
        CHECK_FALSE(table.next_probe(at(second) + 999ms).has_value());
        CHECK(table.deadline() == at(second + 1));
        CHECK_FALSE(table.next_failure().has_value());
    }
    CHECK_FALSE(table.next_probe(at(3)).has_value());
    CHECK(table.deadline() == neighbour_table::time_point::min());
    CHECK(table.next_failure() == v4(2));
    CHECK_FALSE(table.next_failure().has_value());
    CHECK_FALSE(table.deadline().has_value());
    CHECK(table.resolve(v4(2), at(3)).what == hop::unreachable);
    CHECK_FALSE(table.next_probe(at(5)).has_value());
    CHECK(table.resolve(v4(2), at(6)).what == hop::waiting);
    CHECK(table.next_probe(at(6)).has_value());
}

TEST_CASE(
    "a reachable neighbour grows stale, is probed five seconds after its next use, and is confirmed (RFC 4861 7.3.3)") {
    neighbour_table table({}, secret);
    make_known(table, v6(2), mac(2), at(0));
    CHECK(state(table, v6(2), at(29)) == neighbour_state::reachable);
    CHECK(state(table, v6(2), at(30)) == neighbour_state::stale);
    CHECK_FALSE(table.deadline().has_value());
    CHECK(table.resolve(v6(2), at(40)).what == hop::known);
    CHECK(state(table, v6(2), at(40)) == neighbour_state::delay);
    CHECK(table.deadline() == at(45));
    CHECK_FALSE(table.next_probe(at(44)).has_value());
    const auto probe = table.next_probe(at(45));
    REQUIRE(probe.has_value());
    CHECK(probe->unicast);
    CHECK(probe->to == mac(2));
    CHECK(state(table, v6(2), at(45)) == neighbour_state::probe);
    CHECK(table.resolve(v6(2), at(45)).what == hop::known);
    CHECK(table.heard_advertisement(v6(2), std::nullopt, solicited, at(45)).what == news::confirmed);
    CHECK(state(table, v6(2), at(46)) == neighbour_state::reachable);
}

TEST_CASE("proof from above keeps a neighbour reachable without a question (RFC 4861 7.3.1)") {
    neighbour_table table({}, secret);
    make_known(table, v4(2), mac(2), at(0));
    for (int second = 0; second < 300; second += 10) {
        CHECK(table.resolve(v4(2), at(second)).what == hop::known);
        table.confirm(v4(2), at(second));
        CHECK_FALSE(table.next_probe(at(second)).has_value());
    }
    CHECK(state(table, v4(2), at(300)) == neighbour_state::reachable);
    CHECK(table.resolve(v4(2), at(400)).what == hop::known);
    table.confirm(v4(2), at(404));  // while it waits to be probed
    CHECK_FALSE(table.deadline().has_value());
    table.confirm(v4(9), at(404));  // nobody
    static_cast<void>(table.resolve(v4(3), at(404)));
    table.confirm(v4(3), at(404));  // proof of what has no link address is none
    CHECK(state(table, v4(3), at(404)) == neighbour_state::incomplete);
}

TEST_CASE("a known neighbour that is silent is asked for by all before it is given up (RFC 7048 3)") {
    neighbour_table table({}, secret);
    make_known(table, v4(2), mac(2), at(0));
    static_cast<void>(table.resolve(v4(2), at(30)));
    for (int second = 35; second != 38; ++second) {
        const auto probe = table.next_probe(at(second));
        REQUIRE(probe.has_value());
        CHECK(probe->unicast);
    }
    const std::uint64_t before = table.version();
    const auto probe = table.next_probe(at(38));
    REQUIRE(probe.has_value());
    CHECK_FALSE(probe->unicast);
    CHECK(table.version() != before);
    CHECK(table.resolve(v4(2), at(38)).what == hop::waiting);
    CHECK(table.heard_reply(v4(2), mac(7), at(38)).what == news::resolved);
    CHECK(table.resolve(v4(2), at(38)).hardware == mac(7));
}

TEST_CASE("only what was asked for makes an entry: an ARP storm leaves nothing behind") {
    neighbour_table table({}, secret);
    for (std::uint32_t host = 1; host != 20'000; ++host) {
        CHECK(table.heard_reply(v4(host), mac(host), at(0)).what == news::ignored);
        CHECK(table.heard_claim(v4(host), mac(host), at(0)).what == news::ignored);
        CHECK(table.heard_advertisement(v6(host), mac(host), solicited, at(0)).what == news::ignored);
        CHECK_FALSE(table.set_router(v6(host), true).lost_router);
    }
    CHECK(table.size() == 0);
    CHECK_FALSE(table.deadline().has_value());
}

TEST_CASE("a gratuitous ARP completes what is asked for, as stale, and else refreshes nothing") {
    neighbour_table table({}, secret);
    static_cast<void>(table.resolve(v4(2), at(0)));
    CHECK(table.heard_claim(v4(2), mac(2), at(0)).what == news::resolved);
    CHECK(state(table, v4(2), at(0)) == neighbour_state::stale);
    CHECK(table.heard_claim(v4(2), mac(2), at(1)).what == news::ignored);
    CHECK(table.heard_reply(v4(2), mac(2), at(1)).what == news::ignored);  // no question is open
    CHECK(state(table, v4(2), at(1)) == neighbour_state::stale);
}

TEST_CASE("a forged ARP does not replace a neighbour that still answers") {
    neighbour_table table({}, secret);
    make_known(table, v4(1), mac(1), at(0));
    for (int round = 1; round != 20; ++round) {
        const auto now = at(round);
        table.heard_claim(v4(1), mac(66), now);
        table.heard_reply(v4(1), mac(67), now);  // another forger does not begin it anew
        CHECK(table.resolve(v4(1), now).hardware == mac(1));
        const auto probe = table.next_probe(now + 1s);
        REQUIRE(probe.has_value());
        CHECK(probe->to == mac(1));
        CHECK(probe->unicast);
        CHECK(table.heard_reply(v4(1), mac(66), now + 1s).what == news::ignored);
        CHECK(table.heard_reply(v4(1), mac(1), now + 1s).what == news::confirmed);
        CHECK(table.resolve(v4(1), now + 1s).hardware == mac(1));
    }
    CHECK(table.version() == 0);
}

TEST_CASE("a storm of forged ARPs for one neighbour costs one question a second") {
    neighbour_table table({}, secret);
    make_known(table, v4(1), mac(1), at(0));
    int probes = 0;
    for (int tenth = 0; tenth != 100; ++tenth) {
        const auto now = at(10) + tenth * 100ms;
        for (int i = 0; i != 10; ++i) { table.heard_claim(v4(1), mac(66), now); }
        while (table.next_probe(now)) {
            ++probes;
            CHECK(table.heard_reply(v4(1), mac(1), now).what == news::confirmed);
        }
    }
    CHECK(probes > 0);
    CHECK(probes <= 10);
}

TEST_CASE("a card that was really replaced takes the address over when the old one is silent") {
    neighbour_table table({}, secret);
    make_known(table, v4(2), mac(2), at(0));
    CHECK(table.heard_claim(v4(2), mac(7), at(10)).what == news::contested);
    CHECK(table.next_probe(at(10))->to == mac(2));
    CHECK(table.next_probe(at(11))->to == mac(2));
    const auto probe = table.next_probe(at(12));
    REQUIRE(probe.has_value());
    CHECK(probe->to == mac(7));
    CHECK(table.resolve(v4(2), at(12)).hardware == mac(7));
    CHECK(table.version() == 1);
    CHECK(table.heard_reply(v4(2), mac(7), at(12)).what == news::confirmed);
    CHECK(state(table, v4(2), at(12)) == neighbour_state::reachable);
}

TEST_CASE("a claim for an address that nobody uses any more ends with its entry") {
    neighbour_table table({}, secret);
    make_known(table, v4(2), mac(2), at(0));
    CHECK(table.heard_claim(v4(2), mac(7), at(100)).what == news::contested);
    for (int second = 100; second != 106; ++second) { static_cast<void>(table.next_probe(at(second))); }
    CHECK(table.size() == 0);
    CHECK_FALSE(table.next_failure().has_value());
}

TEST_CASE("a neighbour advertisement changes a link address by its override flag alone (RFC 4861 7.2.5)") {
    struct row {
        const char* name;
        bool fresh;  // reachable, or stale
        neighbour_table::advertisement_flags flags;
        std::optional<mac_address> hardware;
        neighbour_state after;
        mac_address kept;
        news::kind told;
    };
    const row rows[] = {
        {"another address without override, reachable",
         true,
         {false, false, false},
         mac(7),
         neighbour_state::stale,
         mac(2),
         news::ignored},
        {"another address without override, solicited",
         true,
         {false, true, false},
         mac(7),
         neighbour_state::stale,
         mac(2),
         news::ignored},
        {"another address without override, stale",
         false,
         {false, false, false},
         mac(7),
         neighbour_state::stale,
         mac(2),
         news::ignored},
        {"another address with override", true, unsolicited, mac(7), neighbour_state::stale, mac(7), news::changed},
        {"another address with override, said to be solicited", true, solicited, mac(7), neighbour_state::stale, mac(7),
         news::changed},
        {"the same address", true, unsolicited, mac(2), neighbour_state::reachable, mac(2), news::ignored},
        {"the same address, stale", false, unsolicited, mac(2), neighbour_state::stale, mac(2), news::ignored},
        {"said to be solicited when nothing was asked", false, solicited, mac(2), neighbour_state::stale, mac(2),
         news::ignored},
        {"no address", false, unsolicited, std::nullopt, neighbour_state::stale, mac(2), news::ignored},
        {"a group's address", true, unsolicited, mac_address::broadcast(), neighbour_state::reachable, mac(2),
         news::ignored},
        {"no station's address", true, unsolicited, mac_address(), neighbour_state::reachable, mac(2), news::ignored},
    };
    for (const row& test : rows) {
        CAPTURE(test.name);
        neighbour_table table({}, secret);
        make_known(table, v6(2), mac(2), at(0));
        const auto now = test.fresh ? at(10) : at(40);
        CHECK(table.heard_advertisement(v6(2), test.hardware, test.flags, now).what == test.told);
        CHECK(state(table, v6(2), now) == test.after);
        CHECK(table.lookup(v6(2), now).hardware == test.kept);
        CHECK((table.version() != 0) == (test.told == news::changed));
    }
}

TEST_CASE("an advertisement without a link address completes nothing (RFC 4861 7.2.5)") {
    neighbour_table table({}, secret);
    static_cast<void>(table.resolve(v6(2), at(0)));
    static_cast<void>(table.next_probe(at(0)));
    CHECK(table.heard_advertisement(v6(2), std::nullopt, solicited, at(0)).what == news::ignored);
    CHECK(table.heard_advertisement(v6(2), mac(2), {.router = true, .solicited = false, .overrides = false}, at(0)).what ==
          news::resolved);
    CHECK(state(table, v6(2), at(0)) == neighbour_state::stale);  // it was not an answer to us
    CHECK(table.lookup(v6(2), at(0)).router);
}

TEST_CASE("a router that is one no more is told (RFC 4861 7.3.3)") {
    neighbour_table table({}, secret);
    make_known(table, v6(1), mac(1), at(0));
    CHECK_FALSE(table.set_router(v6(1), true).lost_router);
    CHECK_FALSE(table.heard_advertisement(v6(1), mac(7), {false, false, false}, at(1)).lost_router);  // changes nothing
    CHECK(table.heard_advertisement(v6(1), mac(1), unsolicited, at(1)).lost_router);
    CHECK_FALSE(table.heard_advertisement(v6(1), mac(1), unsolicited, at(1)).lost_router);
    CHECK_FALSE(table.set_router(v6(1), true).lost_router);
    CHECK(table.set_router(v6(1), false).lost_router);
}

TEST_CASE("a neighbour given for good is not changed, asked for or displaced") {
    neighbour_table table({.capacity = 4, .unresolved = 1}, secret);
    CHECK(table.add_permanent(v4(1), mac(1), at(0)));
    CHECK(table.heard_claim(v4(1), mac(66), at(0)).what == news::ignored);
    CHECK(table.heard_reply(v4(1), mac(66), at(0)).what == news::ignored);
    CHECK(table.heard_advertisement(v4(1), mac(66), solicited, at(0)).what == news::ignored);
    for (std::uint32_t host = 2; host != 100; ++host) { static_cast<void>(table.resolve(v4(host), at(1000))); }
    CHECK(table.resolve(v4(1), at(1000)).hardware == mac(1));
    table.forget(v4(1));
    CHECK(state(table, v4(1), at(1000)) == neighbour_state::none);
    CHECK(table.version() == 2);
}

TEST_CASE("what is learnt from who is believed answers every question and changes a link address at once") {
    neighbour_table table({}, secret);
    CHECK(table.learn(v4(2), mac(2), at(0)).what == news::ignored);  // nobody has asked
    CHECK(table.size() == 0);
    static_cast<void>(table.resolve(v4(2), at(0)));
    CHECK(table.learn(v4(2), mac(2), at(0)).what == news::resolved);
    CHECK(state(table, v4(2), at(0)) == neighbour_state::reachable);
    const std::uint64_t before = table.version();
    CHECK(table.learn(v4(2), mac(2), at(20)).what == news::confirmed);
    CHECK(state(table, v4(2), at(49)) == neighbour_state::reachable);
    CHECK(table.version() == before);
    // One that is contested is settled by it.
    static_cast<void>(table.heard_claim(v4(2), mac(9), at(21)));
    CHECK(state(table, v4(2), at(21)) == neighbour_state::probe);
    CHECK(table.learn(v4(2), mac(3), at(21)).what == news::changed);
    CHECK(table.resolve(v4(2), at(21)).hardware == mac(3));
    CHECK(state(table, v4(2), at(21)) == neighbour_state::reachable);
    CHECK(table.version() == before + 1);
    CHECK_FALSE(table.next_probe(at(22)).has_value());
    CHECK(table.learn(v4(2), mac_address::broadcast(), at(22)).what == news::ignored);
    // One that was given up is known again.
    static_cast<void>(table.resolve(v4(4), at(30)));
    for (int second = 30; second != 34; ++second) { static_cast<void>(table.next_probe(at(second))); }
    CHECK(table.next_failure() == v4(4));
    CHECK(table.learn(v4(4), mac(4), at(34)).what == news::resolved);
    CHECK(table.resolve(v4(4), at(34)).hardware == mac(4));
    REQUIRE(table.add_permanent(v4(5), mac(5), at(34)));
    CHECK(table.learn(v4(5), mac(6), at(34)).what == news::ignored);
    CHECK(table.resolve(v4(5), at(34)).hardware == mac(5));
}

TEST_CASE("an address that is forgotten right after it was resolved is asked for anew, whoever has its place") {
    for (const auto& [address, other] : {std::pair(v4(2), v4(3)), std::pair(v6(2), v6(3))}) {
        neighbour_table table({}, secret);
        REQUIRE(table.add_permanent(address, mac(2), at(0)));
        CHECK(table.resolve(address, at(0)).hardware == mac(2));
        table.forget(address);
        CHECK(table.resolve(address, at(0)).what == hop::waiting);
        table.forget(address);
        REQUIRE(table.add_permanent(other, mac(3), at(0)));
        CHECK(table.resolve(other, at(0)).hardware == mac(3));
        CHECK(table.resolve(address, at(0)).what == hop::waiting);
        CHECK(table.resolve(other, at(0)).hardware == mac(3));
    }
}

TEST_CASE("addresses of no neighbour are not asked for") {
    neighbour_table table({}, secret);
    for (const char* text : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"}) {
        CHECK(table.resolve(ip_address::parse(text).value(), at(0)).what == hop::unreachable);
    }
    CHECK(table.size() == 0);
}

}  // namespace fluxnet::proto::test::neighbours
