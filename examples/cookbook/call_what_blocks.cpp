// SPDX-License-Identifier: BSD-3-Clause
// Calls a function that blocks (a library without asynchronous calls, a long computation) while coroutines go on: offload()
// runs it on a thread of the executor's pool, and gives its value.
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sockets/offload.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace std::chrono_literals;

static task<std::uint64_t> compute(std::thread::id loop_thread) {
    const auto work = [loop_thread] {  // made before the co_await, see the README's rules for g++ 12
        std::vector<std::uint64_t> numbers(1'000'000);
        std::iota(numbers.begin(), numbers.end(), std::uint64_t{1});
        if (std::this_thread::get_id() == loop_thread) { return std::uint64_t{0}; }
        return std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0});
    };
    const result<std::uint64_t> sum = co_await offload(work);
    co_return sum ? *sum : 0;  // no value: cancelled before it began
}

/// What goes on meanwhile.
static task<int> tick() {
    int ticks = 0;
    for (; ticks < 5; ++ticks) { static_cast<void>(co_await sleep_for(1ms)); }
    co_return ticks;
}

int main() {
    executor loop;
    const auto [sum, ticks] = loop.run(when_all(compute(std::this_thread::get_id()), tick()));
    std::printf("%llu, and %d ticks\n", 0ULL + sum, ticks);
    return sum == 500'000'500'000 && ticks == 5 ? 0 : 1;
}
