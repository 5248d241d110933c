// SPDX-License-Identifier: BSD-3-Clause
// Neighbour discovery for IPv6 on an Ethernet: views of solicitations and advertisements of neighbours and of routers, and
// what makes them.
//
//     const auto message = icmpv6_view::parse(content->payload, packet->source(), packet->destination());
//     if (message && message->type() == icmpv6_type::neighbour_solicitation) {
//         const auto asked = ndp_neighbour_view::parse(*message, *packet);
//         if (asked && asked->target() == own) { ... }
//     }
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire, after that of
// ICMPv6, which has checked the sum; what it returns can be read without further checks. It refuses what RFC 4861 wants
// discarded, above all what was sent from beyond this link: then the hop limit is less than 255. unchecked() is for bytes
// that this program makes. Accessors and setters take and give host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/ndp_option.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// The hop limit of every message of neighbour discovery: no router has passed it on (RFC 4861 section 3.1).
inline constexpr std::uint8_t ndp_hop_limit = 255;

/// Where the fields are, counted from the type of ICMPv6 (RFC 4861 sections 4.1 to 4.4).
namespace ndp_offset {
inline constexpr std::size_t neighbour_flags = 4;
inline constexpr std::size_t target = 8;
inline constexpr std::size_t neighbour_options = 24;
inline constexpr std::size_t solicitation_options = 8;  // of a router solicitation
inline constexpr std::size_t hop_limit = 4;
inline constexpr std::size_t router_flags = 5;
inline constexpr std::size_t router_lifetime = 6;
inline constexpr std::size_t reachable_time = 8;
inline constexpr std::size_t retransmit_time = 12;
inline constexpr std::size_t advertisement_options = 16;  // of a router advertisement
}  // namespace ndp_offset

namespace detail {

/// What all messages have in common; the options begin at `OptionsAt`.
template <octet Byte, std::size_t OptionsAt>
class ndp_view_base {
public:
    [[nodiscard]] icmpv6_type type() const noexcept { return message().type(); }
    [[nodiscard]] ndp_option_reader options() const noexcept { return ndp_option_reader(bytes_.subspan(OptionsAt)); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// The same bytes as a message of ICMPv6: fill_checksum() of it comes after the setters.
    [[nodiscard]] basic_icmpv6_view<Byte> message() const noexcept { return basic_icmpv6_view<Byte>::unchecked(bytes_); }

protected:
    explicit ndp_view_base(std::span<Byte> bytes) noexcept : bytes_(bytes) { assert(bytes.size() >= OptionsAt); }

    /// Checks what RFC 4861 wants of every message.
    [[nodiscard]] static std::optional<reason> refuse(icmpv6_view message, ipv6_view packet) noexcept {
        if (packet.hop_limit() != ndp_hop_limit) { return reason::ndp_foreign; }
        if (message.code() != 0) { return reason::ndp_bad_code; }
        if (message.bytes().size() < OptionsAt) { return reason::ndp_truncated; }
        if (packet.next_header() != ip_protocol::icmpv6) {
            const auto content = ipv6_upper_layer(packet);
            if (!content || content->fragment) { return reason::ndp_fragment; }  // RFC 6980 section 5
        }
        return ndp_option_reader::refuse(message.bytes().subspan(OptionsAt));
    }

    /// The address in the first option of that kind, if there is one.
    [[nodiscard]] std::optional<mac_address> link_address_of(std::uint8_t kind) const noexcept {
        const std::optional<ndp_option> option = options().next(kind);
        return option ? std::optional(option->link_address()) : std::nullopt;
    }

    std::span<Byte> bytes_;  // at least OptionsAt
};

}  // namespace detail

/// A neighbour solicitation, which asks where an address is on the link, or an advertisement, which says so.
template <octet Byte>
class basic_ndp_neighbour_view : public detail::ndp_view_base<Byte, ndp_offset::neighbour_options> {
    using base = detail::ndp_view_base<Byte, ndp_offset::neighbour_options>;

public:
    /// Checks a received message, that `packet` carries, by RFC 4861 sections 7.1.1 and 7.1.2. Reasons: ndp_unknown_type if
    /// it is neither of the two; ndp_foreign, ndp_bad_code, ndp_truncated, ndp_fragment, ndp_multicast_target; those of
    /// ndp_option_reader::refuse(); ndp_bad_probe, ndp_link_address_in_probe, ndp_solicited_to_group.
    [[nodiscard]] static result<basic_ndp_neighbour_view> parse(basic_icmpv6_view<Byte> message, ipv6_view packet) noexcept {
        const bool solicitation = message.type() == icmpv6_type::neighbour_solicitation;
        if (!solicitation && message.type() != icmpv6_type::neighbour_advertisement) { return reason::ndp_unknown_type; }
        if (const auto why = base::refuse(message, packet)) { return *why; }
        const basic_ndp_neighbour_view view(message.bytes());
        if (view.target().is_multicast()) { return reason::ndp_multicast_target; }
        if (solicitation && packet.source().is_unspecified()) {
            if (!packet.destination().is_solicited_node()) { return reason::ndp_bad_probe; }
            if (view.link_address()) { return reason::ndp_link_address_in_probe; }
        }
        if (!solicitation && view.is_solicited() && packet.destination().is_multicast()) {
            return reason::ndp_solicited_to_group;
        }
        return view;
    }

    /// Views bytes that need no checks because this program writes them: at least the fields before the options.
    [[nodiscard]] static basic_ndp_neighbour_view unchecked(std::span<Byte> bytes) noexcept {
        return basic_ndp_neighbour_view(bytes);
    }
    /// A view that may be written is also one that may be read.
    operator basic_ndp_neighbour_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ndp_neighbour_view<const Byte>::unchecked(this->bytes_);
    }

    /// Whether it is an advertisement; if not, it is a solicitation.
    [[nodiscard]] bool is_advertisement() const noexcept { return this->type() == icmpv6_type::neighbour_advertisement; }
    /// The address that is asked for or told.
    [[nodiscard]] ipv6_address target() const noexcept {
        return ipv6_address::load(this->bytes_.data() + ndp_offset::target);
    }
    /// Whether the sender is a router, answers a solicitation, and wants an address known before to be replaced. They mean
    /// nothing in a solicitation.
    [[nodiscard]] bool is_router() const noexcept { return flag(router_bit); }
    [[nodiscard]] bool is_solicited() const noexcept { return flag(solicited_bit); }
    [[nodiscard]] bool is_override() const noexcept { return flag(override_bit); }
    /// Where the sender of a solicitation is on the link, or the target of an advertisement, if the message says it.
    [[nodiscard]] std::optional<mac_address> link_address() const noexcept {
        return this->link_address_of(is_advertisement() ? ndp_option::target_link_address : ndp_option::source_link_address);
    }

    /// Invalidates a parse when the address is multicast.
    void set_target(const ipv6_address& address) noexcept
        requires writable_octet<Byte>
    {
        address.store(this->bytes_.data() + ndp_offset::target);
    }
    /// Writes the three flags and clears the reserved bits. Invalidates a parse.
    void set_flags(bool router, bool solicited, bool override_known) noexcept
        requires writable_octet<Byte>
    {
        store_be32(this->bytes_.data() + ndp_offset::neighbour_flags,
                   (router ? router_bit : 0) | (solicited ? solicited_bit : 0) | (override_known ? override_bit : 0));
    }

private:
    static constexpr std::uint32_t router_bit = 1U << 31;
    static constexpr std::uint32_t solicited_bit = 1U << 30;
    static constexpr std::uint32_t override_bit = 1U << 29;

    explicit basic_ndp_neighbour_view(std::span<Byte> bytes) noexcept : base(bytes) {}

    [[nodiscard]] bool flag(std::uint32_t bit) const noexcept {
        return (load_be32(this->bytes_.data() + ndp_offset::neighbour_flags) & bit) != 0;
    }
};

/// A router solicitation: a host asks for advertisements.
template <octet Byte>
class basic_ndp_router_solicitation_view : public detail::ndp_view_base<Byte, ndp_offset::solicitation_options> {
    using base = detail::ndp_view_base<Byte, ndp_offset::solicitation_options>;

public:
    /// Checks a received message, that `packet` carries, by RFC 4861 section 6.1.1. Reasons: ndp_unknown_type if it is none;
    /// ndp_foreign, ndp_bad_code, ndp_truncated, ndp_fragment; those of ndp_option_reader::refuse();
    /// ndp_link_address_in_probe.
    [[nodiscard]] static result<basic_ndp_router_solicitation_view> parse(basic_icmpv6_view<Byte> message,
                                                                          ipv6_view packet) noexcept {
        if (message.type() != icmpv6_type::router_solicitation) { return reason::ndp_unknown_type; }
        if (const auto why = base::refuse(message, packet)) { return *why; }
        const basic_ndp_router_solicitation_view view(message.bytes());
        if (packet.source().is_unspecified() && view.link_address()) { return reason::ndp_link_address_in_probe; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them: at least the fields before the options.
    [[nodiscard]] static basic_ndp_router_solicitation_view unchecked(std::span<Byte> bytes) noexcept {
        return basic_ndp_router_solicitation_view(bytes);
    }
    /// A view that may be written is also one that may be read.
    operator basic_ndp_router_solicitation_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ndp_router_solicitation_view<const Byte>::unchecked(this->bytes_);
    }

    /// Where the sender is on the link, if the message says it.
    [[nodiscard]] std::optional<mac_address> link_address() const noexcept {
        return this->link_address_of(ndp_option::source_link_address);
    }

private:
    explicit basic_ndp_router_solicitation_view(std::span<Byte> bytes) noexcept : base(bytes) {}
};

/// A router advertisement: a router tells hosts how this link is used. Its prefixes are among options(): see ndp_prefix.
template <octet Byte>
class basic_ndp_router_advertisement_view : public detail::ndp_view_base<Byte, ndp_offset::advertisement_options> {
    using base = detail::ndp_view_base<Byte, ndp_offset::advertisement_options>;

public:
    /// Checks a received message, that `packet` carries, by RFC 4861 section 6.1.2. Reasons: ndp_unknown_type if it is none;
    /// ndp_foreign, ndp_bad_code, ndp_truncated, ndp_fragment; those of ndp_option_reader::refuse(); ndp_source_not_local.
    [[nodiscard]] static result<basic_ndp_router_advertisement_view> parse(basic_icmpv6_view<Byte> message,
                                                                           ipv6_view packet) noexcept {
        if (message.type() != icmpv6_type::router_advertisement) { return reason::ndp_unknown_type; }
        if (const auto why = base::refuse(message, packet)) { return *why; }
        if (!packet.source().is_link_local()) { return reason::ndp_source_not_local; }
        return basic_ndp_router_advertisement_view(message.bytes());
    }

    /// Views bytes that need no checks because this program writes them: at least the fields before the options.
    [[nodiscard]] static basic_ndp_router_advertisement_view unchecked(std::span<Byte> bytes) noexcept {
        return basic_ndp_router_advertisement_view(bytes);
    }
    /// A view that may be written is also one that may be read.
    operator basic_ndp_router_advertisement_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ndp_router_advertisement_view<const Byte>::unchecked(this->bytes_);
    }

    /// What hosts put into their packets; 0: the router does not say.
    [[nodiscard]] std::uint8_t hop_limit() const noexcept {
        return std::to_integer<std::uint8_t>(this->bytes_[ndp_offset::hop_limit]);
    }
    /// Whether addresses, and whether other settings, are to be had by DHCPv6.
    [[nodiscard]] bool is_managed() const noexcept {
        return (this->bytes_[ndp_offset::router_flags] & managed_bit) != no_bit;
    }
    [[nodiscard]] bool has_other_settings() const noexcept {
        return (this->bytes_[ndp_offset::router_flags] & other_bit) != no_bit;
    }
    /// How long the sender is a default router, in seconds; 0: it is none.
    [[nodiscard]] std::uint16_t router_lifetime_s() const noexcept {
        return load_be16(this->bytes_.data() + ndp_offset::router_lifetime);
    }
    /// How long a neighbour counts as reachable, and how long to wait before asking again, in milliseconds; 0: the router
    /// does not say.
    [[nodiscard]] std::uint32_t reachable_time_ms() const noexcept {
        return load_be32(this->bytes_.data() + ndp_offset::reachable_time);
    }
    [[nodiscard]] std::uint32_t retransmit_time_ms() const noexcept {
        return load_be32(this->bytes_.data() + ndp_offset::retransmit_time);
    }
    /// Where the router is on the link, and the MTU of the link, if the message says it.
    [[nodiscard]] std::optional<mac_address> link_address() const noexcept {
        return this->link_address_of(ndp_option::source_link_address);
    }
    [[nodiscard]] std::optional<std::uint32_t> mtu() const noexcept {
        const std::optional<ndp_option> option = this->options().next(ndp_option::mtu);
        return option ? std::optional(option->mtu_value()) : std::nullopt;
    }

    /// Writes what hosts put into their packets; 0 says nothing about it.
    void set_hop_limit(std::uint8_t hops) noexcept
        requires writable_octet<Byte>
    {
        this->bytes_[ndp_offset::hop_limit] = std::byte{hops};
    }
    /// Writes the two flags and clears the other bits.
    void set_flags(bool managed, bool other_settings) noexcept
        requires writable_octet<Byte>
    {
        this->bytes_[ndp_offset::router_flags] = (managed ? managed_bit : no_bit) | (other_settings ? other_bit : no_bit);
    }
    /// Writes how long the router is a default router, in seconds, and the two times of reachability, in milliseconds.
    void set_times(std::uint16_t router_lifetime_s, std::uint32_t reachable_time_ms,
                   std::uint32_t retransmit_time_ms) noexcept
        requires writable_octet<Byte>
    {
        store_be16(this->bytes_.data() + ndp_offset::router_lifetime, router_lifetime_s);
        store_be32(this->bytes_.data() + ndp_offset::reachable_time, reachable_time_ms);
        store_be32(this->bytes_.data() + ndp_offset::retransmit_time, retransmit_time_ms);
    }

private:
    static constexpr std::byte no_bit{0};
    static constexpr std::byte managed_bit{0x80};
    static constexpr std::byte other_bit{0x40};

    explicit basic_ndp_router_advertisement_view(std::span<Byte> bytes) noexcept : base(bytes) {}
};

using ndp_neighbour_view = basic_ndp_neighbour_view<const std::byte>;
using mutable_ndp_neighbour_view = basic_ndp_neighbour_view<std::byte>;
using ndp_router_solicitation_view = basic_ndp_router_solicitation_view<const std::byte>;
using mutable_ndp_router_solicitation_view = basic_ndp_router_solicitation_view<std::byte>;
using ndp_router_advertisement_view = basic_ndp_router_advertisement_view<const std::byte>;
using mutable_ndp_router_advertisement_view = basic_ndp_router_advertisement_view<std::byte>;

}  // namespace fluxnet::proto
