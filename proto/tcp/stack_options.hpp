// SPDX-License-Identifier: BSD-3-Clause
// `stack_options`: how much a `stack` has room for, and what its connections are like. And the other plain values of its
// interface: handles, events, what was received, why it refuses, what it counts.
//
// Threads: any.
#pragma once

#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/tcp/connection_info.hpp"
#include "fluxnet/proto/tcp/connection_options.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/port_chooser.hpp"
#include "fluxnet/proto/tcp/segment.hpp"

#include <boost/system/result.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace fluxnet::proto::tcp {

/// What connections over IPv6 are like by default: the headers are longer, and the default of a peer that says nothing.
[[nodiscard]] inline connection_options default_v6_options() noexcept {
    connection_options made;
    made.maximum_segment = 1440;
    made.default_segment = 1220;
    return made;
}

struct stack_options {
    connection_options v4;
    connection_options v6 = default_v6_options();
    std::size_t connections = 1024;  ///< All that are not in TIME-WAIT, those that a listener has not given out included.
    std::size_t listeners = 64;
    /// Runs of octets that all connections have together; each buffer in use takes one, or more when it is cut. Three are kept
    /// for each connection, which goes on with them whatever the others hold, unless that is more than half of them.
    std::size_t ranges = 16'384;
    std::size_t time_wait = 16'384;  ///< Connections in TIME-WAIT; more of them shorten the wait of the oldest.
    std::size_t embryonic = 256;     ///< Handshakes that listeners keep, all together: beyond that they use cookies.
    bool syn_cookies = true;         ///< RFC 4987 section 3.6. Without them a SYN that finds the queue full is dropped.
    /// Connections that were released and are not over. Beyond that, and when a new connection finds no place and no handshake
    /// that could make room, the one is reset that has got no further for the longest: whose peer has acknowledged no whole
    /// segment since.
    std::size_t orphans = std::numeric_limits<std::size_t>::max();
    std::chrono::nanoseconds orphan_life = std::chrono::minutes(5);  ///< For how long it may so get no further.
    /// How many buffers a connection may hold, and all together. Of both, octets beyond gaps get none of the second half, as
    /// strangers can send them and leave the gaps open; and what is to be sent gets none of the last eighth, which is for
    /// octets that come in order. So none of them can keep out what would let a connection go on. Where there is none for
    /// octets in order, the window is closed until some have been read, whatever the receive limit is.
    std::uint32_t buffers_per_connection = 1024;
    std::uint32_t buffers = 65'536;
    std::size_t answers = 256;  ///< Segments that belong to no connection and wait to be sent; more are dropped.
    // Answers in a second: at most so many, and in some seconds only half as many. How many tells nobody anything.
    std::uint32_t resets_per_second = 1000;      ///< For what belongs to no connection.
    std::uint32_t challenges_per_second = 1000;  ///< For connections in TIME-WAIT (RFC 5961 section 7).
    port_chooser::options ports;
    /// A connection that this host opens may have the name of one that has been in TIME-WAIT for so long, with timestamps.
    std::chrono::nanoseconds reuse_after = std::chrono::seconds(1);
};

/// Says what of the options leaves a stack without room to work at all; null when nothing does.
[[nodiscard]] constexpr const char* check(const stack_options& options) noexcept {
    if (options.connections == 0) { return "TCP has room for no connection"; }
    if (options.time_wait == 0) { return "TCP has room for no connection in TIME-WAIT"; }
    if (options.answers == 0) { return "TCP has room for no answer"; }
    if (options.ranges < 16) { return "TCP has fewer than 16 ranges"; }
    if (options.buffers < 8 || options.buffers_per_connection < 8) { return "TCP has fewer than 8 buffers"; }
    if (options.ports.first == 0 || options.ports.first > options.ports.last || options.ports.tries == 0 ||
        options.ports.rest >= options.ports.every) {
        return "TCP has no port to choose";
    }
    for (const connection_options* const each : {&options.v4, &options.v6}) {
        if (each->receive_limit < each->default_segment || each->send_limit < each->default_segment) {
            return "TCP has a limit below one segment";
        }
    }
    return nullptr;
}

/// Names a connection of a stack for as long as the user holds it: from connect() or accept() to release(). A value.
struct connection_handle {
    std::uint32_t index = ~std::uint32_t{0};
    std::uint32_t generation = 0;

    friend bool operator==(const connection_handle&, const connection_handle&) = default;
};

/// Names a listener until it is closed. A value.
struct listener_handle {
    std::uint32_t index = ~std::uint32_t{0};
    std::uint32_t generation = 0;

    friend bool operator==(const listener_handle&, const listener_handle&) = default;
};

/// Why a listener or a connection could not be made.
enum class refusal : std::uint8_t {
    bad_address,       ///< No address of a host, addresses of two versions, or port 0.
    address_in_use,    ///< The port of the listener, or the name of the connection, is taken.
    no_listener_free,  ///< The stack has no room for another listener.
    no_port,           ///< All local ports toward that destination are taken.
    no_connection,     ///< The stack has no room for another connection.
};

/// Names a refusal as its enumerator is called.
[[nodiscard]] constexpr std::string_view name(refusal why) noexcept {
    switch (why) {
        case refusal::bad_address: return "bad_address";
        case refusal::address_in_use: return "address_in_use";
        case refusal::no_listener_free: return "no_listener_free";
        case refusal::no_port: return "no_port";
        case refusal::no_connection: return "no_connection";
    }
    return "unknown";
}

/// What `value()` of such a result throws.
[[noreturn]] inline void throw_exception_from_error(const refusal& why, const boost::source_location& /*where*/) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_permitted), std::string(name(why)));
}

template <class T>
using stack_result = boost::system::result<T, refusal>;

/// What a listener listens to.
struct listen_options {
    /// Nothing: all addresses of both versions. An unspecified one: all of its version.
    std::optional<ip_address> address = {};
    std::uint16_t port = 0;
    std::uint32_t backlog = 128;    ///< Connections that wait for accept(). At least 1.
    std::uint32_t syn_queue = 128;  ///< Handshakes under way that are kept; beyond that there are cookies.
};

/// More about a connection that is opened.
struct connect_options {
    std::uint16_t local_port = 0;  ///< 0: the stack chooses one (RFC 6056).
    std::uint64_t user = 0;        ///< Given back with each event.
};

/// What has happened to a connection since its last event.
struct connection_event {
    connection_handle connection;
    std::uint64_t user = 0;  ///< What the user has given for it.
    events what;
};

/// What became of a received segment.
struct arrival {
    bool kept = false;        ///< The stack keeps the buffer, and gives it back to the buffer source.
    bool answer_now = false;  ///< It is to be answered before the next segment is handed in: next_immediate().
    bool stranger = false;    ///< It is for nothing of this stack's, and was left unanswered: stack::leave_strangers().
    bool listens = false;     ///< Of a stranger: there is a listener at its port all the same, of which it wants nothing.
};

/// A segment to be sent.
struct stack_segment {
    four_tuple name;  ///< Local and remote, as the sender sees it.
    outgoing segment;
};

/// How a user parts from a connection.
enum class leaving : std::uint8_t {
    in_order,  ///< What was written is still sent, and the connection ends in the background.
    at_once,   ///< By a reset.
};

/// What a stack has counted. `delivered`, `time_wait`, `opened`, `cookies_sent`, `strangers` and the
/// drops add up to `segments`.
struct stack_counters {
    std::uint64_t segments = 0;   ///< Calls of receive().
    std::uint64_t delivered = 0;  ///< To connections; those that a cookie makes count, too.
    std::uint64_t time_wait = 0;  ///< For connections in TIME-WAIT.
    std::uint64_t opened = 0;     ///< SYNs that have made a connection.
    std::uint64_t cookies_sent = 0;
    std::uint64_t strangers = 0;  ///< Those that were left to the caller.
    std::array<std::uint64_t, reason_count> dropped{};  ///< Indexed by `reason`.

    std::uint64_t cookies_accepted = 0;
    std::uint64_t accepted = 0;          ///< Connections that accept() has given.
    std::uint64_t connected = 0;         ///< Calls of connect() that made a connection.
    std::uint64_t evicted = 0;           ///< Handshakes and orphans that made room.
    /// Orphans that ended before their peers had acknowledged all octets: by a reset, of the peer's or of this host's (see
    /// stack_options::orphans), or because the peer did not answer any more.
    std::uint64_t orphans_reset = 0;
    std::uint64_t orphans_timed_out = 0;
    std::uint64_t answers_lost = 0;      ///< Answers for which there was no room.
    std::uint64_t payloads_refused = 0;  ///< Segments whose octets were left to be sent again, for lack of buffers.

    /// How many segments were dropped for that reason.
    [[nodiscard]] std::uint64_t dropped_for(reason why) const noexcept { return dropped[static_cast<std::size_t>(why)]; }
};

/// Tells what paths have room for. Called on the thread of the stack, when a connection begins.
class segment_limits {
public:
    /// The most octets of data in a segment to that address, without options: the MTU less the headers of IP and TCP.
    [[nodiscard]] virtual std::uint16_t maximum_segment(const ip_address& remote) noexcept = 0;

protected:
    segment_limits() = default;
    segment_limits(const segment_limits&) = default;
    segment_limits& operator=(const segment_limits&) = default;
    ~segment_limits() = default;
};

}  // namespace fluxnet::proto::tcp
