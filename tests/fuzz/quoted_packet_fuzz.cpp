// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes quoted_packet. The first octet of an input says which version of IP the quote has.
#include "fluxnet/proto/quoted_packet.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const bool v6 = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (!bytes.empty()) { bytes[0] = (bytes[0] & std::byte{0x0f}) | (v6 ? std::byte{0x60} : std::byte{0x40}); }

    const auto quoted = v6 ? quoted_packet::parse_ipv6(bytes) : quoted_packet::parse_ipv4(bytes);
    if (!quoted) {
        fuzz::check(name(quoted.error()).starts_with("quoted_"));
        return 0;
    }
    fuzz::check(quoted->source.is_v6() == v6 && quoted->transport.size() >= quoted_packet::min_transport);
    fuzz::look_at(std::uint64_t{quoted->source_port()} + quoted->destination_port() + quoted->tcp_sequence());
    fuzz::look_at(quoted->transport);
    return 0;
}
