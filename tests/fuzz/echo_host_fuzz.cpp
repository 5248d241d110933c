// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes echo_host with whole frames: every frame is counted once, a dropped one is left alone, and every reply is a
// correct frame from the host to whoever asked.
//
// The first octet of an input says what is put right first, because hardly any random frame has the host's addresses and
// correct checksums: nothing, an ARP packet, or an ICMP or UDP datagram.
#include "fluxnet/proto/echo_host.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <numeric>

using namespace fluxnet::proto;

namespace {

constexpr mac_address host_hardware({0x02, 0, 0, 0, 0, 1});
constexpr ipv4_address host_address(10, 0, 0, 1);

void repair_arp(std::span<std::byte> bytes) {
    if (bytes.size() < arp_packet_length) { return; }
    auto packet = mutable_arp_view::unchecked(bytes);
    packet.set_spaces();
    packet.set_target(packet.target_hardware(), host_address);
}

void repair_transport(mutable_ipv4_view packet) {
    const std::span<std::byte> payload = packet.payload();
    if (packet.protocol() == ip_protocol::icmp && payload.size() >= icmp_header_length) {
        mutable_icmp_view::unchecked(payload).fill_checksum();
    }
    if (packet.protocol() == ip_protocol::udp && payload.size() >= udp_header_length) {
        auto datagram = mutable_udp_view::unchecked(payload);
        if (datagram.length() < udp_header_length || datagram.length() > payload.size()) {
            datagram.set_length(static_cast<std::uint16_t>(payload.size()));
        }
        datagram.fill_checksum(packet.source(), packet.destination());
    }
}

void repair_ipv4(std::span<std::byte> bytes, ip_protocol protocol) {
    if (bytes.size() < ipv4_header_length || bytes.size() > 0xffff) { return; }
    auto packet = mutable_ipv4_view::unchecked(bytes);
    packet.bytes()[0] = (packet.bytes()[0] & std::byte{0x0f}) | std::byte{0x40};
    if (packet.header_length() < ipv4_header_length || packet.header_length() > bytes.size()) {
        packet.set_header_length(ipv4_header_length);
    }
    if (packet.total_length() < packet.header_length() || packet.total_length() > bytes.size()) {
        packet.set_total_length(static_cast<std::uint16_t>(bytes.size()));
    }
    packet.set_protocol(protocol);
    packet.set_destination(host_address);
    packet.fill_checksum();
    repair_transport(packet);
}

void repair(std::span<std::byte> bytes, unsigned what) {
    if (what == 0 || bytes.size() < ethernet_header_length) { return; }
    auto frame = mutable_ethernet_view::unchecked(bytes);
    frame.set_destination(what == 1 ? mac_address::broadcast() : host_hardware);
    frame.set_type(what == 1 ? ethertype::arp : ethertype::ipv4);
    if (what == 1) {
        repair_arp(frame.payload());
    } else {
        repair_ipv4(frame.payload(), what == 2 ? ip_protocol::icmp : ip_protocol::udp);
    }
}

void check_ipv4_reply(std::span<const std::byte> bytes) {
    const auto packet = ipv4_view::parse(bytes);
    fuzz::check(packet.has_value());
    fuzz::check(packet->source() == host_address && packet->header_length() == ipv4_header_length);
    fuzz::check(packet->time_to_live() == 64 && packet->total_length() == bytes.size());
    if (packet->protocol() == ip_protocol::icmp) {
        const auto message = icmp_view::parse(packet->payload());
        fuzz::check(message.has_value() && message->type() == icmp_type::echo_reply);
    } else {
        const auto datagram = udp_view::parse(packet->payload(), packet->source(), packet->destination());
        fuzz::check(datagram.has_value() && datagram->source_port() == echo_host::well_known_echo_port);
    }
}

void check_reply(std::span<const std::byte> bytes, mac_address asker) {
    const auto frame = ethernet_view::parse(bytes);
    fuzz::check(frame.has_value() && frame->source() == host_hardware && frame->destination() == asker);
    if (frame->type() == ethertype::ipv4) { return check_ipv4_reply(frame->payload()); }
    const auto packet = arp_view::parse(frame->payload());
    fuzz::check(packet.has_value() && packet->operation() == arp_operation::reply);
    fuzz::check(packet->sender_hardware() == host_hardware && packet->target_hardware() == asker);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const unsigned what = input.take8() % 4U;
    std::vector<std::byte> bytes = input.take_rest();
    repair(bytes, what);

    const std::vector<std::byte> before = bytes;
    echo_host host(host_hardware, host_address);
    const auto length = host.answer(bytes);
    const echo_host::counters& count = host.count();
    const std::uint64_t replies = count.arp_replies + count.icmp_replies + count.udp_replies;
    const std::uint64_t drops = std::accumulate(count.dropped.begin(), count.dropped.end(), std::uint64_t{0});
    fuzz::check(count.frames == 1 && replies == (length ? 1 : 0) && drops == (length ? 0 : 1));
    if (!length) {
        fuzz::check(bytes == before);
        return 0;
    }
    fuzz::check(*length <= bytes.size());
    check_reply(std::span(bytes).first(*length), ethernet_view::unchecked(before).source());
    return 0;
}
