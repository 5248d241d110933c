// SPDX-License-Identifier: BSD-3-Clause
// `virtual_clock`: time that passes only when nobody has anything to do, and the order in which coroutines are woken, both
// drawn from a seed: a run on simulated wires that takes no real time and that its seed replays exactly.
//
// Made before the one executor that goes by it, and before the sockets there; must outlive them, and the wires attached to
// it must outlive its last use. One thread for all of them. An executor is put on it by `executor loop(clock)`: its
// coroutines, timers, channels and handles are the same as ever. Time stands still while anything is ready; then it jumps to
// the next timer or the next arrival on a wire, whichever is earlier. When there is neither, nothing can ever happen again,
// and run() throws errc::deadlock with a list of what is awaited.
//
// Coroutines that are ready at the same time resume in an order that the seed decides, at every single resumption. Timers
// that are due together become ready in the order in which they were set, and packets that arrive with them just before. Two
// runs of one program with the same seed are the same on every machine and with every compiler, as long as the program
// itself takes no addresses, real times or the like into account; digest() proves it.
//
// What the world outside decides is refused: descriptors of the kernel (readable(), signals, sockets on real interfaces) and
// posts from other threads end with errc::not_in_virtual_time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/clock.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace fluxnet {

/// Who of those that are ready is resumed next.
enum class wake_order : std::uint8_t {
    seeded,  ///< Anyone, as the seed has it.
    fifo,    ///< The first that became ready, as in real time.
};

class FLUXNET_EXPORT virtual_clock final : public executor_clock {
public:
    /// The time at which every virtual clock starts.
    static constexpr time_point start{std::chrono::seconds(1'000'000)};

    /// Begins at `start`. `seed`: what the order is drawn from.
    explicit virtual_clock(std::uint64_t seed, wake_order order = wake_order::seeded)
        : executor_clock(start), order_(order), random_(seed) {}

    /// Lets the clock move a wire's time; the wire's present time is now. A wire that is not attached to a clock delivers
    /// only what takes no time. Not for threaded wires. Allocates.
    void attach(simulated_wire& wire) { wires_.push_back({&wire, now_ - wire.now()}); }

    /// How many times something that was ready has been resumed.
    [[nodiscard]] std::uint64_t resumptions() const noexcept { return resumptions_; }

    /// A hash over the schedule so far, that is the time and the choice of every resumption, and the digests of the
    /// attached wires. Two runs with equal digests went the same way.
    [[nodiscard]] std::uint64_t digest() const noexcept;

private:
    struct attached_wire {
        simulated_wire* wire;
        time_point origin;  // when the wire's time was 0
    };

    [[nodiscard]] std::unique_ptr<reactor> make_reactor() override;
    [[nodiscard]] ready_node& take_next(ready_queue& ready) noexcept override;

    /// Jumps to the next event and lets packets arrive that are due then.
    [[nodiscard]] bool advance(std::optional<time_point> timer) noexcept override;

    const wake_order order_;
    std::mt19937_64 random_;  // whose numbers, unlike those of distributions, are the same everywhere
    std::vector<attached_wire> wires_;
    std::uint64_t resumptions_ = 0;
    std::uint64_t schedule_ = 0;  // the hash over all resumptions
};

}  // namespace fluxnet
