// SPDX-License-Identifier: BSD-3-Clause
// `segment`: a received TCP segment as a connection sees it. `outgoing`: one that is to be sent.
//
// Plain values. The octets that they point to belong to somebody else and stay in place while the value is used.
#pragma once

#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto::tcp {

/// What a segment says. Ports and addresses have found the connection already. Host order.
struct segment {
    /// Reads a segment that has passed basic_tcp_view::parse().
    [[nodiscard]] static segment of(const tcp_view& view) noexcept {
        return {sequence_number(view.sequence()), sequence_number(view.acknowledgment()), view.flags(), view.window(),
                view.read_options(), view.payload()};
    }

    /// Whether it has a flag, one of tcp_flag.
    [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
    /// How much of the sequence space it takes: its octets, SYN and FIN.
    [[nodiscard]] std::uint32_t extent() const noexcept {
        return static_cast<std::uint32_t>(payload.size()) + (has(tcp_flag::syn) ? 1U : 0U) + (has(tcp_flag::fin) ? 1U : 0U);
    }

    sequence_number sequence;
    sequence_number acknowledgment;
    std::uint8_t flags = 0;    ///< tcp_flag
    std::uint16_t window = 0;  ///< As it stands in the header, not scaled.
    tcp_options options;
    std::span<const std::byte> payload;
    /// There is no buffer in which its octets could be kept: they count as refused, and have to come again.
    bool no_room = false;
};

/// A segment to be sent. The connection adds ports and addresses no more than it reads them: the caller knows them.
struct outgoing {
    sequence_number sequence;
    sequence_number acknowledgment;
    std::uint8_t flags = 0;
    std::uint16_t window = 0;
    tcp_options options;
    std::span<const std::byte> payload;  ///< In place until the next call of the connection.
    /// Of the buffer of the payload, in which what lies before the payload may be overwritten by headers; 0 where there is no
    /// such buffer, and without payload.
    std::uint64_t token = 0;
};

/// What is sent in answer to a segment that belongs to no connection (RFC 9293 section 3.10.7.1): a reset that its sender
/// accepts. Nothing answers a reset; the caller sees to that. A segment that carries an ACK which a listener cannot use
/// gets the same (section 3.10.7.2).
[[nodiscard]] inline outgoing reset_for(const segment& received) noexcept {
    outgoing reset;
    if (received.has(tcp_flag::ack)) {
        reset.sequence = received.acknowledgment;
        reset.flags = tcp_flag::rst;
    } else {
        reset.acknowledgment = received.sequence + received.extent();
        reset.flags = tcp_flag::rst | tcp_flag::ack;
    }
    return reset;
}

}  // namespace fluxnet::proto::tcp
