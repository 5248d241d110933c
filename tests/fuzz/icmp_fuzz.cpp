// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes icmp_view. The first octet of an input says whether the checksum is put right first.
#include "fluxnet/proto/icmp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (repaired && bytes.size() >= icmp_header_length) { mutable_icmp_view::unchecked(bytes).fill_checksum(); }

    auto message = mutable_icmp_view::parse(bytes);
    if (!message) {
        fuzz::check(name(message.error()).starts_with("icmp_"));
        return 0;
    }
    fuzz::look_at(std::uint64_t{message->code()} + message->checksum() + message->identifier() + message->sequence());
    fuzz::look_at(message->payload());

    message->update_type(message->type() == icmp_type::echo_request ? icmp_type::echo_reply : icmp_type::echo_request);
    fuzz::check(icmp_view::parse(message->bytes()).has_value());
    return 0;
}
