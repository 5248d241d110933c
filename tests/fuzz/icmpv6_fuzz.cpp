// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes icmpv6_view. The first octet of an input says whether the checksum is put right first.
#include "fluxnet/proto/icmpv6.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr ipv6_address source({0xfe, 0x80});
    constexpr ipv6_address destination = ipv6_address::loopback();
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (repaired && bytes.size() >= icmpv6_header_length) {
        mutable_icmpv6_view::unchecked(bytes).fill_checksum(source, destination);
    }

    auto message = mutable_icmpv6_view::parse(bytes, source, destination);
    if (!message) {
        fuzz::check(name(message.error()).starts_with("icmpv6_"));
        return 0;
    }
    fuzz::look_at(std::uint64_t{message->code()} + message->checksum() + message->identifier() + message->sequence());
    fuzz::look_at(std::uint64_t{message->mtu()} + message->pointer());
    fuzz::look_at(message->payload());

    message->update_type(message->type() == icmpv6_type::echo_request ? icmpv6_type::echo_reply : icmpv6_type::echo_request);
    fuzz::check(icmpv6_view::parse(message->bytes(), destination, source).has_value());
    return 0;
}
