// SPDX-License-Identifier: BSD-3-Clause
// What tests of very many connections of a host's share: a message that comes back, and what hosts hold at a moment.
//
// The functions are used on the thread of the hosts' executor.
#pragma once

#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/xsk/memory/umem.hpp"

#include <malloc.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <system_error>

namespace fluxnet::test {

using few_octets = std::array<std::byte, sizeof(std::uint64_t)>;

[[nodiscard]] inline few_octets octets_of(std::uint64_t number) noexcept {
    few_octets made;
    std::memcpy(made.data(), &number, sizeof number);
    return made;
}
[[nodiscard]] inline std::uint64_t number_in(const few_octets& octets) noexcept {
    std::uint64_t number = 0;
    std::memcpy(&number, octets.data(), sizeof number);
    return number;
}

/// Reads as many; tells how it ended before.
inline task<std::error_code> read_few(host::tcp_stream& from, few_octets& into) {
    for (std::size_t at = 0; at != into.size();) {
        const io_result got = co_await from.read(std::span(into).subspan(at));
        if (got.ec) { co_return got.ec; }
        at += got.n;
    }
    co_return std::error_code();
}

/// Sends a number; tells whether it has come back.
inline task<bool> number_comes_back(host::tcp_stream& peer, std::uint64_t number) {
    const few_octets asked = octets_of(number);
    const io_result sent = co_await peer.write(asked);
    few_octets answered{};
    const std::error_code ended = co_await read_few(peer, answered);
    co_return !sent.ec && !ended && answered == asked;
}

/// Receives a number and sends it back; 0 when none has come.
inline task<std::uint64_t> send_number_back(host::tcp_stream& peer) {
    few_octets asked{};
    const std::error_code ended = co_await read_few(peer, asked);
    if (ended) { co_return 0; }
    const io_result sent = co_await peer.write(asked);
    co_return sent.ec ? 0 : number_in(asked);
}

/// Sends numbers back until the stream ends.
inline task<void> echo_numbers(host::tcp_stream peer) {
    for (;;) {
        const std::uint64_t number = co_await send_number_back(peer);
        if (number == 0) { co_return; }
    }
}

/// What a host's TCP has for connections at a moment.
struct tcp_holdings {
    explicit tcp_holdings(const host::ip_host& of) noexcept
        : connections(of.tcp()->connections()), handshakes(of.tcp()->embryonic()), orphans(of.tcp()->orphans()),
          waiting(of.tcp()->waiting()), buffers(of.tcp()->buffers()), ranges(of.tcp()->ranges()) {}

    [[nodiscard]] std::size_t sum() const noexcept {
        return connections + handshakes + orphans + waiting + buffers + ranges;
    }

    std::size_t connections;
    std::size_t handshakes;
    std::size_t orphans;
    std::size_t waiting;
    std::size_t buffers;
    std::size_t ranges;
};

/// The frames that have left the socket's own hands.
[[nodiscard]] inline std::int64_t frames_in_use(const umem& memory) {
    const frame_census census = memory.pool().census();
    return census.exact && census.sum() == census.frames ? census.user + census.tx : -1;
}

/// What the C library's heap has given out.
[[nodiscard]] inline std::size_t heap_octets() noexcept {
    const struct mallinfo2 heap = ::mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

}  // namespace fluxnet::test
