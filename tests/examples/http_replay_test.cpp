// SPDX-License-Identifier: BSD-3-Clause
#include "tests/examples/http_workload.hpp"

#include "tests/runtime/leaves_nothing.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <set>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("a thousand seeds of HTTP clients, cancels and closes get whole answers and replay") {
    const std::uint64_t seeds = rounds(1000, 40);
    http_outcome sum;
    std::set<std::uint64_t> digests;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const http_outcome once = http_workload(seed);
        const http_outcome again = http_workload(seed);
        CAPTURE(seed);
        CAPTURE(once.problems);
        CHECK(once.ok());
        CHECK(once.digest == again.digest);
        CHECK(once.elapsed == again.elapsed);
        CHECK(once.answers == again.answers);
        digests.insert(once.digest);
        sum.sessions += once.sessions;
        sum.completed += once.completed;
        sum.broken += once.broken;
        sum.cancels += once.cancels;
        sum.refused += once.refused;
        sum.answers += once.answers;
        sum.written += once.written;
        sum.halves += once.halves;
        sum.late += once.late;
        sum.dismissed += once.dismissed;
        sum.packets += once.packets;
    }
    std::printf(
        "%llu seeds: %llu sessions, %llu completed, %llu broken (%llu in an answer), %llu cancelled, %llu refused, "
        "%llu answers of %llu written, %llu late, %llu dismissed, %llu packets\n",
        0ULL + seeds, 0ULL + sum.sessions, 0ULL + sum.completed, 0ULL + sum.broken, 0ULL + sum.halves, 0ULL + sum.cancels,
        0ULL + sum.refused, 0ULL + sum.answers, 0ULL + sum.written, 0ULL + sum.late, 0ULL + sum.dismissed,
        0ULL + sum.packets);
    CHECK(digests.size() == seeds);
    CHECK(sum.completed > seeds * 5);
    CHECK(sum.broken > seeds);
    CHECK(sum.cancels > seeds);
    CHECK(sum.refused > seeds);
    CHECK(sum.halves > 0);
    CHECK(sum.late > 0);
    CHECK(sum.dismissed > 0);
    CHECK(sum.packets > seeds);
}

TEST_CASE("clients that come and go leave no memory with the HTTP server") {
    for (const std::uint64_t seed : {3U, 4U, 5U, 6U}) {
        leaves_nothing([seed](std::uint64_t) { CHECK(http_workload(seed).ok()); });
    }
}

TEST_CASE("another order of wake-ups is another run of the same HTTP clients") {
    CHECK(http_workload(1, wake_order::fifo).ok());
    CHECK(http_workload(1, wake_order::fifo).digest != http_workload(1).digest);
}
