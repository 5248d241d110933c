// SPDX-License-Identifier: BSD-3-Clause
// `own_addresses`: the IPv4 and IPv6 addresses that this host has on a link. It probes an address before it is used,
// announces it, says which questions are answered, and notices another station that uses it.
//
//     own_addresses own(hardware);
//     own.add(address, own_addresses::defence::always, now, random());
//     while (const auto message = own.next_message(now, random())) { send(packet_of(*message)); }
//     sleep_until(own.deadline());
//     const auto told = own.heard_arp(packet, frame_source, now);
//     if (told.what == own_addresses::verdict::answer) { send(reply_to(packet)); }
//     if (told.what == own_addresses::verdict::lost) { close_all_of(told.address); }
//
// It works on values: the caller reads and writes the packets, and has the clock and the random numbers. There are few
// addresses, 16 by default, so a look-up walks over them. It allocates when it is made and never again.
//
// Sources: RFC 5227 (IPv4), RFC 4862 section 5.4 and RFC 9131 (IPv6).
//
// Threads: one at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace fluxnet::proto {

class FLUXNET_EXPORT own_addresses {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::nanoseconds;

    /// What becomes of an address in use that another station claims (RFC 5227 section 2.4). None of them sends more than
    /// one announcement in 10 s. With `once` or `never`, two forged packets take an address away; with `always` they take
    /// nothing away, and two stations may share an address until somebody looks at what is told.
    enum class defence : std::uint8_t {
        never,   ///< (a): it is lost at once.
        once,    ///< (b): it is announced again, and lost when the next claim comes within 10 s.
        always,  ///< (c): it is announced again, at most once in 10 s, and kept. For servers with a fixed address.
    };

    /// How an address stands with this host.
    enum class state : std::uint8_t {
        none,       ///< Not an address of this host.
        tentative,  ///< It is being probed: no packet is sent from it, no question about it answered.
        in_use,
    };

    /// How many addresses there may be, and how those of IPv6 are probed.
    struct options {
        std::size_t capacity = 16;                           ///< Addresses.
        std::uint8_t ipv6_probes = 1;                        ///< DupAddrDetectTransmits (RFC 4862 section 5.1); may be 0.
        duration ipv6_retransmit = std::chrono::seconds(1);  ///< RetransTimer, as routers advertise it.
    };

    /// A packet to be sent to all of the link.
    struct message {
        /// Why the packet is sent.
        enum kind : std::uint8_t {
            probe,         ///< ARP request from 0.0.0.0; neighbour solicitation from :: to the solicited-node group.
            announcement,  ///< ARP request of the address for itself; neighbour advertisement to all nodes without override.
            defending,     ///< The same, with override in IPv6.
        };

        kind what = probe;
        ip_address address;
    };

    /// What a packet means.
    struct verdict {
        /// What this host does about a packet.
        enum kind : std::uint8_t {
            ignored,  ///< Not for this host, or from a sender that cannot be one.
            answer,  ///< A question that is answered, by unicast to `station`; if `to_all`, to all nodes of the link (IPv6).
            defended,  ///< `station` uses the address too; next_message() has the defence.
            conflict,  ///< The same, and nothing is sent: that was done a moment ago, or another one speaks for the address.
            lost,      ///< The address is this host's no more: forgotten here, and to be used no more.
        };

        kind what = ignored;
        ip_address address;   ///< This host's.
        mac_address station;  ///< The other one's.
        bool to_all = false;  ///< Of an answer: the asking station has no address yet.
    };

    /// Makes it for a station. Allocates.
    explicit own_addresses(mac_address hardware) : own_addresses(hardware, options()) {}
    own_addresses(mac_address hardware, const options& chosen);

    /// Begins to probe an address: with a random delay of up to 1 s at first (`random`: 32 random bits), and 60 s where ten
    /// IPv4 addresses were lost in a row (RFC 5227 section 2.1.1). Returns false, having done nothing, if it is one already,
    /// if there is no room, or if no station can have it.
    bool add(const ip_address& address, defence how, time_point now, std::uint32_t random) noexcept;

    /// Adds an address that is in use at once and is not announced, where there is nobody to ask. Returns false as add().
    bool add_unprobed(const ip_address& address, defence how) noexcept;

    /// Forgets an address. What is not one is left alone.
    void remove(const ip_address& address) noexcept;

    /// Probes every address anew: the link was down, or the station has moved to another (RFC 5227 section 2.1).
    void probe_again(time_point now, std::uint32_t random) noexcept;

    /// The station has another link address: what is in use is announced at once, as in its defence, and once more later.
    void set_hardware(mac_address hardware, time_point now) noexcept;

    // Where several hear of the same addresses, one speaks for them, and the others follow it.

    /// From now on another one speaks: this one probes, announces, defends and gives up nothing. What is tentative stays so
    /// until confirm(), or is removed.
    void follow() noexcept;
    [[nodiscard]] bool follows() const noexcept { return follows_; }
    /// Speaks again, and probes what is tentative. `random` as for add().
    void lead(time_point now, std::uint32_t random) noexcept;
    /// The one that speaks uses the address.
    void confirm(const ip_address& address) noexcept;

    /// Returns the next message to be sent now, or nothing until deadline(). With its first announcement an address is in
    /// use. `random`: 32 random bits, new ones each time.
    [[nodiscard]] std::optional<message> next_message(time_point now, std::uint32_t random) noexcept;

    /// When next_message() has one; perhaps in the past, or never.
    [[nodiscard]] std::optional<time_point> deadline() const noexcept;

    /// Judges an ARP packet that came in a frame of the station `from`.
    [[nodiscard]] verdict heard_arp(const arp_repr& packet, mac_address from, time_point now) noexcept;

    /// Judges a neighbour solicitation for `target`, from `source`, in a frame of the station `from`.
    [[nodiscard]] verdict heard_solicitation(const ipv6_address& target, const ipv6_address& source, mac_address from,
                                             time_point now) noexcept;

    /// Judges a neighbour advertisement of `target` in a frame of the station `from`.
    [[nodiscard]] verdict heard_advertisement(const ipv6_address& target, mac_address from, time_point now) noexcept;

    /// Tells how an address stands with this host.
    [[nodiscard]] state state_of(const ip_address& address) const noexcept;
    /// Whether packets may be sent from the address and are accepted for it.
    [[nodiscard]] bool owns(const ip_address& address) const noexcept { return state_of(address) == state::in_use; }
    /// Whether this host is in the group: all nodes, or the solicited-node group of an address, a tentative one included
    /// (RFC 4862 section 5.4.2).
    [[nodiscard]] bool listens_to(const ipv6_address& group) const noexcept;

    /// The link address of the station.
    [[nodiscard]] mac_address hardware() const noexcept { return hardware_; }
    /// How many addresses there are, tentative ones included.
    [[nodiscard]] std::size_t size() const noexcept { return records_.size(); }
    /// What it takes, in octets, with what it has allocated.
    [[nodiscard]] std::size_t memory_octets() const noexcept { return sizeof *this + records_.capacity() * sizeof(record); }

private:
    struct record {
        ip_address address;
        defence how = defence::always;
        bool tentative = true;
        bool defends = false;                // a defence is to be sent
        std::uint8_t sent = 0;               // probes, then announcements
        std::optional<time_point> due;       // of the next of them; none: all were sent
        std::optional<time_point> conflict;  // the one that was defended against last
    };

    [[nodiscard]] record* find(const ip_address& address) noexcept;
    [[nodiscard]] const record* find(const ip_address& address) const noexcept;
    [[nodiscard]] bool may_add(const ip_address& address) const noexcept;
    void begin(record& what, time_point now, std::uint32_t random) noexcept;
    [[nodiscard]] message send(record& what, time_point now, std::uint32_t random) noexcept;
    [[nodiscard]] verdict claimed(record& what, mac_address station, time_point now) noexcept;
    [[nodiscard]] verdict lose(record& what, mac_address station) noexcept;

    mac_address hardware_;
    options options_;
    std::vector<record> records_;  // reserved for options_.capacity
    unsigned lost_in_a_row_ = 0;   // IPv4 addresses, while none came into use
    bool follows_ = false;
};

}  // namespace fluxnet::proto
