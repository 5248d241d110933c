// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes arp_view: parse() takes any bytes, and whatever it lets through can be read and is written back alike.
#include "fluxnet/proto/arp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::byte> bytes = fuzz::fuzz_input(data, size).take_rest();
    const auto packet = mutable_arp_view::parse(bytes);
    if (!packet) {
        fuzz::check(name(packet.error()).starts_with("arp_"));
        return 0;
    }
    fuzz::look_at(packet->bytes());
    const std::vector<std::byte> before = bytes;
    arp_repr{packet->operation(), packet->sender_hardware(), packet->sender_protocol(), packet->target_hardware(),
             packet->target_protocol()}
        .emit(bytes);
    fuzz::check(bytes == before);
    return 0;
}
