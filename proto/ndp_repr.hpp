// SPDX-License-Identifier: BSD-3-Clause
// The values of messages of neighbour discovery, to be written in one go: `ndp_neighbour_repr`,
// `ndp_router_solicitation_repr` and `ndp_router_advertisement_repr`. The IPv6 header around them has the hop limit
// `ndp_hop_limit`.
//
// Values: freely copied and used from any thread.
#pragma once

#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/ndp.hpp"
#include "fluxnet/proto/ndp_option.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

namespace detail {

/// Writes type, code and four zeros, which the fields of a message then replace.
inline void emit_ndp_head(std::span<std::byte> bytes, icmpv6_type type) noexcept {
    auto message = mutable_icmpv6_view::unchecked(bytes);
    message.set_type(type);
    message.set_code(0);
    message.set_value(0);
}

/// What an option with an Ethernet address takes if there is one.
[[nodiscard]] inline std::size_t ndp_length_of(const std::optional<mac_address>& address) noexcept {
    return address ? ndp_short_option_length : 0;
}

}  // namespace detail

/// A solicitation or an advertisement of a neighbour. RFC 4861 sections 7.2.2 to 7.2.6 say who sends what.
struct ndp_neighbour_repr {
    icmpv6_type type = icmpv6_type::neighbour_solicitation;  ///< Or neighbour_advertisement.
    ipv6_address target;
    std::optional<mac_address> link_address;  ///< The sender's, which an advertisement tells as the target's.
    bool router = false;                      ///< The three flags are false in a solicitation.
    bool solicited = false;
    bool override_known = false;

    /// The length of the message with its options, in octets: what emit() writes.
    [[nodiscard]] std::size_t length() const noexcept {
        return ndp_offset::neighbour_options + detail::ndp_length_of(link_address);
    }

    /// Writes the message with its checksum at the front of `to`, which has room for length() octets, and returns a view of
    /// it. The addresses are those of the IPv6 header.
    mutable_ndp_neighbour_view emit(std::span<std::byte> to, const ipv6_address& source,
                                    const ipv6_address& destination) const noexcept {
        assert(to.size() >= length());
        const auto bytes = to.first(length());
        detail::emit_ndp_head(bytes, type);
        auto view = mutable_ndp_neighbour_view::unchecked(bytes);
        view.set_flags(router, solicited, override_known);
        view.set_target(target);
        if (link_address) {
            const std::uint8_t kind =
                view.is_advertisement() ? ndp_option::target_link_address : ndp_option::source_link_address;
            detail::emit_ndp_link_address(bytes.subspan(ndp_offset::neighbour_options), kind, *link_address);
        }
        view.message().fill_checksum(source, destination);
        return view;
    }
};

/// A solicitation of routers.
struct ndp_router_solicitation_repr {
    std::optional<mac_address> link_address;  ///< The sender's; none while it has no address of IPv6.

    /// The length of the message with its options, in octets: what emit() writes.
    [[nodiscard]] std::size_t length() const noexcept {
        return ndp_offset::solicitation_options + detail::ndp_length_of(link_address);
    }

    /// Writes the message with its checksum at the front of `to`, which has room for length() octets, and returns a view of
    /// it. The addresses are those of the IPv6 header.
    mutable_ndp_router_solicitation_view emit(std::span<std::byte> to, const ipv6_address& source,
                                              const ipv6_address& destination) const noexcept {
        assert(to.size() >= length());
        const auto bytes = to.first(length());
        detail::emit_ndp_head(bytes, icmpv6_type::router_solicitation);
        if (link_address) {
            detail::emit_ndp_link_address(bytes.subspan(ndp_offset::solicitation_options), ndp_option::source_link_address,
                                          *link_address);
        }
        const auto view = mutable_ndp_router_solicitation_view::unchecked(bytes);
        view.message().fill_checksum(source, destination);
        return view;
    }
};

/// An advertisement of a router, with at most one prefix.
struct ndp_router_advertisement_repr {
    std::uint8_t hop_limit = 64;
    bool managed = false;
    bool other_settings = false;
    std::uint16_t router_lifetime_s = 0;
    std::uint32_t reachable_time_ms = 0;
    std::uint32_t retransmit_time_ms = 0;
    std::optional<mac_address> link_address;
    std::optional<std::uint32_t> mtu;
    std::optional<ndp_prefix> prefix;

    /// The length of the message with its options, in octets: what emit() writes.
    [[nodiscard]] std::size_t length() const noexcept {
        return ndp_offset::advertisement_options + detail::ndp_length_of(link_address) +
               (mtu ? ndp_short_option_length : 0) + (prefix ? ndp_prefix_option_length : 0);
    }

    /// Writes the message with its checksum at the front of `to`, which has room for length() octets, and returns a view of
    /// it. The addresses are those of the IPv6 header.
    mutable_ndp_router_advertisement_view emit(std::span<std::byte> to, const ipv6_address& source,
                                               const ipv6_address& destination) const noexcept {
        assert(to.size() >= length());
        const auto bytes = to.first(length());
        detail::emit_ndp_head(bytes, icmpv6_type::router_advertisement);
        auto view = mutable_ndp_router_advertisement_view::unchecked(bytes);
        view.set_hop_limit(hop_limit);
        view.set_flags(managed, other_settings);
        view.set_times(router_lifetime_s, reachable_time_ms, retransmit_time_ms);
        auto rest = bytes.subspan(ndp_offset::advertisement_options);
        if (link_address) {
            detail::emit_ndp_link_address(rest, ndp_option::source_link_address, *link_address);
            rest = rest.subspan(ndp_short_option_length);
        }
        if (mtu) {
            detail::emit_ndp_mtu(rest, *mtu);
            rest = rest.subspan(ndp_short_option_length);
        }
        if (prefix) { prefix->emit(rest); }
        view.message().fill_checksum(source, destination);
        return view;
    }
};

}  // namespace fluxnet::proto
