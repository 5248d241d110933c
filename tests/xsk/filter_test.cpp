// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/filter.hpp"

#include "tests/xsk/filter_frames.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(std::is_copy_constructible_v<packet_filter> && std::is_nothrow_move_constructible_v<packet_filter>);
static_assert(filter_rule::udp_to(7) == filter_rule{.protocol = std::uint8_t{17}, .destination_ports = port_range(7)});

namespace {

constexpr filter_decision by_rule(std::size_t number, filter_verdict verdict = filter_verdict::redirect) {
    return {verdict, filter_reason::rule, number};
}
constexpr filter_decision nobody_knows(filter_reason why, std::size_t number = 0) {
    return {filter_verdict::pass, why, number};
}
constexpr filter_decision none_matches{};

const packet_filter udp_7{filter_rule::udp_to(7)};

std::string refusal(const filter_rule& rule) {
    const auto valid = packet_filter{filter_rule::udp_to(1), rule}.validate();
    if (valid) { return "none"; }
    CHECK(valid.error().code == errc::invalid_option);
    CHECK(valid.error().step == "check rule 1 of the filter");
    CHECK_FALSE(valid.error().remedy.empty());
    return valid.error().cause;
}

}  // namespace

TEST_CASE("a filter without rules matches nothing and one with an empty rule everything") {
    for (const frame_bytes& frame : {ethernet(0x0806, frame_bytes(28)), ipv4({}, from_to(1, 7)),
                                     tagged(ipv4({}, from_to(1, 7))), cut(ipv4({}, {}), 20), cut(ethernet(0, {}), 14)}) {
        CHECK(packet_filter().judge(frame) == none_matches);
        CHECK(packet_filter::everything().judge(frame) == by_rule(0));
    }
    CHECK(packet_filter().validate().has_value());
    CHECK(packet_filter::everything().validate().has_value());
}

TEST_CASE("a rule for a UDP port matches that port in both IP versions and nothing else") {
    CHECK(udp_7.judge(ipv4({}, from_to(9, 7))) == by_rule(0));
    CHECK(udp_7.judge(ipv4({.options = 10}, from_to(9, 7))) == by_rule(0));
    CHECK(udp_7.judge(ipv6(17, from_to(9, 7))) == by_rule(0));
    CHECK(udp_7.judge(ipv4({}, from_to(7, 9))) == none_matches);
    CHECK(udp_7.judge(ipv4({.protocol = 6}, from_to(9, 7))) == none_matches);
    CHECK(udp_7.judge(ipv4({.protocol = 1}, from_to(9, 7))) == none_matches);
    CHECK(udp_7.judge(ethernet(0x0806, frame_bytes(28))) == none_matches);
    CHECK(udp_7.judge(ethernet(0x88b5, from_to(9, 7))) == none_matches);
}

TEST_CASE("the first rule that matches decides") {
    const packet_filter filter{
        {.verdict = filter_verdict::drop, .source = ip_prefix::v4({10, 77, 0, 9})},
        {.verdict = filter_verdict::pass, .protocol = std::uint8_t{17}, .source_ports = port_range(53)},
        filter_rule::udp_to({7, 9}),
        {.protocol = std::uint8_t{17}, .destination_ports = port_range(8)}};
    REQUIRE(filter.validate().has_value());
    CHECK(filter.judge(ipv4({.last_source = 9}, from_to(53, 8))) == by_rule(0, filter_verdict::drop));
    CHECK(filter.judge(ipv4({}, from_to(53, 8))) == by_rule(1, filter_verdict::pass));
    for (const unsigned port : {7U, 8U, 9U}) { CHECK(filter.judge(ipv4({}, from_to(54, port))) == by_rule(2)); }
    for (const unsigned port : {6U, 10U}) { CHECK(filter.judge(ipv4({}, from_to(54, port))) == none_matches); }
}

TEST_CASE("prefixes compare the bits of their length in addresses of their version") {
    for (unsigned length = 0; length <= 32; ++length) {
        ip_prefix prefix = ip_prefix::v4({10, 77, 0, 1}, length);
        for (unsigned bit = length; bit < 32; ++bit) {
            prefix.address[bit / 8] = static_cast<std::uint8_t>(prefix.address[bit / 8] & ~(0x80U >> bit % 8));
        }
        const packet_filter filter{{.destination = prefix}};
        REQUIRE(filter.validate().has_value());
        CHECK(filter.judge(ipv4({}, {})) == by_rule(0));
        CHECK((filter.judge(ipv4({.last_destination = 0}, {})) == by_rule(0)) == (length < 32));
        CHECK((filter.judge(ipv4({.last_destination = 129}, {})) == by_rule(0)) == (length <= 24));
        CHECK(filter.judge(ipv6(17, from_to(1, 2))) == none_matches);
    }
    const packet_filter net{{.destination = ip_prefix::v6({0x20, 1, 0xd, 0xb8}, 120)}};
    const packet_filter one{{.destination = ip_prefix::v6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})}};
    CHECK(net.judge(ipv6(58, {}, 200)) == by_rule(0));
    CHECK(one.judge(ipv6(58, {}, 200)) == none_matches);
    CHECK(one.judge(ipv6(58, {}, 1)) == by_rule(0));
    CHECK(one.judge(ipv4({}, {})) == none_matches);
}

TEST_CASE("a rule about protocol 0 does not match what is no IP") {
    const packet_filter filter{{.protocol = std::uint8_t{0}}};
    CHECK(filter.judge(ethernet(0x0806, frame_bytes(28))) == none_matches);
    CHECK(filter.judge(ipv4({.protocol = 0}, {})) == by_rule(0));
}

TEST_CASE("the pieces of a datagram pass alike where ports are asked for and match alike where they are not") {
    const packet_filter all_udp{{.protocol = std::uint8_t{17}}};
    for (const frame_bytes& piece :
         {ipv4({.fragment = 0x2000}, from_to(9, 7)), ipv4({.fragment = 0x2001}, from_to(9, 7)), ipv4({.fragment = 100}, {}),
          ipv6(44, fragment_header(17, 1, from_to(9, 7))), ipv6(44, fragment_header(17, 8, from_to(9, 7))),
          ipv6(0, extension(44, fragment_header(17, 8, {})))}) {
        CHECK(udp_7.judge(piece) == nobody_knows(filter_reason::fragment));
        CHECK(all_udp.judge(piece) == by_rule(0));
        CHECK(packet_filter{filter_rule::tcp_to(7)}.judge(piece) == none_matches);
    }
    // Do-not-fragment, and a fragment header around what is whole (RFC 6946).
    CHECK(udp_7.judge(ipv4({.fragment = 0x4000}, from_to(9, 7))) == by_rule(0));
    CHECK(udp_7.judge(ipv6(44, fragment_header(17, 0, from_to(9, 7)))) == by_rule(0));
    // The protocol stands behind more extension headers, which only the first piece has.
    for (const unsigned place : {1U, 8U}) {
        CHECK(all_udp.judge(ipv6(44, fragment_header(60, place, extension(17, from_to(9, 7))))) ==
              nobody_knows(filter_reason::fragment));
    }
}

TEST_CASE("what nobody knows passes before later rules are looked at") {
    const packet_filter filter{filter_rule::tcp_to(80), filter_rule::udp_to(7), {.ip_version = std::uint8_t{4}}};
    CHECK(filter.judge(ipv4({.fragment = 0x2000}, from_to(9, 7))) == nobody_knows(filter_reason::fragment, 1));
    CHECK(filter.judge(cut(ipv4({}, from_to(9, 7)), 37)) == nobody_knows(filter_reason::unreadable, 1));
    CHECK(filter.judge(cut(ipv4({}, {}), 33)) == nobody_knows(filter_reason::unreadable, 0));
    CHECK(filter.judge(ipv4({.protocol = 1}, {})) == by_rule(2));
}

TEST_CASE("behind a VLAN tag only the EtherType is looked at") {
    const packet_filter tags{{.verdict = filter_verdict::drop, .ether_type = std::uint16_t{0x8100}}};
    for (const unsigned type : {0x8100U, 0x88a8U}) {
        for (const frame_bytes& frame :
             {tagged(ipv4({}, from_to(9, 7)), type), tagged(tagged(ipv4({}, from_to(9, 7))), type),
              cut(tagged(ipv4({}, from_to(9, 7)), type), 16)}) {
            CHECK(udp_7.judge(frame) == nobody_knows(filter_reason::tagged));
            CHECK(tags.judge(frame) == (type == 0x8100 ? by_rule(0, filter_verdict::drop) : none_matches));
        }
    }
}

TEST_CASE("headers that are cut short or have an impossible length or version are unreadable") {
    const frame_bytes v4 = ipv4({.options = 2}, from_to(9, 7));
    for (std::size_t size = 14; size < 46; ++size) { CHECK(udp_7.judge(cut(v4, size)).reason == filter_reason::unreadable); }
    CHECK(udp_7.judge(cut(v4, 46)) == by_rule(0));
    const frame_bytes v6 = ipv6(0, extension(60, extension(17, from_to(9, 7)), 1));
    for (std::size_t size = 14; size < 82; ++size) { CHECK(udp_7.judge(cut(v6, size)).reason == filter_reason::unreadable); }
    CHECK(udp_7.judge(cut(v6, 82)) == by_rule(0));
    for (std::size_t size = 0; size < 14; ++size) {
        CHECK(packet_filter::everything().judge(frame_bytes(size)) == nobody_knows(filter_reason::unreadable));
    }
    CHECK(udp_7.judge(ipv4({.version = 5}, from_to(9, 7))).reason == filter_reason::unreadable);
    CHECK(udp_7.judge(ipv6(17, from_to(9, 7), 1, 4)).reason == filter_reason::unreadable);
    const auto with = [](frame_bytes frame, std::size_t at, unsigned value) {
        frame[at] = static_cast<std::byte>(value);
        return frame;
    };
    const frame_bytes plain = ipv4({}, from_to(9, 7));
    CHECK(udp_7.judge(with(plain, 14, 0x44)).reason == filter_reason::unreadable);  // a header of 16 bytes
    CHECK(udp_7.judge(with(plain, 17, 19)).reason == filter_reason::unreadable);    // longer than the packet
    CHECK(udp_7.judge(with(plain, 17, 23)).reason == filter_reason::unreadable);    // no room for ports
    CHECK(udp_7.judge(with(plain, 17, 24)) == by_rule(0));
    CHECK(udp_7.judge(with(ipv6(17, from_to(9, 7)), 19, 3)).reason == filter_reason::unreadable);
}

TEST_CASE("four extension headers are walked and a fifth hides the protocol but not the addresses") {
    const packet_filter to{{.destination = ip_prefix::v6({0x20, 1, 0xd, 0xb8}, 64)}};
    frame_bytes chain = from_to(9, 7);
    unsigned next = 17;
    for (unsigned headers = 0; headers <= 8; ++headers) {
        const filter_decision expected = headers <= 4 ? by_rule(0) : nobody_knows(filter_reason::unreadable);
        CHECK(udp_7.judge(ipv6(next, chain)) == expected);
        CHECK(to.judge(ipv6(next, chain)) == by_rule(0));
        chain = extension(next, chain, headers % 3);
        next = std::vector<unsigned>{0, 43, 60, 135, 139}[headers % 5];
    }
    // The authentication header counts its length in other units.
    CHECK(udp_7.judge(ipv6(51, joined(bytes_of({17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}), from_to(9, 7)))) == by_rule(0));
}

TEST_CASE("a rule about addresses in ARP matches those and no addresses of IP") {
    const packet_filter filter{{.ether_type = std::uint16_t{0x0806}, .destination = ip_prefix::v4({10, 77, 0, 1})},
                               {.ether_type = std::uint16_t{0x0806}, .source = ip_prefix::v4({10, 77, 0, 1})}};
    REQUIRE(filter.validate().has_value());
    CHECK(filter.judge(arp(2, 1)) == by_rule(0));
    CHECK(filter.judge(arp(1, 2)) == by_rule(1));
    CHECK(filter.judge(arp(2, 3)) == none_matches);
    CHECK(filter.judge(ipv4({}, from_to(9, 7))) == none_matches);
    CHECK(filter.judge(tagged(arp(2, 1))) == none_matches);
    for (std::size_t size = 14; size < 42; ++size) {
        CHECK(filter.judge(cut(arp(2, 1), size)) == nobody_knows(filter_reason::unreadable));
    }
    CHECK(filter.judge(arp(2, 1, 6)) == nobody_knows(filter_reason::unreadable));
    const packet_filter of_ip{{.destination = ip_prefix::v4({10, 77, 0, 1})}};
    CHECK(of_ip.judge(arp(2, 1)) == none_matches);
    CHECK(of_ip.judge(cut(arp(2, 1), 20)) == none_matches);
}

TEST_CASE("a rule that contradicts itself is refused by its number and its contradiction") {
    const std::uint8_t udp = 17;
    CHECK(refusal({.destination_ports = port_range(7)}) == "it asks for ports and names no protocol");
    CHECK(refusal({.protocol = std::uint8_t{1}, .source_ports = port_range(7)}) ==
          "it asks for ports, which protocol 1 does not have");
    CHECK(refusal({.protocol = udp, .source_ports = port_range(8, 7)}) == "its ports from 8 to 7 are none");
    CHECK(refusal({.ip_version = std::uint8_t{5}}) == "it is about IP version 5");
    CHECK(refusal({.ether_type = std::uint16_t{0x5ff}}) == "its EtherType 1535 is below 0x600: such a number is a length");
    CHECK(refusal({.ether_type = std::uint16_t{0x0806}, .protocol = udp}) ==
          "it asks for something of IP behind an EtherType that is not IP's");
    CHECK(refusal({.ether_type = std::uint16_t{0x0806}, .source = ip_prefix::v6({0x20, 1}, 16)}) ==
          "its source prefix is of IP version 6, the rule is about version 4");
    CHECK(refusal({.ether_type = std::uint16_t{0x8100}, .destination = ip_prefix::v4({10}, 8)}) ==
          "it asks for something of IP behind an EtherType that is not IP's");
    CHECK(refusal({.ether_type = std::uint16_t{0x0800}, .ip_version = std::uint8_t{6}}) ==
          "its EtherType is that of IP version 4, the rule is about version 6");
    CHECK(refusal({.ip_version = std::uint8_t{6}, .destination = ip_prefix::v4({10}, 8)}) ==
          "its destination prefix is of IP version 4, the rule is about version 6");
    CHECK(refusal({.destination = ip_prefix::v4({10}, 8), .source = ip_prefix::v6({0x20, 1}, 16)}) ==
          "its source prefix is of IP version 6, the rule is about version 4");
    CHECK(refusal({.source = ip_prefix::v4({10}, 33)}) == "its source prefix has 33 bits");
    CHECK(refusal({.source = ip_prefix::v4({10, 1}, 8)}) == "its source prefix has bits behind its length of 8");
    CHECK(refusal({.source = ip_prefix{5, 0, {}}}) == "its source prefix is of IP version 5");
    CHECK(refusal({.ether_type = std::uint16_t{0x86dd},
                   .ip_version = std::uint8_t{6},
                   .protocol = udp,
                   .destination_ports = port_range(),
                   .destination = ip_prefix::v6({}, 0)}) == "none");
}

TEST_CASE("a filter with more rules than the program has room for is refused") {
    packet_filter filter;
    for (std::size_t i = 0; i < packet_filter::most_rules; ++i) { filter.add(filter_rule::udp_to(7)); }
    CHECK(filter.validate().has_value());
    filter.add({});
    REQUIRE(filter.validate().has_error());
    CHECK(filter.validate().error().code == errc::invalid_option);
    CHECK(filter.validate().error().cause == "it has 65 rules");
}
