// SPDX-License-Identifier: BSD-3-Clause
// Lets ten tasks at most do something at a time, out of hundreds: a semaphore, and a scope that waits for all. For
// connections to a server that takes few, descriptors, or memory.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

using namespace fluxnet;
using namespace std::chrono_literals;

struct tally {
    int running = 0, most = 0, done = 0;
};

static task<void> request(semaphore& places, tally& counts) {
    const wait_result admitted = co_await places.acquire();
    if (admitted) { co_return; }  // cancelled, and no place was taken
    counts.most = std::max(counts.most, ++counts.running);
    static_cast<void>(co_await sleep_for(100ms));
    --counts.running;
    ++counts.done;
    places.release();
}

static task<void> request_all(semaphore& places, tally& counts) {
    scope requests;
    for (int i = 0; i < 300; ++i) { requests.spawn(request(places, counts)); }
    static_cast<void>(co_await requests.join());
}

int main() {
    semaphore places(10);
    tally counts;
    virtual_clock clock(1);
    executor loop(clock);
    loop.run(request_all(places, counts));
    std::printf("%d done in %lld ms, %d at a time\n", counts.done, 0LL + clock.elapsed() / 1ms, counts.most);
    return counts.done == 300 && counts.most == 10 && clock.elapsed() == 3s ? 0 : 1;
}
