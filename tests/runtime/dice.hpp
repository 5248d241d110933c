// SPDX-License-Identifier: BSD-3-Clause
// `dice`: the choices of a workload in virtual time, all of which its seed decides.
//
// A value with a state, used by one thread at a time. The same seed and the same calls give the same choices on every
// machine and with every compiler.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

namespace fluxnet::test {

class dice {
public:
    static constexpr std::chrono::nanoseconds tick = std::chrono::microseconds(250);

    explicit dice(std::uint64_t seed) : engine_(seed) {}
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept { return engine_() % bound; }
    [[nodiscard]] bool one_in(std::uint64_t sides) noexcept { return below(sides) == 0; }
    /// Whole ticks from one up to, and not including, another: many things shall happen at the same time.
    [[nodiscard]] std::chrono::nanoseconds ticks(std::uint64_t from, std::uint64_t to) noexcept {
        return tick * static_cast<std::int64_t>(from + below(to - from));
    }

private:
    std::mt19937_64 engine_;
};

}  // namespace fluxnet::test
