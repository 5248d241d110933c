// SPDX-License-Identifier: BSD-3-Clause
// Ethernet II frames: `ethernet_view` reads one, `mutable_ethernet_view` also writes it, `ethernet_repr` makes a header.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// What an Ethernet frame carries (the EtherTypes of the IEEE registry that FluxNet has a name for).
enum class ethertype : std::uint16_t {
    ipv4 = 0x0800,
    arp = 0x0806,
    vlan = 0x8100,  ///< An 802.1Q tag follows.
    ipv6 = 0x86dd,
    service_vlan = 0x88a8,  ///< An 802.1ad tag follows.
};

/// Where the fields are, in octets from the first of the destination address (IEEE 802.3 section 3.1.1; RFC 894).
namespace ethernet_offset {
inline constexpr std::size_t destination = 0;
inline constexpr std::size_t source = 6;
inline constexpr std::size_t type = 12;
inline constexpr std::size_t payload = 14;
}  // namespace ethernet_offset

/// The length of the header, in octets.
inline constexpr std::size_t ethernet_header_length = ethernet_offset::payload;
/// The first number that is a type; those below are lengths (IEEE 802.3 section 3.2.6).
inline constexpr std::uint16_t ethernet_first_type = 0x0600;

/// A frame without preamble and check sequence, as AF_XDP delivers it.
template <octet Byte>
class basic_ethernet_view {
public:
    /// Checks the header of a received frame: it is complete, has a type and not an 802.3 length, and comes from a
    /// station's address. Reasons: ethernet_truncated, ethernet_length_field, ethernet_multicast_source,
    /// ethernet_zero_source.
    [[nodiscard]] static result<basic_ethernet_view> parse(std::span<Byte> frame) noexcept {
        if (frame.size() < ethernet_header_length) { return reason::ethernet_truncated; }
        const basic_ethernet_view view(frame);
        if (view.type_number() < ethernet_first_type) { return reason::ethernet_length_field; }
        const mac_address source = view.source();
        if (source.is_multicast()) { return reason::ethernet_multicast_source; }
        if (source.is_zero()) { return reason::ethernet_zero_source; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length.
    [[nodiscard]] static basic_ethernet_view unchecked(std::span<Byte> frame) noexcept {
        assert(frame.size() >= ethernet_header_length);
        return basic_ethernet_view(frame);
    }

    /// Where the frame goes to and comes from.
    [[nodiscard]] mac_address destination() const noexcept {
        return mac_address::load(bytes_.data() + ethernet_offset::destination);
    }
    [[nodiscard]] mac_address source() const noexcept { return mac_address::load(bytes_.data() + ethernet_offset::source); }
    /// What the frame carries; often none of the enumerators.
    [[nodiscard]] ethertype type() const noexcept { return ethertype{type_number()}; }
    /// Everything after the header, with the padding that brings a short frame to 60 octets.
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(ethernet_offset::payload); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_ethernet_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ethernet_view<const Byte>::unchecked(bytes_);
    }

    /// Writes where the frame goes to.
    void set_destination(mac_address address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ethernet_offset::destination);
    }
    /// Invalidates a parse when the address is multicast or zero.
    void set_source(mac_address address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ethernet_offset::source);
    }
    /// Invalidates a parse when the number is below 0x0600.
    void set_type(ethertype type) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + ethernet_offset::type, static_cast<std::uint16_t>(type));
    }

private:
    explicit basic_ethernet_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint16_t type_number() const noexcept { return load_be16(bytes_.data() + ethernet_offset::type); }

    std::span<Byte> bytes_;  // at least ethernet_header_length
};

using ethernet_view = basic_ethernet_view<const std::byte>;
using mutable_ethernet_view = basic_ethernet_view<std::byte>;

/// The values of a header, to be written in one go.
struct ethernet_repr {
    mac_address destination;
    mac_address source;
    ethertype type = ethertype::ipv4;

    /// Writes the header at the front of `frame`, which has room for it, and returns a view of all of `frame`.
    mutable_ethernet_view emit(std::span<std::byte> frame) const noexcept {
        mutable_ethernet_view view = mutable_ethernet_view::unchecked(frame);
        view.set_destination(destination);
        view.set_source(source);
        view.set_type(type);
        return view;
    }
};

}  // namespace fluxnet::proto
