// SPDX-License-Identifier: BSD-3-Clause
// What an ip_host believes of a station of its link, and what not: ARP, routers, ICMP errors that are forged.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "tests/runtime/host_bed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;

namespace {

const proto::test::endpoints& client = station_to_host;

frame_bytes arp_frame(proto::mac_address to, const proto::arp_repr& said) {
    frame_bytes frame(proto::ethernet_header_length + proto::arp_packet_length);
    proto::ethernet_repr{to, said.sender_hardware, proto::ethertype::arp}.emit(frame);
    said.emit(std::span(frame).subspan(proto::ethernet_header_length));
    return frame;
}

/// The reply by which station `station` says that it has the address of host `number`.
frame_bytes arp_reply(std::uint8_t number, std::uint8_t station) {
    return arp_frame(mac_of(1), {proto::arp_operation::reply, mac_of(station), v4_of(number), mac_of(1), v4_of(1)});
}

/// A request by which it announces that.
frame_bytes gratuitous(std::uint8_t number, std::uint8_t station) {
    return arp_frame(proto::mac_address::broadcast(),
                     {proto::arp_operation::request, mac_of(station), v4_of(number), proto::mac_address(), v4_of(number)});
}

/// An ICMP error of host `from` about a packet.
frame_bytes error_about(std::span<const std::byte> packet, proto::icmp_type type, std::uint8_t code, std::uint8_t from,
                        std::uint16_t mtu = 0) {
    frame_bytes message(proto::icmp_header_length + std::min<std::size_t>(packet.size(), 64));
    proto::icmp_error_repr{type, code, mtu}.emit(message, packet);
    auto whom = client;
    whom.client_ip = v4_of(from);
    return proto::test::ipv4_frame(whom, proto::ip_protocol::icmp, message);
}

/// Host 1 with an endpoint that knows host 2, the station.
struct talking_host : host_and_station {
    explicit talking_host(host::host_options options = host_number(1)) : host_and_station(known(std::move(options))) {}

    static host::host_options known(host::host_options options) {
        options.neighbours = {{v4_of(2), mac_of(2)}, {v6_of(2), mac_of(2)}};
        return options;
    }

    /// Sends a datagram and returns its frames.
    std::vector<frame_bytes> datagram(host::udp_endpoint& from, proto::ip_endpoint to, std::size_t size,
                                      std::error_code expected = {}) {
        static_cast<void>(received());
        loop.spawn([](host::udp_endpoint& socket, proto::ip_endpoint peer, std::size_t length,
                      std::error_code outcome) -> task<void> {
            const frame_bytes bytes = counting(length);
            const io_result sent = co_await socket.send_to(bytes, peer);
            CHECK(sent.ec == outcome);
        }(from, to, size, expected));
        loop.run();
        pass(1ms);
        return received();
    }
};

constexpr std::uint8_t no_port = proto::icmp_code::port_unreachable;

}  // namespace

TEST_CASE("a storm of ARP packets makes no neighbours, and each is accounted for") {
    host_and_station bed;
    for (std::uint8_t i = 3; i != 200; ++i) {
        const std::array<frame_bytes, 3> storm{arp_reply(i, i), gratuitous(i, 2), arp_reply(i, 2)};
        bed.send(storm);
    }
    const auto& counts = bed.here.counters();
    CHECK(counts.frames == 591);
    CHECK(counts.accounted() == 591);
    CHECK(counts.dropped_for(proto::reason::arp_not_request) == 394);
    CHECK(counts.dropped_for(proto::reason::arp_not_for_us) == 197);
    CHECK(bed.here.neighbour(v4_of(50)).state == proto::neighbour_state::none);
    CHECK(bed.received().empty());
}

TEST_CASE("a station that claims a neighbour's address gets nothing while the neighbour answers") {
    host_and_station bed;
    auto near = bed.here.open_udp({v4_of(1), 5000}).value();
    bed.loop.spawn([](host::udp_endpoint& socket) -> task<void> {
        const frame_bytes bytes = counting(10);
        const proto::ip_endpoint peer{v4_of(2), 7};
        const io_result sent = co_await socket.send_to(bytes, peer);
        CHECK_FALSE(sent.ec);
    }(near));
    bed.loop.spawn([](host_and_station& at) -> task<void> {
        static_cast<void>(co_await sleep_for(10ms));
        std::array<packet, 1> one;
        REQUIRE(at.station.tx.allocate(one) == 1);
        REQUIRE(one[0].assign(arp_reply(2, 2)));
        REQUIRE(at.station.tx.try_send(one) == 1);
        at.station.tx.flush();
    }(bed));
    bed.loop.run();
    CHECK(bed.here.neighbour(v4_of(2)).hardware == mac_of(2));
    static_cast<void>(bed.received());
    bed.send(gratuitous(2, 66));
    bed.send(arp_reply(2, 66));
    CHECK(bed.here.neighbour(v4_of(2)).hardware == mac_of(2));
    bed.pass(1s);                       // an address is asked for once a second
    const auto asked = bed.received();  // the neighbour itself, by unicast
    REQUIRE(asked.size() == 1);
    CHECK(ethernet_of(asked[0]).destination() == mac_of(2));
    bed.send(arp_reply(2, 2));
    bed.pass(5s);
    CHECK(bed.here.neighbour(v4_of(2)).hardware == mac_of(2));
}

TEST_CASE("a host defends its address, by one announcement in ten seconds") {
    host_and_station bed;
    const auto said = bed.ask(gratuitous(1, 66));
    REQUIRE(said.size() == 1);
    const auto announced = proto::arp_view::parse(ethernet_of(said[0]).payload()).value();
    CHECK(ethernet_of(said[0]).destination().is_broadcast());
    CHECK(announced.sender_protocol() == v4_of(1));
    CHECK(announced.sender_hardware() == mac_of(1));
    CHECK(bed.ask(gratuitous(1, 67)).empty());
    CHECK(bed.here.owns(v4_of(1)));
    CHECK(bed.here.counters().dropped_for(proto::reason::arp_address_conflict) == 2);
}

TEST_CASE("what is for another network goes to the gateway") {
    host::host_options options = host_number(1);
    options.gateways = {v4_of(2), v6_of(2)};
    talking_host bed(options);
    auto near = bed.here.open_udp({proto::ipv6_address(), 5000}).value();
    for (const char* const to : {"198.51.100.1", "2001:db8:9::1"}) {
        const auto address = proto::ip_address::parse(to).value();
        const auto frames = bed.datagram(near, {address, 7}, 10);
        REQUIRE(frames.size() == 1);
        CHECK(ethernet_of(frames[0]).destination() == mac_of(2));
        if (address.is_v4()) {
            CHECK(proto::ipv4_view::parse(ethernet_of(frames[0]).payload()).value().destination() == address.v4());
        } else {
            CHECK(proto::ipv6_view::parse(ethernet_of(frames[0]).payload()).value().destination() == address.v6());
        }
    }
}

TEST_CASE("an ICMP error is believed that quotes what was sent, and no other") {
    talking_host bed;
    auto near = bed.here.open_udp({v4_of(1), 5000}).value();
    const auto sent = bed.datagram(near, {v4_of(2), 7}, 30);
    REQUIRE(sent.size() == 1);
    const frame_bytes quote(sent[0].begin() + proto::ethernet_header_length, sent[0].end());
    const auto forged = [&](auto change) {
        frame_bytes other = quote;
        change(other);
        bed.send(error_about(other, proto::icmp_type::destination_unreachable, no_port, 2));
    };
    const auto udp_at = [](frame_bytes& bytes) { return bytes.data() + proto::ipv4_header_length; };
    forged([&](auto& bytes) { proto::store_be16(udp_at(bytes) + proto::udp_offset::source_port, 5001); });
    forged([&](auto& bytes) { proto::store_be16(udp_at(bytes) + proto::udp_offset::destination_port, 8); });
    forged([](auto& bytes) { proto::mutable_ipv4_view::unchecked(bytes).set_source(v4_of(3)); });
    forged([](auto& bytes) { proto::mutable_ipv4_view::unchecked(bytes).set_destination(v4_of(3)); });
    forged([](auto& bytes) { proto::mutable_ipv4_view::unchecked(bytes).set_protocol(proto::ip_protocol::tcp); });
    // A router does not know what listens on a host.
    bed.send(error_about(quote, proto::icmp_type::destination_unreachable, no_port, 3));
    CHECK(bed.here.counters().dropped_for(proto::reason::quoted_foreign) == 6);
    CHECK(near.trouble().count == 0);
    bed.send(error_about(quote, proto::icmp_type::destination_unreachable, no_port, 2));
    CHECK(near.trouble().count == 1);
    CHECK(near.trouble().what == std::errc::connection_refused);
    CHECK(near.trouble().about == proto::ip_endpoint{v4_of(2), 7, 0});
    bed.send(error_about(quote, proto::icmp_type::time_exceeded, 0, 3));
    CHECK(near.trouble().what == std::errc::host_unreachable);
    CHECK(bed.here.counters().errors == 2);
}

TEST_CASE("a path whose MTU a router has told gets fragments, and an endpoint that wants none is refused") {
    talking_host bed;
    auto near = bed.here.open_udp({v4_of(1), 5000}).value();
    auto whole = bed.here.open_udp({v4_of(1), 5001}, {.fragment = false}).value();
    const auto sent = bed.datagram(near, {v4_of(2), 7}, 1400);
    REQUIRE(sent.size() == 1);
    const auto packet = ethernet_of(sent[0]).payload();
    CHECK(proto::ipv4_view::parse(packet).value().dont_fragment());
    bed.send(
        error_about(packet, proto::icmp_type::destination_unreachable, proto::icmp_code::fragmentation_needed, 3, 1000));
    const auto pieces = bed.datagram(near, {v4_of(2), 7}, 1400);
    REQUIRE(pieces.size() == 2);
    CHECK(proto::ipv4_view::parse(ethernet_of(pieces[0]).payload()).value().total_length() <= 1000);
    CHECK(bed.datagram(near, {v4_of(2), 7}, 900).size() == 1);
    CHECK(bed.datagram(whole, {v4_of(2), 7}, 1400, std::make_error_code(std::errc::message_size)).empty());

    auto near6 = bed.here.open_udp({v6_of(1), 5000}).value();
    const auto sent6 = bed.datagram(near6, {v6_of(2), 7}, 1440);
    REQUIRE(sent6.size() == 1);
    const auto packet6 = ethernet_of(sent6[0]).payload();
    frame_bytes message(proto::icmpv6_header_length + 200);
    proto::icmpv6_error_repr{proto::icmpv6_type::packet_too_big, 0, 1300}.emit(message, packet6, v6_of(3), v6_of(1));
    bed.send(ipv6_frame(mac_of(1), mac_of(2), {v6_of(3), v6_of(1), proto::ip_protocol::icmpv6}, message));
    CHECK(bed.datagram(near6, {v6_of(2), 7}, 1440).size() == 2);
    CHECK(bed.here.counters().errors == 2);
}

TEST_CASE("fragments that overlap end their datagram, and nothing of it is delivered") {
    talking_host bed;
    auto near = bed.here.open_udp({v4_of(1), 7}).value();
    frame_bytes message(proto::udp_header_length + 1000);
    proto::udp_repr{40000, 7, 1000}.emit(message).clear_checksum();
    const auto part = [&](std::size_t at, std::size_t size, bool more) {
        frame_bytes frame = proto::test::ipv4_frame(client, proto::ip_protocol::udp, std::span(message).subspan(at, size));
        auto head = proto::mutable_ipv4_view::unchecked(std::span(frame).subspan(proto::ethernet_header_length));
        head.set_identification(5);
        head.set_fragment(false, more, at);
        head.fill_checksum();
        return frame;
    };
    bed.send(part(0, 512, true));
    bed.send(part(504, 256, true));
    bed.send(part(512, message.size() - 512, false));
    const auto& counts = bed.here.counters();
    CHECK(counts.datagrams == 0);
    CHECK(counts.dropped_for(proto::reason::reassembly_overlap) == 1);
    CHECK(counts.dropped_for(proto::reason::reassembly_ended) == 1);
    CHECK(bed.frames_are_home(simulated_wire::end::right));
}

TEST_CASE("UDP checksums are looked at unless they are trusted") {
    for (const bool trusted : {false, true}) {
        host::host_options options = host_number(1);
        options.trust_checksums = trusted;
        talking_host bed(options);
        auto near = bed.here.open_udp({v4_of(1), 7}).value();
        frame_bytes request = proto::test::udp_request(client, counting(20));
        request.back() ^= std::byte{1};
        bed.send(request);
        CHECK(bed.here.counters().datagrams == (trusted ? 1 : 0));
        CHECK(bed.here.counters().dropped_for(proto::reason::udp_bad_checksum) == (trusted ? 0 : 1));
    }
}

TEST_CASE("frames with random faults do no harm, and each is accounted for") {
    talking_host bed;
    auto near = bed.here.open_udp({proto::ipv6_address(), 7}, {.receive_queue = 4, .broadcast = true}).value();
    const auto sent = bed.datagram(near, {v4_of(2), 7}, 100);
    REQUIRE(sent.size() == 1);
    const auto about = ethernet_of(sent[0]).payload();
    std::vector<frame_bytes> good{proto::test::arp_request(client),
                                  gratuitous(2, 2),
                                  arp_reply(2, 2),
                                  proto::test::echo_request(client, counting(60)),
                                  proto::test::udp_request(client, counting(60)),
                                  echo6_request(60),
                                  error_about(about, proto::icmp_type::destination_unreachable, no_port, 2)};
    proto::ndp_neighbour_repr message;
    message.target = v6_of(1);
    message.link_address = mac_of(2);
    frame_bytes bytes(message.length());
    message.emit(bytes, v6_of(2), v6_of(1));
    good.push_back(ipv6_frame(mac_of(1), mac_of(2), {v6_of(2), v6_of(1), proto::ip_protocol::icmpv6, 0, 255}, bytes));
    frame_bytes fragment(16 + 64);
    proto::ipv6_fragment_repr{proto::ip_protocol::udp, 0, true, 5}.emit(fragment);
    good.push_back(ipv6_frame(mac_of(1), mac_of(2), {v6_of(2), v6_of(1), proto::ip_protocol::ipv6_fragment}, fragment));

    std::mt19937 dice(1);
    std::uint64_t frames = bed.here.counters().frames;
    for (int round = 0; round != 600; ++round) {
        std::vector<frame_bytes> spoilt;
        for (int i = 0; i != 16; ++i) {
            frame_bytes frame = good[dice() % good.size()];
            for (unsigned faults = dice() % 4; faults != 0; --faults) {
                frame[12 + dice() % (frame.size() - 12)] = static_cast<std::byte>(dice());
            }
            if (dice() % 4 == 0) { frame.resize(14 + dice() % (frame.size() - 13)); }
            const bool is_ipv4 =
                frame.size() >= 34 && proto::ethernet_view::unchecked(frame).type() == proto::ethertype::ipv4;
            if (is_ipv4 && dice() % 2 == 0) {  // so that what lies behind the checksum is looked at
                auto head = proto::mutable_ipv4_view::unchecked(std::span(frame).subspan(14));
                if (head.header_length() >= 20 && head.header_length() <= frame.size() - 14) { head.fill_checksum(); }
            }
            spoilt.push_back(std::move(frame));
        }
        bed.send(spoilt);
        frames += spoilt.size();
        static_cast<void>(bed.received());
    }
    CHECK(bed.here.counters().frames == frames);
    CHECK(bed.here.counters().accounted() == frames);
    CHECK(bed.here.owns(v4_of(1)));
    CHECK(bed.datagram(near, {v4_of(2), 7}, 100).size() == 1);
}
