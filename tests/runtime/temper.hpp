// SPDX-License-Identifier: BSD-3-Clause
// `temper`: the kinds of executor that a test goes through: each reactor, and virtual time.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <cstdint>
#include <optional>

namespace fluxnet::test {

enum class temper { io_uring, epoll, virtual_time };

[[nodiscard]] inline const char* name_of(temper which) noexcept {
    switch (which) {
        case temper::io_uring: return "io_uring";
        case temper::epoll: return "epoll";
        case temper::virtual_time: return "virtual time";
    }
    return "";
}

/// An executor of one temper. What is awaited there is made for it, and outlives it.
class fault_place {
public:
    /// `seed`: of virtual time.
    explicit fault_place(temper which, std::uint64_t seed = 1) {
        if (which == temper::virtual_time) {
            clock_.emplace(seed);
            loop_.emplace(*clock_);
        } else {
            loop_.emplace(idle_policy{}, which == temper::epoll ? reactor_kind::epoll : reactor_kind::io_uring);
        }
    }

    [[nodiscard]] bool in_virtual_time() const noexcept { return clock_.has_value(); }
    [[nodiscard]] executor& loop() noexcept { return *loop_; }

    /// Lets the clock move the time of a wire; in virtual time only.
    void attach(simulated_wire& wire) { clock_->attach(wire); }

    /// Destroys the executor.
    void close() noexcept { loop_.reset(); }

private:
    std::optional<virtual_clock> clock_;
    std::optional<executor> loop_;
};

}  // namespace fluxnet::test
