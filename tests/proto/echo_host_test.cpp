// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/echo_host.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet::proto;
using test::counting;
using test::octets;

static_assert(std::is_nothrow_invocable_v<decltype(&echo_host::answer), echo_host&, std::span<std::byte>>);
static_assert(std::is_trivially_copyable_v<echo_host>);

namespace {

using bytes = std::vector<std::byte>;

const test::endpoints who{.host = mac_address({0x02, 0, 0, 0, 0, 1}),
                          .host_ip = ipv4_address(10, 0, 0, 1),
                          .client = mac_address({0x02, 0, 0, 0, 0, 2}),
                          .client_ip = ipv4_address(10, 0, 0, 2)};

echo_host make_host() {
    return {who.host, who.host_ip};
}

std::uint64_t replies(const echo_host& host) {
    return host.count().arp_replies + host.count().icmp_replies + host.count().udp_replies;
}

std::uint64_t drops(const echo_host& host) {
    return std::accumulate(host.count().dropped.begin(), host.count().dropped.end(), std::uint64_t{0});
}

/// Gives a frame to a fresh host and returns the reply, or nothing.
bytes reply_to(bytes frame) {
    echo_host host = make_host();
    const auto length = host.answer(frame);
    REQUIRE(host.count().frames == 1);
    REQUIRE(replies(host) == (length ? 1 : 0));
    REQUIRE(drops(host) == (length ? 0 : 1));
    REQUIRE(length.value_or(0) <= frame.size());
    frame.resize(length.value_or(0));
    return frame;
}

/// Gives a frame to a fresh host, which must drop it untouched, and returns the reason.
reason drop_of(const bytes& frame) {
    echo_host host = make_host();
    bytes copy = frame;
    REQUIRE_FALSE(host.answer(copy));
    REQUIRE(copy == frame);
    REQUIRE(drops(host) == 1);
    const auto raised = std::ranges::find(host.count().dropped, 1U);
    return static_cast<reason>(raised - host.count().dropped.begin());
}

mutable_ipv4_view network(bytes& frame) {
    return mutable_ipv4_view::unchecked(std::span(frame).subspan(test::network_at));
}

/// Checks Ethernet and IPv4 of a reply to the client and returns the transport's message.
std::span<const std::byte> check_reply(const bytes& frame, ip_protocol protocol) {
    const auto ethernet = ethernet_view::parse(std::span<const std::byte>(frame));
    REQUIRE(ethernet.has_value());
    CHECK(ethernet->destination() == who.client);
    CHECK(ethernet->source() == who.host);
    CHECK(ethernet->type() == ethertype::ipv4);
    const auto packet = ipv4_view::parse(ethernet->payload());
    REQUIRE(packet.has_value());
    CHECK(packet->source() == who.host_ip);
    CHECK(packet->destination() == who.client_ip);
    CHECK(packet->protocol() == protocol);
    CHECK(packet->time_to_live() == 64);
    CHECK(packet->header_length() == ipv4_header_length);
    CHECK(packet->bytes().size() == ethernet->payload().size());
    return packet->payload();
}

}  // namespace

TEST_CASE("an ARP request is answered octet by octet") {
    const bytes request = octets(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6,  //
                                 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1);
    const bytes reply = octets(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6,  //
                               0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2);
    CHECK(request == test::arp_request(who));
    CHECK(reply_to(request) == reply);
    bytes padded = request;
    padded.resize(60);
    CHECK(reply_to(padded) == reply);
    bytes unicast = request;
    mutable_ethernet_view::unchecked(unicast).set_destination(who.host);
    CHECK(reply_to(unicast) == reply);
}

TEST_CASE("an ARP probe is answered to its sender") {
    bytes probe = test::arp_request(who);
    mutable_arp_view::unchecked(std::span(probe).subspan(test::network_at)).set_sender(who.client, ipv4_address());
    const bytes reply = reply_to(probe);
    const auto packet = arp_view::parse(std::span(reply).subspan(test::network_at));
    REQUIRE(packet.has_value());
    CHECK(packet->operation() == arp_operation::reply);
    CHECK(packet->sender_hardware() == who.host);
    CHECK(packet->sender_protocol() == who.host_ip);
    CHECK(packet->target_hardware() == who.client);
    CHECK(packet->target_protocol() == ipv4_address());
}

TEST_CASE("a ping is answered octet by octet") {
    bytes request = octets(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,                                          //
                           0x45, 0, 0, 31, 0xab, 0xcd, 0x40, 0, 63, 1, 0x7c, 0x0e, 10, 0, 0, 2, 10, 0, 0, 1,  //
                           8, 0, 0x21, 0x68, 0x12, 0x34, 0, 1, 0x61, 0x62, 0x63);
    const bytes reply = octets(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,                                          //
                               0x45, 0, 0, 31, 0xab, 0xcd, 0x40, 0, 64, 1, 0x7b, 0x0e, 10, 0, 0, 1, 10, 0, 0, 2,  //
                               0, 0, 0x29, 0x68, 0x12, 0x34, 0, 1, 0x61, 0x62, 0x63);
    CHECK(reply_to(request) == reply);
    request.resize(60);
    CHECK(reply_to(request) == reply);
}

TEST_CASE("a ping whose reply is all zeros gets a checksum that holds") {
    const bytes reply = reply_to(test::echo_request(who, {}, 0, 0));
    const auto message = icmp_view::parse(check_reply(reply, ip_protocol::icmp));
    REQUIRE(message.has_value());
    CHECK(message->checksum() == 0xffff);
}

TEST_CASE("pings of every size come back with their payload") {
    for (std::size_t size = 0; size <= 1472; ++size) {
        const bytes payload = counting(size);
        const bytes reply = reply_to(test::echo_request(who, payload));
        const auto message = icmp_view::parse(check_reply(reply, ip_protocol::icmp));
        REQUIRE(message.has_value());
        REQUIRE(message->type() == icmp_type::echo_reply);
        REQUIRE(message->identifier() == 0x1234);
        REQUIRE(std::ranges::equal(message->payload(), payload));
    }
}

TEST_CASE("datagrams of every size come back with their payload") {
    for (std::size_t size = 0; size <= 1472; ++size) {
        const bytes payload = counting(size);
        const bytes reply = reply_to(test::udp_request(who, payload));
        const auto datagram = udp_view::parse(check_reply(reply, ip_protocol::udp), who.host_ip, who.client_ip);
        REQUIRE(datagram.has_value());
        REQUIRE(datagram->source_port() == who.echo_port);
        REQUIRE(datagram->destination_port() == who.client_port);
        REQUIRE(datagram->checksum() != 0);
        REQUIRE(std::ranges::equal(datagram->payload(), payload));
    }
}

TEST_CASE("a datagram without a checksum is answered without one") {
    bytes request = test::udp_request(who, counting(5));
    store_be16(request.data() + test::transport_at + udp_offset::checksum, 0);
    const bytes reply = reply_to(request);
    const auto datagram = udp_view::parse(check_reply(reply, ip_protocol::udp), who.host_ip, who.client_ip);
    REQUIRE(datagram.has_value());
    CHECK(datagram->checksum() == 0);
    CHECK(std::ranges::equal(datagram->payload(), counting(5)));
}

TEST_CASE("octets between the end of a datagram and the end of its packet are not sent back") {
    bytes message = bytes(12 + udp_header_length, std::byte{0xee});
    auto request = udp_repr{who.client_port, who.echo_port, 5}.emit(message);
    std::ranges::copy(counting(5), request.payload().begin());
    request.fill_checksum(who.client_ip, who.host_ip);
    const bytes reply = reply_to(test::ipv4_frame(who, ip_protocol::udp, message));
    const auto datagram = udp_view::parse(check_reply(reply, ip_protocol::udp), who.host_ip, who.client_ip);
    REQUIRE(datagram.has_value());
    CHECK(reply.size() == test::transport_at + udp_header_length + 5);
    CHECK(std::ranges::equal(datagram->payload(), counting(5)));
}

TEST_CASE("requests with harmless options are answered without them") {
    for (const std::size_t size : {4U, 8U, 24U, 40U}) {
        bytes options(size, std::byte{ipv4_option::no_operation});
        std::ranges::copy(octets(148, 4, 0, 0), options.begin());  // router alert
        const bytes ping = reply_to(test::with_options(test::echo_request(who, counting(100)), options));
        const auto message = icmp_view::parse(check_reply(ping, ip_protocol::icmp));
        REQUIRE(message.has_value());
        CHECK(std::ranges::equal(message->payload(), counting(100)));
        CHECK(ping == reply_to(test::echo_request(who, counting(100))));
        const bytes udp = reply_to(test::with_options(test::udp_request(who, counting(3)), options));
        CHECK(udp == reply_to(test::udp_request(who, counting(3))));
    }
}

TEST_CASE("a time to live of one is no reason to drop") {
    bytes request = test::udp_request(who, counting(5));
    network(request).set_time_to_live(1);
    network(request).fill_checksum();
    check_reply(reply_to(request), ip_protocol::udp);
}

TEST_CASE("a host may serve another echo port") {
    test::endpoints other = who;
    other.echo_port = 4242;
    echo_host host(who.host, who.host_ip, 4242);
    CHECK(host.udp_echo_port() == 4242);
    CHECK(host.hardware() == who.host);
    CHECK(host.address() == who.host_ip);
    bytes request = test::udp_request(other, counting(5));
    CHECK(host.answer(request) == request.size());
    bytes to_seven = test::udp_request(who, counting(5));
    CHECK_FALSE(host.answer(to_seven));
    CHECK(host.count().dropped_for(reason::udp_port_not_served) == 1);
    for (const test::malformed_frame& malformed : test::malformed_frames(other)) {
        CAPTURE(malformed.name);
        bytes frame = malformed.bytes;
        const std::uint64_t before = host.count().dropped_for(malformed.expected);
        CHECK_FALSE(host.answer(frame));
        CHECK(host.count().dropped_for(malformed.expected) == before + 1);
    }
}

TEST_CASE("every kind of reply raises its own counter") {
    echo_host host = make_host();
    echo_host::counters expected;
    const std::array<std::pair<bytes, std::uint64_t*>, 3> requests{{{test::arp_request(who), &expected.arp_replies},
                                                                    {test::echo_request(who, {}), &expected.icmp_replies},
                                                                    {test::udp_request(who, {}), &expected.udp_replies}}};
    for (const auto& [request, counter] : requests) {
        bytes frame = request;
        CHECK(host.answer(frame).has_value());
        ++expected.frames;
        ++*counter;
        CHECK(host.count() == expected);
    }
}

TEST_CASE("every malformed frame raises its own counter and no other") {
    for (const test::malformed_frame& malformed : test::malformed_frames(who.host, who.host_ip, who.client, who.client_ip)) {
        CAPTURE(malformed.name);
        CHECK(name(drop_of(malformed.bytes)) == name(malformed.expected));
    }
}

TEST_CASE("there is a malformed frame for every reason and five reasons for every protocol of the host") {
    constexpr std::array protocols{"ethernet", "arp", "ipv4", "icmp", "udp"};
    std::set<reason> met;
    std::map<std::string, int> reasons;
    for (const test::malformed_frame& malformed : test::malformed_frames(who)) {
        if (met.insert(malformed.expected).second) {
            const std::string_view text = name(malformed.expected);
            ++reasons[std::string(text.substr(0, text.find('_')))];
        }
    }
    for (std::size_t i = 0; i != reason_count; ++i) {
        const auto why = static_cast<reason>(i);
        const std::string protocol(name(why).substr(0, name(why).find('_')));
        const bool spoken = std::ranges::find(protocols, protocol) != protocols.end() && why != reason::udp_no_checksum;
        CAPTURE(name(why));
        CHECK(met.contains(why) == spoken);
    }
    for (const char* protocol : protocols) { CHECK(reasons[protocol] >= 5); }
}

TEST_CASE("a frame cut anywhere is dropped") {
    for (const bytes& whole :
         {test::arp_request(who), test::echo_request(who, counting(30)), test::udp_request(who, counting(30)),
          test::with_options(test::udp_request(who, counting(9)), octets(1, 1, 1, 0))}) {
        for (std::size_t size = 0; size != whole.size(); ++size) {
            CAPTURE(size);
            drop_of(bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
        }
        CHECK_FALSE(reply_to(whole).empty());
    }
}

TEST_CASE("a reply is never answered") {
    for (const bytes& request :
         {test::arp_request(who), test::echo_request(who, counting(30)), test::udp_request(who, counting(30))}) {
        bytes reply = reply_to(request);
        echo_host peer(who.client, who.client_ip);
        CHECK_FALSE(peer.answer(reply));
    }
}

TEST_CASE("frames and what became of them add up whatever comes in") {
    std::mt19937 random(5);
    echo_host host = make_host();
    std::vector<bytes> seeds{test::arp_request(who), test::echo_request(who, counting(40)),
                             test::udp_request(who, counting(40))};
    for (const test::malformed_frame& malformed : test::malformed_frames(who)) { seeds.push_back(malformed.bytes); }
    for (std::uint64_t round = 1; round != 50001; ++round) {
        bytes frame = seeds[random() % seeds.size()];
        for (std::size_t flips = random() % 4; flips != 0 && !frame.empty(); --flips) {
            frame[random() % frame.size()] = static_cast<std::byte>(random() & 0xff);
        }
        if (random() % 8 == 0) { frame.resize(random() % 100); }
        frame.shrink_to_fit();
        const bool answered = host.answer(frame).has_value();
        REQUIRE(host.count().frames == round);
        REQUIRE(replies(host) + drops(host) == round);
        REQUIRE((answered || drops(host) != 0));
    }
    CHECK(replies(host) > 0);
    CHECK(drops(host) > 0);
}
