// SPDX-License-Identifier: BSD-3-Clause
// `connection_info`: what a connection tells about itself. `state`, `ending`, `events`: where it is, how it ended, what has
// happened. `trace_sink`: who is told its decisions.
//
// Plain values. Threads: any; a trace_sink is called on the thread that uses the connection.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/range.hpp"
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <bit>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace fluxnet::proto::tcp {

/// The states of RFC 9293 section 3.3.2. LISTEN has no connection yet. From `established` on both ends know each other.
enum class state : std::uint8_t {
    closed,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
};

/// How a connection ended.
enum class ending : std::uint8_t {
    none,         ///< It has not.
    closed,       ///< In order, both directions.
    reset,        ///< The peer has reset it.
    refused,      ///< The peer has answered the SYN with a reset.
    timed_out,    ///< The peer has not answered for as long as the options allow.
    unreachable,  ///< A router or the peer has said that nothing reaches it, while it was being opened.
    aborted,      ///< The user has: by abort(), or by close() with octets unread.
};

/// Names a state as RFC 9293 does: "SYN-SENT".
[[nodiscard]] FLUXNET_EXPORT std::string_view name(state what) noexcept;
/// Names an ending as its enumerator is called.
[[nodiscard]] FLUXNET_EXPORT std::string_view name(ending what) noexcept;

/// What has happened. Several may be true.
struct events {
    bool connected = false;  ///< The handshake is over.
    bool readable = false;   ///< More octets can be read, or the peer's direction has ended.
    bool writable = false;   ///< Octets were acknowledged: write() may take more.
    bool ended = false;      ///< ending() tells how. No segment goes in or out any more, but for a reset that is due.

    /// Whether anything has happened.
    [[nodiscard]] bool any() const noexcept { return std::bit_cast<std::uint32_t>(*this) != 0; }
    /// Adds what has happened since.
    void add(const events& news) noexcept {
        *this = std::bit_cast<events>(std::bit_cast<std::uint32_t>(*this) | std::bit_cast<std::uint32_t>(news));
    }
};

/// What a connection knows, as a snapshot. Octets and host order.
struct connection_info {
    tcp::state state = state::closed;
    tcp::ending ending = ending::none;
    std::uint64_t congestion_window = 0;
    std::uint64_t slow_start_threshold = 0;
    std::chrono::nanoseconds smoothed_rtt{0};  ///< 0: never measured.
    std::chrono::nanoseconds rtt_variation{0};
    std::chrono::nanoseconds least_rtt{0};
    std::chrono::nanoseconds retransmission_timeout{0};  ///< With its back-off.
    std::uint32_t segment = 0;                           ///< The most data in a segment, without options.
    std::uint32_t in_flight = 0;
    std::uint32_t lost = 0;    ///< Taken for lost and not sent again yet.
    std::uint32_t sacked = 0;  ///< Reported beyond a gap.
    std::uint32_t unsent = 0;
    std::uint32_t send_window = 0;     ///< What the peer's window still has, from the first octet unacknowledged.
    std::uint32_t receive_window = 0;  ///< What the peer was told.
    bool lacks_buffers = false;        ///< It was told less than the receive limit has room for, as there were no buffers.
    std::uint32_t readable = 0;
    std::uint32_t beyond_gap = 0;  ///< Received beyond a gap.
    std::uint32_t lent = 0;        ///< Received octets that the user holds: the window is smaller by them.
    std::uint64_t sent_octets = 0;  ///< Data, those sent again included.
    std::uint64_t received_octets = 0;
    std::uint32_t resent = 0;           ///< Segments sent again, whyever. Of those, how often a reason came up:
    std::uint32_t timeouts = 0;         ///< The retransmission timer expired (RFC 6298).
    std::uint32_t fast_recoveries = 0;  ///< Losses were told by acknowledgments (RFC 8985, RFC 6582).
    std::uint32_t tail_probes = 0;      ///< Sent (RFC 8985 section 7).
    std::uint32_t spurious = 0;         ///< Recoveries that were taken back (RFC 4015).
    std::uint32_t duplicates_received = 0;
    std::uint32_t challenges = 0;  ///< Challenge ACKs (RFC 5961).
    bool sack = false;             ///< Agreed on.
    bool timestamps = false;
    bool window_scaling = false;
};

/// The decisions that can be traced.
enum class trace_point : std::uint8_t {
    state_changed,       ///< Value: the state.
    sent,                ///< Value: the sequence number.
    resent,              ///< Value: the sequence number.
    acknowledged,        ///< Value: octets.
    lost,                ///< Value: octets now marked as lost.
    recovery_began,      ///< Value: the congestion window.
    recovery_ended,      ///< Value: the congestion window.
    timeout,             ///< Value: the timeout in ns.
    tail_probe,          ///< Value: the sequence number.
    spurious,            ///< Value: the congestion window after it was taken back.
    window_closed,       ///< Data waits for the peer's window. Value: its size.
    window_probe,        ///< Value: the sequence number.
    unacceptable,        ///< A segment out of the window. Value: its sequence number.
    old_timestamp,       ///< PAWS (RFC 7323 section 5). Value: the timestamp.
    bad_acknowledgment,  ///< An ACK that acknowledges what was never sent, or too long ago. Value: its number.
    challenged,          ///< A challenge ACK is due (RFC 5961). Value: the sequence number of the segment.
    refused_octets,      ///< Received octets found no buffer. Value: the sequence number.
    segment_shrunk,      ///< Value: the most data in a segment now.
};

/// Names a decision as its enumerator is called.
[[nodiscard]] FLUXNET_EXPORT std::string_view name(trace_point what) noexcept;

/// One decision.
struct trace_entry {
    trace_point what = trace_point::state_changed;
    std::uint64_t value = 0;
    sequence_number unacknowledged;
    sequence_number next;
    std::uint32_t in_flight = 0;
    std::uint64_t congestion_window = 0;
};

/// Who is told the decisions of a connection.
class trace_sink {
public:
    /// Takes a decision, at the moment when it is made.
    virtual void told(const trace_entry& entry) noexcept = 0;

protected:
    trace_sink() = default;
    trace_sink(const trace_sink&) = default;
    trace_sink& operator=(const trace_sink&) = default;
    ~trace_sink() = default;
};

}  // namespace fluxnet::proto::tcp
