// SPDX-License-Identifier: BSD-3-Clause
// `far_side`: the other end of the wire: sends the packets of every flow in order, and checks what comes back: the order
// within each flow, the checksum, and that each packet's treatment was the one that its number asks for.
//
// Owned by a test case and used on one thread. Allocates when it is made.
#pragma once

#include "fluxnet/xsk/builder.hpp"
#include "tests/e2e/pipeline_packet.hpp"

#include <array>
#include <cstdint>
#include <system_error>
#include <utility>

namespace fluxnet::test {

/// What was wrong with packets that came back.
struct far_faults {
    std::uint64_t damaged = 0;       ///< Not as they were sealed.
    std::uint64_t out_of_order = 0;  ///< Not behind the last one of their flow.
    std::uint64_t undropped = 0;     ///< Should have ended in a worker, or were never sent.
    std::uint64_t misshapen = 0;     ///< Of another size than their treatment gives.

    friend bool operator==(const far_faults&, const far_faults&) = default;
};

class far_side {
public:
    explicit far_side(system_sockets sockets) : sockets_(std::move(sockets)) {}

    /// Sends up to `wanted` packets, at most a batch, and returns how many. The flows take turns as the dice say.
    std::uint32_t send(std::uint32_t wanted) noexcept;

    /// Receives and checks a batch, and returns how many came.
    std::uint32_t check() noexcept;

    /// Hands on what was queued, and takes back the frames of what has left.
    void collect() noexcept {
        sockets_.tx.flush();
        sockets_.rx.refill();
    }

    /// Ends the thread's ownership after everything that was sent has left.
    bool finish() noexcept;

    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
    [[nodiscard]] std::uint64_t received_resized() const noexcept { return received_resized_; }
    [[nodiscard]] const far_faults& faults() const noexcept { return faults_; }
    [[nodiscard]] std::error_code failure() const noexcept;

    /// Packets that the socket counts as lost before they were received, or dropped while it sent (one getsockopt).
    [[nodiscard]] std::uint64_t lost_at_socket() const noexcept;

    [[nodiscard]] frame_pool& pool() const noexcept { return sockets_.rx.pool(); }

private:
    static constexpr std::uint32_t batch = 64;

    struct flow {
        std::uint64_t sent = 0;      // the last number that was given
        std::uint64_t received = 0;  // the last number that came back
    };

    void check_one(const packet& one) noexcept;

    system_sockets sockets_;
    std::array<flow, flow_count> flows_;
    std::array<packet, batch> out_;  // [out_first_, out_count_) are written and wait for credit
    std::uint32_t out_first_ = 0;
    std::uint32_t out_count_ = 0;
    std::uint64_t written_ = 0;  // >= sent_
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t received_resized_ = 0;
    far_faults faults_;
};

}  // namespace fluxnet::test
