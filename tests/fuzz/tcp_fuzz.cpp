// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes tcp_view and tcp_options. The first octet of an input says whether data offset and checksum are put right first.
#include "fluxnet/proto/tcp.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr ipv4_address source(10, 0, 0, 2);
    constexpr ipv4_address destination(10, 0, 0, 1);
    fuzz::fuzz_input input(data, size);
    const bool repaired = (input.take8() & 1U) != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (repaired && bytes.size() >= tcp_header_length) {
        auto segment = mutable_tcp_view::unchecked(bytes);
        segment.set_header_length(std::min(bytes.size() / 4 * 4, tcp_max_header_length));
        segment.fill_checksum(source, destination);
    }

    const auto segment = tcp_view::parse(bytes, source, destination);
    if (!segment) {
        fuzz::check(name(segment.error()).starts_with("tcp_"));
        return 0;
    }
    fuzz::look_at(std::uint64_t{segment->sequence()} + segment->acknowledgment() + segment->window() + segment->flags());
    fuzz::look_at(segment->payload());
    fuzz::check(segment->payload().size() + segment->header_length() == segment->bytes().size());

    const tcp_options options = segment->read_options();
    fuzz::check(options.sack_count <= options.sack.size() && options.length() <= tcp_options::max_length);
    std::vector<std::byte> again(options.length());
    options.emit(again);
    const tcp_options back = tcp_options::read(again);
    fuzz::check(back.mss == options.mss && back.window_scale == options.window_scale);
    fuzz::check(back.timestamps == options.timestamps && back.sack_permitted == options.sack_permitted);
    return 0;
}
