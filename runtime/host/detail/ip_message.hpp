// SPDX-License-Identifier: BSD-3-Clause
// `ip_message`: a message of an upper layer, which leaves in one IP packet or in several fragments.
//
//     ip_message message{...};
//     for (std::size_t at = 0; at < message.size();) {       // once also for the shortest: it has a header
//         const auto piece = message.piece_at(at, mtu);
//         frame.set_len(ethernet_header_length + piece.packet_length);
//         message.emit(frame.data().subspan(ethernet_header_length), piece);
//         at += piece.length;
//     }
//
// A value that refers to the payload, whose octets stay in place while it is used. Allocates nothing. Threads: one at a
// time.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_protocol.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::host::detail {

struct ip_message {
    static constexpr std::size_t header_length = 8;  // UDP's, and that of an echo

    /// A part of the message that one packet carries.
    struct piece {
        std::size_t offset = 0;
        std::size_t length = 0;
        bool more = false;              ///< Others follow.
        std::size_t packet_length = 0;  ///< With the IP header, and the fragment header.

        [[nodiscard]] bool is_fragment() const noexcept { return more || offset != 0; }
    };

    proto::ip_address source;
    proto::ip_address destination;  ///< Of the same version.
    proto::ip_protocol protocol = proto::ip_protocol::udp;
    std::array<std::byte, header_length> header{};
    std::span<const std::byte> payload = {};
    std::uint32_t identification = 0;  ///< Of the fragments; IPv4 has the lower half.
    bool dont_fragment = true;         ///< IPv4, where it is whole.
    std::uint8_t hops = 64;

    [[nodiscard]] std::size_t size() const noexcept { return header_length + payload.size(); }

    /// The piece that begins at `offset`, in packets of at most `mtu` octets: 68 at least, 1280 in IPv6.
    [[nodiscard]] piece piece_at(std::size_t offset, std::size_t mtu) const noexcept;

    /// Writes the packet of a piece at the front of `packet`, which has room for it.
    void emit(std::span<std::byte> packet, const piece& what) const noexcept;

    /// Fills in the checksum of UDP, whose header is there but for that.
    void sum_udp() noexcept;

private:
    void copy(std::span<std::byte> to, std::size_t offset) const noexcept;
};

}  // namespace fluxnet::host::detail
