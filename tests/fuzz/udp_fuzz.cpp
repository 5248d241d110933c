// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes udp_view. The first octet of an input says whether length and checksum are put right first.
#include "fluxnet/proto/udp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr ipv4_address source(10, 0, 0, 2);
    constexpr ipv4_address destination(10, 0, 0, 1);
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (repaired && bytes.size() >= udp_header_length && bytes.size() <= 0xffff) {
        auto datagram = mutable_udp_view::unchecked(bytes);
        datagram.set_length(static_cast<std::uint16_t>(bytes.size()));
        datagram.fill_checksum(source, destination);
    }

    auto datagram = mutable_udp_view::parse(bytes, source, destination);
    if (!datagram) {
        fuzz::check(name(datagram.error()).starts_with("udp_"));
        return 0;
    }
    fuzz::look_at(std::uint64_t{datagram->source_port()} + datagram->destination_port() + datagram->checksum());
    fuzz::look_at(datagram->payload());
    fuzz::check(datagram->payload().size() + udp_header_length == datagram->length());

    datagram->swap_ports();
    fuzz::check(udp_view::parse(datagram->bytes(), destination, source).has_value());
    return 0;
}
