// SPDX-License-Identifier: BSD-3-Clause
// Repeats one seed of a program in virtual time, for a debugger: the same packets, wake-ups and times as in the test.
// Usage: replay_seed mixed|planted SEED [COUNT] [--fifo]
// Exit status: 0 when all is well, 1 when a seed fails, 2 for a wrong command line.
#include "tests/runtime/virtual_workload.hpp"

#include <charconv>
#include <cstdio>
#include <string_view>
#include <vector>

using namespace fluxnet;

static bool parse(std::string_view text, std::uint64_t& into) {
    const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), into);
    return failure == std::errc() && rest == text.data() + text.size();
}

int main(int argc, char** argv) {
    std::vector<std::string_view> words(argv + 1, argv + argc);
    const bool fifo = std::erase(words, "--fifo") != 0;
    std::uint64_t seed = 0;
    std::uint64_t count = 1;
    const bool understood = (words.size() == 2 || (words.size() == 3 && parse(words[2], count))) &&
                            (words[0] == "mixed" || words[0] == "planted") && parse(words[1], seed);
    if (!understood) { return std::fprintf(stderr, "usage: replay_seed mixed|planted SEED [COUNT] [--fifo]\n"), 2; }
    auto* const run = words[0] == "mixed" ? &test::mixed_workload : &test::planted_bug;
    int status = 0;
    for (std::uint64_t last = seed + count; seed != last; ++seed) {
        const test::outcome result = run(seed, fifo ? wake_order::fifo : wake_order::seeded);
        std::printf(
            "seed %llu digest %016llx: %.3f s, %llu packets, %llu resumptions, %llu cancels, %llu expired, "
            "%llu without a frame, %llu forgotten\n%s",
            0ULL + seed, 0ULL + result.digest, std::chrono::duration<double>(result.elapsed).count(), 0ULL + result.packets,
            0ULL + result.resumptions, 0ULL + result.cancels, 0ULL + result.expired, 0ULL + result.starved,
            0ULL + result.forgotten, result.problems.c_str());
        if (!result.ok()) { status = 1; }
    }
    return status;
}
