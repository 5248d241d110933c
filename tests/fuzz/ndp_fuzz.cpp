// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the views of neighbour discovery. The first octet of an input chooses the message, the second the addresses and
// the hop limit; the rest is the message, whose checksum is put right.
#include "fluxnet/proto/ndp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <array>

using namespace fluxnet::proto;

template <class View>
static void look_at_message(icmpv6_view message, ipv6_view packet) {
    const auto parsed = View::parse(message, packet);
    if (!parsed) {
        fuzz::check(name(parsed.error()).starts_with("ndp_"));
        return;
    }
    fuzz::check(packet.hop_limit() == ndp_hop_limit);
    std::size_t seen = 0;
    ndp_option_reader options = parsed->options();
    while (const auto option = options.next()) {
        fuzz::look_at(option->data);
        fuzz::look_at(ndp_prefix::read(*option).has_value() ? 1U : 0U);
        ++seen;
    }
    fuzz::check(!options.problem() && seen <= max_ndp_options);
    fuzz::look_at(parsed->link_address() ? 1U : 0U);
    if constexpr (requires { parsed->target(); }) { fuzz::check(!parsed->target().is_multicast()); }
    if constexpr (requires { parsed->mtu(); }) {
        fuzz::look_at(std::uint64_t{parsed->reachable_time_ms()} + parsed->retransmit_time_ms() + parsed->hop_limit());
        fuzz::look_at(parsed->mtu() ? 1U : 0U);
    }
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const std::uint8_t kind = input.take8();
    const std::uint8_t choice = input.take8();
    const std::vector<std::byte> message = input.take_rest();
    if (message.size() < icmpv6_header_length || message.size() > 0xffff) { return 0; }

    const ipv6_address local({0xfe, 0x80});
    const std::array addresses{local, ipv6_address(), ipv6_address::all_nodes(), local.solicited_node()};
    std::vector<std::byte> bytes(ipv6_header_length + message.size());
    const std::uint8_t hops = (choice & 0x80U) != 0 ? 254 : ndp_hop_limit;
    const auto packet =
        ipv6_repr{addresses[choice & 1U], addresses[(choice >> 1) & 3U], ip_protocol::icmpv6, message.size(), hops}.emit(
            bytes);
    std::ranges::copy(message, packet.payload().begin());
    auto inside = mutable_icmpv6_view::unchecked(packet.payload());
    inside.set_type(icmpv6_type{static_cast<std::uint8_t>(133 + kind % 5)});
    inside.fill_checksum(packet.source(), packet.destination());

    const auto parsed = icmpv6_view::parse(packet.payload(), packet.source(), packet.destination());
    fuzz::check(parsed.has_value());
    look_at_message<ndp_neighbour_view>(*parsed, packet);
    look_at_message<ndp_router_solicitation_view>(*parsed, packet);
    look_at_message<ndp_router_advertisement_view>(*parsed, packet);
    return 0;
}
