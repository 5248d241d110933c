// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes udp_view. The first octet of an input says over which version of IP the datagram came, and whether length and
// checksum are put right first.
#include "fluxnet/proto/udp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

static void parse_over(const ip_address& source, const ip_address& destination, bool repaired,
                       std::vector<std::byte> bytes) {
    if (repaired && bytes.size() >= udp_header_length && bytes.size() <= 0xffff) {
        auto datagram = mutable_udp_view::unchecked(bytes);
        datagram.set_length(static_cast<std::uint16_t>(bytes.size()));
        datagram.fill_checksum(source, destination);
    }

    auto datagram = mutable_udp_view::parse(bytes, source, destination);
    if (!datagram) {
        fuzz::check(name(datagram.error()).starts_with("udp_"));
        return;
    }
    fuzz::look_at(std::uint64_t{datagram->source_port()} + datagram->destination_port() + datagram->checksum());
    fuzz::look_at(datagram->payload());
    fuzz::check(datagram->payload().size() + udp_header_length == datagram->length());

    datagram->swap_ports();
    fuzz::check(udp_view::parse(datagram->bytes(), destination, source).has_value());
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const std::uint8_t choice = input.take8();
    const bool repaired = (choice & 1U) != 0;
    if ((choice & 2U) != 0) {
        parse_over(ipv6_address({0xfe, 0x80}), ipv6_address::loopback(), repaired, input.take_rest());
    } else {
        parse_over(ipv4_address(10, 0, 0, 2), ipv4_address(10, 0, 0, 1), repaired, input.take_rest());
    }
    return 0;
}
