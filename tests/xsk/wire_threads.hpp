// SPDX-License-Identifier: BSD-3-Clause
// Pieces of tests in which threads talk over a simulated wire: numbered packets sent, echoed and received through
// rx::wait().
//
// A socket belongs to one thread at a time; echo() lets go of it at its end.
#pragma once

#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/xsk/sim.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace fluxnet::test {

inline wire_options threaded(wire_profile both = {}) {
    wire_options options;
    options.threaded = true;
    options.to_left = options.to_right = both;
    return options;
}

inline system_sockets open(simulated_wire& wire, simulated_wire::end which) {
    builder options = wire.socket_on(which);
    options.frames(256).rx_ring(64).tx_ring(64).fill_ring(256).completion_ring(64);
    return options.build_system().value();
}

inline std::array<std::byte, 64> numbered(std::uint64_t number) {
    std::array<std::byte, 64> bytes{};
    std::memcpy(bytes.data() + 14, &number, sizeof number);
    return bytes;
}

inline std::uint64_t number_of(const packet& one) {
    std::uint64_t number = 0;
    std::memcpy(&number, one.data().data() + 14, sizeof number);
    return number;
}

/// Sends `count` packets with the numbers from `first` on; returns how many left.
inline std::uint64_t send(tx& sender, std::uint64_t first, std::uint64_t count) {
    std::array<packet, 32> burst;
    const std::uint32_t made = sender.allocate(std::span(burst).first(count));
    for (std::uint32_t i = 0; i < made; ++i) { static_cast<void>(burst[i].assign(numbered(first + i))); }
    const std::uint32_t sent = sender.try_send(std::span(burst).first(made));
    sender.flush();
    return sent;
}

/// Sends everything back, until `done` and nothing more comes.
inline void echo(system_sockets& sockets, const std::atomic<bool>& done) {
    std::array<packet, 32> burst;
    while (sockets.rx.wait(std::chrono::milliseconds(5)) || !done) {
        const std::uint32_t count = sockets.rx.try_recv(burst);
        for (std::uint32_t sent = 0; sent < count;) {
            sent += sockets.tx.try_send(std::span(burst).subspan(sent, count - sent));
            sockets.tx.flush();
        }
    }
    sockets.tx.drain(std::chrono::milliseconds(100));
    sockets.rx.release();
    sockets.tx.release();
}

/// Waits for `count` packets; counts those that are out of order.
struct receiver {
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;
    bool stalled = false;  // a wait of seconds in vain

    void take(rx& from, std::uint64_t count) {
        std::array<packet, 32> burst;
        for (const std::uint64_t until = received + count; received < until && !stalled;) {
            stalled = !from.wait(std::chrono::seconds(5));
            const std::uint32_t got = from.try_recv(burst);
            for (packet& one : std::span(burst).first(got)) {
                wrong += number_of(one) == received ? 0U : 1U;
                ++received;
                one.reset();
            }
        }
    }
};

inline void check_whole(system_sockets& sockets) {
    CHECK(sockets.tx.drain(std::chrono::seconds(1)));
    sockets.rx.refill();
    check_census(sockets.rx.pool());
}

}  // namespace fluxnet::test
