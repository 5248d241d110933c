// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes ipv4_view and the walk through its options. The first octet of an input says whether the lengths and the checksum
// are put right first; otherwise few inputs would come that far.
#include "fluxnet/proto/ipv4.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

namespace {

void repair(std::vector<std::byte>& bytes) {
    if (bytes.size() < ipv4_header_length) { return; }
    auto packet = mutable_ipv4_view::unchecked(bytes);
    packet.bytes()[0] = (packet.bytes()[0] & std::byte{0x0f}) | std::byte{0x40};
    if (packet.header_length() < ipv4_header_length || packet.header_length() > bytes.size()) {
        packet.set_header_length(ipv4_header_length);
    }
    packet.set_total_length(static_cast<std::uint16_t>(bytes.size()));
    packet.fill_checksum();
}

void walk(ipv4_view packet) {
    ipv4_option_reader options = packet.options();
    std::size_t octets = 0;
    while (const auto option = options.next()) {
        fuzz::look_at(option->data);
        octets += option->data.size() + 2;
    }
    fuzz::check(octets <= packet.header_length() - ipv4_header_length);
    fuzz::check(!options.malformed());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();

    // The walk is total on its own, not only on what parse() lets through.
    ipv4_option_reader any(bytes);
    while (const auto option = any.next()) { fuzz::look_at(option->data); }

    if (repaired) { repair(bytes); }
    auto packet = mutable_ipv4_view::parse(bytes);
    if (!packet) {
        fuzz::check(name(packet.error()).starts_with("ipv4_"));
        return 0;
    }
    walk(*packet);
    fuzz::look_at(packet->payload());
    fuzz::look_at(packet->fragment_offset() + packet->identification() + packet->type_of_service());
    fuzz::check(packet->header_length() + packet->payload().size() == packet->total_length());
    fuzz::check(packet->is_fragment() == (packet->more_fragments() || packet->fragment_offset() != 0));

    packet->swap_addresses();
    packet->update_time_to_live(64);
    fuzz::check(ipv4_view::parse(packet->bytes()).has_value());
    return 0;
}
