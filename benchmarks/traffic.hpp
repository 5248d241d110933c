// SPDX-License-Identifier: BSD-3-Clause
// `traffic`: a simulated wire and somebody at its left end who sends bursts.
//
// Owns the wire; sockets on its right end must be gone before it. One thread. Callgrind counts what runs inside
// count_instructions() but not inside send_burst(), where the network and the kernel are played: see
// benchmarks/instructions, which names the two to it.
#pragma once

#include "benchmarks/touch.h"
#include "fluxnet/xsk/builder.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <span>

namespace benchmark {

using namespace fluxnet;

/// Ends the program: a figure of a loop that does not do its work is worth nothing.
inline void require(bool holds, const char* what) {
    if (holds) { return; }
    std::fprintf(stderr, "benchmark: %s\n", what);
    std::exit(1);
}

/// The application's part, for packets that are owned.
inline std::uint64_t touch_all(std::span<const packet> packets) {
    std::uint64_t sum = 0;
    for (const packet& one : packets) { sum += touch(one.data().data(), one.size()); }
    return sum;
}

class traffic {
public:
    static constexpr std::uint32_t batch = 64;
    static constexpr std::uint32_t large_batch = 256;
    static constexpr std::size_t packet_bytes = 64;
    static constexpr std::uint64_t warm_up =
        8;  // bursts that are not counted: they adopt frames, and fill caches of indices

    traffic(std::uint64_t bursts, std::uint32_t packets_a_burst) : bursts_(bursts), burst_(packets_a_burst) {}

    [[nodiscard]] builder receiver() { return wire_.socket_on(simulated_wire::end::right); }

    /// Calls `receive`, which is to receive bursts for as long as send_burst() is true, to warm up, and then for what
    /// counts.
    void run(const std::function<void()>& receive) {
        left_ = warm_up;
        receive();
        left_ = bursts_;
        counting_ = true;
        count(receive);
    }

    /// Lets the next burst arrive. Returns false, sending nothing, when all have.
    bool send_burst() {
        if (left_ == 0) { return false; }
        --left_;
        if (counting_) {
            pause_count();
        } else {
            send();
        }
        return true;
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
    void count(const std::function<void()>& receive);
    void pause_count();
    void send();
    void write(packet& one);

    simulated_wire wire_{{.hash_traffic = false}};
    system_sockets sender_ = wire_.socket_on(simulated_wire::end::left).build_system().value();
    const std::uint64_t bursts_;
    const std::uint32_t burst_;
    std::uint64_t left_ = 0;  // bursts
    bool counting_ = false;
    std::uint64_t paused_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t sum_ = 0;
};

}  // namespace benchmark
