// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/datagram.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace firewall;
using proto::ip_protocol;
using proto::test::counting;

namespace {

using bytes = std::vector<std::byte>;

const proto::test::endpoints who{.host = proto::mac_address({2, 0, 0, 0, 0, 1}),
                                 .host_ip = {192, 0, 2, 1},
                                 .client = proto::mac_address({2, 0, 0, 0, 0, 2}),
                                 .client_ip = {192, 0, 2, 77},
                                 .echo_port = 80,
                                 .client_port = 40001};

/// A segment from port 40001 to port 80; `words` is the length of its header, in units of four octets.
bytes tcp_frame(std::size_t length, unsigned words = 5) {
    bytes segment(20);
    proto::store_be16(segment.data(), 40001);
    proto::store_be16(segment.data() + 2, 80);
    segment[12] = static_cast<std::byte>(words << 4);
    segment.resize(length);
    return proto::test::ipv4_frame(who, ip_protocol::tcp, segment);
}

bytes udp_frame(std::size_t length, unsigned claimed) {
    bytes segment = counting(length);
    if (length >= 6) { proto::store_be16(segment.data() + 4, static_cast<std::uint16_t>(claimed)); }
    return proto::test::ipv4_frame(who, ip_protocol::udp, segment);
}

bytes fragment(bytes frame, bool more, std::size_t offset) {
    auto packet = proto::mutable_ipv4_view::unchecked(std::span(frame).subspan(proto::ethernet_header_length));
    packet.set_fragment(false, more, offset);
    packet.fill_checksum();
    return frame;
}

bytes of(ip_protocol protocol, std::size_t length) {
    return proto::test::ipv4_frame(who, protocol, counting(length));
}

void check_malformed(const bytes& frame, flaw where) {
    const dissection found = dissect(frame);
    CHECK(found.kind == frame_kind::malformed);
    CHECK(found.where == where);
}

void check_whole(const bytes& frame, bool has_ports) {
    const dissection found = dissect(frame);
    CHECK(found.kind == frame_kind::ipv4);
    CHECK(found.packet.has_ports == has_ports);
}

}  // namespace

TEST_CASE("TCP and UDP have addresses and ports") {
    for (const bytes& frame : {tcp_frame(20), tcp_frame(60, 15), proto::test::udp_request(who, counting(9))}) {
        const dissection found = dissect(frame);
        REQUIRE(found.kind == frame_kind::ipv4);
        CHECK(found.packet.source == 0xc000024d);
        CHECK(found.packet.destination == 0xc0000201);
        CHECK(found.packet.has_ports);
        CHECK(found.packet.source_port == 40001);
        CHECK(found.packet.destination_port == 80);
    }
    CHECK(dissect(tcp_frame(20)).packet.protocol == ip_protocol::tcp);
    CHECK(dissect(proto::test::udp_request(who, {})).packet.protocol == ip_protocol::udp);
}

TEST_CASE("ports are found behind IPv4 options") {
    const dissection found = dissect(proto::test::with_options(tcp_frame(20), proto::test::octets(7, 3, 4, 0)));
    REQUIRE(found.kind == frame_kind::ipv4);
    CHECK(found.packet.destination_port == 80);
}

TEST_CASE("other protocols have no ports") {
    check_whole(proto::test::echo_request(who, counting(10)), false);
    CHECK(dissect(proto::test::echo_request(who, {})).packet.protocol == ip_protocol::icmp);
    check_whole(of(ip_protocol{47}, 30), false);
    check_whole(of(ip_protocol{47}, 0), false);
}

TEST_CASE("ARP is told from what is neither ARP nor IPv4") {
    const bytes request = proto::test::arp_request(who);
    CHECK(dissect(request).kind == frame_kind::arp);
    for (const unsigned type : {0x86ddU, 0x8100U, 0x88a8U, 0x88ccU, 0x0026U}) {
        bytes frame = request;
        proto::store_be16(frame.data() + proto::ethernet_offset::type, static_cast<std::uint16_t>(type));
        CHECK(dissect(frame).kind == frame_kind::other);
    }
    bytes reverse = request;
    reverse[21] = std::byte{3};
    check_malformed(reverse, flaw::arp);
}

TEST_CASE("a checksum over a payload is left to the receiver") {
    bytes frame = proto::test::udp_request(who, counting(10));
    frame.back() ^= std::byte{1};
    check_whole(frame, true);
}

TEST_CASE("every frame cut short is malformed") {
    for (const bytes& whole : {tcp_frame(20), proto::test::udp_request(who, counting(9)), proto::test::arp_request(who),
                               proto::test::echo_request(who, counting(5)), fragment(of(ip_protocol::udp, 32), true, 80)}) {
        for (std::size_t length = 0; length < whole.size(); ++length) {
            const bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
            CHECK(dissect(cut).kind == frame_kind::malformed);
        }
    }
}

TEST_CASE("octets behind the datagram are padding") {
    bytes frame = tcp_frame(20);
    frame.resize(frame.size() + 6);
    check_whole(frame, true);
}

TEST_CASE("broken headers are malformed where they are broken") {
    bytes frame = tcp_frame(20);
    frame[6] = std::byte{1};  // a source that is a group
    check_malformed(frame, flaw::ethernet);
    frame = tcp_frame(20);
    frame[proto::test::network_at + 10] ^= std::byte{1};
    check_malformed(frame, flaw::ipv4);
    for (const unsigned length : {0U, 1U, 4U, 19U}) { check_malformed(tcp_frame(length), flaw::tcp); }
    for (const unsigned words : {0U, 4U, 6U, 15U}) { check_malformed(tcp_frame(20, words), flaw::tcp); }
    for (const unsigned length : {0U, 4U, 7U}) { check_malformed(of(ip_protocol::udp, length), flaw::udp); }
    for (const unsigned claimed : {0U, 7U, 21U, 65535U}) { check_malformed(udp_frame(20, claimed), flaw::udp); }
    for (const unsigned claimed : {8U, 19U, 20U}) { check_whole(udp_frame(20, claimed), true); }
    for (const unsigned length : {0U, 1U, 7U}) { check_malformed(of(ip_protocol::icmp, length), flaw::icmp); }
}

TEST_CASE("a source route is malformed because the destination is not where it goes") {
    using proto::test::octets;
    using proto::test::with_options;
    check_malformed(with_options(tcp_frame(20), octets(131, 3, 4, 0)), flaw::source_route);
    check_malformed(with_options(tcp_frame(20), octets(1, 137, 3, 4)), flaw::source_route);
}

TEST_CASE("a first fragment has ports and a later one has none") {
    check_whole(fragment(tcp_frame(40), true, 0), true);
    check_whole(fragment(tcp_frame(24, 15), true, 0), true);  // the rest of its options comes later
    check_whole(fragment(udp_frame(32, 5000), true, 0), true);
    check_whole(fragment(of(ip_protocol::udp, 32), true, 8), false);
    check_whole(fragment(of(ip_protocol::udp, 5), false, 32), false);
    check_whole(fragment(of(ip_protocol::tcp, 16), true, 24), false);
    check_whole(fragment(of(ip_protocol::icmp, 8), true, 0), false);
    check_whole(fragment(of(ip_protocol{47}, 8), true, 8), false);
}

TEST_CASE("fragments that would deceive the rules are malformed") {
    for (const auto protocol : {ip_protocol::tcp, ip_protocol::udp, ip_protocol::icmp}) {
        check_malformed(fragment(of(protocol, 0), true, 0), flaw::fragment);  // nothing in it
        check_malformed(fragment(of(protocol, 0), false, 80), flaw::fragment);
        check_malformed(fragment(of(protocol, 28), true, 0), flaw::fragment);  // an odd piece in the middle
    }
    check_malformed(fragment(tcp_frame(16), true, 0), flaw::fragment);  // without its flags, or its ports
    check_malformed(fragment(tcp_frame(8), true, 0), flaw::fragment);
    check_malformed(fragment(of(ip_protocol::tcp, 32), false, 8), flaw::fragment);  // over the flags of the first
    check_malformed(fragment(of(ip_protocol::tcp, 32), false, 16), flaw::fragment);
    check_malformed(fragment(udp_frame(32, 7), true, 0), flaw::udp);
    check_malformed(fragment(tcp_frame(24, 4), true, 0), flaw::tcp);
    check_whole(fragment(of(ip_protocol::udp, 7), false, 65504), false);
    check_malformed(fragment(of(ip_protocol::udp, 12), false, 65504), flaw::fragment);  // more than a datagram holds
    check_malformed(fragment(of(ip_protocol::icmp, 1400), true, 65528), flaw::fragment);
}
