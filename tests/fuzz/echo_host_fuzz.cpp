// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes echo_host with whole frames: every frame is counted once, a dropped one is left alone, and every reply is a
// correct frame from the host to whoever asked.
//
// The first octet of an input says what is put right first, because hardly any random frame has the host's addresses and
// correct checksums: nothing, an ARP packet, or an ICMP or UDP datagram.
#include "fluxnet/proto/echo_host.hpp"

#include "tests/fuzz/fuzz_input.hpp"
#include "tests/fuzz/repaired_frame.hpp"

#include <numeric>

using namespace fluxnet::proto;
using fuzz::host_address;
using fuzz::host_hardware;

namespace {

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
    fuzz::repair(bytes, what);

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
