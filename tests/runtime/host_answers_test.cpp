// SPDX-License-Identifier: BSD-3-Clause
// What an ip_host answers to a station of its link: ARP, Neighbor Discovery, echo requests, errors.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/ndp.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "tests/runtime/host_bed.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;

namespace {

const proto::test::endpoints& who = station_to_host;

/// The ICMP message in a frame of version 4, whose checksums are right.
proto::icmp_view icmp_of(const frame_bytes& frame) {
    const auto packet = proto::ipv4_view::parse(ethernet_of(frame).payload()).value();
    REQUIRE(packet.protocol() == proto::ip_protocol::icmp);
    return proto::icmp_view::parse(packet.payload()).value();
}

proto::icmpv6_view icmpv6_of(const frame_bytes& frame) {
    const auto packet = proto::ipv6_view::parse(ethernet_of(frame).payload()).value();
    REQUIRE(packet.next_header() == proto::ip_protocol::icmpv6);
    return proto::icmpv6_view::parse(packet.payload(), packet.source(), packet.destination()).value();
}

/// A neighbour solicitation of host 2 for host 1's address.
frame_bytes solicitation(const proto::ipv6_address& source, std::optional<proto::mac_address> link_address) {
    proto::ndp_neighbour_repr message;
    message.target = v6_of(1);
    message.link_address = link_address;
    frame_bytes bytes(message.length());
    const proto::ipv6_address group = v6_of(1).solicited_node();
    message.emit(bytes, source, group);
    return ipv6_frame(proto::hardware_of_group(group), mac_of(2),
                      {source, group, proto::ip_protocol::icmpv6, 0, proto::ndp_hop_limit}, bytes);
}

/// Cuts the IPv4 packet of a frame into fragments of `size` octets.
std::vector<frame_bytes> fragments_of(const frame_bytes& frame, std::size_t size, std::uint16_t identification = 77) {
    const auto packet = proto::ipv4_view::parse(ethernet_of(frame).payload()).value();
    std::vector<frame_bytes> parts;
    for (std::size_t at = 0; at < packet.payload().size(); at += size) {
        const auto piece = packet.payload().subspan(at, std::min(size, packet.payload().size() - at));
        frame_bytes part = proto::test::ipv4_frame(who, packet.protocol(), piece);
        auto head = proto::mutable_ipv4_view::unchecked(std::span(part).subspan(proto::ethernet_header_length));
        head.set_identification(identification);
        head.set_fragment(false, at + piece.size() != packet.payload().size(), at);
        head.fill_checksum();
        parts.push_back(std::move(part));
    }
    return parts;
}

}  // namespace

TEST_CASE("a host answers an ARP request for its address, and none for another's") {
    host_and_station bed;
    const auto answers = bed.ask(proto::test::arp_request(who));
    REQUIRE(answers.size() == 1);
    CHECK(ethernet_of(answers[0]).destination() == mac_of(2));
    CHECK(ethernet_of(answers[0]).source() == mac_of(1));
    const auto reply = proto::arp_view::parse(ethernet_of(answers[0]).payload()).value();
    CHECK(reply.operation() == proto::arp_operation::reply);
    CHECK(reply.sender_hardware() == mac_of(1));
    CHECK(reply.sender_protocol() == v4_of(1));
    CHECK(reply.target_protocol() == v4_of(2));
    auto other = who;
    other.host_ip = v4_of(3);
    CHECK(bed.ask(proto::test::arp_request(other)).empty());
    CHECK(bed.here.counters().arp == 1);
    CHECK(bed.here.counters().dropped_for(proto::reason::arp_not_for_us) == 1);
}

TEST_CASE("a host answers an echo request of either version with what it carried") {
    host_and_station bed;
    for (const std::size_t size : {0U, 1U, 56U, 1400U}) {
        CAPTURE(size);
        const auto payload = counting(size);
        const auto answers = bed.ask(proto::test::echo_request(who, payload));
        REQUIRE(answers.size() == 1);
        const auto reply = icmp_of(answers[0]);
        CHECK(reply.type() == proto::icmp_type::echo_reply);
        CHECK(reply.identifier() == 0x1234);
        CHECK(std::ranges::equal(reply.payload(), payload));
        CHECK(ethernet_of(answers[0]).destination() == mac_of(2));

        const auto answers6 = bed.ask(echo6_request(size));
        REQUIRE(answers6.size() == 1);
        const auto reply6 = icmpv6_of(answers6[0]);
        CHECK(reply6.type() == proto::icmpv6_type::echo_reply);
        CHECK(reply6.sequence() == 9);
        CHECK(std::ranges::equal(reply6.payload(), payload));
    }
    CHECK(bed.here.counters().echoes == 8);
    CHECK(bed.here.counters().answers_sent == 8);
}

TEST_CASE("a host answers a neighbour solicitation to the asking host, and to all when that has no address yet") {
    host_and_station bed;
    auto answers = bed.ask(solicitation(v6_of(2), mac_of(2)));
    REQUIRE(answers.size() == 1);
    CHECK(ethernet_of(answers[0]).destination() == mac_of(2));
    auto packet = proto::ipv6_view::parse(ethernet_of(answers[0]).payload()).value();
    CHECK(packet.destination() == v6_of(2));
    auto said = proto::ndp_neighbour_view::parse(icmpv6_of(answers[0]), packet).value();
    CHECK(said.is_advertisement());
    CHECK(said.target() == v6_of(1));
    CHECK(said.is_solicited());
    CHECK(said.link_address() == mac_of(1));

    answers = bed.ask(solicitation(proto::ipv6_address(), std::nullopt));
    REQUIRE(answers.size() == 1);
    packet = proto::ipv6_view::parse(ethernet_of(answers[0]).payload()).value();
    CHECK(packet.destination() == proto::ipv6_address::all_nodes());
    said = proto::ndp_neighbour_view::parse(icmpv6_of(answers[0]), packet).value();
    CHECK_FALSE(said.is_solicited());
    CHECK(bed.here.counters().ndp == 2);
}

TEST_CASE("a host puts an echo request in fragments together, in any order, and answers in fragments") {
    host_and_station bed;
    for (const std::size_t size : {600U, 3000U, 20'000U}) {
        CAPTURE(size);
        const auto payload = counting(size);
        auto parts = fragments_of(proto::test::echo_request(who, payload), 512, static_cast<std::uint16_t>(size));
        std::ranges::reverse(parts);
        static_cast<void>(bed.received());
        bed.send(parts);
        const auto answers = bed.received();
        frame_bytes whole(size + proto::icmp_header_length);
        std::size_t octets = 0;
        for (const frame_bytes& one : answers) {
            const auto packet = proto::ipv4_view::parse(ethernet_of(one).payload()).value();
            std::ranges::copy(packet.payload(), whole.begin() + static_cast<std::ptrdiff_t>(packet.fragment_offset()));
            octets += packet.payload().size();
        }
        CHECK(octets == whole.size());
        const auto reply = proto::icmp_view::parse(std::span<const std::byte>(whole)).value();
        CHECK(reply.type() == proto::icmp_type::echo_reply);
        CHECK(std::ranges::equal(reply.payload(), payload));
    }
    CHECK(bed.here.counters().echoes == 3);
    CHECK(bed.here.counters().accounted() == bed.here.counters().frames);
}

TEST_CASE("a host says that nobody listens on a port, and quotes the datagram") {
    host_and_station bed;
    const auto request = proto::test::udp_request(who, counting(30));
    const auto answers = bed.ask(request);
    REQUIRE(answers.size() == 1);
    const auto error = icmp_of(answers[0]);
    CHECK(error.type() == proto::icmp_type::destination_unreachable);
    CHECK(error.code() == proto::icmp_code::port_unreachable);
    CHECK(std::ranges::equal(error.payload(), ethernet_of(request).payload()));

    frame_bytes datagram(proto::udp_header_length + 10);
    proto::udp_repr{5, 6, 10}.emit(datagram).fill_checksum(v6_of(2), v6_of(1));
    const auto request6 = ipv6_frame(mac_of(1), mac_of(2), {v6_of(2), v6_of(1), proto::ip_protocol::udp}, datagram);
    const auto answers6 = bed.ask(request6);
    REQUIRE(answers6.size() == 1);
    const auto error6 = icmpv6_of(answers6[0]);
    CHECK(error6.type() == proto::icmpv6_type::destination_unreachable);
    CHECK(error6.code() == proto::icmpv6_code::port_unreachable);
    CHECK(std::ranges::equal(error6.payload(), ethernet_of(request6).payload()));
}

TEST_CASE("a host says that it does not speak a protocol") {
    host_and_station bed;
    const auto answers = bed.ask(proto::test::ipv4_frame(who, proto::ip_protocol{99}, counting(30)));
    REQUIRE(answers.size() == 1);
    CHECK(icmp_of(answers[0]).code() == proto::icmp_code::protocol_unreachable);
    const auto request6 = ipv6_frame(mac_of(1), mac_of(2), {v6_of(2), v6_of(1), proto::ip_protocol{99}}, counting(30));
    const auto answers6 = bed.ask(request6);
    REQUIRE(answers6.size() == 1);
    CHECK(icmpv6_of(answers6[0]).type() == proto::icmpv6_type::parameter_problem);
    CHECK(icmpv6_of(answers6[0]).code() == proto::ipv6_problem::unknown_next_header);
    CHECK(icmpv6_of(answers6[0]).pointer() == proto::ipv6_offset::next_header);
}

TEST_CASE("a host sends no more ICMP errors to one network than the limit allows") {
    host_and_station bed;
    const std::vector<frame_bytes> flood(50, proto::test::udp_request(who, counting(30)));
    bed.send(flood);
    CHECK(bed.received().size() == 10);  // the burst
    CHECK(bed.here.counters().errors_sent == 10);
    CHECK(bed.here.counters().errors_withheld == 40);
    bed.pass(1s);
    bed.send(std::span(flood).first(1));
    CHECK(bed.received().size() == 1);
}

TEST_CASE("a host tells the sender of fragments that the rest has not come in time") {
    host::host_options options = host_number(1);
    options.neighbours = {{v4_of(2), mac_of(2)}};
    host_and_station bed(options);
    auto parts = fragments_of(proto::test::echo_request(who, counting(1000)), 512);
    bed.send(std::span(parts).first(1));
    CHECK(bed.received().empty());
    bed.pass(31s);
    const auto answers = bed.received();
    REQUIRE(answers.size() == 1);
    const auto error = icmp_of(answers[0]);
    CHECK(error.type() == proto::icmp_type::time_exceeded);
    CHECK(error.code() == proto::icmp_code::reassembly_time_exceeded);
    const auto quoted = proto::quoted_packet::parse_ipv4(error.payload()).value();
    CHECK(quoted.source == proto::ip_address(v4_of(2)));
    CHECK(quoted.protocol == proto::ip_protocol::icmp);
}

TEST_CASE("an ICMP error waits for a neighbour that is asked for, and is given up when that does not answer") {
    for (const bool answers : {true, false}) {
        host_and_station bed;
        auto parts = fragments_of(proto::test::echo_request(who, counting(1000)), 512);
        bed.send(std::span(parts).first(1));
        bed.pass(30s + 10ms);
        const auto asked = bed.received();
        REQUIRE(asked.size() == 1);
        CHECK(proto::arp_view::parse(ethernet_of(asked[0]).payload()).value().target_protocol() == v4_of(2));
        if (answers) {
            frame_bytes reply(proto::ethernet_header_length + proto::arp_packet_length);
            proto::ethernet_repr{mac_of(1), mac_of(2), proto::ethertype::arp}.emit(reply);
            proto::arp_repr{proto::arp_operation::reply, mac_of(2), v4_of(2), mac_of(1), v4_of(1)}.emit(
                std::span(reply).subspan(proto::ethernet_header_length));
            const auto told = bed.ask(reply);
            REQUIRE(told.size() == 1);
            CHECK(icmp_of(told[0]).type() == proto::icmp_type::time_exceeded);
            CHECK(ethernet_of(told[0]).destination() == mac_of(2));
        }
        bed.pass(5s);
        CHECK(bed.here.counters().held_sent == (answers ? 1 : 0));
        CHECK(bed.here.counters().undeliverable == (answers ? 0 : 1));
    }
}

TEST_CASE("hostile frames are dropped, each for its reason, and every frame goes home") {
    host_and_station bed;
    using enum proto::reason;
    // What this host does otherwise than one that has neither fragments nor neighbours of its own.
    const std::array others{ipv4_fragment, icmp_unknown_type, udp_echo_loop, udp_source_port_zero, arp_bad_sender_address};
    std::uint64_t sent = 0;
    for (const auto& frame : proto::test::malformed_frames(who)) {
        if (frame.bytes.size() < tx::min_packet) { continue; }
        CAPTURE(frame.name);
        const std::uint64_t before = bed.here.counters().dropped_for(frame.expected);
        bed.send(frame.bytes);
        ++sent;
        CHECK(bed.here.counters().frames == sent);
        CHECK(bed.here.counters().accounted() == sent);
        if (std::ranges::find(others, frame.expected) == others.end()) {
            CHECK(bed.here.counters().dropped_for(frame.expected) == before + 1);
        }
    }
    CHECK(sent > 60);
}
