// SPDX-License-Identifier: BSD-3-Clause
// Does something every second beside other work, without drifting: sleep_until() a time that is counted on from the start,
// and not sleep_for() after work that takes time itself. As a task in the background it does not keep run() from returning.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdio>

using namespace fluxnet;
using namespace std::chrono_literals;

static task<void> report_every_second(int& reports) {
    auto next = executor::current()->now();
    for (;;) {
        next += 1s;
        const wait_result slept = co_await sleep_until(next);
        if (slept) { co_return; }                      // cancelled
        static_cast<void>(co_await sleep_for(200ms));  // the report takes a while
        ++reports;
    }
}

static task<void> main_work() {
    static_cast<void>(co_await sleep_for(60'500ms));
}

int main() {
    int reports = 0;
    virtual_clock clock(1);
    executor loop(clock);  // in real time: executor loop;
    loop.spawn_background(report_every_second(reports));
    loop.run(main_work());
    std::printf("%d reports in %lld s\n", reports, 0LL + clock.elapsed() / 1s);
    return reports == 60 ? 0 : 1;
}
