// SPDX-License-Identifier: BSD-3-Clause
// Back-pressure: a bounded channel between a fast sender and a slow receiver. The sender waits while the channel is full, so
// that memory stays bounded and nothing is lost here; where waiting is worse than loss, try_send() drops what is too much.
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sync/channel.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <span>

using namespace fluxnet;
using namespace std::chrono_literals;

static task<std::size_t> produce(channel<int>& to) {
    std::size_t most = 0;
    for (int i = 0; i < 100; ++i) {
        const io_result sent = co_await to.send(i);  // waits: back-pressure
        if (sent.ec) { break; }
        most = std::max(most, to.size());
    }
    to.close();
    co_return most;
}

static task<std::size_t> consume(channel<int>& from) {
    std::size_t received = 0;
    for (int value = 0;;) {
        const io_result got = co_await from.recv(value);
        if (got.ec) { co_return received; }
        ++received;
        static_cast<void>(co_await sleep_for(10ms));  // slow
    }
}

/// Drops what the receiver has no room for.
static task<std::size_t> produce_or_drop(channel<int>& to) {
    std::size_t dropped = 0;
    for (int i = 0; i < 100; ++i) {
        if (to.try_send(std::span(&i, 1)) == 0) { ++dropped; }
        static_cast<void>(co_await sleep_for(1ms));
    }
    to.close();
    co_return dropped;
}

int main() {
    channel<int> waiting(8), dropping(8);
    virtual_clock clock(1);
    executor loop(clock);
    const auto [most, received] = loop.run(when_all(produce(waiting), consume(waiting)));
    std::printf("%zu values, at most %zu at once, in %lld ms\n", received, most, 0LL + clock.elapsed() / 1ms);
    const auto [dropped, kept] = loop.run(when_all(produce_or_drop(dropping), consume(dropping)));
    std::printf("%zu values, %zu dropped\n", kept, dropped);
    return received == 100 && most <= waiting.capacity() && dropped != 0 && dropped + kept == 100 ? 0 : 1;
}
