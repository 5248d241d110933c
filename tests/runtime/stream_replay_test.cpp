// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/stream_workload.hpp"

#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <set>
#include <string>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("a thousand seeds of streams, cancels and closes lose nothing and replay") {
    const std::uint64_t seeds = rounds(1000, 20);
    stream_outcome sum;
    std::set<std::uint64_t> digests;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const stream_outcome once = stream_workload(seed);
        const stream_outcome again = stream_workload(seed);
        CAPTURE(seed);
        CAPTURE(once.problems);
        CHECK(once.ok());
        CHECK(once.digest == again.digest);
        CHECK(once.elapsed == again.elapsed);
        CHECK(once.bytes == again.bytes);
        digests.insert(once.digest);
        sum.sessions += once.sessions;
        sum.completed += once.completed;
        sum.broken += once.broken;
        sum.cancels += once.cancels;
        sum.expired += once.expired;
        sum.refused += once.refused;
        sum.bytes += once.bytes;
    }
    std::printf(
        "%llu seeds: %llu sessions, %llu completed, %llu broken, %llu cancelled, %llu time limits, %llu refused, %llu "
        "bytes\n",
        0ULL + seeds, 0ULL + sum.sessions, 0ULL + sum.completed, 0ULL + sum.broken, 0ULL + sum.cancels, 0ULL + sum.expired,
        0ULL + sum.refused, 0ULL + sum.bytes);
    CHECK(digests.size() == seeds);
    CHECK(sum.completed > seeds * 10);
    CHECK(sum.broken > seeds);
    CHECK(sum.cancels > seeds);
    CHECK(sum.expired > seeds);
    CHECK(sum.refused > seeds);
}

TEST_CASE("another order of wake-ups is another run of the same streams") {
    CHECK(stream_workload(1, wake_order::fifo).ok());
    CHECK(stream_workload(1, wake_order::fifo).digest != stream_workload(1).digest);
}
