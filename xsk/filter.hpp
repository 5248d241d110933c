// SPDX-License-Identifier: BSD-3-Clause
// `packet_filter`: which packets of an interface are redirected to our sockets; all others stay the kernel's.
//
//     packet_filter wanted{filter_rule::udp_to(7777),
//                          {.protocol = 6, .destination_ports = port_range(80), .destination = ip_prefix::v4({10, 1}, 16)}};
//     auto sockets = builder("eth0").only(wanted).build_system();       // ping, ARP, ssh: as if no socket was there
//     wanted.add(filter_rule::udp_to(7778));
//     if (auto changed = sockets->rx.set_filter(wanted); !changed) { return fail(changed.error().message()); }
//
// Rules are looked at in their order and the first that matches decides. What no rule matches passes to the kernel. A rule
// matches when all conditions hold that it has; one without a condition matches every packet. A filter without rules
// redirects nothing.
//
// A condition may be about what the packet does not show. Then nobody knows whether the rule matches. If its other
// conditions hold, such a packet passes to the kernel, uncompared with later rules, and is counted by the reason:
//  - fragment: a packet in pieces has no ports, not even its first piece. A datagram so goes one way as a whole: none of its
//    pieces meets a rule with ports, all meet one without.
//  - tagged: behind a VLAN tag nothing is looked at. Only rules about the EtherType (0x8100, 0x88a8) alone match. A driver
//    that takes tags off (`ethtool -k`: rx-vlan-offload) shows the packet without, and so it is matched.
//  - unreadable: a header is cut short or has an impossible length or version, ARP is not that of Ethernet and IPv4, or there
//    are more than four IPv6 extension headers, which are walked to find the protocol.
// Checksums are not looked at, and no length beyond those of the headers: they are up to the receiver.
//
// The filter belongs to the XDP program and so to the interface: all sockets that share the program share it. The program
// copies it; this is a value, for any thread. judge() is what the program does, in user space.
// Errors: none of these functions has any but validate(), which open and set_filter() call: errc::invalid_option, naming the
// rule and the contradiction.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet {

/// What becomes of a packet.
enum class filter_verdict : std::uint8_t {
    redirect,  ///< It goes to the socket on its queue; to the kernel where there is none.
    pass,      ///< It goes on to the kernel.
    drop,      ///< Nobody gets it.
};

/// The ports from `first` to `last`, both included.
struct port_range {
    constexpr port_range() noexcept = default;
    /// Makes a range of one port.
    constexpr explicit port_range(std::uint16_t only) noexcept : first(only), last(only) {}
    /// Makes a range of all ports from one to another.
    constexpr port_range(std::uint16_t first_, std::uint16_t last_) noexcept : first(first_), last(last_) {}

    std::uint16_t first = 0;
    std::uint16_t last = 65535;

    [[nodiscard]] friend constexpr bool operator==(const port_range&, const port_range&) noexcept = default;
};

/// The addresses of one version that begin with the same bits.
struct ip_prefix {
    /// 10.1.0.0/16 is v4({10, 1}, 16).
    [[nodiscard]] static constexpr ip_prefix v4(const std::array<std::uint8_t, 4>& address, unsigned length = 32) noexcept {
        return {4, length, {address[0], address[1], address[2], address[3]}};
    }
    /// 2001:db8::/32 is v6({0x20, 0x01, 0x0d, 0xb8}, 32).
    [[nodiscard]] static constexpr ip_prefix v6(const std::array<std::uint8_t, 16>& address,
                                                unsigned length = 128) noexcept {
        return {6, length, address};
    }

    /// Tells whether `address`, of the same version and as it stands in a packet, begins with those bits.
    [[nodiscard]] FLUXNET_EXPORT bool contains(std::span<const std::byte> address) const noexcept;

    unsigned version = 4;
    unsigned length = 0;                     ///< Bits.
    std::array<std::uint8_t, 16> address{};  ///< In the order of the wire; the rest of an IPv4 address is 0.

    [[nodiscard]] friend constexpr bool operator==(const ip_prefix&, const ip_prefix&) noexcept = default;
};

/// Conditions, all of which must hold, and what becomes of the packet then.
struct filter_rule {
    filter_verdict verdict = filter_verdict::redirect;
    std::optional<std::uint16_t> ether_type{};      ///< Of the Ethernet header itself: 0x0806 is ARP, 0x8100 a VLAN tag.
    std::optional<std::uint8_t> ip_version{};       ///< 4 or 6.
    std::optional<std::uint8_t> protocol{};         ///< What follows the IP header and its extensions: 6 is TCP, 17 UDP.
    std::optional<port_range> destination_ports{};  ///< Of TCP, UDP, DCCP, SCTP or UDP-Lite, which `protocol` has to name.
    std::optional<port_range> source_ports{};       ///< Likewise.
    /// The addresses that an IP packet is sent to and comes from. With EtherType 0x0806, and only then: those of the target
    /// and of the sender in an ARP packet, which are of version 4.
    std::optional<ip_prefix> destination{};
    std::optional<ip_prefix> source{};

    /// Redirects UDP, or TCP, of both IP versions that is sent to these ports.
    [[nodiscard]] static constexpr filter_rule udp_to(port_range ports) noexcept {
        return {.protocol = std::uint8_t{17}, .destination_ports = ports};
    }
    [[nodiscard]] static constexpr filter_rule tcp_to(port_range ports) noexcept {
        return {.protocol = std::uint8_t{6}, .destination_ports = ports};
    }
    [[nodiscard]] static constexpr filter_rule udp_to(std::uint16_t port) noexcept { return udp_to(port_range(port)); }
    [[nodiscard]] static constexpr filter_rule tcp_to(std::uint16_t port) noexcept { return tcp_to(port_range(port)); }

    [[nodiscard]] friend constexpr bool operator==(const filter_rule&, const filter_rule&) noexcept = default;
};

/// Why a packet goes where it goes.
enum class filter_reason : std::uint8_t {
    rule,        ///< A rule matches.
    unmatched,   ///< None does.
    fragment,    ///< Nobody knows whether a rule matches: see above.
    tagged,      ///< Likewise.
    unreadable,  ///< Likewise.
};

/// What a filter says about one packet.
struct filter_decision {
    filter_verdict verdict = filter_verdict::pass;
    filter_reason reason = filter_reason::unmatched;
    std::size_t rule = 0;  ///< The number of the rule that matches, or that may match; 0 when unmatched.

    [[nodiscard]] friend constexpr bool operator==(const filter_decision&, const filter_decision&) noexcept = default;
};

class FLUXNET_EXPORT packet_filter {
public:
    /// Rules that a filter can have.
    static constexpr std::size_t most_rules = 64;
    /// IPv6 extension headers that are walked.
    static constexpr unsigned most_extensions = 4;

    /// Redirects nothing.
    packet_filter() = default;
    packet_filter(std::initializer_list<filter_rule> rules) : rules_(rules) {}
    explicit packet_filter(std::vector<filter_rule> rules) noexcept : rules_(std::move(rules)) {}

    /// Redirects everything, as a socket without a filter does; for one that is to be narrowed later.
    [[nodiscard]] static packet_filter everything() { return {filter_rule{}}; }

    /// Adds a rule, behind all others.
    packet_filter& add(const filter_rule& rule) { return rules_.push_back(rule), *this; }

    /// The rules, in the order in which they are looked at.
    [[nodiscard]] const std::vector<filter_rule>& rules() const noexcept { return rules_; }

    /// Finds rules that contradict themselves, and too many of them. Errors: invalid_option.
    [[nodiscard]] result<void> validate() const;

    /// Says what becomes of a frame, Ethernet header first, as the XDP program does. Of a valid filter.
    [[nodiscard]] filter_decision judge(std::span<const std::byte> frame) const noexcept;

    [[nodiscard]] friend bool operator==(const packet_filter&, const packet_filter&) noexcept = default;

private:
    std::vector<filter_rule> rules_;
};

}  // namespace fluxnet
