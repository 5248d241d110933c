// SPDX-License-Identifier: BSD-3-Clause
// How the threads of a pipeline test are told what to do, and how they wait for each other. Plain values.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace fluxnet::test {

/// Waits for another thread: first by giving way, then asleep.
class patience {
public:
    void reset() noexcept { turns_ = 0; }
    void wait() noexcept {
        if (++turns_ < 50) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }
    [[nodiscard]] bool asleep() const noexcept { return turns_ >= 50; }

private:
    std::uint32_t turns_ = 0;
};

/// What the threads of a pipeline are told from outside.
struct pipeline_orders {
    std::atomic<bool> slow = false;     // the first worker stands still, so that packets are lost
    std::atomic<bool> stop = false;     // receive no more; what is inside goes through
    std::atomic<bool> abandon = false;  // wait for nothing any more: the test has failed
};

}  // namespace fluxnet::test
