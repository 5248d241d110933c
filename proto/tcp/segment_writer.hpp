// SPDX-License-Identifier: BSD-3-Clause
// emit_header(): writes the TCP header of an outgoing segment, with its checksum.
//
//     const std::size_t header = tcp::header_length(out.segment);
//     tcp::emit_header(frame.subspan(at, header), out.name, out.segment);   // the payload follows, wherever it lies
//
// The payload need not lie behind the header: a device may gather the two. Functions of values; threads: any.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/segment.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::tcp {

namespace detail {

/// The length of a header with timestamps alone: nearly all have it.
inline constexpr std::size_t usual_header = 32;

/// The sum of the pseudo-header, as 32-bit words in host order (RFC 1071 section 2: their width does not matter).
[[nodiscard]] inline std::uint64_t pseudo_header_sum(const four_tuple& name, std::size_t length) noexcept {
    const auto& words = name.words();
    const auto halves = [](std::uint64_t word) { return (word >> 32) + (word & 0xffff'ffffU); };
    std::uint64_t sum = tcp_view::protocol_number + length + halves(words[1]);
    if (!name.is_v4()) { sum += halves(words[2]) + halves(words[3]) + halves(words[4]); }
    return sum;
}

/// Whether the checksum of a received segment holds: `name` is the receiver's, whose order of addresses and ports does not
/// matter to the sum.
[[nodiscard]] inline bool has_right_checksum(const four_tuple& name, std::span<const std::byte> octets) noexcept {
    const std::uint16_t sum = proto::detail::fold_to_16(proto::detail::sum_octets(octets));
    const std::uint64_t all = pseudo_header_sum(name, octets.size()) + proto::detail::swap_if_little(sum);
    return proto::detail::fold_to_16(all) == 0xffff;
}

}  // namespace detail

/// What emit_header() writes, in octets.
[[nodiscard]] inline std::size_t header_length(const outgoing& out) noexcept {
    return tcp_header_length + out.options.length();
}

/// Writes the header of a segment whose payload has the checksum `payload_checksum`, as internet_checksum::of() gives it; of
/// no octets it is 0xffff. Returns the header's length; `to` has room for it.
inline std::size_t emit_header(std::span<std::byte> to, const four_tuple& name, const outgoing& out,
                               std::uint16_t payload_checksum) noexcept {
    const bool usual = out.options.only_timestamps();
    const std::size_t length = usual ? detail::usual_header : header_length(out);
    assert(to.size() >= length);
    const auto ports = static_cast<std::uint32_t>(name.words()[0]);  // the local one comes first here as there
    const std::uint32_t control = static_cast<std::uint32_t>(length / 4) << 28 | std::uint32_t{out.flags} << 16 | out.window;
    std::byte* const head = to.data();
    store_be32(head + tcp_offset::source_port, ports);
    store_be32(head + tcp_offset::sequence, out.sequence.value());
    store_be32(head + tcp_offset::acknowledgment, out.acknowledgment.value());
    store_be32(head + tcp_offset::data_offset, control);
    // The sum is made of the values as they are written: reading them back would cost more.
    std::uint64_t sum = detail::pseudo_header_sum(name, length + out.payload.size()) + ports + out.sequence.value() +
                        out.acknowledgment.value() + control + static_cast<std::uint16_t>(~payload_checksum);
    if (length != tcp_header_length) {
        std::byte* const options = head + tcp_offset::options;
        if (usual) {
            const std::array<std::uint32_t, 3> words{0x0101080a, out.options.timestamp, out.options.timestamp_echo};
            for (std::size_t i = 0; i != words.size(); ++i) {
                store_be32(options + 4 * i, words[i]);
                sum += words[i];
            }
        } else {
            out.options.emit(to.subspan(tcp_offset::options, length - tcp_header_length));
            for (std::size_t at = 0; at != length - tcp_header_length; at += 4) { sum += load_be32(options + at); }
        }
    }
    const auto checksum = static_cast<std::uint16_t>(~proto::detail::fold_to_16(sum));
    store_be32(head + tcp_offset::checksum, std::uint32_t{checksum} << 16);  // and no urgent pointer
    return length;
}

/// Does the same and sums the payload, too.
inline std::size_t emit_header(std::span<std::byte> to, const four_tuple& name, const outgoing& out) noexcept {
    return emit_header(to, name, out, internet_checksum::of(out.payload));
}

}  // namespace fluxnet::proto::tcp
