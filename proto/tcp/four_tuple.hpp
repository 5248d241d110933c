// SPDX-License-Identifier: BSD-3-Clause
// `four_tuple`: what names a TCP connection: a local and a remote address and port.
//
//     const four_tuple name(packet.destination(), segment.destination_port(), packet.source(), segment.source_port());
//
// A value of 40 octets, freely copied and compared. Threads: any. Source: RFC 9293 section 3.4 ("a connection is defined by
// a pair of sockets").
#pragma once

#include "fluxnet/proto/detail/value_traits.hpp"
#include "fluxnet/proto/ip_address.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// Two endpoints of one version of IP, kept as numbers: engines compare and hash it for every segment.
class four_tuple {
public:
    constexpr four_tuple() noexcept = default;

    /// Makes the name of a connection over IPv4. Ports are in host order, here and elsewhere.
    constexpr four_tuple(ipv4_address local, std::uint16_t local_port, ipv4_address remote,
                         std::uint16_t remote_port) noexcept
        : words_{ports_of(local_port, remote_port), std::uint64_t{local.to_host_order()} << 32 | remote.to_host_order()} {}

    /// Makes the name of a connection over IPv6.
    constexpr four_tuple(const ipv6_address& local, std::uint16_t local_port, const ipv6_address& remote,
                         std::uint16_t remote_port) noexcept
        : words_{v6_flag | ports_of(local_port, remote_port), half_of(local, 0), half_of(local, 8), half_of(remote, 0),
                 half_of(remote, 8)} {}

    /// Makes the name of a connection between two addresses, which are of one version.
    constexpr four_tuple(const ip_address& local, std::uint16_t local_port, const ip_address& remote,
                         std::uint16_t remote_port) noexcept
        : four_tuple(local.is_v4() ? four_tuple(local.v4(), local_port, remote.v4(), remote_port)
                                   : four_tuple(local.v6(), local_port, remote.v6(), remote_port)) {}

    /// Makes what words() has given.
    [[nodiscard]] static constexpr four_tuple from_words(const std::array<std::uint64_t, 5>& words) noexcept {
        four_tuple made;
        made.words_ = words;
        return made;
    }

    /// Whether the connection is over IPv4; if not, it is over IPv6.
    [[nodiscard]] constexpr bool is_v4() const noexcept { return (words_[0] & v6_flag) == 0; }

    /// The address of this host.
    [[nodiscard]] constexpr ip_address local_address() const noexcept {
        if (is_v4()) { return ipv4_address::from_host_order(static_cast<std::uint32_t>(words_[1] >> 32)); }
        return address_of(words_[1], words_[2]);
    }
    /// The address of the peer.
    [[nodiscard]] constexpr ip_address remote_address() const noexcept {
        if (is_v4()) { return ipv4_address::from_host_order(static_cast<std::uint32_t>(words_[1])); }
        return address_of(words_[3], words_[4]);
    }
    /// The port of this host.
    [[nodiscard]] constexpr std::uint16_t local_port() const noexcept { return static_cast<std::uint16_t>(words_[0] >> 16); }
    /// The port of the peer.
    [[nodiscard]] constexpr std::uint16_t remote_port() const noexcept { return static_cast<std::uint16_t>(words_[0]); }

    /// The number of words that tell this tuple from others of its version: 2 over IPv4.
    [[nodiscard]] constexpr std::size_t word_count() const noexcept { return is_v4() ? 2 : 5; }

    /// All of it as numbers: the version and the ports, then the addresses. Words after word_count() are 0.
    [[nodiscard]] constexpr const std::array<std::uint64_t, 5>& words() const noexcept { return words_; }

    friend constexpr bool operator==(const four_tuple& left, const four_tuple& right) noexcept {
        const auto& l = left.words_;
        const auto& r = right.words_;
        if (l[0] != r[0] || l[1] != r[1]) { return false; }
        return left.is_v4() || (l[2] == r[2] && l[3] == r[3] && l[4] == r[4]);
    }

private:
    static constexpr std::uint64_t v6_flag = std::uint64_t{1} << 32;

    static constexpr std::uint64_t ports_of(std::uint16_t local, std::uint16_t remote) noexcept {
        return std::uint64_t{local} << 16 | remote;
    }
    static constexpr std::uint64_t half_of(const ipv6_address& address, std::size_t from) noexcept {
        return proto::detail::number_of(address.octets(), from, 8);
    }
    static constexpr ipv6_address address_of(std::uint64_t high, std::uint64_t low) noexcept {
        std::array<std::uint8_t, ipv6_address::size> octets{};
        for (std::size_t i = 0; i != 8; ++i) {
            octets[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
            octets[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
        }
        return ipv6_address(octets);
    }

    // [0]: the version's flag, the local port, the remote port. Over IPv4 [1]: the local address, the remote one. Over IPv6
    // [1] and [2]: the local address; [3] and [4]: the remote one.
    std::array<std::uint64_t, 5> words_{};
};

}  // namespace fluxnet::proto::tcp
