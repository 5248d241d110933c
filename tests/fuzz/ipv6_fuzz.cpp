// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes ipv6_view and ipv6_upper_layer(). The first octet of an input says whether version and length are put right first.
#include "fluxnet/proto/ipv6_upper_layer.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (repaired && bytes.size() >= ipv6_header_length && bytes.size() - ipv6_header_length <= 0xffff) {
        auto packet = mutable_ipv6_view::unchecked(bytes);
        packet.set_class_and_flow(packet.traffic_class(), packet.flow_label());
        packet.set_payload_length(static_cast<std::uint16_t>(bytes.size() - ipv6_header_length));
    }

    const auto packet = ipv6_view::parse(bytes);
    if (!packet) {
        fuzz::check(name(packet.error()).starts_with("ipv6_"));
        return 0;
    }
    fuzz::look_at(std::uint64_t{packet->flow_label()} + packet->traffic_class() + packet->hop_limit());
    fuzz::look_at(packet->payload());
    fuzz::check(packet->payload().size() == packet->payload_length());

    std::optional<ipv6_problem> problem;
    const auto content = ipv6_upper_layer(*packet, &problem);
    if (!content) {
        fuzz::check(name(content.error()).starts_with("ipv6_"));
        fuzz::check(!problem || problem->pointer < packet->bytes().size());
        return 0;
    }
    fuzz::check(!problem && content->next_header_at < packet->bytes().size());
    fuzz::check(packet->bytes()[content->next_header_at] == static_cast<std::byte>(content->protocol));
    fuzz::check(content->payload.data() + content->payload.size() == packet->bytes().data() + packet->bytes().size());
    fuzz::look_at(content->payload);
    return 0;
}
