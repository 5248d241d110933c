// SPDX-License-Identifier: BSD-3-Clause
// ICMP echo: `icmp_view` reads a message, `mutable_icmp_view` also writes it, `icmp_echo_repr` makes a header.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
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
    redirect = 5,
    echo_request = 8,
    time_exceeded = 11,
    parameter_problem = 12,
};

/// Where the fields are (RFC 792 "Echo or Echo Reply Message").
namespace icmp_offset {
inline constexpr std::size_t type = 0;
inline constexpr std::size_t code = 1;
inline constexpr std::size_t checksum = 2;
inline constexpr std::size_t identifier = 4;
inline constexpr std::size_t sequence = 6;
inline constexpr std::size_t payload = 8;
}  // namespace icmp_offset

/// The length of the header, in octets: the same for every type.
inline constexpr std::size_t icmp_header_length = icmp_offset::payload;

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
    /// Everything after the header.
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

}  // namespace fluxnet::proto
