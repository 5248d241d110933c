// SPDX-License-Identifier: BSD-3-Clause
// `pipeline_middle`: what an exchange needs to know of the pipeline that it sends its packets through, whatever that is made
// of.
//
// Owned by a test case. Functions without a word about threads are called on its thread.
#pragma once

#include "fluxnet/xsk/rx.hpp"
#include "fluxnet/xsk/tx.hpp"
#include "tests/e2e/pipeline_treatment.hpp"

#include <cstdint>

namespace fluxnet::test {

class pipeline_middle {
public:
    virtual void start() = 0;

    /// Lets what is inside go through, waits for that, and ends the threads. The handles can be looked at then.
    virtual void finish() = 0;

    /// Told between two slices, the next of which has this number; true when the pipeline is to be disturbed during that
    /// slice by something that allocates.
    virtual bool begin_slice(std::uint64_t) { return false; }

    /// Lets one worker stand still, so that packets are lost for want of frames and ring entries, however busy the machine is.
    virtual void set_slow(bool slow) noexcept = 0;

    /// Waits for nothing any more: packets that cannot go on are dropped.
    virtual void abandon() noexcept = 0;

    // Counters, for any thread:

    /// Packets that ended inside: dropped by workers, damaged, refused by the tx or dropped by the kernel while it sent. One
    /// that was counted has given its frame back.
    [[nodiscard]] virtual std::uint64_t ended_inside() const noexcept = 0;

    /// Packets that the socket has counted as lost before they were received.
    [[nodiscard]] virtual std::uint64_t lost_at_socket() const noexcept = 0;

    [[nodiscard]] virtual std::uint64_t received() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t refused() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t sent() const noexcept = 0;

    /// Over all workers.
    [[nodiscard]] virtual std::uint64_t total(fluxnet::detail::counter flow_treatment::*what) const noexcept = 0;

    /// The handles, for their observers; while no thread runs.
    [[nodiscard]] virtual rx& receiver() noexcept = 0;
    [[nodiscard]] virtual tx& sender() noexcept = 0;

protected:
    ~pipeline_middle() = default;
};

}  // namespace fluxnet::test
