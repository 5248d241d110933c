// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes packet_filter::judge(), beside the parsers of proto: where those find a UDP datagram, the filter finds its port. An
// input is four octets for a rule, one that says what of the frame is put right first, and the frame.
#include "fluxnet/xsk/filter.hpp"

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/udp.hpp"
#include "tests/fuzz/fuzz_input.hpp"

#include <optional>

using namespace fluxnet;
using namespace fluxnet::proto;

namespace {

constexpr std::size_t ip_at = 14;

filter_rule make_rule(std::uint8_t parts, std::uint8_t protocol, std::uint8_t port, std::uint8_t bits) {
    filter_rule rule{.verdict = static_cast<filter_verdict>(parts % 3)};
    if ((parts & 4) != 0) { rule.protocol = protocol; }
    if ((parts & 8) != 0) { rule.destination_ports = port_range(port, 1000); }
    if ((parts & 16) != 0) { rule.source = ip_prefix::v6({}, bits); }
    if ((parts & 32) != 0) { rule.destination = ip_prefix::v4({}, bits); }
    if ((parts & 64) != 0) { rule.ether_type = std::uint16_t{0x0806}; }
    if ((parts & 128) != 0) { rule.ip_version = std::uint8_t{4}; }
    return rule;
}

void repair(std::vector<std::byte>& frame, bool v4) {
    if (frame.size() < ip_at + 40) { return; }
    const std::span<std::byte> packet = std::span(frame).subspan(ip_at);
    store_be16(frame.data() + 12, v4 ? 0x0800 : 0x86dd);
    if (!v4) {
        packet[0] = std::byte{0x60};
        store_be16(packet.data() + 4, static_cast<std::uint16_t>(packet.size() - 40));
        return;
    }
    auto header = mutable_ipv4_view::unchecked(packet);
    packet[0] = (packet[0] & std::byte{0x07}) | std::byte{0x40};
    if (header.header_length() < ipv4_header_length) { header.set_header_length(ipv4_header_length); }
    header.set_total_length(static_cast<std::uint16_t>(packet.size()));
    header.fill_checksum();
}

/// The port that a UDP datagram, which has come in one piece, is sent to.
std::optional<std::uint16_t> udp_port_of(std::span<const std::byte> frame) {
    const auto ethernet = ethernet_view::parse(frame);
    if (!ethernet) { return std::nullopt; }
    std::span<const std::byte> udp;
    if (load_be16(frame.data() + 12) == 0x0800) {
        const auto packet = ipv4_view::parse(frame.subspan(ip_at));
        if (!packet || packet->is_fragment() || packet->protocol() != ip_protocol::udp) { return std::nullopt; }
        udp = packet->payload();
    } else if (load_be16(frame.data() + 12) == 0x86dd) {
        const auto packet = ipv6_view::parse(frame.subspan(ip_at));
        if (!packet) { return std::nullopt; }
        const auto content = ipv6_upper_layer(*packet);
        if (!content || !content->is_whole() || content->protocol != ip_protocol::udp) { return std::nullopt; }
        udp = content->payload;
    }
    if (udp.size() < udp_header_length) { return std::nullopt; }
    return load_be16(udp.data() + 2);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const std::uint8_t parts = input.take8();
    const std::uint8_t protocol = input.take8();
    const std::uint8_t port = input.take8();
    const std::uint8_t bits = input.take8();
    const std::uint8_t repaired = input.take8();
    std::vector<std::byte> frame = input.take_rest();
    if ((repaired & 1U) != 0) { repair(frame, (repaired & 2U) != 0); }

    const bool runt = frame.size() < ip_at;
    const filter_decision all = packet_filter::everything().judge(frame);
    fuzz::check(runt ? all.reason == filter_reason::unreadable
                     : all == filter_decision{filter_verdict::redirect, filter_reason::rule});
    fuzz::check(runt || packet_filter().judge(frame) == filter_decision());

    const packet_filter filter{make_rule(parts, protocol, port, bits)};
    if (const auto valid = filter.validate(); !valid) {
        fuzz::check(valid.error().step == "check rule 0 of the filter" && !valid.error().remedy.empty());
    } else {
        const filter_decision decision = filter.judge(frame);
        const bool by_rule = decision.reason == filter_reason::rule;
        fuzz::check(decision.verdict == (by_rule ? filter.rules()[0].verdict : filter_verdict::pass));
    }

    if (const auto found = udp_port_of(frame)) {
        const filter_reason reason = packet_filter{filter_rule::udp_to(*found)}.judge(frame).reason;
        // The parser walks more extension headers than a filter.
        fuzz::check(reason == filter_reason::rule ||
                    (reason == filter_reason::unreadable && frame.size() > ip_at + 40 + 5 * 8));
        const auto other = static_cast<std::uint16_t>(*found + 1U);
        fuzz::check(packet_filter{filter_rule::udp_to(other)}.judge(frame).reason != filter_reason::rule);
    }
    return 0;
}
