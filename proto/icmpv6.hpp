// SPDX-License-Identifier: BSD-3-Clause
// ICMPv6: `icmpv6_view` reads a message, `mutable_icmpv6_view` also writes it, `icmpv6_echo_repr` makes an echo and
// `icmpv6_error_repr` an error. What an error quotes is read by quoted_packet::parse_ipv6(view.payload()); the messages of
// neighbour discovery are read by the views in ndp.hpp.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// The types that a host meets (RFC 4443 section 2.1, RFC 4861 section 4).
enum class icmpv6_type : std::uint8_t {
    destination_unreachable = 1,
    packet_too_big = 2,
    time_exceeded = 3,
    parameter_problem = 4,
    echo_request = 128,
    echo_reply = 129,
    router_solicitation = 133,
    router_advertisement = 134,
    neighbour_solicitation = 135,
    neighbour_advertisement = 136,
    redirect = 137,
};

/// Tells whether a message of that type is an error: it quotes a packet (RFC 4443 section 2.1). No error may answer one, nor
/// a redirect, which is none (section 2.4 (e)).
[[nodiscard]] constexpr bool is_error(icmpv6_type type) noexcept {
    return static_cast<std::uint8_t>(type) < 128;
}

/// The codes that a host meets: what exactly is wrong (RFC 4443 section 3). Those of a parameter problem are the codes of
/// `ipv6_problem`.
namespace icmpv6_code {
// Of destination_unreachable.
inline constexpr std::uint8_t no_route = 0;
inline constexpr std::uint8_t administratively_prohibited = 1;
inline constexpr std::uint8_t address_unreachable = 3;
inline constexpr std::uint8_t port_unreachable = 4;
// Of time_exceeded.
inline constexpr std::uint8_t hops_exceeded = 0;
inline constexpr std::uint8_t reassembly_time_exceeded = 1;
}  // namespace icmpv6_code

/// Where the fields are (RFC 4443 sections 2.1, 3 and 4).
namespace icmpv6_offset {
inline constexpr std::size_t type = 0;
inline constexpr std::size_t code = 1;
inline constexpr std::size_t checksum = 2;
inline constexpr std::size_t identifier = 4;
inline constexpr std::size_t sequence = 6;
inline constexpr std::size_t mtu = 4;
inline constexpr std::size_t pointer = 4;
inline constexpr std::size_t payload = 8;
}  // namespace icmpv6_offset

/// The length of the header, in octets. The four that follow the checksum belong to it: every type that a host meets has
/// them.
inline constexpr std::size_t icmpv6_header_length = icmpv6_offset::payload;
/// How much of a packet an error quotes at most, in octets: its own packet has at most 1280 (RFC 4443 section 2.4 (c)).
inline constexpr std::size_t icmpv6_max_quote = 1280 - ipv6_header_length - icmpv6_header_length;

/// An ICMPv6 message: what an IPv6 packet of protocol 58 carries.
template <octet Byte>
class basic_icmpv6_view {
public:
    static constexpr std::uint8_t protocol_number = 58;

    /// Checks a received message, which is all of `message`: it is complete and its checksum holds, which also covers the
    /// addresses of the IPv6 header. Reasons: icmpv6_truncated, icmpv6_bad_checksum.
    [[nodiscard]] static result<basic_icmpv6_view> parse(std::span<Byte> message, const ipv6_address& source,
                                                         const ipv6_address& destination) noexcept {
        if (message.size() < icmpv6_header_length) { return reason::icmpv6_truncated; }
        const basic_icmpv6_view view(message);
        if (view.sum(source, destination) != 0) { return reason::icmpv6_bad_checksum; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length.
    [[nodiscard]] static basic_icmpv6_view unchecked(std::span<Byte> message) noexcept {
        assert(message.size() >= icmpv6_header_length);
        return basic_icmpv6_view(message);
    }

    /// What the message says; may be none of the enumerators.
    [[nodiscard]] icmpv6_type type() const noexcept {
        return icmpv6_type{std::to_integer<std::uint8_t>(bytes_[icmpv6_offset::type])};
    }
    [[nodiscard]] std::uint8_t code() const noexcept { return std::to_integer<std::uint8_t>(bytes_[icmpv6_offset::code]); }
    [[nodiscard]] std::uint16_t checksum() const noexcept { return load_be16(bytes_.data() + icmpv6_offset::checksum); }
    /// In an echo, a number by which the asking program knows its own. Means nothing in other types.
    [[nodiscard]] std::uint16_t identifier() const noexcept { return load_be16(bytes_.data() + icmpv6_offset::identifier); }
    /// Which of the questions, in an echo. Means nothing in other types.
    [[nodiscard]] std::uint16_t sequence() const noexcept { return load_be16(bytes_.data() + icmpv6_offset::sequence); }
    /// What the next link can carry. Means nothing but in packet_too_big.
    [[nodiscard]] std::uint32_t mtu() const noexcept { return load_be32(bytes_.data() + icmpv6_offset::mtu); }
    /// Which octet of the quoted packet is wrong; it may lie beyond the quote. Means nothing but in parameter_problem.
    [[nodiscard]] std::uint32_t pointer() const noexcept { return load_be32(bytes_.data() + icmpv6_offset::pointer); }
    /// Everything after the header: in an error, what it quotes.
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(icmpv6_offset::payload); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_icmpv6_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_icmpv6_view<const Byte>::unchecked(bytes_);
    }

    // The setters leave the checksum behind, except where they say otherwise: fill_checksum() comes last. No setter makes
    // an accessor read out of bounds.

    /// Writes the type; the checksum does not follow.
    void set_type(icmpv6_type type) noexcept
        requires writable_octet<Byte>
    {
        bytes_[icmpv6_offset::type] = static_cast<std::byte>(type);
    }
    /// Sets the type and brings a correct checksum along (RFC 1624). The pseudo-header is never all zeros, so both zeros of
    /// one's complement hold.
    void update_type(icmpv6_type type) noexcept
        requires writable_octet<Byte>
    {
        const std::uint16_t before = load_be16(bytes_.data() + icmpv6_offset::type);
        set_type(type);
        const std::uint16_t after = load_be16(bytes_.data() + icmpv6_offset::type);
        store_be16(bytes_.data() + icmpv6_offset::checksum, checksum_update16(checksum(), before, after));
    }
    void set_code(std::uint8_t code) noexcept
        requires writable_octet<Byte>
    {
        bytes_[icmpv6_offset::code] = std::byte{code};
    }
    void set_identifier(std::uint16_t identifier) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmpv6_offset::identifier, identifier);
    }
    void set_sequence(std::uint16_t sequence) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmpv6_offset::sequence, sequence);
    }
    /// Writes the four octets after the checksum, whatever the type has there: an MTU, a pointer, or 0.
    void set_value(std::uint32_t value) noexcept
        requires writable_octet<Byte>
    {
        store_be32(bytes_.data() + icmpv6_offset::mtu, value);
    }
    /// Sums pseudo-header and message, payload included, and writes the checksum.
    void fill_checksum(const ipv6_address& source, const ipv6_address& destination) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + icmpv6_offset::checksum, 0);
        store_be16(bytes_.data() + icmpv6_offset::checksum, sum(source, destination));
    }

private:
    explicit basic_icmpv6_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint16_t sum(const ipv6_address& source, const ipv6_address& destination) const noexcept {
        const auto length = static_cast<std::uint32_t>(bytes_.size());
        return internet_checksum().add_pseudo_header(source, destination, protocol_number, length).add(bytes_).finish();
    }

    std::span<Byte> bytes_;  // at least icmpv6_header_length
};

using icmpv6_view = basic_icmpv6_view<const std::byte>;
using mutable_icmpv6_view = basic_icmpv6_view<std::byte>;

/// The values of an echo header, to be written in one go.
struct icmpv6_echo_repr {
    icmpv6_type type = icmpv6_type::echo_request;  ///< Or echo_reply.
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;

    /// Writes the header at the front of `message`, which is header and payload, and sums both: the payload is already
    /// there, or fill_checksum() is called on the view that this returns.
    mutable_icmpv6_view emit(std::span<std::byte> message, const ipv6_address& source,
                             const ipv6_address& destination) const noexcept {
        mutable_icmpv6_view view = mutable_icmpv6_view::unchecked(message);
        view.set_type(type);
        view.set_code(0);
        view.set_identifier(identifier);
        view.set_sequence(sequence);
        view.fill_checksum(source, destination);
        return view;
    }
};

/// The values of an error, to be written in one go.
struct icmpv6_error_repr {
    icmpv6_type type = icmpv6_type::destination_unreachable;
    std::uint8_t code = icmpv6_code::port_unreachable;
    std::uint32_t value = 0;  ///< The MTU of packet_too_big, the pointer of parameter_problem; 0 in other errors.

    /// Writes a message about `packet`, an IPv6 header and what follows, at the front of `message` and returns a view of it,
    /// with its checksum. It quotes at most icmpv6_max_quote octets and no more than there is room for; there must be room
    /// for icmpv6_header_length. The packet may lie in the same buffer. `source` and `destination` are those of the error.
    mutable_icmpv6_view emit(std::span<std::byte> message, std::span<const std::byte> packet, const ipv6_address& source,
                             const ipv6_address& destination) const noexcept {
        const auto bytes = detail::quote_packet(message, icmpv6_header_length, icmpv6_max_quote, packet);
        mutable_icmpv6_view view = mutable_icmpv6_view::unchecked(bytes);
        view.set_type(type);
        view.set_code(code);
        view.set_value(value);
        view.fill_checksum(source, destination);
        return view;
    }
};

}  // namespace fluxnet::proto
