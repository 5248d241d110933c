// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/reply.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using namespace fluxnet::proto;
using test::counting;
using test::octets;

namespace {

const test::endpoints reply_ends{.host = mac_address({2, 0, 0, 0, 0, 1}),
                                 .host_ip = ipv4_address(10, 0, 0, 1),
                                 .client = mac_address({2, 0, 0, 0, 0, 2}),
                                 .client_ip = ipv4_address(10, 0, 0, 2)};
const ipv6_address host_v6 = ipv6_address::parse("2001:db8::1").value();
const ipv6_address client_v6 = ipv6_address::parse("2001:db8::2").value();

/// Makes a packet of the client that carries `message` behind `extensions`, which begin with destination options if any.
std::vector<std::byte> ipv6_request(ip_protocol protocol, const std::vector<std::byte>& message,
                                    const std::vector<std::byte>& extensions = {}) {
    std::vector<std::byte> bytes(ipv6_header_length + extensions.size() + message.size() + 4, std::byte{0xee});
    const auto first = extensions.empty() ? protocol : ip_protocol::ipv6_destination_options;
    const auto packet =
        ipv6_repr{client_v6, host_v6, first, extensions.size() + message.size(), 3, 0xb8, 0x12345}.emit(bytes);
    std::ranges::copy(extensions, packet.payload().begin());
    std::ranges::copy(message, packet.payload().subspan(extensions.size()).begin());
    return bytes;  // with padding of the frame
}

}  // namespace

TEST_CASE("a frame goes back to its sender in the name of the host") {
    auto bytes = test::udp_request(reply_ends, counting(3));
    auto frame = mutable_ethernet_view::unchecked(bytes);
    frame.set_destination(mac_address::broadcast());
    turn_around(frame, reply_ends.host);
    CHECK(frame.destination() == reply_ends.client);
    CHECK(frame.source() == reply_ends.host);
}

TEST_CASE("an ARP request becomes the reply that names the host") {
    auto bytes = test::arp_request(reply_ends);
    auto packet = mutable_arp_view::parse(mutable_ethernet_view::unchecked(bytes).payload()).value();
    turn_around(packet, reply_ends.host);
    CHECK(packet.operation() == arp_operation::reply);
    CHECK(packet.sender_hardware() == reply_ends.host);
    CHECK(packet.sender_protocol() == reply_ends.host_ip);
    CHECK(packet.target_hardware() == reply_ends.client);
    CHECK(packet.target_protocol() == reply_ends.client_ip);
}

TEST_CASE("an IPv4 datagram goes back without its options and keeps right checksums") {
    for (std::size_t options = 0; options <= 40; options += 4) {
        for (std::size_t size = 0; size != 40; ++size) {
            std::vector<std::byte> nops(options, std::byte{1});
            auto bytes = test::with_options(test::udp_request(reply_ends, counting(size)), nops);
            auto packet = mutable_ipv4_view::parse(mutable_ethernet_view::unchecked(bytes).payload()).value();
            const std::uint8_t service = packet.type_of_service();
            auto datagram = mutable_udp_view::parse(packet.payload(), packet.source(), packet.destination()).value();
            turn_around(datagram);
            REQUIRE(turn_around(packet, datagram.bytes().size(), 17) == 28 + size);

            const auto reply = ipv4_view::parse(std::span<const std::byte>(bytes).subspan(14)).value();
            CHECK(reply.header_length() == 20);
            CHECK(reply.total_length() == 28 + size);
            CHECK(reply.source() == reply_ends.host_ip);
            CHECK(reply.destination() == reply_ends.client_ip);
            CHECK(reply.time_to_live() == 17);
            CHECK(reply.type_of_service() == service);
            const auto answer = udp_view::parse(reply.payload(), reply.source(), reply.destination());
            REQUIRE(answer.has_value());
            CHECK(answer->source_port() == reply_ends.echo_port);
            CHECK(answer->destination_port() == reply_ends.client_port);
            CHECK(std::ranges::equal(answer->payload(), counting(size)));
        }
    }
}

TEST_CASE("octets after the message of a datagram are left out of its reply") {
    std::vector<std::byte> message(8 + 3 + 5);
    udp_repr{40000, 7, 3}.emit(message);
    auto bytes = test::ipv4_frame(reply_ends, ip_protocol::udp, message);
    auto packet = mutable_ipv4_view::parse(mutable_ethernet_view::unchecked(bytes).payload()).value();
    CHECK(turn_around(packet, 11) == 31);
    CHECK(ipv4_view::parse(packet.bytes()).value().total_length() == 31);
}

TEST_CASE("an echo over IPv4 is answered with a right checksum") {
    auto bytes = test::echo_request(reply_ends, counting(5));
    auto packet = mutable_ipv4_view::parse(mutable_ethernet_view::unchecked(bytes).payload()).value();
    turn_around(mutable_icmp_view::parse(packet.payload()).value());
    turn_around(packet, packet.payload().size());
    const auto reply = ipv4_view::parse(packet.bytes()).value();
    CHECK(reply.time_to_live() == reply_hops);
    CHECK(icmp_view::parse(reply.payload()).value().type() == icmp_type::echo_reply);
}

TEST_CASE("a UDP datagram over IPv6 goes back without extension headers and keeps a right checksum") {
    for (const auto& extensions : {octets(), octets(17, 0, 1, 4, 0, 0, 0, 0),
                                   octets(44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 9)}) {  // an atomic fragment
        std::vector<std::byte> message(8 + 3);
        auto request = udp_repr{40000, 7, 3}.emit(message);
        std::ranges::copy(octets(1, 2, 3), request.payload().begin());
        request.fill_checksum(client_v6, host_v6);
        auto bytes = ipv6_request(ip_protocol::udp, message, extensions);
        auto packet = mutable_ipv6_view::parse(bytes).value();
        const auto content = ipv6_upper_layer(packet).value();
        turn_around(mutable_udp_view::parse(content.payload, packet.source(), packet.destination()).value());
        REQUIRE(turn_around(packet, content, content.payload.size()) == 51);

        const auto reply = ipv6_view::parse(std::span<const std::byte>(bytes)).value();
        CHECK(reply.bytes().size() == 51);
        CHECK(reply.next_header() == ip_protocol::udp);
        CHECK(reply.source() == host_v6);
        CHECK(reply.destination() == client_v6);
        CHECK(reply.hop_limit() == 64);
        CHECK(reply.traffic_class() == 0xb8);
        CHECK(reply.flow_label() == 0);
        const auto answer = udp_view::parse(reply.payload(), reply.source(), reply.destination());
        REQUIRE(answer.has_value());
        CHECK(answer->source_port() == 7);
        CHECK(answer->destination_port() == 40000);
        CHECK(std::ranges::equal(answer->payload(), octets(1, 2, 3)));
    }
}

TEST_CASE("an echo over IPv6 is answered with a right checksum") {
    std::vector<std::byte> message(8 + 3, std::byte{0x61});
    icmpv6_echo_repr{icmpv6_type::echo_request, 1, 2}.emit(message, client_v6, host_v6);
    auto bytes = ipv6_request(ip_protocol::icmpv6, message, octets(58, 0, 1, 4, 0, 0, 0, 0));
    auto packet = mutable_ipv6_view::parse(bytes).value();
    const auto content = ipv6_upper_layer(packet).value();
    turn_around(mutable_icmpv6_view::parse(content.payload, packet.source(), packet.destination()).value());
    turn_around(packet, content, content.payload.size());
    const auto reply = ipv6_view::parse(std::span<const std::byte>(bytes)).value();
    const auto answer = icmpv6_view::parse(reply.payload(), reply.source(), reply.destination());
    REQUIRE(answer.has_value());
    CHECK(answer->type() == icmpv6_type::echo_reply);
    CHECK(answer->identifier() == 1);
    CHECK(answer->sequence() == 2);
}
