// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/quoted_packet.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

namespace {

constexpr ipv4_address quoted_from(192, 0, 2, 1);
constexpr ipv4_address quoted_to(198, 51, 100, 7);

/// The first octets of a TCP segment from port 40000 to port 80.
std::vector<std::byte> transport_start() {
    return octets(0x9c, 0x40, 0, 80, 1, 2, 3, 4);
}

std::vector<std::byte> quoted_ipv4(std::size_t option_length = 0) {
    std::vector<std::byte> bytes(ipv4_header_length);
    std::vector<std::byte> datagram(1500);
    ipv4_repr{quoted_from, quoted_to, ip_protocol::tcp, 1480}.emit(datagram);  // of which little is quoted
    std::copy_n(datagram.begin(), bytes.size(), bytes.begin());
    bytes.resize(bytes.size() + option_length, std::byte{1});
    mutable_ipv4_view::unchecked(bytes).set_header_length(bytes.size());
    std::ranges::copy(transport_start(), std::back_inserter(bytes));
    return bytes;
}

std::vector<std::byte> quoted_ipv6(ip_protocol next_header, const std::vector<std::byte>& extensions) {
    std::vector<std::byte> packet(1500);
    ipv6_repr{ipv6_address::loopback(), ipv6_address(), next_header, 1460}.emit(packet);
    packet.resize(ipv6_header_length);
    std::ranges::copy(extensions, std::back_inserter(packet));
    std::ranges::copy(transport_start(), std::back_inserter(packet));
    return packet;
}

std::vector<std::byte> first_of(const std::vector<std::byte>& bytes, std::size_t size) {
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

}  // namespace

TEST_CASE("a quoted IPv4 datagram is read although most of it is missing") {
    for (std::size_t options = 0; options <= 40; options += 4) {
        auto bytes = quoted_ipv4(options);
        bytes[8] = std::byte{1};  // the time to live that a router found: the checksum does not hold
        const auto quoted = quoted_packet::parse_ipv4(bytes);
        REQUIRE(quoted.has_value());
        CHECK(quoted->source == quoted_from);
        CHECK(quoted->destination == quoted_to);
        CHECK(quoted->protocol == ip_protocol::tcp);
        CHECK(quoted->source_port() == 40000);
        CHECK(quoted->destination_port() == 80);
        CHECK(quoted->tcp_sequence() == 0x01020304);
        CHECK(quoted->transport.size() == 8);
    }
}

TEST_CASE("a quoted packet is refused at every length before the eighth octet of its transport") {  // RFC 792
    for (std::size_t options = 0; options <= 40; options += 20) {
        const auto v4 = quoted_ipv4(options);
        for (std::size_t size = 0; size != v4.size(); ++size) {
            CHECK(quoted_packet::parse_ipv4(first_of(v4, size)).error() == reason::quoted_truncated);
        }
    }
    const auto v6 = quoted_ipv6(ip_protocol::ipv6_destination_options, octets(6, 0, 1, 4, 0, 0, 0, 0));
    for (std::size_t size = 0; size != v6.size(); ++size) {
        CHECK(quoted_packet::parse_ipv6(first_of(v6, size)).error() == reason::quoted_truncated);
    }
    CHECK(quoted_packet::parse_ipv6(v6).has_value());
}

TEST_CASE("a quote of another version or with an impossible header length is refused") {
    for (unsigned first = 0; first != 256; ++first) {
        auto v4 = quoted_ipv4(40);
        v4[0] = static_cast<std::byte>(first);
        const auto quoted = quoted_packet::parse_ipv4(v4);
        REQUIRE(quoted.has_value() == (first >= 0x45 && first <= 0x4f));
        if (!quoted) { CHECK(quoted.error() == reason::quoted_bad_header); }
    }
    CHECK(quoted_packet::parse_ipv6(quoted_ipv4(40)).error() == reason::quoted_bad_header);
}

TEST_CASE("a quoted IPv6 packet is read behind its extension headers") {
    const auto bytes = quoted_ipv6(ip_protocol::ipv6_destination_options, octets(6, 0, 1, 4, 0, 0, 0, 0));
    const auto quoted = quoted_packet::parse_ipv6(bytes);
    REQUIRE(quoted.has_value());
    CHECK(quoted->source == ipv6_address::loopback());
    CHECK(quoted->destination == ipv6_address());
    CHECK(quoted->protocol == ip_protocol::tcp);
    CHECK(quoted->source_port() == 40000);
    CHECK(quoted->transport.data() == bytes.data() + 48);
}

TEST_CASE("a quoted IPv6 packet with headers that nobody walks is refused") {
    const auto bytes = quoted_ipv6(ip_protocol::ipv6_routing, octets(6, 0, 0, 1, 0, 0, 0, 0));
    CHECK(quoted_packet::parse_ipv6(bytes).error() == reason::quoted_bad_header);
}

TEST_CASE("of a packet in pieces only the first can be recognised in a quote") {
    for (const std::size_t offset : {0U, 8U, 1480U}) {
        auto v4 = quoted_ipv4();
        mutable_ipv4_view::unchecked(v4).set_fragment(false, true, offset);
        std::vector<std::byte> header(8);
        ipv6_fragment_repr{ip_protocol::tcp, offset, true, 1}.emit(header);
        const auto v6 = quoted_ipv6(ip_protocol::ipv6_fragment, header);
        for (const auto& quoted : {quoted_packet::parse_ipv4(v4), quoted_packet::parse_ipv6(v6)}) {
            REQUIRE(quoted.has_value() == (offset == 0));
            if (!quoted) { CHECK(quoted.error() == reason::quoted_fragment); }
        }
    }
}
