// SPDX-License-Identifier: BSD-3-Clause
// `time_wait_table`: connections in TIME-WAIT, 64 octets for each, and what a segment to one of them gets.
//
//     time_wait_table waiting({.capacity = 16'384}, secret);     // 16 random octets
//     waiting.add({.name = name, .next_to_send = ..., .next_to_receive = ...}, now);
//     const time_wait_table::answer got = waiting.receive(name, segment, now);
//     if (got.what == time_wait_table::verdict::acknowledge) { send_ack(got.sequence, got.acknowledgment); }
//     waiting.expire(now);                                       // by waiting.next_deadline()
//
// The table owns its entries; all memory is allocated when it is made. Threads: one at a time uses a table.
// Source: RFC 9293 sections 3.3.2, 3.6.1 and 3.10.7.4; RFC 1122 section 4.2.2.13; RFC 1337; RFC 6191.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/detail/tuple_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto::tcp {

/// Keeps the last state of closed connections for twice the maximum segment lifetime. When it is full, the connection that
/// has waited longest makes room: a flood of closings shortens the wait, and nothing else.
class FLUXNET_EXPORT time_wait_table {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// How many connections wait, and for how long.
    struct options {
        std::size_t capacity = 16'384;                    ///< 1 to 2^30 connections.
        std::chrono::nanoseconds length{60'000'000'000};  ///< 2 MSL, up to a day; rounded up by less than 34 ms.
    };

    /// What a connection leaves behind.
    struct connection {
        four_tuple name = {};
        sequence_number next_to_send = {};     ///< SND.NXT: after our FIN.
        sequence_number next_to_receive = {};  ///< RCV.NXT: after the peer's FIN.
        bool timestamps = false;  ///< Whether it used timestamps (RFC 7323); without them the next two mean nothing.
        std::uint32_t last_timestamp = 0;    ///< TS.Recent.
        std::uint32_t timestamp_offset = 0;  ///< What the connection adds to the clock in its own timestamps.
    };

    /// What has come.
    struct segment {
        sequence_number sequence = {};
        sequence_number acknowledgment = {};
        std::uint32_t length = 0;  ///< Of the payload, in octets.
        bool syn = false;
        bool fin = false;
        bool rst = false;
        bool ack = false;
        bool timestamps = false;      ///< Of a SYN: whether the new connection would use them.
        std::uint32_t timestamp = 0;  ///< TSval.
    };

    /// What is to be done about a segment.
    enum class verdict : std::uint8_t {
        unknown,      ///< No such connection is in TIME-WAIT.
        ignore,       ///< Nothing is sent.
        acknowledge,  ///< An ACK is sent.
        challenge,    ///< An ACK is sent, within the limit for challenge ACKs (RFC 5961 section 7).
        open,         ///< The SYN may open a new connection: erase() this one then. Where no listener takes it, challenge.
    };

    /// What a segment gets, and the values of the ACK or of the new connection.
    struct answer {
        verdict what = verdict::unknown;
        sequence_number sequence = {};        ///< Of the ACK. With `open`: what the old connection would have sent next.
        sequence_number acknowledgment = {};  ///< Of the ACK.
        bool timestamps = false;              ///< Whether the ACK has timestamps.
        std::uint32_t timestamp_offset = 0;   ///< To be added to the clock, in the ACK and in the new connection's segments.
        std::uint32_t timestamp_echo = 0;     ///< TSecr of the ACK.

        /// The initial sequence number of the new connection: the generated one, where it is beyond all of the old
        /// connection's; otherwise one that is a second of the generator's clock beyond them (RFC 1122 section 4.2.2.13).
        [[nodiscard]] sequence_number initial_sequence(sequence_number generated) const noexcept {
            return generated > sequence ? generated : sequence + 250'000;
        }
    };

    /// Makes an empty table under a secret of 16 random octets. Allocates 80 octets for each connection when the capacity is
    /// a power of 2, and up to 96 otherwise.
    time_wait_table(const options& wanted, std::span<const std::byte, 16> secret);

    /// Adds a connection that enters TIME-WAIT now, in place of one of the same name. Tells whether the one that has waited
    /// longest had to make room.
    bool add(const connection& closed, time_point now) noexcept;

    /// Tells what a segment for that name gets. A FIN that comes again begins the wait anew.
    [[nodiscard]] answer receive(const four_tuple& name, const segment& came, time_point now) noexcept;

    /// Ends the wait of a name, because a new connection takes it; tells whether it was there.
    bool erase(const four_tuple& name) noexcept;

    /// Tells whether the name is in TIME-WAIT: this host chooses another port then.
    [[nodiscard]] bool contains(const four_tuple& name, time_point now) noexcept;

    /// What a connection that this host opens under a name in TIME-WAIT begins with; nothing when the name is not there, has
    /// not waited for `least`, or had no timestamps: these are what tells the peer old segments from new ones then (RFC 7323
    /// section 5; RFC 6191 section 2 lets a peer do the same). Call erase() when it is opened.
    [[nodiscard]] std::optional<answer> reusable(const four_tuple& name, time_point now, std::chrono::nanoseconds least) noexcept;

    /// Drops connections that have waited long enough; gives their number. Other calls do not need it: they pass over these.
    std::size_t expire(time_point now) noexcept;

    /// Tells when the first connection will have waited long enough; nothing when there is none.
    [[nodiscard]] std::optional<time_point> next_deadline() const noexcept;

    /// How many connections are in the table, those included that have waited long enough and were not dropped yet.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// How many connections there is room for.
    [[nodiscard]] std::size_t capacity() const noexcept { return entries_.size(); }

    /// What it has allocated, in octets.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return entries_.size() * sizeof(entry) + slots_.size() * sizeof(slot);
    }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct entry {
        std::array<std::uint64_t, 4> addresses{};  // of four_tuple::words()
        std::uint32_t ports = 0;
        std::uint32_t next_to_send = 0;
        std::uint32_t next_to_receive = 0;
        std::uint32_t last_timestamp = 0;
        std::uint32_t timestamp_offset = 0;
        std::uint32_t end = 0;  // when it has waited long enough, as moment() gives it, with flags in the two lowest bits
        std::uint32_t older = none;  // neighbours in the order in which the waits began
        std::uint32_t newer = none;  // also the next of the free entries
    };
    static_assert(sizeof(entry) == 64);

    /// A place of the hash table: linear probing, at most half full, and an erasure moves later entries forward.
    struct slot {
        std::uint32_t hash = 0;
        std::uint32_t index = none;
    };

    [[nodiscard]] static std::uint64_t moment(time_point at) noexcept;
    [[nodiscard]] bool is_over(const entry& waiting) const noexcept;
    [[nodiscard]] four_tuple name_of(const entry& waiting) const noexcept;
    [[nodiscard]] std::size_t find(const four_tuple& name, std::uint32_t hash) const noexcept;
    [[nodiscard]] std::uint32_t find_waiting(const four_tuple& name, time_point now) noexcept;
    void note(time_point now) noexcept;
    void begin_wait(std::uint32_t index) noexcept;
    void unlink(std::uint32_t index) noexcept;
    void drop(std::uint32_t index) noexcept;
    void erase_slot(std::size_t place) noexcept;
    [[nodiscard]] static bool opens(const entry& old, const segment& syn) noexcept;
    [[nodiscard]] static answer answer_for(const entry& waiting, verdict what) noexcept;
    [[nodiscard]] verdict judge(std::uint32_t index, const segment& came) noexcept;

    detail::tuple_hash hash_;
    std::uint64_t length_;  // 2 MSL as moment() counts, rounded up
    std::vector<entry> entries_;
    std::vector<slot> slots_;  // a power of 2 of them
    unsigned shift_;           // takes a hash to its first place
    std::uint64_t now_ = 0;    // the latest time that a call had, as moment() gives it
    std::uint32_t oldest_ = none;
    std::uint32_t newest_ = none;
    std::uint32_t free_ = 0;
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp
