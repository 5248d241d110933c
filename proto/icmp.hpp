// SPDX-License-Identifier: BSD-3-Clause
// ICMP: `icmp_view` reads a message, `mutable_icmp_view` also writes it, `icmp_echo_repr` makes an echo and
// `icmp_error_repr` an error. What an error quotes is read by quoted_packet::parse_ipv4(view.payload()).
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// The types of RFC 792 that a host meets.
enum class icmp_type : std::uint8_t {
    echo_reply = 0,
    destination_unreachable = 3,
    source_quench = 4,  ///< Not sent any more, and ignored (RFC 6633).
    redirect = 5,
    echo_request = 8,
    time_exceeded = 11,
    parameter_problem = 12,
};

/// Tells whether a message of that type is an error: it quotes a packet, and no error may answer it (RFC 1122
/// section 3.2.2).
[[nodiscard]] constexpr bool is_error(icmp_type type) noexcept {
    return type == icmp_type::destination_unreachable || type == icmp_type::source_quench || type == icmp_type::redirect ||
           type == icmp_type::time_exceeded || type == icmp_type::parameter_problem;
}

/// The codes that a host meets: what exactly is wrong (RFC 792; RFC 1122 section 3.2.2.1; RFC 1812 section 5.2.7.1).
namespace icmp_code {
// Of destination_unreachable.
inline constexpr std::uint8_t network_unreachable = 0;
inline constexpr std::uint8_t host_unreachable = 1;
inline constexpr std::uint8_t protocol_unreachable = 2;
inline constexpr std::uint8_t port_unreachable = 3;
inline constexpr std::uint8_t fragmentation_needed = 4;
inline constexpr std::uint8_t source_route_failed = 5;
inline constexpr std::uint8_t administratively_prohibited = 13;
// Of time_exceeded.
inline constexpr std::uint8_t hops_exceeded = 0;
inline constexpr std::uint8_t reassembly_time_exceeded = 1;
// Of parameter_problem.
inline constexpr std::uint8_t pointer_indicates_error = 0;
inline constexpr std::uint8_t missing_option = 1;
inline constexpr std::uint8_t bad_length = 2;
}  // namespace icmp_code

/// Where the fields are (RFC 792; the next-hop MTU: RFC 1191 section 4).
namespace icmp_offset {
inline constexpr std::size_t type = 0;
inline constexpr std::size_t code = 1;
inline constexpr std::size_t checksum = 2;
inline constexpr std::size_t identifier = 4;
inline constexpr std::size_t sequence = 6;
inline constexpr std::size_t pointer = 4;
inline constexpr std::size_t next_hop_mtu = 6;
inline constexpr std::size_t payload = 8;
}  // namespace icmp_offset

/// The length of the header, in octets: the same for every type.
inline constexpr std::size_t icmp_header_length = icmp_offset::payload;
/// How much of a packet an error quotes at most, in octets: its own datagram has at most 576 (RFC 1812 section 4.3.2.3).
inline constexpr std::size_t icmp_max_quote = 576 - ipv4_header_length - icmp_header_length;

/// An ICMP message: the payload of an IPv4 datagram of protocol 1.
template <octet Byte>
class basic_icmp_view {
public:
    /// Checks a received message, which is all of `message`: it is complete and its checksum holds. Reasons:
    /// icmp_truncated, icmp_bad_checksum.
    [[nodiscard]] static result<basic_icmp_view> parse(std::span<Byte> message) noexcept {
        if (message.size() < icmp_header_length) { return reason::icmp_truncated; }
        if (internet_checksum::of(message) != 0) { return reason::icmp_bad_checksum; }
        return basic_icmp_view(message);
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length.
    [[nodiscard]] static basic_icmp_view unchecked(std::span<Byte> message) noexcept {
        assert(message.size() >= icmp_header_length);
        return basic_icmp_view(message);
    }

    /// What the message says; may be none of the enumerators.
    [[nodiscard]] icmp_type type() const noexcept {
        return icmp_type{std::to_integer<std::uint8_t>(bytes_[icmp_offset::type])};
    }
    [[nodiscard]] std::uint8_t code() const noexcept { return std::to_integer<std::uint8_t>(bytes_[icmp_offset::code]); }
    [[nodiscard]] std::uint16_t checksum() const noexcept { return load_be16(bytes_.data() + icmp_offset::checksum); }
    /// In an echo, a number by which the asking program knows its own. Means nothing in other types.
    [[nodiscard]] std::uint16_t identifier() const noexcept { return load_be16(bytes_.data() + icmp_offset::identifier); }
    /// Which of the questions, in an echo. Means nothing in other types.
    [[nodiscard]] std::uint16_t sequence() const noexcept { return load_be16(bytes_.data() + icmp_offset::sequence); }
    /// What the next link can carry of a datagram that does not fit it; 0 from routers that do not know of RFC 1191. Means
    /// nothing but in destination_unreachable of the code fragmentation_needed.
    [[nodiscard]] std::uint16_t next_hop_mtu() const noexcept {
        return load_be16(bytes_.data() + icmp_offset::next_hop_mtu);
    }
    /// Which octet of the quoted datagram is wrong. Means nothing but in parameter_problem.
    [[nodiscard]] std::uint8_t pointer() const noexcept {
        return std::to_integer<std::uint8_t>(bytes_[icmp_offset::pointer]);
    }
    /// Everything after the header: in an error, what it quotes.
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(icmp_offset::payload); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_icmp_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_icmp_view<const Byte>::unchecked(bytes_);
    }

    // The setters leave the checksum behind, except where they say otherwise: fill_checksum() comes last. No setter makes
    // an accessor read out of bounds.

    /// Writes the type; the checksum does not follow.
    void set_type(icmp_type type) noexcept
        requires writable_octet<Byte>
    {
        bytes_[icmp_offset::type] = static_cast<std::byte>(type);
    }
    /// Sets the type and brings a correct checksum along (RFC 1624).
    void update_type(icmp_type type) noexcept
        requires writable_octet<Byte>
    {
        const std::uint16_t before = load_be16(bytes_.data() + icmp_offset::type);
        set_type(type);
        const std::uint16_t updated = checksum_update16(checksum(), before, load_be16(bytes_.data() + icmp_offset::type));
        if (updated == 0) {  // one of the two zeros of one's complement, and perhaps the wrong one: see checksum_update16()
            fill_checksum();
        } else {
            store_be16(bytes_.data() + icmp_offset::checksum, updated);
        }
    }
    void set_code(std::uint8_t code) noexcept
        requires writable_octet<Byte>
    {
        bytes_[icmp_offset::code] = std::byte{code};
    }
    void set_identifier(std::uint16_t identifier) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmp_offset::identifier, identifier);
    }
    void set_sequence(std::uint16_t sequence) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmp_offset::sequence, sequence);
    }
    void set_next_hop_mtu(std::uint16_t mtu) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmp_offset::next_hop_mtu, mtu);
    }
    void set_pointer(std::uint8_t pointer) noexcept
        requires writable_octet<Byte>
    {
        bytes_[icmp_offset::pointer] = std::byte{pointer};
    }
    /// Sums the message, payload included, and writes the checksum.
    void fill_checksum() noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmp_offset::checksum, 0);
        store_be16(bytes_.data() + icmp_offset::checksum, internet_checksum::of(bytes_));
    }

private:
    explicit basic_icmp_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    std::span<Byte> bytes_;  // at least icmp_header_length
};

using icmp_view = basic_icmp_view<const std::byte>;
using mutable_icmp_view = basic_icmp_view<std::byte>;

/// The values of an echo header, to be written in one go.
struct icmp_echo_repr {
    icmp_type type = icmp_type::echo_request;  ///< Or echo_reply.
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;

    /// Writes the header at the front of `message`, which is header and payload, and sums both: the payload is already
    /// there, or fill_checksum() is called on the view that this returns.
    mutable_icmp_view emit(std::span<std::byte> message) const noexcept {
        mutable_icmp_view view = mutable_icmp_view::unchecked(message);
        view.set_type(type);
        view.set_code(0);
        view.set_identifier(identifier);
        view.set_sequence(sequence);
        view.fill_checksum();
        return view;
    }
};

/// The values of an error, to be written in one go.
struct icmp_error_repr {
    icmp_type type = icmp_type::destination_unreachable;
    std::uint8_t code = icmp_code::port_unreachable;
    std::uint16_t next_hop_mtu = 0;  ///< See basic_icmp_view::next_hop_mtu(); 0 in other errors.
    std::uint8_t pointer = 0;        ///< See basic_icmp_view::pointer(); 0 in other errors.

    /// Writes a message about `datagram`, an IPv4 header and what follows, at the front of `message` and returns a view of
    /// it, with its checksum. It quotes at most icmp_max_quote octets and no more than there is room for; there must be room
    /// for icmp_header_length. The datagram may lie in the same buffer.
    mutable_icmp_view emit(std::span<std::byte> message, std::span<const std::byte> datagram) const noexcept {
        const auto bytes = detail::quote_packet(message, icmp_header_length, icmp_max_quote, datagram);
        mutable_icmp_view view = mutable_icmp_view::unchecked(bytes);
        view.set_type(type);
        view.set_code(code);
        store_be32(bytes.data() + icmp_offset::identifier, 0);  // both halves: one of them is unused in every error
        view.set_next_hop_mtu(next_hop_mtu);
        view.set_pointer(pointer);
        view.fill_checksum();
        return view;
    }
};

}  // namespace fluxnet::proto
