// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes ethernet_view: parse() takes any bytes, and whatever it lets through can be read.
#include "fluxnet/proto/ethernet.hpp"

#include "tests/fuzz/fuzz_input.hpp"

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::byte> bytes = fuzz::fuzz_input(data, size).take_rest();
    const auto frame = mutable_ethernet_view::parse(bytes);
    if (!frame) {
        fuzz::check(name(frame.error()).starts_with("ethernet_"));
        return 0;
    }
    fuzz::look_at(frame->destination().octets()[0]);
    fuzz::look_at(frame->payload());
    fuzz::check(frame->payload().size() + ethernet_header_length == bytes.size());

    const std::vector<std::byte> before = bytes;
    ethernet_repr{frame->destination(), frame->source(), frame->type()}.emit(bytes);
    fuzz::check(bytes == before);
    return 0;
}
