// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes link_payload(). The first octet of an input says how many types are made those of tags first.
#include "fluxnet/proto/vlan.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const std::size_t repaired = input.take8() & 3U;
    std::vector<std::byte> bytes = input.take_rest();
    for (std::size_t i = 0; i != repaired; ++i) {
        const std::size_t at = ethernet_offset::type + i * vlan_tag_length;
        if (bytes.size() >= at + 2) { store_be16(bytes.data() + at, 0x8100); }
    }

    const auto frame = ethernet_view::parse(bytes);
    if (!frame) { return 0; }
    const auto found = link_payload(*frame);
    if (!found) {
        fuzz::check(name(found.error()).starts_with("vlan_"));
        return 0;
    }
    fuzz::check(!announces_tag(found->type) && found->tag_count <= max_vlan_tags);
    fuzz::check(found->payload.size() + found->tag_count * vlan_tag_length + ethernet_header_length == bytes.size());
    for (const vlan_tag& tag : found->tags) { fuzz::check(tag.identifier != vlan_tag::reserved && tag.priority <= 7); }
    fuzz::look_at(found->payload);
    return 0;
}
