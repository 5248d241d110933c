// SPDX-License-Identifier: BSD-3-Clause
// ARP for IPv4 over Ethernet: `arp_view` reads a packet, `mutable_arp_view` also writes it, `arp_repr` makes one.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// What an ARP packet wants.
enum class arp_operation : std::uint16_t { request = 1, reply = 2 };

/// Where the fields are (RFC 826 "Packet format"), with addresses of 6 and 4 octets.
namespace arp_offset {
inline constexpr std::size_t hardware_type = 0;
inline constexpr std::size_t protocol_type = 2;
inline constexpr std::size_t hardware_length = 4;
inline constexpr std::size_t protocol_length = 5;
inline constexpr std::size_t operation = 6;
inline constexpr std::size_t sender_hardware = 8;
inline constexpr std::size_t sender_protocol = 14;
inline constexpr std::size_t target_hardware = 18;
inline constexpr std::size_t target_protocol = 24;
inline constexpr std::size_t end = 28;
}  // namespace arp_offset

/// The length of a packet, in octets.
inline constexpr std::size_t arp_packet_length = arp_offset::end;

/// An ARP packet: the payload of an Ethernet frame of type 0x0806.
template <octet Byte>
class basic_arp_view {
public:
    static constexpr std::uint16_t ethernet_hardware_type = 1;
    static constexpr std::uint16_t ipv4_protocol_type = 0x0800;

    /// Checks a received packet as RFC 826 "Packet Reception" does, up to the operation. Octets after the packet are
    /// padding and left out of the view. Reasons: arp_truncated, arp_hardware_type, arp_protocol_type,
    /// arp_hardware_length, arp_protocol_length, arp_unknown_operation.
    [[nodiscard]] static result<basic_arp_view> parse(std::span<Byte> packet) noexcept {
        if (packet.size() < arp_packet_length) { return reason::arp_truncated; }
        const basic_arp_view view(packet.first(arp_packet_length));
        const std::byte* const at = packet.data();
        if (load_be16(at + arp_offset::hardware_type) != ethernet_hardware_type) { return reason::arp_hardware_type; }
        if (load_be16(at + arp_offset::protocol_type) != ipv4_protocol_type) { return reason::arp_protocol_type; }
        if (at[arp_offset::hardware_length] != std::byte{mac_address::size}) { return reason::arp_hardware_length; }
        if (at[arp_offset::protocol_length] != std::byte{ipv4_address::size}) { return reason::arp_protocol_length; }
        const arp_operation operation = view.operation();
        if (operation != arp_operation::request && operation != arp_operation::reply) {
            return reason::arp_unknown_operation;
        }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a packet's length.
    [[nodiscard]] static basic_arp_view unchecked(std::span<Byte> packet) noexcept {
        assert(packet.size() >= arp_packet_length);
        return basic_arp_view(packet.first(arp_packet_length));
    }

    /// Request or reply; the addresses below are those of the sender.
    [[nodiscard]] arp_operation operation() const noexcept {
        return arp_operation{load_be16(bytes_.data() + arp_offset::operation)};
    }
    [[nodiscard]] mac_address sender_hardware() const noexcept {
        return mac_address::load(bytes_.data() + arp_offset::sender_hardware);
    }
    /// 0.0.0.0 in a probe, which asks before it claims an address (RFC 5227 section 2.1.1).
    [[nodiscard]] ipv4_address sender_protocol() const noexcept {
        return ipv4_address::load(bytes_.data() + arp_offset::sender_protocol);
    }
    /// Means nothing in a request.
    [[nodiscard]] mac_address target_hardware() const noexcept {
        return mac_address::load(bytes_.data() + arp_offset::target_hardware);
    }
    [[nodiscard]] ipv4_address target_protocol() const noexcept {
        return ipv4_address::load(bytes_.data() + arp_offset::target_protocol);
    }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_arp_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_arp_view<const Byte>::unchecked(bytes_);
    }

    /// Writes the four fields that say "IPv4 over Ethernet".
    void set_spaces() noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + arp_offset::hardware_type, ethernet_hardware_type);
        store_be16(bytes_.data() + arp_offset::protocol_type, ipv4_protocol_type);
        bytes_[arp_offset::hardware_length] = std::byte{mac_address::size};
        bytes_[arp_offset::protocol_length] = std::byte{ipv4_address::size};
    }
    /// Invalidates a parse when it is none of the enumerators.
    void set_operation(arp_operation operation) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + arp_offset::operation, static_cast<std::uint16_t>(operation));
    }
    void set_sender(mac_address hardware, ipv4_address protocol) noexcept
        requires writable_octet<Byte>
    {
        hardware.store(bytes_.data() + arp_offset::sender_hardware);
        protocol.store(bytes_.data() + arp_offset::sender_protocol);
    }
    void set_target(mac_address hardware, ipv4_address protocol) noexcept
        requires writable_octet<Byte>
    {
        hardware.store(bytes_.data() + arp_offset::target_hardware);
        protocol.store(bytes_.data() + arp_offset::target_protocol);
    }

private:
    explicit basic_arp_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    std::span<Byte> bytes_;  // exactly arp_packet_length
};

using arp_view = basic_arp_view<const std::byte>;
using mutable_arp_view = basic_arp_view<std::byte>;

/// The values of a packet, to be written in one go.
struct arp_repr {
    arp_operation operation = arp_operation::request;
    mac_address sender_hardware;
    ipv4_address sender_protocol;
    mac_address target_hardware;  ///< Zero in a request.
    ipv4_address target_protocol;

    /// Writes the packet at the front of `bytes`, which have room for it.
    mutable_arp_view emit(std::span<std::byte> bytes) const noexcept {
        mutable_arp_view view = mutable_arp_view::unchecked(bytes);
        view.set_spaces();
        view.set_operation(operation);
        view.set_sender(sender_hardware, sender_protocol);
        view.set_target(target_hardware, target_protocol);
        return view;
    }
};

}  // namespace fluxnet::proto
