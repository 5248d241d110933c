// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/neighbour/own_addresses.hpp"

#include "fluxnet/proto/link_group.hpp"

#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <vector>

namespace fluxnet::proto::test::own {

using namespace std::chrono_literals;

namespace {

using own_message = own_addresses::message;
using own_verdict = own_addresses::verdict;
using own_state = own_addresses::state;

const mac_address us({0x02, 0, 0, 0, 0, 1});
const mac_address them({0x02, 0, 0, 0, 0, 2});
const ipv4_address our_v4(10, 0, 0, 1);
const ipv4_address their_v4(10, 0, 0, 2);
const ipv6_address our_v6 = ipv6_address::parse("fe80::1").value();
const ipv6_address their_v6 = ipv6_address::parse("fe80::2").value();

own_addresses::time_point own_at(std::chrono::milliseconds since) {
    return own_addresses::time_point(since);
}

/// An own address that is in use and was announced.
own_addresses settled(const ip_address& address, own_addresses::defence how = own_addresses::defence::always) {
    own_addresses own(us);
    CHECK(own.add_unprobed(address, how));
    return own;
}

arp_repr question(mac_address station, ipv4_address sender, ipv4_address target) {
    return {arp_operation::request, station, sender, mac_address(), target};
}

arp_repr gratuitous(mac_address station, ipv4_address address) {
    return {arp_operation::reply, station, address, mac_address::broadcast(), address};
}

struct sent_message {
    own_message what;
    own_addresses::time_point when;
};

/// Runs an own address to its end, asking it when it says.
std::vector<sent_message> run(own_addresses& own, std::uint32_t random) {
    std::vector<sent_message> sent;
    while (const auto due = own.deadline()) {
        CHECK_FALSE(own.next_message(*due - 1ns, random).has_value());
        const auto message = own.next_message(*due, random);
        REQUIRE(message.has_value());
        sent.push_back({*message, *due});
        REQUIRE(sent.size() < 100);
    }
    return sent;
}

}  // namespace

TEST_CASE("an IPv4 address is probed three times and announced twice before and after its first use (RFC 5227 2.1.1, 2.3)") {
    for (const std::uint32_t random : {0U, 0x8000'0000U, 0xffff'ffffU}) {
        own_addresses own(us);
        REQUIRE(own.add(our_v4, own_addresses::defence::always, own_at(0s), random));
        CHECK(own.state_of(our_v4) == own_state::tentative);
        const auto sent = run(own, random);
        REQUIRE(sent.size() == 5);
        CHECK(sent[0].when >= own_at(0s));
        CHECK(sent[0].when < own_at(1s));
        for (std::size_t i = 1; i != 3; ++i) {
            CHECK(sent[i].what.what == own_message::probe);
            CHECK(sent[i].when - sent[i - 1].when >= 1s);
            CHECK(sent[i].when - sent[i - 1].when < 2s);
        }
        CHECK(sent[3].what.what == own_message::announcement);
        CHECK(sent[3].when - sent[2].when == 2s);
        CHECK(sent[4].when - sent[3].when == 2s);
        CHECK(own.owns(our_v4));
    }
}

TEST_CASE("an IPv4 address is not in use before its first announcement") {
    own_addresses own(us);
    own.add(our_v4, own_addresses::defence::always, own_at(0s), 0);
    for (int i = 0; i != 3; ++i) {
        CHECK(own.next_message(own_at(i * 1s), 0)->what == own_message::probe);
        CHECK_FALSE(own.owns(our_v4));
    }
    CHECK_FALSE(own.next_message(own_at(3999ms), 0).has_value());
    CHECK(own.next_message(own_at(4s), 0)->what == own_message::announcement);
    CHECK(own.owns(our_v4));
}

TEST_CASE("an IPv6 address is probed once and in use a second later (RFC 4862 5.4)") {
    own_addresses own(us);
    own.add(our_v6, own_addresses::defence::always, own_at(0s), 0x8000'0000U);
    CHECK(own.listens_to(our_v6.solicited_node()));
    CHECK(own.deadline() == own_at(500ms));
    CHECK(own.next_message(own_at(500ms), 0)->what == own_message::probe);
    CHECK(own.state_of(our_v6) == own_state::tentative);
    CHECK(own.deadline() == own_at(1500ms));
    CHECK(own.next_message(own_at(1500ms), 0)->what == own_message::announcement);
    CHECK(own.owns(our_v6));
    own_addresses unprobed(us, {.ipv6_probes = 0});
    unprobed.add(our_v6, own_addresses::defence::always, own_at(0s), 0);
    CHECK(unprobed.next_message(own_at(0s), 0)->what == own_message::announcement);
}

TEST_CASE("an address that another station has is lost while it is probed, whatever the packet (RFC 5227 2.1.1)") {
    const arp_repr packets[] = {
        question(them, our_v4, their_v4),                          // it asks for somebody
        gratuitous(them, our_v4),                                  // it announces itself
        {arp_operation::reply, them, our_v4, us, ipv4_address()},  // it answers the probe
        question(them, ipv4_address(), our_v4),                    // it probes too
    };
    for (const arp_repr& packet : packets) {
        own_addresses own(us);
        own.add(our_v4, own_addresses::defence::always, own_at(0s), 0);
        const own_verdict told = own.heard_arp(packet, them, own_at(1s));
        CHECK(told.what == own_verdict::lost);
        CHECK(told.address == ip_address(our_v4));
        CHECK(told.station == them);
        CHECK(own.size() == 0);
        CHECK_FALSE(own.deadline().has_value());
    }
}

TEST_CASE("no question is answered about an address that is being probed") {
    own_addresses own(us);
    own.add(our_v4, own_addresses::defence::always, own_at(0s), 0);
    own.add(our_v6, own_addresses::defence::always, own_at(0s), 0);
    CHECK(own.heard_arp(question(them, their_v4, our_v4), them, own_at(1s)).what == own_verdict::ignored);
    CHECK(own.heard_solicitation(our_v6, their_v6, them, own_at(1s)).what == own_verdict::ignored);
    CHECK(own.size() == 2);
}

TEST_CASE("an IPv6 address is lost by another's probe or advertisement (RFC 4862 5.4.3, 5.4.4)") {
    own_addresses own(us);
    own.add(our_v6, own_addresses::defence::always, own_at(0s), 0);
    CHECK(own.heard_solicitation(our_v6, ipv6_address(), them, own_at(1s)).what == own_verdict::lost);
    own.add(our_v6, own_addresses::defence::always, own_at(0s), 0);
    CHECK(own.heard_advertisement(our_v6, them, own_at(1s)).what == own_verdict::lost);
    CHECK(own.size() == 0);
}

TEST_CASE("own packets that a loop of the link brings back are no conflict (RFC 4862 appendix A)") {
    own_addresses own(us);
    own.add(our_v4, own_addresses::defence::always, own_at(0s), 0);
    own.add(our_v6, own_addresses::defence::always, own_at(0s), 0);
    CHECK(own.heard_arp(question(us, ipv4_address(), our_v4), us, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_arp(gratuitous(us, our_v4), us, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_solicitation(our_v6, ipv6_address(), us, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_advertisement(our_v6, us, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.size() == 2);
}

TEST_CASE("questions about an address in use are answered, and probes for it too") {
    own_addresses v4 = settled(our_v4);
    for (const ipv4_address sender : {their_v4, ipv4_address()}) {
        const own_verdict told = v4.heard_arp(question(them, sender, our_v4), them, own_at(0s));
        CHECK(told.what == own_verdict::answer);
        CHECK(told.station == them);
        CHECK(told.address == ip_address(our_v4));
    }
    own_addresses v6 = settled(our_v6);
    CHECK(v6.heard_solicitation(our_v6, their_v6, them, own_at(0s)).what == own_verdict::answer);
    CHECK_FALSE(v6.heard_solicitation(our_v6, their_v6, them, own_at(0s)).to_all);
    CHECK(v6.heard_solicitation(our_v6, ipv6_address(), them, own_at(0s)).to_all);
}

TEST_CASE("questions for others, from impossible senders, or about nothing are never answered") {
    own_addresses own = settled(our_v4);
    const mac_address group({0x01, 0, 0x5e, 0, 0, 1});
    CHECK(own.heard_arp(question(them, their_v4, ipv4_address(10, 0, 0, 3)), them, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_arp(question(them, their_v4, our_v4), group, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_arp(question(group, their_v4, our_v4), group, own_at(0s)).what == own_verdict::ignored);
    CHECK(own.heard_arp(question({}, their_v4, our_v4), {}, own_at(0s)).what == own_verdict::ignored);
    for (const char* sender : {"224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.1"}) {
        CHECK(own.heard_arp(question(them, ipv4_address::parse(sender).value(), our_v4), them, own_at(0s)).what ==
              own_verdict::ignored);
    }
    CHECK(own.heard_arp({arp_operation::reply, them, their_v4, us, our_v4}, them, own_at(0s)).what == own_verdict::ignored);
    own_addresses v6 = settled(our_v6);
    CHECK(v6.heard_solicitation(their_v6, their_v6, them, own_at(0s)).what == own_verdict::ignored);
    CHECK(v6.heard_solicitation(our_v6, ipv6_address::parse("ff02::1").value(), them, own_at(0s)).what ==
          own_verdict::ignored);
    CHECK(v6.heard_solicitation(our_v6, ipv6_address::loopback(), them, own_at(0s)).what == own_verdict::ignored);
    CHECK(v6.heard_solicitation(our_v6, their_v6, group, own_at(0s)).what == own_verdict::ignored);
    CHECK(v6.heard_advertisement(their_v6, them, own_at(0s)).what == own_verdict::ignored);
}

TEST_CASE(
    "a gratuitous ARP of another station for our address is defended against at most once in ten seconds (RFC 5227 2.4)") {
    own_addresses own = settled(our_v4);
    CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(0s)).what == own_verdict::defended);
    CHECK(own.deadline() == own_addresses::time_point::min());
    CHECK(own.next_message(own_at(0s), 0)->what == own_message::defending);
    CHECK_FALSE(own.next_message(own_at(0s), 0).has_value());
    int defences = 0;
    for (int tenth = 1; tenth <= 300; ++tenth) {  // a storm of half a minute
        const auto told = own.heard_arp(gratuitous(them, our_v4), them, own_at(tenth * 100ms)).what;
        CHECK((told == own_verdict::defended || told == own_verdict::conflict));
        while (own.next_message(own_at(tenth * 100ms), 0)) { ++defences; }
    }
    CHECK(defences == 3);
    CHECK(own.owns(our_v4));
}

TEST_CASE("an address that is defended once is lost by a second claim within ten seconds, and not by one later") {
    own_addresses own = settled(our_v4, own_addresses::defence::once);
    CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(0s)).what == own_verdict::defended);
    CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(10s)).what == own_verdict::defended);
    CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(19999ms)).what == own_verdict::lost);
    CHECK(own.state_of(our_v4) == own_state::none);
    CHECK_FALSE(own.deadline().has_value());
    own_addresses meek = settled(our_v6, own_addresses::defence::never);
    CHECK(meek.heard_advertisement(our_v6, them, own_at(0s)).what == own_verdict::lost);
}

TEST_CASE("a station that asks from our address claims it, and is not answered") {
    own_addresses own = settled(our_v4);
    CHECK(own.heard_arp(question(them, our_v4, our_v4), them, own_at(0s)).what == own_verdict::defended);
    own_addresses v6 = settled(our_v6);
    CHECK(v6.heard_solicitation(our_v6, our_v6, them, own_at(0s)).what == own_verdict::defended);
    CHECK(v6.heard_advertisement(our_v6, them, own_at(1s)).what == own_verdict::conflict);
}

TEST_CASE("after ten lost addresses in a row the next one is probed a minute later (RFC 5227 2.1.1)") {
    own_addresses own(us);
    for (std::uint8_t host = 1; host <= 10; ++host) {
        const ipv4_address address(10, 0, 1, host);
        own.add(address, own_addresses::defence::always, own_at(0s), 0);
        CHECK(own.deadline() == own_at(0s));
        CHECK(own.heard_arp(gratuitous(them, address), them, own_at(0s)).what == own_verdict::lost);
    }
    own.add(our_v4, own_addresses::defence::always, own_at(0s), 0);
    own.add(our_v6, own_addresses::defence::always, own_at(5s), 0);
    CHECK(own.deadline() == own_at(5s));  // of the IPv6 address
    own.remove(our_v6);
    CHECK(own.deadline() == own_at(60s));
    static_cast<void>(run(own, 0));
    CHECK(own.owns(our_v4));
    own.add(their_v4, own_addresses::defence::always, own_at(100s), 0);
    CHECK(own.deadline() == own_at(100s));
}

TEST_CASE("addresses that no station can have, doubles, and more than there is room for are not taken") {
    own_addresses own(us, {.capacity = 2});
    for (const char* text : {"0.0.0.0", "0.0.0.7", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"}) {
        CHECK_FALSE(own.add(ip_address::parse(text).value(), own_addresses::defence::always, own_at(0s), 0));
    }
    CHECK(own.add(our_v4, own_addresses::defence::always, own_at(0s), 0));
    CHECK_FALSE(own.add_unprobed(our_v4, own_addresses::defence::always));
    CHECK(own.add_unprobed(our_v6, own_addresses::defence::always));
    CHECK_FALSE(own.add(their_v4, own_addresses::defence::always, own_at(0s), 0));
    own.remove(their_v4);
    CHECK(own.size() == 2);
}

TEST_CASE("after the link was down every address is probed again (RFC 5227 2.1)") {
    own_addresses own = settled(our_v4);
    CHECK(own.add_unprobed(our_v6, own_addresses::defence::always));
    own.probe_again(own_at(10s), 0x1234'5678U);
    CHECK(own.state_of(our_v4) == own_state::tentative);
    CHECK(run(own, 0).size() == 5 + 3);
    CHECK(own.owns(our_v4));
    CHECK(own.owns(our_v6));
}

TEST_CASE("a station that has another link address says so at once for what is in use, and again (RFC 4861 7.2.6)") {
    for (const ip_address address : {ip_address(our_v4), ip_address(our_v6)}) {
        own_addresses own = settled(address);
        REQUIRE(own.add(their_v4, own_addresses::defence::always, own_at(0s), 0));
        own.set_hardware(mac_address({0x02, 0, 0, 0, 0, 9}), own_at(0s));
        CHECK(own.hardware() == mac_address({0x02, 0, 0, 0, 0, 9}));
        own.remove(their_v4);  // which is still being probed, and is not announced
        const auto first = own.next_message(own_at(0s), 0);
        REQUIRE(first.has_value());
        CHECK(first->what == own_message::defending);
        CHECK(first->address == address);
        const auto others = run(own, 0);
        REQUIRE(others.size() == 1);
        CHECK(others[0].what.what == own_message::announcement);
        CHECK(others[0].when == own_at(2s));
    }
}

TEST_CASE("the groups of a host are all nodes and those of its addresses (RFC 4291 2.7.1, RFC 2464 7)") {
    const own_addresses own = settled(ipv6_address::parse("2001:db8::12:3456").value());
    CHECK(own.listens_to(ipv6_address::parse("ff02::1").value()));
    CHECK(own.listens_to(ipv6_address::parse("ff02::1:ff12:3456").value()));
    CHECK_FALSE(own.listens_to(ipv6_address::parse("ff02::1:ff12:3457").value()));
    CHECK_FALSE(own.listens_to(ipv6_address::parse("ff02::2").value()));
    CHECK(hardware_of_group(ipv6_address::parse("ff02::1:ff12:3456").value()) ==
          mac_address({0x33, 0x33, 0xff, 0x12, 0x34, 0x56}));
}

TEST_CASE("own addresses allocate when they are made and never again, at random") {
    std::mt19937 random(1);
    own_addresses own(us, {.capacity = 4});
    const fluxnet::test::allocation_watch watch;
    std::uint64_t sent = 0;
    for (int step = 0; step != 20'000; ++step) {
        const auto now = own_at(step * 100ms);
        const ipv4_address address(10, 0, 0, static_cast<std::uint8_t>(random() % 6));
        switch (random() % 6) {
            case 0:
                own.add(address, static_cast<own_addresses::defence>(random() % 3), now,
                        static_cast<std::uint32_t>(random()));
                break;
            case 1:
                if (random() % 20 == 0) { own.remove(address); }
                break;
            case 2:
                if (random() % 20 == 0) { static_cast<void>(own.heard_arp(gratuitous(them, address), them, now)); }
                break;
            default: break;
        }
        while (own.next_message(now, static_cast<std::uint32_t>(random()))) { ++sent; }
        const auto due = own.deadline();
        if (due && *due <= now) { FAIL("something is due that was not sent"); }
        if (own.size() > 4) { FAIL("too many addresses"); }
    }
    const auto allocations = watch.allocations();
    CHECK(allocations == 0);
    CHECK(sent > 100);
    CHECK(own.memory_octets() < 1024);
}

TEST_CASE("an own address that follows another one probes, announces, defends and gives up nothing, and answers questions") {
    for (const auto how : {own_addresses::defence::never, own_addresses::defence::once, own_addresses::defence::always}) {
        own_addresses own(us);
        own.follow();
        REQUIRE(own.add(our_v4, how, own_at(0ms), 7));
        CHECK_FALSE(own.deadline().has_value());
        CHECK(own.heard_arp(question(them, ipv4_address(), our_v4), them, own_at(1ms)).what == own_verdict::conflict);
        CHECK(own.state_of(our_v4) == own_state::tentative);
        own.confirm(our_v4);
        CHECK(own.owns(our_v4));
        CHECK(own.heard_arp(question(them, their_v4, our_v4), them, own_at(2ms)).what == own_verdict::answer);
        for (int i = 0; i != 3; ++i) {
            CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(3ms)).what == own_verdict::conflict);
        }
        own.set_hardware(them, own_at(4ms));
        CHECK_FALSE(own.deadline().has_value());
        CHECK(own.owns(our_v4));
    }
}

TEST_CASE("an own address that leads again defends what is in use, and probes what is not") {
    own_addresses own(us);
    own.follow();
    REQUIRE(own.add_unprobed(our_v4, own_addresses::defence::always));
    REQUIRE(own.add(our_v6, own_addresses::defence::always, own_at(0ms), 7));
    own.lead(own_at(1000ms), 7);
    CHECK_FALSE(own.follows());
    CHECK(own.heard_arp(gratuitous(them, our_v4), them, own_at(1001ms)).what == own_verdict::defended);
    const auto defence = own.next_message(own_at(1001ms), 7);
    REQUIRE(defence.has_value());
    CHECK(defence->what == own_message::defending);
    const auto sent = run(own, 7);
    REQUIRE_FALSE(sent.empty());
    CHECK(sent[0].what.what == own_message::probe);
    CHECK(sent[0].what.address == our_v6);
    CHECK(own.owns(our_v6));
}

}  // namespace fluxnet::proto::test::own
