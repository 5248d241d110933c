// SPDX-License-Identifier: BSD-3-Clause
// `traffic`: a simulated wire, somebody at its left end who sends bursts, and the switch that counts instructions.
//
// Owns the wire; sockets on its right end must be gone before it. One thread. Under callgrind, started with
// --collect-atstart=no, instructions count only from begin_counting() to stop_counting(): the receiver's own. What stands
// for the network and for the kernel runs in between, uncounted.
#pragma once

#include "benchmarks/touch.h"
#include "xsk/builder.hpp"
#include "xsk/simulated_wire.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include <valgrind/callgrind.h>

namespace benchmark {

using namespace fluxnet;

/// Ends the program: a figure of a loop that does not do its work is worth nothing.
inline void require(bool holds, const char* what) {
    if (holds) { return; }
    std::fprintf(stderr, "benchmark: %s\n", what);
    std::exit(1);
}

class traffic {
public:
    static constexpr std::uint32_t batch = 64;
    static constexpr std::size_t packet_bytes = 64;
    static constexpr std::uint64_t warm_up = 8;  // bursts that are not counted

    traffic(std::uint64_t bursts, std::uint32_t packets_a_burst) : bursts_(bursts), burst_(packets_a_burst) {}

    [[nodiscard]] builder receiver() { return wire_.socket_on(simulated_wire::end::right); }

    /// Lets the next burst arrive. Returns false, sending nothing, when all have.
    bool send_burst() {
        if (sent_bursts_ == warm_up + bursts_) { return false; }
        ++sent_bursts_;
        std::array<packet, batch> packets;
        for (std::uint32_t left = burst_; left != 0;) {
            const std::uint32_t count = sender_.tx.allocate(std::span(packets).first(std::min(left, batch)));
            require(count != 0, "the sender is out of frames");
            for (packet& one : std::span(packets).first(count)) { write(one); }
            require(sender_.tx.try_send(std::span(packets).first(count)) == count, "the sender has no credit");
            sender_.tx.flush();
            left -= count;
        }
        return true;
    }

    /// To be called in pairs; do nothing during the first bursts, which fill caches of indices and adopt frames.
    void begin_counting() noexcept {
        if (sent_bursts_ > warm_up) { CALLGRIND_TOGGLE_COLLECT; }
    }
    void stop_counting() noexcept {
        if (sent_bursts_ > warm_up) { CALLGRIND_TOGGLE_COLLECT; }
    }

    [[nodiscard]] std::uint32_t burst() const noexcept { return burst_; }
    [[nodiscard]] std::uint64_t counted_packets() const noexcept { return bursts_ * burst_; }

    /// Ends the program unless everything sent was received, and `sum` is what touch() finds in it.
    void check(std::uint64_t received, std::uint64_t sum) const {
        require(wire_.counts(simulated_wire::end::left).delivered == (warm_up + bursts_) * burst_, "packets were dropped");
        require(received == (warm_up + bursts_) * burst_, "packets were not received");
        require(sum == sum_, "packets were not read");
    }

private:
    void write(packet& one) {
        std::array<std::byte, packet_bytes> bytes{};
        bytes[12] = std::byte{0x88};
        bytes[13] = std::byte{0xb5};  // local experimental
        bytes[14] = static_cast<std::byte>(written_++ * 7);
        require(one.assign(bytes), "a packet does not fit");
        sum_ += touch(bytes.data(), bytes.size());
    }

    simulated_wire wire_{{.hash_traffic = false}};
    system_sockets sender_ = wire_.socket_on(simulated_wire::end::left).build_system().value();
    const std::uint64_t bursts_;
    const std::uint32_t burst_;
    std::uint64_t sent_bursts_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t sum_ = 0;
};

}  // namespace benchmark
