// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/virtual_workload.hpp"

#include "tests/support/process.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

std::string hex(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", 0ULL + number);
    return text;
}

/// Repeats a seed in a process of its own.
finished replay(const std::string& program, std::uint64_t seed) {
    return run({FLUXNET_REPLAY_SEED, program, std::to_string(seed)}, {}, 10min);
}

/// What many seeds came to.
struct harvest {
    std::mutex mutex;
    std::vector<std::uint64_t> failed;
    std::string first_problems;
    double slowest = 1e9;  // packets a second
    std::chrono::nanoseconds shortest = std::chrono::hours(1);
    outcome sum;

    void add(std::uint64_t seed, const outcome& result) {
        const std::lock_guard lock(mutex);
        if (!result.forgets) { slowest = std::min(slowest, result.packets_per_second()); }
        shortest = std::min(shortest, result.elapsed);
        sum.packets += result.packets;
        sum.starved += result.starved;
        sum.forgotten += result.forgotten;
        sum.reached += result.reached;
        sum.excused += result.excused;
        sum.stalls += result.stalls;
        sum.resumptions += result.resumptions;
        sum.cancels += result.cancels;
        sum.expired += result.expired;
        sum.channel_items += result.channel_items;
        if (result.ok()) { return; }
        if (failed.empty()) { first_problems = result.problems; }
        failed.push_back(seed);
        std::printf("seed %llu failed, repeat it with: %s mixed %llu\n%s", 0ULL + seed, FLUXNET_REPLAY_SEED, 0ULL + seed,
                    result.problems.c_str());
    }
};

/// Runs a seed twice; different outcomes are a problem.
outcome run_twice(std::uint64_t seed) {
    outcome result = mixed_workload(seed);
    if (mixed_workload(seed).digest != result.digest) { result.problems += "two runs of one seed differ\n"; }
    return result;
}

/// Runs seeds 1 to `count` on two threads, each with worlds of its own.
void run_seeds(std::uint64_t count, harvest& all) {
    std::atomic<std::uint64_t> next = 1;
    const auto work = [&] {
        for (std::uint64_t seed = next++; seed <= count; seed = next++) { all.add(seed, run_twice(seed)); }
    };
    std::thread other(work);
    work();
    other.join();
}

}  // namespace

TEST_CASE("ten thousand seeds of packets, timers, channels and cancels account for everything, stall nowhere and replay") {
    const std::uint64_t seeds = rounds(10'000, 100);
    harvest all;
    run_seeds(seeds, all);
    std::printf(
        "%llu seeds: %llu packets, %llu channel items, %llu resumptions, "
        "%llu cancels, %llu time limits, %llu packets without a frame, %llu forgotten, %llu stalls; with a driver that "
        "forgets %llu directions were excused and %llu not; at least %.3f s and %.0f packets a second each\n",
        0ULL + seeds, 0ULL + all.sum.packets, 0ULL + all.sum.channel_items, 0ULL + all.sum.resumptions,
        0ULL + all.sum.cancels, 0ULL + all.sum.expired, 0ULL + all.sum.starved, 0ULL + all.sum.forgotten,
        0ULL + all.sum.stalls, 0ULL + all.sum.excused, 0ULL + all.sum.reached,
        std::chrono::duration<double>(all.shortest).count(), all.slowest);
    CAPTURE(all.first_problems);
    CHECK(all.failed.empty());
    CHECK(all.sum.stalls == 0);
    CHECK(all.sum.starved != 0);
    CHECK(all.sum.forgotten != 0);
    CHECK(all.sum.reached != 0);
    CHECK(all.shortest >= 1s);
    CHECK(all.slowest >= 1000);
    CHECK(all.sum.cancels >= seeds * 5);
    CHECK(all.sum.expired >= seeds * 50);
    CHECK(all.sum.channel_items >= seeds * 1000);
}

TEST_CASE("a seed replays in another process and with every compiler") {
    const outcome here = mixed_workload(1);
    CHECK(here.ok());
    CHECK(mixed_workload(1).digest == here.digest);
    CHECK(mixed_workload(2).digest != here.digest);
    CHECK(mixed_workload(1, wake_order::fifo).digest != here.digest);
    const finished there = replay("mixed", 1);
    CHECK(there.success());
    CAPTURE(there.output);
    CHECK(there.output.find(hex(here.digest)) != std::string::npos);
    // The same in every build. Changes with what happens in a turn of the executor or on the wire: then take what is
    // printed, when all builds agree on it.
    CHECK(here.digest == 0xf99b3f20e3ff4005U);
}

TEST_CASE("first come first served the planted bug does not show") {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) { CHECK(planted_bug(seed, wake_order::fifo).ok()); }
}

TEST_CASE("the planted bug shows in few seeds and each of them replays it") {
    constexpr std::uint64_t seeds = 2000;
    std::vector<std::uint64_t> failed;
    std::uint64_t passing = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        if (planted_bug(seed).ok()) {
            passing = seed;
        } else {
            failed.push_back(seed);
        }
    }
    std::printf("the planted bug shows in %zu of %llu seeds\n", failed.size(), 0ULL + seeds);
    REQUIRE(!failed.empty());
    CHECK(failed.size() < seeds / 100);
    for (const std::uint64_t seed : failed) {
        const outcome again = planted_bug(seed);
        CHECK_FALSE(again.ok());
        CHECK(again.digest == planted_bug(seed).digest);
        CHECK(again.digest != planted_bug(passing).digest);
    }
    const finished there = replay("planted", failed.front());
    CAPTURE(there.output);
    CHECK(there.exit_code == 1);
    CHECK(there.output.find(hex(planted_bug(failed.front()).digest)) != std::string::npos);
    CHECK(there.output.find("a flow that had expired") != std::string::npos);
    CHECK(replay("planted", passing).success());
}
