// SPDX-License-Identifier: BSD-3-Clause
// `host_tcp`: TCP of an ip_host: the stack, its memory, and the way of its segments.
//
// Owned by the host's core, whose engines and handles it uses. Nothing here waits.
//   arrivals    receive() hands a segment to the stack, in the frame that it came in while few enough of those are kept, else
//               in a copy.
//   departures  At the end of a turn send() takes from the stack what is to go, into frames of the tx, until none is free: the
//               next turn goes on. What goes to an address of the host itself comes back at once.
//   news        tell() has the coroutines look whose connection has changed.
//
// Threads: that of the host's executor.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/path_mtu.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "fluxnet/proto/tcp/stack.hpp"
#include "fluxnet/runtime/host/detail/tcp_buffers.hpp"
#include "fluxnet/runtime/host/detail/tcp_end.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "fluxnet/runtime/host/host_options.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

namespace fluxnet::host::detail {

struct ip_payload;

class host_tcp final : private proto::tcp::segment_limits {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Allocates.
    host_tcp(host_core& core, const host_options& options, std::span<const std::byte, 32> secrets);
    host_tcp(const host_tcp&) = delete;
    host_tcp& operator=(const host_tcp&) = delete;

    /// Null once the host was closed.
    [[nodiscard]] proto::tcp::stack* stack() noexcept { return stack_ ? &*stack_ : nullptr; }

    // What the core tells.

    /// Says what has become of a segment: given to the stack, or to another host (host_queues), or dropped because there was
    /// no memory to keep it in.
    [[nodiscard]] frame_outcome receive(const ip_payload& got) noexcept;
    /// Takes an ICMP error about a segment; returns whether it is believed. `too_big`: the narrowest part of the path.
    [[nodiscard]] bool receive_error(const proto::quoted_packet& quoted, std::error_code what,
                                     const std::optional<proto::path_mtu::too_big>& too_big) noexcept;
    /// Takes a packet of the host's own for which no neighbour answers, as it was to be sent; ignores those that are not
    /// TCP's.
    void undeliverable(std::span<const std::byte> packet) noexcept;
    [[nodiscard]] std::optional<time_point> deadline() const noexcept;
    void advance() noexcept;
    /// Has the coroutines look for which there is news.
    void tell() noexcept;
    /// Sends what is to go. Returns whether frames were queued; has_more() tells whether more is to be sent.
    [[nodiscard]] bool send() noexcept;
    [[nodiscard]] bool has_more() const noexcept { return has_more_; }
    /// Whether there is something to tell.
    [[nodiscard]] bool has_news() const noexcept {
        return stack_ && (stack_->has_news() || (short_of_memory_ && buffers_.has_news()));
    }
    void look_at_waiters() noexcept;
    /// Whether a coroutine waits at a stream, a listener or in line.
    [[nodiscard]] bool is_awaited() const noexcept;
    /// Has all coroutines look: the host has ended.
    void end() noexcept;
    /// Resets all connections, as far as there are frames to tell their peers, and forgets them.
    void close() noexcept;

    // What ends and doors ask for.

    /// Begins to listen; chooses the port if that is 0. Returns why it cannot.
    [[nodiscard]] std::error_code listen(proto::ip_endpoint& local, const tcp_options& options,
                                         proto::tcp::listener_handle& made) noexcept;
    void add(tcp_end& one) noexcept { ends_.push_back(one); }
    // What a listener or a connection from a port that the program names has once made this host's stays its own among the
    // hosts on other queues, as long as it is open: nobody tells when the last segment for that port has come.
    void add(tcp_door& one) noexcept;
    void use_port(std::uint16_t port) noexcept;
    /// It looks in each turn until it has left.
    void wait_in_turns(tcp_waiter& one) noexcept { waiters_.push_back(one); }
    /// Something may have to be sent.
    void touch() noexcept;
    [[nodiscard]] time_point now() noexcept;
    /// A write found no memory: it looks again when some has come back, and now and then.
    void wait_for_memory() noexcept;
    /// Lends what has arrived.
    [[nodiscard]] tcp_buffer lend(proto::tcp::connection_handle from) noexcept;
    /// Takes back what was lent.
    void take_back(const lent_octets& lent) noexcept;
    /// The connection's endpoint on this host, or the peer.
    [[nodiscard]] proto::ip_endpoint endpoint(const proto::ip_address& address, std::uint16_t port) const noexcept;

    /// Received frames that it keeps.
    [[nodiscard]] std::size_t kept() const noexcept { return buffers_.kept(); }

private:
    template <class User>
    using list_of = boost::intrusive::list<User, boost::intrusive::base_hook<tcp_user_hook>,
                                           boost::intrusive::constant_time_size<false>>;

    /// Where segments go that have the same addresses.
    struct way {
        enum class kind : std::uint8_t { none, self, neighbour, nowhere };

        proto::ip_address local;
        proto::ip_address remote;
        kind what = kind::none;
        bool dont_fragment = true;
        proto::ip_address hop;
    };
    /// A segment of the host's to itself.
    struct looped {
        proto::tcp::four_tuple name;  // as its sender sees it
        std::span<const std::byte> octets;
        std::uint64_t token = 0;
    };

    // segment_limits
    [[nodiscard]] std::uint16_t maximum_segment(const proto::ip_address& remote) noexcept override;

    [[nodiscard]] frame_outcome receive_copy(const ip_payload& got) noexcept;
    [[nodiscard]] frame_outcome hand_on(const ip_payload& got, const proto::tcp::arrival& told) noexcept;
    [[nodiscard]] proto::tcp::checksum_state checksums() const noexcept;
    void answer_now() noexcept;
    void send_out() noexcept;
    bool dispatch(const proto::tcp::stack_segment& out) noexcept;
    const way& find_way(const proto::tcp::four_tuple& name) noexcept;
    void transmit(const proto::tcp::stack_segment& out, packet frame) noexcept;
    void loop_back(const proto::tcp::stack_segment& out) noexcept;
    void receive_looped() noexcept;

    host_core& core_;
    tcp_buffers buffers_;
    std::optional<proto::tcp::stack> stack_;  // until close()
    list_of<tcp_end> ends_;
    list_of<tcp_door> doors_;
    list_of<tcp_waiter> waiters_;
    way way_;                     // of the last segment, within one call of send()
    std::vector<looped> looped_;  // on their way; never more than it has room for
    bool has_more_ = false;
    bool short_of_memory_ = false;
    time_point look_again_at_{};  // while it is
};

}  // namespace fluxnet::host::detail
