// SPDX-License-Identifier: BSD-3-Clause
// `server`: a stack with a listener. `client`: a stranger that goes through a handshake with it by hand.
#pragma once

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>

namespace stacks {

inline constexpr std::array<std::uint32_t, 3> client_numbers{0xffff'ffff, 0x7fff'ffff, 0xffff'fffe};

/// A server with a listener on port 80.
struct server {
    explicit server(tcp::stack_options options = small_options(), std::uint32_t backlog = 16, std::uint32_t syn_queue = 16)
        : at(b_address, options, 2, now), door(*at.stack.listen({.port = 80, .backlog = backlog, .syn_queue = syn_queue})) {}

    /// No connection, buffer or handshake is left once everything that is waited for has come.
    void expect_nothing_left() {
        stranger any(at, now);
        (void)any.heard();
        for (int i = 0; at.stack.deadline(); ++i) {
            REQUIRE(i < 100'000);
            now = std::max(now, *at.stack.deadline());
            at.stack.advance(now);
            (void)any.heard();
        }
        at.expect_nothing_left();
    }

    time_point now = start;
    host at;
    tcp::listener_handle door;
};

/// A client by hand.
struct client : stranger {
    client(server& to, std::uint16_t own_port, std::uint32_t first, bool with_times = true)
        : stranger(to.at, to.now, a_address, own_port), number(first), times_used(with_times) {}

    void say_syn() { say(plain(number, 0, flag::syn, syn_options(times_used, clock++))); }
    /// Takes the SYN-ACK that the server has sent.
    void take(const tcp::outgoing& answer) {
        CHECK(answer.flags == (flag::syn | flag::ack));
        CHECK(answer.acknowledgment.value() == number + 1);
        CHECK(answer.options.timestamps == times_used);
        theirs = answer.sequence.value() + 1;
        echo = answer.options.timestamp;
    }
    proto::tcp_options now_options() { return times_used ? times(clock++, echo) : proto::tcp_options{}; }
    tcp::arrival say_ack(std::uint8_t more = 0) {
        return say(plain(number + 1, theirs, static_cast<std::uint8_t>(flag::ack | more), now_options()));
    }
    tcp::arrival say_data(std::size_t count) {
        return say(plain(number + 1, theirs, flag::ack | flag::psh, now_options()), octets(count, port));
    }
    void connect() {
        say_syn();
        take(answer());
        say_ack();
    }

    std::uint32_t number;
    bool times_used;
    std::uint32_t theirs = 0;
    std::uint32_t clock = 500;
    std::uint32_t echo = 0;
};

/// Fills the queue of handshakes with a strange one, so that the next SYN gets a cookie.
inline void fill_queue(server& of, client& with) {
    with.say_syn();
    with.take(with.answer());
    REQUIRE(of.at.stack.embryonic() == 1);
}

}  // namespace stacks
