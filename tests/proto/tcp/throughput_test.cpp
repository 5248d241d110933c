// SPDX-License-Identifier: BSD-3-Clause
// How fast one connection is on a line of 1 Gbit/s, in virtual time. Nothing here depends on how fast the machine is.
#include "tests/proto/tcp/pair.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

using namespace tcp_test;

namespace {

constexpr double line_octets = 1e9 / 8;
constexpr double added = 20 + 38;  // by IP and Ethernet, to each segment

/// A sender that always has data, on lines of 1 Gbit/s with a queue that loses nothing.
struct bulk {
    bulk(std::chrono::nanoseconds rtt, std::uint32_t buffer) : wire(1, of(buffer), of(buffer)) {
        for (end* one : {&wire.a, &wire.b}) {
            one->out.delay = rtt / 2;
            one->out.bits_per_second = 1'000'000'000;
            one->out.queue = 64 * 1024 * 1024;
        }
        wire.a.endless = true;
        wire.b.only_counts = true;
        wire.connect();
    }

    static tcp::connection_options of(std::uint32_t buffer) {
        tcp::connection_options options;
        options.send_limit = options.receive_limit = buffer;
        return options;
    }

    /// Octets that arrive in a second, once `settling` is over.
    double rate(std::chrono::nanoseconds settling, std::chrono::nanoseconds length) {
        wire.run_for(settling);
        const std::uint64_t before = wire.b.counted;
        wire.run_for(length);
        return static_cast<double>(wire.b.counted - before) / std::chrono::duration<double>(length).count();
    }

    tcp_test::pair wire;
};

}  // namespace

TEST_CASE("tcp 8: one connection fills a line of 1 Gbit/s to 0.9, or as far as its buffers allow, at 1, 10 and 100 ms") {
    for (const std::chrono::nanoseconds rtt : {1ms, 10ms, 100ms}) {
        if (rtt == 100ms && fluxnet::test::sanitized) { continue; }
        double best = 0;
        for (const std::uint32_t buffer : {16U << 10, 64U << 10, 256U << 10, 1U << 20, 4U << 20, 16U << 20}) {
            const bool between = buffer == 64U << 10 || buffer == 1U << 20 || buffer == 4U << 20;
            if (between && !fluxnet::test::full_scale()) { continue; }
            CAPTURE(rtt.count());
            CAPTURE(buffer);
            bulk flow(rtt, buffer);
            // The last segment of a buffer arrives later than the first by the time that the line needs for it.
            const double turn = std::chrono::duration<double>(rtt).count() + buffer / line_octets;
            const double line = line_octets * 1448 / (1448 + 32 + added);
            const double bound = std::min(line, buffer / turn);
            const double got = flow.rate(std::max<std::chrono::nanoseconds>(16 * rtt, 250ms), std::max<std::chrono::nanoseconds>(4 * rtt, 50ms));
            CHECK(got >= 0.9 * bound);
            CHECK(got >= 0.95 * best);
            CHECK(flow.wire.a.c->info().resent == 0);
            best = std::max(best, got);
        }
    }
}
