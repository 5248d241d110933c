// SPDX-License-Identifier: BSD-3-Clause
#include "examples/load_balancer/flow.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace load_balancer;

namespace {

const proto::test::endpoints who{.host = proto::mac_address({2, 0, 0, 0, 0, 1}),
                                 .host_ip = {192, 0, 2, 1},
                                 .client = proto::mac_address({2, 0, 0, 0, 0, 2}),
                                 .client_ip = {192, 0, 2, 77},
                                 .echo_port = 80,
                                 .client_port = 40001};

/// A segment from port 40001 to port 80.
std::vector<std::byte> tcp_frame(unsigned flags, std::size_t length = 20) {
    std::vector<std::byte> segment(20);
    proto::store_be16(segment.data(), 40001);
    proto::store_be16(segment.data() + 2, 80);
    segment[12] = std::byte{0x50};
    segment[13] = static_cast<std::byte>(flags);
    segment.resize(length);
    return proto::test::ipv4_frame(who, proto::ip_protocol::tcp, segment);
}

}  // namespace

TEST_CASE("a TCP segment gives the five values of its flow") {
    const auto known = flow::parse(tcp_frame(0x10));
    REQUIRE(known.has_value());
    CHECK(known->source == who.client_ip);
    CHECK(known->destination == who.host_ip);
    CHECK(known->protocol == proto::ip_protocol::tcp);
    CHECK(known->source_port == 40001);
    CHECK(known->destination_port == 80);
    CHECK(!known->opens);
}

TEST_CASE("only a SYN without ACK opens a connection") {
    CHECK(flow::parse(tcp_frame(0x02))->opens);
    CHECK(flow::parse(tcp_frame(0xc2))->opens);  // with ECN
    CHECK(!flow::parse(tcp_frame(0x12))->opens);
    CHECK(!flow::parse(tcp_frame(0x04))->opens);
    CHECK(flow::parse(tcp_frame(0x02))->hash() == flow::parse(tcp_frame(0x18))->hash());
}

TEST_CASE("a UDP datagram gives a flow whatever its checksum") {
    auto frame = proto::test::udp_request(who, proto::test::counting(10));
    frame.back() ^= std::byte{1};
    const auto known = flow::parse(frame);
    REQUIRE(known.has_value());
    CHECK(known->protocol == proto::ip_protocol::udp);
    CHECK(known->source_port == 40001);
    CHECK(known->destination_port == 80);
    CHECK(!known->opens);
}

TEST_CASE("what is no whole TCP or UDP packet gives no flow") {
    CHECK(!flow::parse({}).has_value());
    CHECK(!flow::parse(proto::test::arp_request(who)).has_value());
    CHECK(!flow::parse(proto::test::echo_request(who, proto::test::counting(10))).has_value());
    CHECK(!flow::parse(tcp_frame(0x02, 19)).has_value());
    CHECK(!flow::parse(proto::test::ipv4_frame(who, proto::ip_protocol::udp, proto::test::counting(7))).has_value());

    auto fragment = tcp_frame(0x10);
    auto packet = proto::mutable_ipv4_view::unchecked(std::span(fragment).subspan(proto::ethernet_header_length));
    packet.set_fragment(false, true, 0);
    packet.fill_checksum();
    CHECK(!flow::parse(fragment).has_value());

    const auto whole = tcp_frame(0x10);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK(!flow::parse(std::span(whole).first(length)).has_value());
    }
}

TEST_CASE("each of the five values changes the hash") {
    const flow one = *flow::parse(tcp_frame(0x10));
    std::set<std::uint64_t> hashes{one.hash()};
    flow other = one;
    other.source = {192, 0, 2, 78};
    hashes.insert(other.hash());
    other = one;
    other.destination = {192, 0, 2, 2};
    hashes.insert(other.hash());
    other = one;
    other.protocol = proto::ip_protocol::udp;
    hashes.insert(other.hash());
    other = one;
    other.source_port = 40002;
    hashes.insert(other.hash());
    other = one;
    other.destination_port = 81;
    hashes.insert(other.hash());
    other = one;
    std::swap(other.source_port, other.destination_port);
    hashes.insert(other.hash());
    CHECK(hashes.size() == 7);
}
