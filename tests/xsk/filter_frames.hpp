// SPDX-License-Identifier: BSD-3-Clause
// Frames for filters, made byte by byte and without our views: Ethernet, IPv4 with options, IPv6 with extension headers. No
// checksums. Functions without state; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace fluxnet::test {

using frame_bytes = std::vector<std::byte>;

// The octets stand in the lines of the headers.
// clang-format off

[[nodiscard]] inline frame_bytes bytes_of(std::initializer_list<unsigned> values) {
    frame_bytes made;
    for (const unsigned value : values) { made.push_back(static_cast<std::byte>(value)); }
    return made;
}

[[nodiscard]] inline frame_bytes joined(frame_bytes front, const frame_bytes& rest) {
    front.insert(front.end(), rest.begin(), rest.end());
    return front;
}

/// An Ethernet frame from nobody in particular to everybody.
[[nodiscard]] inline frame_bytes ethernet(unsigned type, const frame_bytes& payload) {
    return joined(bytes_of({255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, type >> 8, type & 255}), payload);
}

/// The first bytes of a TCP or UDP header, and `more` others.
[[nodiscard]] inline frame_bytes from_to(unsigned source, unsigned destination, std::size_t more = 8) {
    frame_bytes made = bytes_of({source >> 8, source & 255, destination >> 8, destination & 255});
    made.resize(made.size() + more, std::byte{0x5a});
    return made;
}

struct ipv4_fields {
    unsigned protocol = 17;
    unsigned fragment = 0;  ///< Flags and offset, as they stand in the header.
    unsigned options = 0;   ///< Words.
    unsigned last_source = 2;
    unsigned last_destination = 1;  ///< 10.77.0.1
    unsigned version = 4;
};

[[nodiscard]] inline frame_bytes ipv4(const ipv4_fields& is, const frame_bytes& payload) {
    const auto length = static_cast<unsigned>(20 + 4 * is.options + payload.size());
    frame_bytes made = bytes_of({is.version << 4 | (5 + is.options), 0, length >> 8, length & 255, 0, 7, is.fragment >> 8,
                                 is.fragment & 255, 64, is.protocol, 0, 0, 10, 77, 0, is.last_source, 10, 77, 0,
                                 is.last_destination});
    made.resize(made.size() + 4 * std::size_t{is.options}, std::byte{1});  // no operation
    return ethernet(0x0800, joined(std::move(made), payload));
}

/// An extension header of 8 + 8 * `more` bytes, before one of type `following`.
[[nodiscard]] inline frame_bytes extension(unsigned following, const frame_bytes& rest, unsigned more = 0) {
    frame_bytes made = bytes_of({following, more, 1, 4, 0, 0, 0, 0});
    made.resize(8 + 8 * std::size_t{more});
    return joined(std::move(made), rest);
}

/// A fragment header; `place`: offset and flag, as they stand in it.
[[nodiscard]] inline frame_bytes fragment_header(unsigned following, unsigned place, const frame_bytes& rest) {
    return joined(bytes_of({following, 0, place >> 8, place & 255, 0, 0, 0, 9}), rest);
}

[[nodiscard]] inline frame_bytes ipv6(unsigned next, const frame_bytes& payload, unsigned last_destination = 1,
                                      unsigned version = 6) {
    const auto length = static_cast<unsigned>(payload.size());
    return ethernet(0x86dd, joined(bytes_of({version << 4, 0, 0, 0, length >> 8, length & 255, next, 64,  //
                                             0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,      //
                                             0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last_destination}),
                                   payload));
}

/// An ARP packet of Ethernet and IPv4, between 10.77.0.x addresses. `hardware`: of which type it says that it is.
[[nodiscard]] inline frame_bytes arp(unsigned last_sender, unsigned last_target, unsigned hardware = 1) {
    return ethernet(0x0806, bytes_of({0, hardware, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 77, 0, last_sender, 0, 0, 0, 0, 0, 0,
                                      10, 77, 0, last_target}));
}

/// Puts a VLAN tag in front of a frame's EtherType.
[[nodiscard]] inline frame_bytes tagged(frame_bytes frame, unsigned type = 0x8100) {
    const frame_bytes tag = bytes_of({type >> 8, type & 255, 0, 5});
    frame.insert(frame.begin() + 12, tag.begin(), tag.end());
    return frame;
}

[[nodiscard]] inline frame_bytes cut(frame_bytes frame, std::size_t size) {
    frame.resize(size);
    return frame;
}

// clang-format on

}  // namespace fluxnet::test
