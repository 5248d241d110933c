// SPDX-License-Identifier: BSD-3-Clause
// How fast one connection is on a line of 1 Gbit/s, in virtual time.
#include "tests/proto/tcp/pair.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace test;

namespace {

/// Octets in a second, over the second half of `length`.
double rate(pair& wire, std::chrono::nanoseconds length) {
    wire.connect();
    std::size_t at_half = 0;
    wire.a.to_write = pattern(700'000'000);
    const auto stop = wire.now + length;
    const auto half = wire.now + length / 2;
    time_point counted_from{};
    auto said = wire.now;
    while (wire.now < stop && wire.step()) {
        if (std::getenv("SAY") && wire.now >= said) { said = wire.now + std::chrono::milliseconds(std::atoi(std::getenv("SAY"))); auto i = wire.a.c->info(); std::printf("%ld ms cwnd %lu ssthresh %lu flight %u srtt %ld us lost %u resent %u rec %u\n", long((wire.now-pair::begin)/1ms), i.congestion_window, i.slow_start_threshold, i.in_flight, long(i.smoothed_rtt/1us), i.lost, i.resent, i.fast_recoveries); }
        if (wire.now >= half && at_half == 0) {
            at_half = wire.b.received.size();
            counted_from = wire.now;
        }
        if (wire.b.received.size() == wire.a.to_write.size()) { break; }
    }
    return static_cast<double>(wire.b.received.size() - at_half) / std::chrono::duration<double>(wire.now - counted_from).count();
}

}  // namespace

TEST_CASE("a line of 1 Gbit/s is filled to 0.9, or as far as the buffer allows, at every round trip and buffer") {
    for (const std::chrono::nanoseconds rtt : {1ms, 10ms, 100ms}) {
        double best = 0;
        if (std::getenv("RTT") && std::atoi(std::getenv("RTT")) != rtt / 1ms) { continue; }
        for (std::uint32_t size = 16 * 1024; size <= 16 * 1024 * 1024; size *= 4) {
            if (std::getenv("SIZE") && std::atoi(std::getenv("SIZE")) != int(size / 1024)) { continue; }
            tcp::connection_options options;
            options.send_limit = options.receive_limit = size;
            pair wire(1, options, options);
            wire.a.out.delay = wire.b.out.delay = rtt / 2;
            wire.a.out.bits_per_second = wire.b.out.bits_per_second = 1'000'000'000;
            wire.a.out.queue = wire.b.out.queue = 16 * 1024 * 1024;
            const double line = 1e9 / 8 * 1448 / (1448 + 32 + 20 + 38);
            const double bound = std::min(line, size / std::chrono::duration<double>(rtt).count());
            const double got = rate(wire, std::max<std::chrono::nanoseconds>(400ms, 60 * rtt));
            std::printf("rtt %ld ms buffer %u KiB: %.1f of %.1f MB/s = %.3f; %s\n", long(rtt/1ms), size / 1024, got / 1e6, bound / 1e6, got / bound, wire.describe().c_str());
            best = std::max(best, got);
            CHECK(got >= 0.9 * bound);
            CHECK(got >= 0.95 * best);
        }
    }
}
