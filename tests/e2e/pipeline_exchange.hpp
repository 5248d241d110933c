// SPDX-License-Identifier: BSD-3-Clause
// `exchange`: drives packets from a far_side through a pipeline and back until every one of them is accounted for:
//   sent == received + ended inside the pipeline + lost on the way, for a reason that somebody counted.
// Most packets travel under a window, which nothing overruns; at the end of each slice some are offered as fast as they can
// be made while one worker stands still, so that rings and frames run out.
//
// Owned by a test case and used on its thread. run() allocates nothing; its result is checked afterwards.
#pragma once

#include "tests/e2e/pipeline_far_side.hpp"
#include "tests/e2e/pipeline_middle.hpp"
#include "tests/e2e/pipeline_orders.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

namespace fluxnet::test {

struct traffic {
    std::uint64_t packets = 0;
    std::uint64_t slice = 0;     ///< Packets between two moments in which nothing is under way.
    std::uint64_t overload = 0;  ///< Of each slice: offered without a window.
    std::uint64_t window = 1024;
};

struct exchange_outcome {
    bool settled = false;  ///< Every packet was accounted for before the patience ended.
    std::uint64_t lost = 0;
    std::uint64_t lost_in_window = 0;  ///< Of these, while the window was kept.
    std::uint64_t allocations = 0;     ///< After the first slice, in those that were not disturbed; of the whole process.
    std::uint64_t maps = 0;            ///< Likewise.
    std::uint64_t slices = 0;
    std::uint64_t counted_slices = 0;         ///< In which they were counted.
    std::uint64_t disturbed_allocations = 0;  ///< In the others, but for the first.
    std::uint64_t overloaded_slices = 0;      ///< In which packets were lost.
    double seconds = 0;
};

class exchange {
public:
    /// `lost` returns how many packets are known to be lost on the way, in both directions. Any of its calls may be late,
    /// but no packet may be missing for ever.
    exchange(far_side& far, pipeline_middle& through, std::function<std::uint64_t()> lost)
        : far_(far), through_(through), lost_now_(std::move(lost)) {}

    exchange_outcome run(const traffic& plan);

    /// Prints what happened in one line.
    void report(const char* where, const exchange_outcome& outcome) const;

private:
    using clock = std::chrono::steady_clock;

    static constexpr std::uint64_t no_window = ~std::uint64_t{0};

    /// Packets under way.
    [[nodiscard]] std::uint64_t outstanding() const noexcept {
        return far_.sent() - far_.received() - through_.ended_inside() - lost_;
    }

    bool offer(std::uint64_t until, std::uint64_t window);
    bool settle();
    bool wait(patience& idle, clock::time_point& last_progress);

    far_side& far_;
    pipeline_middle& through_;
    std::function<std::uint64_t()> lost_now_;
    std::uint64_t lost_ = 0;
};

}  // namespace fluxnet::test
