// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/udp_station.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet::proto;
using test::counting;
using test::octets;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_invocable_v<decltype(&udp_station::receive), udp_station&, std::span<std::byte>>);

namespace {

using arrival = udp_station::arrival;

const test::endpoints ends{.host = mac_address({0x02, 0, 0, 0, 0, 1}),
                           .host_ip = ipv4_address(10, 0, 0, 1),
                           .client = mac_address({0x02, 0, 0, 0, 0, 2}),
                           .client_ip = ipv4_address(10, 0, 0, 2),
                           .echo_port = 7777};

udp_station make_station() {
    return {ends.host, ends.host_ip, ends.echo_port};
}

std::uint64_t dropped_by(const udp_station& station) {
    const auto& dropped = station.count().dropped;
    return std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
}

/// The reply of the client to a request of the station's.
std::vector<std::byte> arp_reply() {
    std::vector<std::byte> frame(udp_station::arp_request_length);
    const auto ethernet = ethernet_repr{ends.host, ends.client, ethertype::arp}.emit(frame);
    arp_repr{arp_operation::reply, ends.client, ends.client_ip, ends.host, ends.host_ip}.emit(ethernet.payload());
    return frame;
}

mutable_arp_view arp_of(std::span<std::byte> frame) {
    return mutable_arp_view::unchecked(frame.subspan(ethernet_header_length));
}

/// A moment, in seconds.
udp_station::time_point at(int seconds) {
    return udp_station::time_point(std::chrono::seconds(seconds));
}

/// What a station makes of a malformed frame: most of the reasons are those of any host.
reason expected_of(const test::malformed_frame& frame) {
    const auto packet = ipv4_view::parse(std::span(frame.bytes).subspan(std::min(test::network_at, frame.bytes.size())));
    const bool icmp = packet && packet->protocol() == ip_protocol::icmp;
    const bool for_a_transport = name(frame.expected).starts_with("icmp");
    return icmp && for_a_transport ? reason::ipv4_unknown_protocol : frame.expected;
}

}  // namespace

TEST_CASE("a datagram is found in its frame with its sender") {
    udp_station station = make_station();
    for (const std::size_t size : {0U, 1U, 18U, 1472U}) {
        std::vector<std::byte> frame = test::udp_request(ends, counting(size));
        frame.resize(std::max<std::size_t>(frame.size(), 60));  // as a device pads it
        const arrival got = station.receive(frame);
        REQUIRE(got.what == arrival::datagram);
        CHECK(got.from == udp_station::peer{ends.client_ip, ends.client_port});
        CHECK(std::ranges::equal(got.payload, counting(size)));
    }
    CHECK(station.count().datagrams == 4);
    CHECK(station.count().frames == 4);
    CHECK(dropped_by(station) == 0);
}

TEST_CASE("a datagram with IPv4 options, or without a checksum, is found as well") {
    udp_station station = make_station();
    std::vector<std::byte> with_options =
        test::with_options(test::udp_request(ends, counting(20)), octets(7, 7, 4, 0, 0, 0, 0, 1));
    const arrival first = station.receive(with_options);
    CHECK(std::ranges::equal(first.payload, counting(20)));
    std::vector<std::byte> without_checksum = test::udp_request(ends, counting(21));
    mutable_udp_view::unchecked(std::span(without_checksum).subspan(test::transport_at)).clear_checksum();
    const arrival second = station.receive(without_checksum);
    CHECK(std::ranges::equal(second.payload, counting(21)));
}

TEST_CASE("what a station emits is what its peer receives") {
    const udp_station station = make_station();
    udp_station peer(ends.client, ends.client_ip, ends.client_port);
    for (const std::size_t size : {0U, 1U, 999U, 1472U}) {
        std::vector<std::byte> frame(udp_station::overhead + size);
        const std::size_t length = station.emit(frame, ends.client, {ends.client_ip, ends.client_port}, counting(size));
        CHECK(length == frame.size());
        const arrival got = peer.receive(frame);
        REQUIRE(got.what == arrival::datagram);
        CHECK(got.from == udp_station::peer{ends.host_ip, ends.echo_port});
        CHECK(std::ranges::equal(got.payload, counting(size)));
    }
}

TEST_CASE("an ARP request becomes the station's reply and others are left alone") {
    udp_station station = make_station();
    std::vector<std::byte> frame = test::arp_request(ends);
    const arrival got = station.receive(frame);
    REQUIRE(got.what == arrival::arp_reply);
    CHECK(got.length == ethernet_header_length + arp_packet_length);
    const auto reply = arp_view::parse(std::span<const std::byte>(frame).subspan(ethernet_header_length));
    REQUIRE(reply.has_value());
    CHECK(reply->operation() == arp_operation::reply);
    CHECK(reply->sender_hardware() == ends.host);
    CHECK(reply->sender_protocol() == ends.host_ip);
    CHECK(reply->target_hardware() == ends.client);
    CHECK(ethernet_view::unchecked(frame).destination() == ends.client);
    CHECK(station.count().arp_replies == 1);
}

TEST_CASE("a station counts every malformed frame by its reason and leaves it as it came") {
    for (const test::malformed_frame& bad : test::malformed_frames(ends)) {
        if (bad.expected == reason::udp_echo_loop) { continue; }  // for a station these are datagrams like others
        CAPTURE(bad.name);
        udp_station station = make_station();
        std::vector<std::byte> bytes = bad.bytes;
        CHECK(station.receive(bytes).what == arrival::dropped);
        CHECK(bytes == bad.bytes);
        CHECK(station.count().dropped_for(expected_of(bad)) == 1);
        CHECK(dropped_by(station) == 1);
    }
}

TEST_CASE("the next hop is a given neighbour, then the gateway, then where an address was last heard") {
    const mac_address other({0x02, 0, 0, 0, 0, 3});
    udp_station station = make_station();
    CHECK(station.next_hop(ends.client_ip) == std::nullopt);
    std::vector<std::byte> frame = test::udp_request(ends, counting(1));
    static_cast<void>(station.receive(frame));
    CHECK(station.next_hop(ends.client_ip) == ends.client);
    CHECK(station.next_hop(ipv4_address(10, 0, 4, 2)) == std::nullopt);  // the same place in the table
    mutable_ethernet_view::unchecked(frame).set_source(other);
    static_cast<void>(station.receive(frame));
    CHECK(station.next_hop(ends.client_ip) == other);

    station.set_gateway(other);
    CHECK(station.next_hop(ipv4_address(192, 0, 2, 1)) == other);
    station.add_neighbour(ends.client_ip, ends.client);
    static_cast<void>(station.receive(frame));
    CHECK(station.next_hop(ends.client_ip) == ends.client);
    for (const ipv4_address never : {ipv4_address(), ipv4_address(127, 0, 0, 1)}) {
        CHECK(station.next_hop(never) == std::nullopt);
    }
}

TEST_CASE("an address is heard in an ARP request, and not in a probe or in what is dropped") {
    udp_station station = make_station();
    std::vector<std::byte> probe = test::arp_request(ends);
    mutable_arp_view::unchecked(std::span(probe).subspan(ethernet_header_length)).set_sender(ends.client, ipv4_address());
    CHECK(station.receive(probe).what == arrival::arp_reply);
    CHECK(station.next_hop(ipv4_address()) == std::nullopt);
    std::vector<std::byte> spoilt = test::udp_request(ends, counting(9));
    spoilt.back() ^= std::byte{1};
    CHECK(station.receive(spoilt).what == arrival::dropped);
    CHECK(station.next_hop(ends.client_ip) == std::nullopt);
    std::vector<std::byte> request = test::arp_request(ends);
    CHECK(station.receive(request).what == arrival::arp_reply);
    CHECK(station.next_hop(ends.client_ip) == ends.client);
}

TEST_CASE("a station that is asked for by ARP is known by its reply") {
    udp_station station = make_station();
    udp_station other(ends.client, ends.client_ip, ends.client_port);
    REQUIRE(station.is_askable(ends.client_ip));
    REQUIRE(station.may_ask(ends.client_ip, at(0), 1s));
    std::vector<std::byte> frame(udp_station::arp_request_length);
    CHECK(station.emit_arp_request(frame, ends.client_ip) == frame.size());
    CHECK(ethernet_view::unchecked(frame).destination() == mac_address::broadcast());
    REQUIRE(other.receive(frame).what == arrival::arp_reply);
    CHECK(other.next_hop(ends.host_ip) == ends.host);
    CHECK(station.receive(frame).what == arrival::arp_answer);
    CHECK(station.next_hop(ends.client_ip) == ends.client);
    CHECK(station.count().arp_answers == 1);
    CHECK(dropped_by(station) == 0);
}

TEST_CASE("a station asks for an address once in a while, and for 64 at most") {
    udp_station station = make_station();
    CHECK(station.may_ask(ends.client_ip, at(10), 1s));
    CHECK_FALSE(station.may_ask(ends.client_ip, at(10), 1s));
    CHECK_FALSE(station.may_ask(ends.client_ip, at(11) - 1ns, 1s));
    CHECK(station.may_ask(ends.client_ip, at(11), 1s));
    for (std::uint8_t host = 100; host != 163; ++host) { CHECK(station.may_ask(ipv4_address(10, 0, 0, host), at(11), 1s)); }
    CHECK_FALSE(station.may_ask(ipv4_address(10, 0, 0, 163), at(11), 1s));
    CHECK(station.may_ask(ipv4_address(10, 0, 0, 163), at(12), 1s));
    // Whoever is asked for no more has made room, and may not answer any more.
    std::vector<std::byte> late = arp_reply();
    CHECK(station.receive(late).what == arrival::dropped);
    CHECK(station.next_hop(ends.client_ip) == std::nullopt);
    for (const ipv4_address never :
         {ends.host_ip, ipv4_address(), ipv4_address::broadcast(), ipv4_address(224, 0, 0, 1), ipv4_address(127, 0, 0, 1)}) {
        CHECK_FALSE(station.is_askable(never));
    }
}

TEST_CASE("an ARP reply that nobody asked for or that is not sound tells a station nothing") {
    using spoil = std::function<void(std::span<std::byte>)>;
    const mac_address other({0x02, 0, 0, 0, 0, 3});
    const std::vector<std::pair<reason, spoil>> spoilt{
        {reason::arp_not_request, [](auto bytes) { arp_of(bytes).set_sender(ends.client, ipv4_address(10, 0, 0, 3)); }},
        {reason::arp_not_request, [](auto bytes) { arp_of(bytes).set_sender(ends.client, ipv4_address()); }},
        {reason::arp_not_request, [](auto bytes) { arp_of(bytes).set_sender(ends.client, ends.host_ip); }},
        {reason::arp_not_for_us, [](auto bytes) { arp_of(bytes).set_target(ends.host, ends.client_ip); }},
        {reason::arp_sender_mismatch, [&](auto bytes) { arp_of(bytes).set_sender(other, ends.client_ip); }},
        {reason::arp_multicast_sender,
         [](auto bytes) { arp_of(bytes).set_sender(mac_address::broadcast(), ends.client_ip); }},
        {reason::arp_sender_mismatch, [](auto bytes) { arp_of(bytes).set_sender(mac_address(), ends.client_ip); }},
        {reason::arp_unknown_operation, [](auto bytes) { arp_of(bytes).set_operation(arp_operation{3}); }},
        {reason::ethernet_not_for_us, [&](auto bytes) { mutable_ethernet_view::unchecked(bytes).set_destination(other); }},
        {reason::ethernet_zero_source,
         [](auto bytes) { mutable_ethernet_view::unchecked(bytes).set_source(mac_address()); }},
    };
    for (const auto& [expected, change] : spoilt) {
        CAPTURE(name(expected));
        udp_station station = make_station();
        REQUIRE(station.may_ask(ends.client_ip, at(0), 1s));
        std::vector<std::byte> frame = arp_reply();
        change(frame);
        const std::vector<std::byte> before = frame;
        CHECK(station.receive(frame).what == arrival::dropped);
        CHECK(frame == before);
        CHECK(station.count().dropped_for(expected) == 1);
        CHECK(dropped_by(station) == 1);
        CHECK(station.next_hop(ends.client_ip) == std::nullopt);
        std::vector<std::byte> sound = arp_reply();  // and is waited for all the same
        CHECK(station.receive(sound).what == arrival::arp_answer);
        CHECK(station.receive(sound).what == arrival::dropped);  // nobody asks any more
    }
    udp_station station = make_station();
    std::vector<std::byte> frame = arp_reply();
    frame.pop_back();
    REQUIRE(station.may_ask(ends.client_ip, at(0), 1s));
    CHECK(station.receive(frame).what == arrival::dropped);
    CHECK(station.count().dropped_for(reason::arp_truncated) == 1);
}

TEST_CASE("an address that is known moves to the station that names it as its own and others do not") {
    const mac_address other({0x02, 0, 0, 0, 0, 3});
    udp_station station = make_station();
    const auto announce = [&](mac_address said) {
        std::vector<std::byte> frame(udp_station::arp_request_length);
        const auto ethernet = ethernet_repr{mac_address::broadcast(), other, ethertype::arp}.emit(frame);
        arp_repr{arp_operation::request, said, ends.client_ip, mac_address(), ends.client_ip}.emit(ethernet.payload());
        CHECK(station.receive(frame).what == arrival::dropped);  // it is not for this station
    };
    announce(other);
    CHECK(station.next_hop(ends.client_ip) == std::nullopt);
    std::vector<std::byte> heard = test::udp_request(ends, counting(1));
    static_cast<void>(station.receive(heard));
    announce(ends.host);  // in the name of somebody else
    CHECK(station.next_hop(ends.client_ip) == ends.client);
    announce(other);
    CHECK(station.next_hop(ends.client_ip) == other);
    CHECK(station.count().dropped_for(reason::arp_not_for_us) == 3);
}

TEST_CASE("frames and what became of them add up for a station whatever comes in") {
    std::mt19937 random(7);
    udp_station station = make_station();
    std::vector<std::vector<std::byte>> seeds{test::udp_request(ends, counting(40)), test::arp_request(ends), arp_reply()};
    for (int i = 0; i != 20'000; ++i) {
        std::vector<std::byte> frame = seeds[random() % seeds.size()];
        for (auto changes = random() % 3; changes != 0; --changes) {
            frame[random() % frame.size()] = static_cast<std::byte>(random());
        }
        frame.resize(random() % 4 == 0 ? random() % (frame.size() + 1) : frame.size());
        if (random() % 2 == 0) { static_cast<void>(station.may_ask(ends.client_ip, at(i), 1s)); }
        static_cast<void>(station.receive(frame));
    }
    station.skip();
    const udp_station::counters& count = station.count();
    CHECK(count.frames == 20'001);
    CHECK(count.datagrams + count.arp_replies + count.arp_answers + count.unseen + dropped_by(station) == count.frames);
    CHECK(count.arp_answers > 1'000);
    CHECK(count.datagrams > 1'000);
    CHECK(count.arp_replies > 1'000);
}

TEST_CASE("groups and broadcast addresses have their own places on the link") {
    udp_station station = make_station();
    station.set_gateway(ends.client);
    CHECK(station.next_hop(ipv4_address::broadcast()) == mac_address::broadcast());
    CHECK(station.next_hop(ipv4_address(224, 0, 0, 1)) == mac_address({0x01, 0, 0x5e, 0, 0, 1}));
    CHECK(station.next_hop(ipv4_address(239, 255, 254, 253)) == mac_address({0x01, 0, 0x5e, 0x7f, 254, 253}));
    const ipv4_address last(10, 0, 0, 255);
    CHECK(station.next_hop(last) == ends.client);
    CHECK(station.is_askable(last));
    station.set_prefix_length(24);
    CHECK(station.is_broadcast(last));
    CHECK(station.next_hop(last) == mac_address::broadcast());
    CHECK_FALSE(station.is_askable(last));
    station.set_prefix_length(8);
    CHECK_FALSE(station.is_broadcast(last));
    CHECK(station.is_broadcast(ipv4_address(10, 255, 255, 255)));
    for (const unsigned length : {31U, 32U}) {  // networks without one
        station.set_prefix_length(length);
        CHECK_FALSE(station.is_broadcast(ends.host_ip));
        CHECK(station.is_broadcast(ipv4_address::broadcast()));
    }
    station.set_prefix_length(0);
    CHECK_FALSE(station.is_broadcast(last));
}

TEST_CASE("a datagram to a group does not leave the network") {
    const udp_station station = make_station();
    std::vector<std::byte> frame(udp_station::overhead + 4);
    for (const auto& [to, hops] : {std::pair(ipv4_address(224, 0, 0, 9), 1), std::pair(ends.client_ip, 64)}) {
        const auto length = station.emit(frame, ends.client, {to, 7}, counting(4));
        CHECK(length == frame.size());
        const auto packet = ipv4_view::parse(std::span(frame).subspan(ethernet_header_length));
        REQUIRE(packet.has_value());
        CHECK(packet->time_to_live() == hops);
    }
}
