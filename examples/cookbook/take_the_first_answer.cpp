// SPDX-License-Identifier: BSD-3-Clause
// Asks several servers at once and goes on with the first answer: when_any() cancels the others, and has ended all of them
// when it completes. For mirrors, resolvers and replicas.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace std::chrono_literals;

/// Stands for a request over a network.
static task<std::string> ask(std::string server, std::chrono::milliseconds delay, int& cancelled) {
    const wait_result slept = co_await sleep_for(delay);
    if (slept) {
        ++cancelled;
        co_return "";
    }
    co_return "answer of " + server;
}

static task<std::string> ask_all(int& cancelled) {
    std::vector<task<std::string>> requests;
    requests.push_back(ask("far", 80ms, cancelled));
    requests.push_back(ask("near", 5ms, cancelled));
    requests.push_back(ask("busy", 500ms, cancelled));
    auto first = co_await when_any(std::move(requests));
    co_return *first.values[first.index];
}

int main() {
    int cancelled = 0;
    virtual_clock clock(1);
    executor loop(clock);
    const std::string answer = loop.run(ask_all(cancelled));
    std::printf("%s after %lld ms\n", answer.c_str(), 0LL + clock.elapsed() / 1ms);
    return answer == "answer of near" && cancelled == 2 && clock.elapsed() == 5ms ? 0 : 1;
}
