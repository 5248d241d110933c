// SPDX-License-Identifier: BSD-3-Clause
// Runs one loop of benchmarks/loops.hpp and prints how many packets were counted. Run it under callgrind by benchmarks/run.
// Usage: receive_recycle LOOP [BURSTS] [PACKETS A BURST]
#include "benchmarks/loops.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

using namespace benchmark;

namespace {

struct loop {
    std::string_view name;
    void (*run)(traffic& from);
};

constexpr std::array loops{loop{"c", &run_by_hand},
                           loop{"c_direct", &run_by_hand_direct},
                           loop{"raw", &run_raw},
                           loop{"raw_direct", &run_raw_direct},
                           loop{"engine", &run_engine},
                           loop{"engine_packets", &run_engine_packets},
                           loop{"system", &run_system},
                           loop{"system_reset", &run_system_reset},
                           loop{"coroutine", &run_coroutine},
                           loop{"coroutine_large", &run_coroutine_large},
                           loop{"driven", &run_coroutine_driven},
                           loop{"port", &run_port},
                           loop{"port_large", &run_port_large},
                           loop{"port_concrete", &run_port_concrete}};

}  // namespace

int main(int argc, char** argv) try {
    const std::string_view wanted = argc > 1 ? argv[1] : "";
    const unsigned long bursts = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 200;
    const unsigned long packets = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : traffic::batch;
    for (const loop& one : loops) {
        if (one.name != wanted || bursts == 0 || packets == 0 || packets > 1024) { continue; }
        traffic from(bursts, static_cast<std::uint32_t>(packets));
        one.run(from);
        std::printf("%llu\n", static_cast<unsigned long long>(from.counted_packets()));
        return 0;
    }
    std::fprintf(stderr, "usage: receive_recycle LOOP [BURSTS] [PACKETS A BURST]; loops:");
    for (const loop& one : loops) { std::fprintf(stderr, " %s", one.name.data()); }
    std::fprintf(stderr, "\n");
    return 2;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "receive_recycle: %s\n", failure.what());
    return 1;
}
