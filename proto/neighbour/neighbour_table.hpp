// SPDX-License-Identifier: BSD-3-Clause
// `neighbour_table`: which station of the link has which address, for IPv4 (ARP) and IPv6 (Neighbor Discovery).
//
//     neighbour_table table({}, secret);
//     const auto hop = table.resolve(address, now);               // for every packet
//     if (hop.what == neighbour_table::hop::known) { send(frame_to(hop.hardware)); }
//     if (hop.what == neighbour_table::hop::waiting) { queue(); }  // until heard_...() says `resolved`, or next_failure()
//     while (const auto probe = table.next_probe(now)) { send(question_to(probe->address, probe->to)); }
//     while (const auto gone = table.next_failure()) { fail_what_waits_for(*gone); }
//     sleep_until(table.deadline());
//
// It works on values: the caller reads and writes the ARP and NDP packets, and has checked their form (lengths, a hop limit
// of 255, a sender's address in the packet that is the frame's). The table owns its entries, allocates when it is made and
// never again, and makes each step in O(1).
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/detail/address_hash.hpp"
#include "fluxnet/proto/detail/slots.hpp"
#include "fluxnet/proto/detail/token_bucket.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto {

/// The states of RFC 4861 section 7.3.2, and three more: `none` has no entry, `failed` has not answered, `permanent` was
/// given by add_permanent().
enum class neighbour_state : std::uint8_t { none, incomplete, reachable, stale, delay, probe, failed, permanent };

/// A bounded table of neighbours.
///
/// What a stranger can do to it, and why that is little:
/// - Packets make no entries: resolve() alone does. What is said about an address that has no entry is `ignored`. RFC 4861
///   section 7.2.3 lets a question to us make one; here the answer costs one question back instead.
/// - A different link address for a neighbour, as ARP packets and neighbour solicitations claim it, changes nothing at once
///   (`contested`). The old link address is asked, by unicast. While it answers, the claim is void; after
///   `contest_probes` without an answer the new one takes its place and is asked in turn. A card that was really replaced so
///   costs a few seconds, and a forged claim works only against a neighbour that is gone.
/// - A neighbour advertisement with another link address follows RFC 4861 section 7.2.5: without its override flag it makes
///   a reachable entry stale; with it the address changes, and is stale until it has answered.
/// - "Solicited" counts only as the answer to a question that is open, from the station that was asked: nobody can keep an
///   entry reachable by saying so.
/// - Addresses to which nobody answers (a scan of a /64, RFC 6583) hold at most `unresolved` entries, the oldest of which
///   makes room; entries that failed go first; then known ones that were not used for `in_use_for`, the longest unused
///   first. An entry in use is never given up: a table full of them answers `full`.
/// - Questions go out once a second for each address (RFC 1122 section 2.3.2.1) and by a bucket for all. A quarter of the
///   bucket is for neighbours that are known, so a scan does not let these grow old.
class FLUXNET_EXPORT neighbour_table {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::nanoseconds;

    /// How many neighbours the table holds, and how often and how long it asks for them.
    struct options {
        std::size_t capacity = 1024;   ///< Entries.
        std::size_t unresolved = 256;  ///< How many of them may be without a link address yet; at least 1.
        /// How long an answer holds. The caller draws it between 0.5 and 1.5 times 30 s (RFC 4861 section 6.3.2).
        duration reachable_time = std::chrono::seconds(30);
        duration retransmit_time = std::chrono::seconds(1);     ///< Between two questions about one address.
        duration delay_before_probe = std::chrono::seconds(5);  ///< DELAY_FIRST_PROBE_TIME.
        duration in_use_for = std::chrono::seconds(60);         ///< After a resolve() an entry cannot be given up so long.
        duration failed_for = std::chrono::seconds(3);          ///< How long a failure is remembered.
        std::uint8_t multicast_probes = 3;                      ///< Unanswered questions to all that make a failure.
        std::uint8_t unicast_probes = 3;  ///< Unanswered questions to a known station, after which all are asked.
        std::uint8_t contest_probes = 2;  ///< Unanswered questions to a known station that another claims to replace.
        std::uint32_t probes_per_second = 64;
        std::uint32_t probe_burst = 64;  ///< At least 4.
    };

    /// What resolve() has found.
    struct hop {
        /// `unreachable`: it did not answer a moment ago, or is no address of a neighbour. `full`: see the class.
        enum verdict : std::uint8_t { known, waiting, unreachable, full };

        verdict what = full;
        mac_address hardware;  ///< Where `known`.
        /// An address without an answer that lost its place to this one: what waits for it, if anything does, fails.
        std::optional<ip_address> given_up;
    };

    /// A question to be sent.
    struct probe {
        ip_address address;  ///< What is asked for.
        mac_address to;      ///< The station, all stations (ARP), or those of the solicited-node group (NDP).
        bool unicast = false;
    };

    /// What became of something heard.
    struct news {
        /// `resolved`: what waited for the address may go. `changed`: it has another link address.
        enum kind : std::uint8_t { ignored, resolved, confirmed, changed, contested };

        kind what = ignored;
        bool lost_router = false;  ///< It is a router no more: routes over it must go (RFC 4861 section 7.3.3).
    };

    /// The flags of a neighbour advertisement (RFC 4861 section 4.4).
    struct advertisement_flags {
        bool router = false;
        bool solicited = false;
        bool overrides = false;
    };

    /// An entry as it stands.
    struct entry {
        neighbour_state state = neighbour_state::none;
        mac_address hardware;  ///< In all states but none, incomplete and failed.
        bool router = false;
    };

    /// Makes an empty table. `secret`: random octets that keep strangers from choosing addresses which share a chain of the
    /// hash. Allocates.
    neighbour_table(const options& chosen, std::span<const std::byte, 16> secret);

    /// Gives an address of the link for good; what is heard changes nothing of it. Returns false when there is no room but
    /// that of entries in use or waited for.
    [[nodiscard]] bool add_permanent(const ip_address& address, mac_address hardware, time_point now) noexcept;

    /// Finds where a packet goes on the link; asks for it, from the next next_probe() on, if that is not known or has not
    /// been confirmed for long. A packet for a `known` hop goes out even while its entry is probed.
    [[nodiscard]] hop resolve(const ip_address& address, time_point now) noexcept {
        // Packets that follow each other mostly go to one neighbour: often the only one, a router.
        if (last_resolved_ == detail::no_slot || records_[last_resolved_].address != address) { return find_hop(address, now); }
        record& what = records_[last_resolved_];
        const bool fresh = what.state == neighbour_state::reachable && now - what.confirmed < options_.reachable_time &&
                           known_.back() == last_resolved_;
        if (!fresh && what.state != neighbour_state::permanent) { return find_hop(address, now); }
        what.used = now;
        return {hop::known, what.hardware, {}};
    }

    /// Looks without any effect.
    [[nodiscard]] entry lookup(const ip_address& address, time_point now) const noexcept;

    /// Notes that a protocol above has proof that packets to the neighbour arrive (RFC 4861 section 7.3.1): new data
    /// acknowledged, for example; not that packets of its come in.
    void confirm(const ip_address& address, time_point now) noexcept;

    /// Notes an ARP reply to this host, `address` and `hardware` being its sender's.
    news heard_reply(const ip_address& address, mac_address hardware, time_point now) noexcept {
        return heard(address, hardware, true, now);
    }

    /// Notes what any other packet says of its sender: an ARP request, a gratuitous ARP, the source link-layer option of a
    /// solicitation or a router advertisement. It completes an entry, as stale, and may contest one.
    news heard_claim(const ip_address& address, mac_address hardware, time_point now) noexcept {
        return heard(address, hardware, false, now);
    }

    /// Notes a neighbour advertisement about the target `address`; `hardware` is its target link-layer option.
    news heard_advertisement(const ip_address& address, std::optional<mac_address> hardware, advertisement_flags flags,
                             time_point now) noexcept;

    /// Notes what a trusted party has found out, such as a kernel that asks for its neighbours itself. It counts as an answer,
    /// and replaces another link address at once.
    news learn(const ip_address& address, mac_address hardware, time_point now) noexcept;

    /// Notes that a neighbour says by another message that it is a router (router advertisement) or none (router
    /// solicitation). Makes no entry.
    news set_router(const ip_address& address, bool router) noexcept;

    /// Returns the next question to be sent now, or nothing until deadline().
    [[nodiscard]] std::optional<probe> next_probe(time_point now) noexcept;

    /// Returns an address that next_probe() has given up: what waits for it fails. Each is told once.
    [[nodiscard]] std::optional<ip_address> next_failure() noexcept;

    /// When next_probe() or next_failure() has something to do: perhaps in the past, or never.
    [[nodiscard]] std::optional<time_point> deadline() const noexcept;

    /// Forgets an address; nothing is told about it any more.
    void forget(const ip_address& address) noexcept;

    /// Sets what routers advertise (RFC 4861 section 6.3.4). Both above 0.
    void set_times(duration reachable_time, duration retransmit_time) noexcept {
        options_.reachable_time = reachable_time;
        options_.retransmit_time = retransmit_time;
    }

    /// Rises whenever a link address that resolve() has told is no longer right: a caller that keeps one compares this.
    [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
    [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
    [[nodiscard]] std::size_t unresolved() const noexcept { return unresolved_.size(); }
    [[nodiscard]] std::size_t memory_octets() const noexcept;

private:
    using slot = detail::slot_number;
    enum class queue : std::uint8_t { none, known_due, unknown_due, asked, delayed, failures };
    struct record {
        ip_address address;
        std::uint64_t hash = 0;
        time_point since;      // when it came into its queue, or failed
        time_point used;       // by resolve()
        time_point confirmed;  // while reachable
        mac_address hardware;
        mac_address rival;  // zero: none; another station that claims the address
        neighbour_state state = neighbour_state::none;
        queue waits_in = queue::none;
        std::uint8_t probes = 0;  // sent in this state and not answered
        bool router = false;
    };

    [[nodiscard]] hop find_hop(const ip_address& address, time_point now) noexcept;
    [[nodiscard]] slot find(const ip_address& address) const noexcept;
    [[nodiscard]] slot insert(const ip_address& address, time_point now) noexcept;
    [[nodiscard]] slot spare(time_point now) const noexcept;
    [[nodiscard]] bool make_room(time_point now, hop& told) noexcept;
    void begin(slot at, time_point now, hop& told) noexcept;
    void erase(slot at) noexcept;
    void settle(slot at, neighbour_state state, time_point now) noexcept;
    void set_state(slot at, neighbour_state state) noexcept;
    void enqueue(slot at, queue where, time_point now) noexcept;
    [[nodiscard]] detail::slot_list* order_of(neighbour_state state) noexcept;
    [[nodiscard]] neighbour_state state_of(const record& what, time_point now) const noexcept;
    [[nodiscard]] bool has_asked(const record& what) const noexcept;
    news heard(const ip_address& address, mac_address hardware, bool reply, time_point now) noexcept;
    [[nodiscard]] news contest(slot at, mac_address hardware, time_point now) noexcept;
    [[nodiscard]] bool change_router(record& what, bool router) noexcept;
    void advance(time_point now) noexcept;
    void unanswered(slot at, time_point now) noexcept;
    [[nodiscard]] slot first_rested(queue which, time_point now) noexcept;
    [[nodiscard]] time_point& last_asked(slot at) noexcept;
    [[nodiscard]] probe ask(slot at, time_point now) noexcept;
    [[nodiscard]] detail::slot_list& list(queue which) noexcept { return queues_[static_cast<std::size_t>(which)]; }
    [[nodiscard]] const detail::slot_list& list(queue which) const noexcept {
        return queues_[static_cast<std::size_t>(which)];
    }

    options options_;
    detail::hash_key key_;
    detail::slot_index index_;
    std::vector<record> records_;
    std::vector<detail::slot_link> order_links_;  // of the three lists below
    std::vector<detail::slot_link> queue_links_;  // of queues_
    // When an address was last asked for, by its hash; it outlives the entry, so that one which comes and goes is asked for
    // once a second too. Two addresses with one place wait for each other, at most a second.
    std::vector<time_point> asked_;
    detail::slot_list known_;       // by use, the longest unused first
    detail::slot_list unresolved_;  // by age
    detail::slot_list failed_;      // by age
    // Each is in the order of its records' `since`, because all that wait in one wait equally long.
    std::array<detail::slot_list, 6> queues_;
    detail::token_bucket bucket_;
    std::uint32_t reserve_;  // tokens that only known neighbours may take
    std::uint64_t version_ = 0;
    slot last_resolved_ = detail::no_slot;  // an entry that there is
};

}  // namespace fluxnet::proto
