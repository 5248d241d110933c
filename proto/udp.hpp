// SPDX-License-Identifier: BSD-3-Clause
// UDP over IPv4 and IPv6: `udp_view` reads a datagram, `mutable_udp_view` also writes it, `udp_repr` makes a header.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// Where the fields are (RFC 768 "Format").
namespace udp_offset {
inline constexpr std::size_t source_port = 0;
inline constexpr std::size_t destination_port = 2;
inline constexpr std::size_t length = 4;
inline constexpr std::size_t checksum = 6;
inline constexpr std::size_t payload = 8;
}  // namespace udp_offset

/// The length of the header, in octets.
inline constexpr std::size_t udp_header_length = udp_offset::payload;

/// A UDP datagram: the payload of an IP packet of protocol 17.
template <octet Byte>
class basic_udp_view {
public:
    static constexpr std::uint8_t protocol_number = 17;

    /// Checks a received datagram: its length and its checksum. The addresses are those of the IP header and have one
    /// version; the checksum covers them. A checksum of 0 says that there is none, which is allowed over IPv4 (RFC 768) and
    /// refused over IPv6 (RFC 8200 section 8.1). Octets after the length field's count are left out of the view. Reasons:
    /// udp_truncated, udp_short_length, udp_long_length, udp_no_checksum, udp_bad_checksum.
    template <internet_address Address>
    [[nodiscard]] static result<basic_udp_view> parse(std::span<Byte> packet, const Address& source,
                                                      const Address& destination) noexcept {
        const result<basic_udp_view> view = parse_unsummed(packet);
        if (!view) { return view; }
        if (view->checksum() == 0) {
            if (is_v6(source)) { return reason::udp_no_checksum; }
        } else if (view->sum(source, destination) != 0) {
            return reason::udp_bad_checksum;
        }
        return view;
    }

    /// Does the same without the checksum, which somebody has already checked: the network card, say.
    [[nodiscard]] static result<basic_udp_view> parse_unsummed(std::span<Byte> packet) noexcept {
        if (packet.size() < udp_header_length) { return reason::udp_truncated; }
        const std::size_t length = basic_udp_view(packet).length();
        if (length < udp_header_length) { return reason::udp_short_length; }
        if (length > packet.size()) { return reason::udp_long_length; }
        return basic_udp_view(packet.first(length));
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length; before payload() and
    /// fill_checksum() are used, the length must be set to what fits.
    [[nodiscard]] static basic_udp_view unchecked(std::span<Byte> packet) noexcept {
        assert(packet.size() >= udp_header_length);
        return basic_udp_view(packet);
    }

    /// 0 when the sender expects no answer.
    [[nodiscard]] std::uint16_t source_port() const noexcept { return load16(udp_offset::source_port); }
    [[nodiscard]] std::uint16_t destination_port() const noexcept { return load16(udp_offset::destination_port); }
    /// Header and payload, in octets.
    [[nodiscard]] std::uint16_t length() const noexcept { return load16(udp_offset::length); }
    /// 0 when the sender computed none.
    [[nodiscard]] std::uint16_t checksum() const noexcept { return load16(udp_offset::checksum); }
    [[nodiscard]] std::span<Byte> payload() const noexcept {
        return bytes_.subspan(udp_header_length, length() - udp_header_length);
    }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_udp_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_udp_view<const Byte>::unchecked(bytes_);
    }

    // The setters leave the checksum behind, except where they say otherwise: fill_checksum() comes last.

    /// Writes the port that answers go to; the checksum does not follow.
    void set_source_port(std::uint16_t port) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + udp_offset::source_port, port);
    }
    /// Writes the port; the checksum does not follow.
    void set_destination_port(std::uint16_t port) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + udp_offset::destination_port, port);
    }
    /// Invalidates a parse.
    void set_length(std::uint16_t length) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + udp_offset::length, length);
    }
    /// Exchanges the ports. A sum does not depend on order: the checksum stays right.
    void swap_ports() noexcept
        requires writable_octet<Byte>
    {
        const std::uint16_t source = source_port();
        set_source_port(destination_port());
        set_destination_port(source);
    }
    /// Says that there is no checksum, which goes over IPv4 only.
    void clear_checksum() noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + udp_offset::checksum, 0);
    }
    /// Sums pseudo-header, header and payload, and writes the checksum. One that comes out as 0 is written as 0xffff, its
    /// equal (RFC 768). The addresses have one version.
    template <internet_address Address>
    void fill_checksum(const Address& source, const Address& destination) noexcept
        requires writable_octet<Byte>
    {
        clear_checksum();
        const std::uint16_t checksum = sum(source, destination);
        store_be16(bytes_.data() + udp_offset::checksum, checksum == 0 ? std::uint16_t{0xffff} : checksum);
    }

private:
    explicit basic_udp_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint16_t load16(std::size_t at) const noexcept { return load_be16(bytes_.data() + at); }

    [[nodiscard]] static constexpr bool is_v6(const ipv4_address&) noexcept { return false; }
    [[nodiscard]] static constexpr bool is_v6(const ipv6_address&) noexcept { return true; }
    [[nodiscard]] static constexpr bool is_v6(const ip_address& address) noexcept { return address.is_v6(); }

    template <internet_address Address>
    [[nodiscard]] std::uint16_t sum(const Address& source, const Address& destination) const noexcept {
        return internet_checksum()
            .add_pseudo_header(source, destination, protocol_number, length())
            .add(bytes_.first(length()))
            .finish();
    }

    std::span<Byte> bytes_;  // at least udp_header_length; exactly the length field's count after parse()
};

using udp_view = basic_udp_view<const std::byte>;
using mutable_udp_view = basic_udp_view<std::byte>;

/// The values of a header, to be written in one go.
struct udp_repr {
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::size_t payload_length = 0;  ///< At most 65507 over IPv4, 65527 over IPv6.

    /// Writes the header at the front of `packet`, which has room for it and the payload, and returns a view of the
    /// datagram. There is no checksum yet: fill_checksum() on the view adds it once the payload is there.
    mutable_udp_view emit(std::span<std::byte> packet) const noexcept {
        const std::size_t length = udp_header_length + payload_length;
        assert(length <= 0xffff && packet.size() >= length);
        mutable_udp_view view = mutable_udp_view::unchecked(packet.first(length));
        view.set_source_port(source_port);
        view.set_destination_port(destination_port);
        view.set_length(static_cast<std::uint16_t>(length));
        view.clear_checksum();
        return view;
    }
};

}  // namespace fluxnet::proto
