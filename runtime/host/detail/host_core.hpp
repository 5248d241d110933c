// SPDX-License-Identifier: BSD-3-Clause
// `host_core`: what an ip_host and its endpoints share: the handles, the engines, and what joins them.
//
// Kept alive by the host, by its endpoints and by its task. Threads: that of the executor, which also counts the owners.
//
// Who does what, and when:
//   the task   Receives frames (ip_host.cpp) and gives each to receive(). What it carries is answered in the received frame,
//              put into the queue of an endpoint, handed on to a host on another queue, or dropped with a reason. Where there
//              are such hosts a second task gives take() what they hand on.
//   end_turn   At the end of each turn in which something may have changed: sends go on that have waited for a neighbour or
//              a frame, what the engines want sent at once is sent, and the timer is set.
//   the timer  One, for the earliest deadline of the engines. do_due() then sends what is due.
// Nothing here waits: what finds no free frame or no room in the ring is left out and counted (answers, errors), or made up
// for by the timer (questions, claims), or waits in a line as an operation (datagrams of endpoints).
//
// TCP (host_tcp.hpp) joins in four places: deliver() gives it what a packet carries, with the packet that it lies in;
// receive_error() gives it ICMP errors; transmit_to() sends its packets; end_turn() and the timer give it time.
#pragma once

#include "fluxnet/proto/detail/token_bucket.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp_error_rules.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ndp.hpp"
#include "fluxnet/proto/ndp_repr.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/host/detail/held_packets.hpp"
#include "fluxnet/runtime/host/detail/host_siblings.hpp"
#include "fluxnet/runtime/host/detail/host_tcp.hpp"
#include "fluxnet/runtime/host/detail/ip_message.hpp"
#include "fluxnet/runtime/host/detail/kernel_share.hpp"
#include "fluxnet/runtime/host/detail/routes.hpp"
#include "fluxnet/runtime/host/detail/secret_numbers.hpp"
#include "fluxnet/runtime/host/detail/udp_port.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "fluxnet/runtime/host/host_counters.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/packets/detail/link_monitor.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

/// What an IP packet to this host carries.
struct ip_payload {
    proto::ip_address source;
    proto::ip_address destination;
    proto::ip_protocol protocol = proto::ip_protocol::udp;
    std::span<const std::byte> bytes;       ///< The message of the upper layer, whole.
    std::span<const std::byte> from_ip_on;  ///< The IP header and what follows; empty where fragments were put together.
    packet* frame = nullptr;                ///< What it lies in; null where fragments were put together, or another host's is.
    proto::mac_address station;             ///< That sent the frame, or the last fragment.
    bool link_group = false;                ///< The frame went to a group of stations.
    bool broadcast = false;                 ///< IPv4: to all hosts of the network.
    std::size_t next_header_at = 0;         ///< IPv6: where the field lies that names the protocol.
};

/// An ICMP error to be sent.
struct icmp_error {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    std::uint32_t value = 0;  ///< ICMPv6: the pointer of a parameter problem.
    proto::icmp_error_cause::kind what = proto::icmp_error_cause::any;
};

class host_core final : private fluxnet::detail::turn_handler,
                        private fluxnet::detail::timer_node,
                        private fluxnet::detail::link_listener,
                        private neighbour_listener {
public:
    using time_point = std::chrono::steady_clock::time_point;

    using outcome = frame_outcome;
    using received = frame_verdict;

    /// The options have been checked. Follows the interface to another link address unless the options name one. Allocates.
    /// Throws std::system_error when no rtnetlink socket can be had.
    host_core(executor& on, async_rx rx, async_tx tx, const host_options& options, proto::mac_address hardware,
              std::uint32_t mtu, sibling_place place = {}, kernel_share kernel = {});
    ~host_core() override;

    // Life (host_core.cpp).

    /// What tasks of the host's do: receive frames, and take what other hosts hand on.
    enum duty : std::uint8_t { receiving = 1, taking = 2 };

    /// Sees to it that its tasks run, unless the host has ended.
    void wake() noexcept {
        if (running_ != duties_) { start(); }
    }
    /// Ends everything that waits, and closes the handles: all frames go home but those of datagrams that a program has.
    void close() noexcept;
    /// Ends everything that waits, now and later, with an error.
    void end(std::error_code why) noexcept;
    [[nodiscard]] std::error_code ended() const noexcept { return ended_; }
    [[nodiscard]] executor& loop() const noexcept { return on_; }
    [[nodiscard]] const host_counters& counters() const noexcept { return counters_; }
    [[nodiscard]] const proto::own_addresses& own() const noexcept { return own_; }
    [[nodiscard]] proto::mac_address hardware() const noexcept { return own_.hardware(); }
    [[nodiscard]] std::uint32_t mtu() const noexcept { return mtu_; }
    [[nodiscard]] const proto::detail::hash_key& key() const noexcept { return random_.key(); }
    [[nodiscard]] proto::neighbour_table::entry neighbour(const proto::ip_address& address) noexcept {
        return neighbours_.lookup(address, now());
    }
    /// Tells the sink of frames, in place of the one before; null: none.
    void capture_to(frame_sink* sink) noexcept;

    // The task (ip_host.cpp).

    [[nodiscard]] bool is_open() const noexcept { return rx_.has_value(); }
    [[nodiscard]] async_rx& rx() noexcept { return *rx_; }
    [[nodiscard]] const async_tx& sender() const noexcept { return *tx_; }
    [[nodiscard]] std::span<packet> batch() noexcept { return batch_; }
    void set_running(duty which, bool runs) noexcept {
        running_ = static_cast<std::uint8_t>(runs ? running_ | which : running_ & ~which);
    }
    /// Whether a coroutine waits for what only the task can bring about.
    [[nodiscard]] bool is_awaited() const noexcept;
    /// Takes the first `count` packets of the batch.
    void receive(std::size_t count) noexcept;
    /// Takes what another host has handed on.
    void take(handed_on& what) noexcept;

    // Endpoints (host_udp.cpp).

    /// Why an endpoint cannot be bound there; chooses the port if that is 0.
    [[nodiscard]] std::error_code bind(proto::ip_endpoint& local) noexcept;
    /// The ports that are the host's.
    [[nodiscard]] const given_ports& ports() const noexcept { return given_; }
    /// Calls `take(port)` with those that may be chosen, from a random one on, until that returns true. Returns whether it
    /// has.
    template <class F>
    [[nodiscard]] bool choose_port(port_use use, F take) noexcept {
        const port_range from = given_.chosen();
        const std::uint32_t count = given_.may_choose() ? std::uint32_t{from.last} - from.first + 1 : 0;
        const std::uint32_t begin = random_.next32();
        for (std::uint32_t i = 0; i != count; ++i) {
            const auto port = static_cast<std::uint16_t>(from.first + (begin + i) % count);
            if (place_.may_choose(use, port) && take(port)) { return true; }
        }
        return false;
    }
    [[nodiscard]] std::optional<proto::ip_address> source_for(const proto::ip_address& destination) const noexcept {
        return routes_.source_for(destination, own_);
    }
    /// Whether it is the address of one host.
    [[nodiscard]] bool is_unicast(const proto::ip_address& address) const noexcept {
        return !address.is_unspecified() && !address.is_multicast() && !routes_.is_broadcast(address);
    }
    /// Whether a way leads there.
    [[nodiscard]] bool reaches(const proto::ip_address& address) const noexcept {
        return own_.state_of(address) != proto::own_addresses::state::none ||
               (!address.is_loopback() && routes_.next_hop(address));
    }
    /// Whether it lies behind the host's interface, as far as it says behind which.
    [[nodiscard]] bool is_on_scope(const proto::ip_endpoint& to) const noexcept {
        return to.scope == 0 || scope_ == 0 || to.scope == scope_;
    }
    void add(udp_port& port) noexcept;
    void remove(udp_port& port) noexcept;
    /// The interface's number for link-local addresses, 0 for others.
    [[nodiscard]] std::uint32_t scope_of(const proto::ip_address& address) const noexcept {
        return address.is_v6() && address.v6().is_link_local() ? scope_ : 0;
    }

    /// Goes on with a send as far as that is possible now. True: it is over.
    [[nodiscard]] bool advance(udp_send& send) noexcept;
    /// The same for one that begins, which overtakes none that waits for a frame.
    [[nodiscard]] bool begin(udp_send& send) noexcept { return starved_.empty() && advance(send); }
    void wait(udp_send& send) noexcept;

    /// Datagrams in the queues of endpoints, and segments that TCP keeps: no more than half of the frames that the host
    /// receives into.
    [[nodiscard]] bool may_queue() const noexcept { return queued_ + tcp_.kept() < most_queued_; }
    /// The same for a segment: half of those are left to datagrams, which cannot be copied instead.
    [[nodiscard]] bool may_keep() const noexcept { return may_queue() && tcp_.kept() < most_queued_ / 2; }
    /// Whether a datagram may wait in memory of its own, of which there is no more than in those frames.
    [[nodiscard]] bool may_copy(std::size_t octets) const noexcept { return copied_ + octets <= most_copied_; }
    void count_queued(std::ptrdiff_t datagrams, std::ptrdiff_t octets_copied) noexcept {
        queued_ = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(queued_) + datagrams);
        copied_ = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(copied_) + octets_copied);
    }

    // TCP (host_tcp.hpp).

    [[nodiscard]] host_tcp& tcp() noexcept { return tcp_; }

private:
    friend host_tcp;

    using line = boost::intrusive::list<udp_send, boost::intrusive::base_hook<send_line_hook>,
                                        boost::intrusive::constant_time_size<false>>;

    friend void intrusive_ptr_add_ref(const host_core* core) noexcept;
    friend void intrusive_ptr_release(const host_core* core) noexcept;

    // turn_handler and timer_node
    void end_turn() noexcept override;
    void before_sleep() noexcept override;
    void after_sleep() noexcept override { now_.reset(); }
    void end_run() noexcept override {}
    [[nodiscard]] bool has_unfinished() noexcept override;
    void on_time() noexcept override { dirty_ = true; }  // the turn that has begun ends with what is due

    // link_listener; the handles hear of the interface's end themselves
    void on_interface_gone() noexcept override {}
    void on_link(bool) noexcept override {}
    void on_program_lost() noexcept override {}
    void on_address(const std::array<std::uint8_t, 6>& address) noexcept override;

    // neighbour_listener
    void on_neighbour(const proto::ip_address& address, proto::mac_address station) noexcept override {
        heard(neighbours_.learn(address, station, now()));
    }
    void on_neighbour_lost(const proto::ip_address& address) noexcept override;

    /// The time, read once a turn; each time outside of turns, of which nobody tells the end.
    [[nodiscard]] time_point now() noexcept {
        if (now_) { return *now_; }
        const time_point read = on_.now();
        if (executor::current() == &on_) { now_ = read; }
        return read;
    }

    void start() noexcept;

    // host_core.cpp
    void count(const received& what) noexcept;
    void serve(bool starved_too) noexcept;
    void serve_tcp(bool starved_too) noexcept;
    void find_failure() noexcept;
    void do_due() noexcept;
    void arm() noexcept;
    [[nodiscard]] std::optional<time_point> next_deadline() const noexcept;
    void fail_waiting(const proto::ip_address& hop) noexcept;

    // Sending (host_send.cpp).

    /// Takes frames of the tx, and counts them. Returns how many.
    std::size_t take_frames(std::span<packet> into) noexcept {
        const std::size_t taken = tx_->try_allocate(into);
        frames_taken_ += taken;
        return taken;
    }
    /// Whether a frame is there for a packet of the host's own.
    [[nodiscard]] bool has_frame() noexcept {
        if (spares_ == 0) { spares_ = take_frames(spare_); }
        return spares_ != 0;
    }
    /// Whether there is room in the rings for a datagram or a segment. The last of it is for answers, which do not wait, and
    /// for questions and claims: neighbours that hear nothing send nothing either.
    [[nodiscard]] bool has_credit() const noexcept { return tx_->socket().in_flight() < most_in_flight_; }
    /// The same, and counts what is not sent for want of one.
    [[nodiscard]] bool has_spare() noexcept;
    [[nodiscard]] packet take_spare() noexcept;
    /// Writes the Ethernet header, and queues the frame. False: there was no room, and the frame is still the caller's.
    [[nodiscard]] bool transmit(packet& frame, proto::mac_address to, proto::ethertype type) noexcept;
    /// The same of a frame that is whole, and tells the sink.
    [[nodiscard]] bool transmit_captured(packet& frame) noexcept;
    /// The same for an answer, which is dropped when there is no room. Counts.
    void answer(packet& frame, proto::mac_address to, proto::ethertype type, std::uint64_t& counter) noexcept;
    /// Sends a packet of the host's own, whole but for the Ethernet header, to a neighbour; holds it while that is asked
    /// for.
    void transmit_to(const proto::ip_address& hop, packet frame, proto::ethertype type, std::uint64_t& counter) noexcept;
    /// Sends what is held for neighbours that are known now, and gives up what is for those that have not answered.
    void release_held() noexcept;
    void give_up(const packet& frame) noexcept;
    /// Sends all pieces of an answer, or what there are frames for.
    void answer(const ip_message& message, proto::mac_address to) noexcept;
    void send_question(const proto::neighbour_table::probe& question) noexcept;
    void send_claim(const proto::own_addresses::message& claim) noexcept;
    void send_arp(packet& frame, proto::mac_address to, proto::ipv4_address sender, proto::ipv4_address target,
                  std::uint64_t& counter) noexcept;
    void send_ndp(packet& frame, proto::mac_address to, const proto::ipv6_address& source,
                  const proto::ipv6_address& destination, const proto::ndp_neighbour_repr& message,
                  std::uint64_t& counter) noexcept;

    // Frames (host_receive.cpp, host_receive_ipv6.cpp).

    [[nodiscard]] received receive_frame(packet& frame) noexcept;
    /// The same, and tells the sink.
    [[nodiscard]] received receive_captured(packet& frame) noexcept;
    [[nodiscard]] received receive_arp(packet& frame, proto::mac_address station) noexcept;
    [[nodiscard]] received receive_ipv4(packet& frame, proto::mac_address station, bool link_group) noexcept;
    [[nodiscard]] received receive_ipv6(packet& frame, proto::mac_address station, bool link_group) noexcept;
    [[nodiscard]] received receive_fragment(const proto::reassembly::fragment& part, ip_payload& whole) noexcept;
    /// Gives what a packet carries to the protocol that it names.
    [[nodiscard]] received deliver(const ip_payload& got) noexcept;
    [[nodiscard]] received receive_ndp(const ip_payload& got, proto::icmpv6_view message) noexcept;
    [[nodiscard]] received receive_neighbour(const ip_payload& got, proto::ndp_neighbour_view message) noexcept;
    /// Whether it is for the host, of what addresses get that are the kernel's too.
    [[nodiscard]] bool is_given(const ip_payload& got) const noexcept;
    /// Whether it is an address of the host's, tentative ones included.
    [[nodiscard]] bool is_own(const proto::ip_address& address) const noexcept {
        return own_.state_of(address) != proto::own_addresses::state::none;
    }
    void heard(const proto::neighbour_table::news& news) noexcept;
    void heard(const proto::own_addresses::verdict& verdict) noexcept;

    // Several queues (host_hand_on.cpp).

    /// Hands a packet on to another host that uses the port so, and says what has become of it; nothing: none does. Then the
    /// packet is still this host's.
    [[nodiscard]] std::optional<outcome> hand_on(const ip_payload& got, port_use use, std::uint16_t port) noexcept;
    /// Has the others hear of the first `octets` of a frame, unless it is theirs.
    void tell_siblings(const packet& frame, std::size_t octets) noexcept;
    void leave_siblings() noexcept;
    [[nodiscard]] received take_one(handed_on& what) noexcept;
    /// Takes over how the addresses stand from the host that leads; leads when that is this one now.
    void follow_leader() noexcept;
    void agree(const shared_addresses& said) noexcept;
    /// Publishes it, while it leads.
    void lead_others() noexcept;
    /// What a received packet lies in, if that may be kept and answered in: the frames of others are given back at once.
    [[nodiscard]] packet* own_frame(packet& frame) const noexcept {
        return taken_ != nullptr && !overheard_ ? nullptr : &frame;
    }

    // ICMP (host_icmp.cpp).

    [[nodiscard]] received receive_icmp(const ip_payload& got) noexcept;
    [[nodiscard]] received receive_icmpv6(const ip_payload& got) noexcept;
    [[nodiscard]] received echo(const ip_payload& got) noexcept;
    [[nodiscard]] received receive_error(const ip_payload& got) noexcept;
    [[nodiscard]] received receive_error(const ip_payload& got, const proto::quoted_packet& quoted, std::error_code what,
                                         const std::optional<proto::path_mtu::too_big>& too_big) noexcept;
    [[nodiscard]] bool receive_udp_error(const proto::quoted_packet& quoted, std::error_code what,
                                         const std::optional<proto::path_mtu::too_big>& too_big) noexcept;
    /// Tells the sender of a packet what is wrong with it, where that is allowed.
    void refuse(const ip_payload& got, const icmp_error& error) noexcept;
    void tell_expired(const proto::reassembly::expired& late) noexcept;
    void emit_error(packet& frame, const icmp_error& error, const proto::ip_address& source,
                    const proto::ip_address& destination, std::span<const std::byte> quote) noexcept;

    // UDP (host_udp.cpp).

    [[nodiscard]] received receive_udp(const ip_payload& got) noexcept;
    [[nodiscard]] udp_port* find_port(const proto::ip_address& to, std::uint16_t port,
                                      const proto::ip_endpoint& from) noexcept;
    [[nodiscard]] std::error_code prepare(udp_send& send) noexcept;
    [[nodiscard]] std::error_code find_way(udp_send& send) noexcept;
    void deliver_to_self(udp_send& send) noexcept;
    [[nodiscard]] bool send_pieces(udp_send& send, proto::mac_address to) noexcept;

    mutable std::uint32_t owners_ = 0;
    executor& on_;
    std::optional<async_rx> rx_;  // both until close()
    std::optional<async_tx> tx_;
    routes routes_;
    secret_numbers random_;
    proto::own_addresses own_;
    proto::neighbour_table neighbours_;
    proto::reassembly fragments_;
    proto::icmp_limiter limiter_;
    proto::path_mtu paths_;
    const std::uint32_t mtu_;
    const std::uint32_t scope_;
    const bool trust_checksums_;
    const std::size_t most_queued_;
    const std::uint32_t most_in_flight_;  // datagrams and segments, with what else is on its way
    const std::size_t most_copied_;
    std::size_t queued_ = 0;
    std::size_t copied_ = 0;
    host_counters counters_;
    frame_sink* sink_ = nullptr;
    sibling_place place_;
    const given_ports given_;
    kernel_share kernel_;  // of a host that shares the kernel's addresses
    handed_on* taken_ = nullptr;  // what another host has handed on and is looked at
    bool overheard_ = false;      // that is for all to hear, and the host that has received it answers
    std::vector<proto::ip_address> addresses_;  // of host_options, in their order; none without other hosts
    shared_addresses agreed_;                   // what was taken over or published last
    proto::detail::token_bucket strange_errors_{1000, 100};  // ICMP errors that are handed on

    std::array<packet, 64> batch_;
    std::array<packet, 4> spare_;  // for packets of the host's own; those below spares_ hold a frame
    std::size_t spares_ = 0;
    held_packets held_;
    std::array<udp_port*, 64> ports_{};  // by the low bits of the port; each begins a chain
    line searching_;                     // sends that wait for a neighbour or for an own address
    line starved_;                       // sends that wait for a frame or for room in the ring

    std::optional<time_point> now_;     // of this turn
    std::optional<time_point> set_to_;  // what the timer was set to
    std::optional<time_point> stuck_since_;  // since when something waits to be sent, and no frame has come
    std::uint64_t frames_taken_ = 0;         // of the tx
    std::uint64_t taken_before_ = 0;         // when the host last looked
    std::error_code ended_;
    const std::uint8_t duties_;  // of its tasks
    std::uint8_t running_ = 0;   // those of them whose task runs
    bool dirty_ = true;     // deadlines may have changed
    bool news_ = false;     // for sends in searching_
    bool asks_ = false;     // a neighbour is to be asked for
    bool datagrams_last_ = false;  // in this turn, or in the last one in which datagrams and TCP both waited for frames

    host_tcp tcp_;  // last: it uses the others
};

}  // namespace fluxnet::host::detail
