// SPDX-License-Identifier: BSD-3-Clause
// examples/load_balancer_system as a child: how it starts and ends.
#pragma once

#include "tests/e2e/number_in.hpp"
#include "tests/support/process.hpp"

#include <chrono>
#include <stdexcept>
#include <string>

namespace fluxnet::test {

/// Waits until a balancer that was just started forwards packets. Throws, with what it wrote, when it does not.
inline void wait_until_balancing(process& child) {
    if (!child.read_until("balancing ", std::chrono::seconds(10))) {
        throw std::runtime_error("load_balancer_system did not start: " + child.output());
    }
}

/// Stops it as a user would and returns what it printed. Throws when it does not end well.
inline std::string stop_balancer(process& child, int signal) {
    child.signal(signal);
    const auto ended = child.wait(std::chrono::seconds(10));
    if (!ended || !ended->success()) {
        throw std::runtime_error("load_balancer_system did not end well: " + child.output());
    }
    return child.output();
}

/// Tells whether every packet and every frame of a run is accounted for.
inline bool accounts_balance(const std::string& output) {
    const auto count = [&](const char* name) { return number_in(output, "summary:", name); };
    const auto frames = [&](const char* name) { return number_in(output, "census:", name); };
    const long long lost_behind = count("egress_queue_full") + count("unsent");
    return count("rx") == count("tx") + count("refused") + count("worker_queue_full") + lost_behind &&
           count("forwarded") + count("answered") == count("tx") + lost_behind &&
           output.find(" exact\n", output.rfind("census:")) != std::string::npos && frames("frames") > 0 &&
           frames("sum") == frames("frames") && frames("user") == 0 && frames("tx") == 0;
}

}  // namespace fluxnet::test
