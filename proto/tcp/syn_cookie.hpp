// SPDX-License-Identifier: BSD-3-Clause
// `syn_cookie`: answers a SYN without keeping anything of it, by a sequence number that says what must be known later.
//
//     const syn_cookie cookies(secret);                                         // 16 random octets
//     reply.sequence = cookies.make(name, syn.sequence, syn.mss, now);          // the SYN-ACK's
//     reply.timestamp = syn_cookie::with_options(timestamp_now, offered);       // only when the SYN has timestamps
//     ...                                                                       // an ACK that belongs to no connection
//     if (const auto mss = cookies.check(name, ack.sequence, ack.acknowledgment, now)) {
//         const auto offered = syn_cookie::options_of(ack.timestamp_echo);      // only when the ACK has timestamps
//     }
//
// A value of 16 octets that does not change. Threads: any. Source: RFC 4987 section 3.6; RFC 7323 section 5.4 about the use
// of the timestamp's low bits.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto::tcp {

/// Makes and checks cookies: 29 bits of SipHash-2-4 over the name, the client's sequence number, a counter of 64 s and the
/// MSS class, and the three bits of that class.
///
/// A cookie holds in the 64 s in which it was made and in the next: for 64 to 128 s. At that time, 16 of the 2^32 numbers
/// are right for one name and one sequence number: a blind sender needs 2^28 segments for one connection, on average, and
/// gets one that it cannot read from. A cookie is right as often as it is shown: the caller looks for a connection of that
/// name first.
///
/// What is given up when a SYN is answered by a cookie:
/// - the MSS counts as the highest class that is not above it;
/// - without timestamps: window scale (windows stay at 65,535 octets or below), SACK and ECN. The SYN-ACK must not offer
///   them then. With timestamps they come back in the timestamp's echo; an ACK without it has lost them, and is better dropped;
/// - the SYN-ACK is not sent again: when the client's ACK is lost and the client waits for the server to speak first, the
///   client alone believes in a connection, until it sends something;
/// - sequence numbers do not advance from one connection of a name to its next (RFC 6528); timestamps have to tell old
///   segments from new ones.
///
/// Hence cookies are for the time in which there is no room to keep a SYN. They are checked for segments that have ACK and
/// neither SYN nor RST, while SYNs were answered so in the last two counters.
class FLUXNET_EXPORT syn_cookie {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// What a cookie remembers of a SYN's options, when there are timestamps.
    struct options {
        static constexpr std::uint8_t no_scale = 0xff;

        std::uint8_t window_scale = no_scale;  ///< 0 to 14, or no_scale.
        bool sack_permitted = false;
        bool ecn = false;

        friend bool operator==(const options&, const options&) = default;
    };

    /// The sizes that a cookie can remember: the least that the engine sends, the defaults of IPv4 and (about) IPv6 (RFC
    /// 9293 section 3.7.1), tunnels, and Ethernet under IPv6, IPv4 and with jumbo frames.
    static constexpr std::array<std::uint16_t, 8> mss_classes{64, 536, 1220, 1360, 1400, 1440, 1460, 8940};

    /// How long a counter lasts. A cookie holds during its own and the next.
    static constexpr std::chrono::seconds counter_length{64};

    /// The low bits of a timestamp that with_options() uses. Its clock, of 1 ms say, appears to be up to 63 steps late: no
    /// round-trip time is to be measured by it.
    static constexpr unsigned timestamp_bits = 6;

    /// Makes and checks cookies under a secret of 16 random octets.
    explicit syn_cookie(std::span<const std::byte, 16> secret) noexcept : key_(secret) {}

    /// Makes the sequence number of the SYN-ACK that answers a SYN with the sequence number `client`. An MSS below 64 counts
    /// as 64; one of 0, for none in the SYN, is the caller's to replace by the version's default.
    [[nodiscard]] sequence_number make(const four_tuple& name, sequence_number client, std::uint16_t mss,
                                       time_point now) const noexcept;

    /// Checks the ACK that ends a handshake, by its sequence number and what it acknowledges; gives the class of the MSS, or
    /// nothing when this is no cookie of ours, or an old one. The first data may come instead of the ACK, with the same two
    /// numbers.
    [[nodiscard]] std::optional<std::uint16_t> check(const four_tuple& name, sequence_number sequence,
                                                     sequence_number acknowledgment, time_point now) const noexcept;

    /// Puts options into the low bits of a timestamp, which moves back by less than 64 and never forward: so no echo is of a
    /// time to come, and with options unchanged later timestamps are not less.
    [[nodiscard]] static std::uint32_t with_options(std::uint32_t timestamp, const options& offered) noexcept;

    /// Reads what with_options() has put in. The peer may have changed it, to its own disadvantage: any value gives options
    /// that are valid.
    [[nodiscard]] static options options_of(std::uint32_t timestamp_echo) noexcept;

private:
    [[nodiscard]] std::uint32_t cookie(const four_tuple& name, sequence_number client, std::uint32_t mss_class,
                                       std::int64_t counter) const noexcept;

    proto::detail::hash_key key_;
};

}  // namespace fluxnet::proto::tcp
