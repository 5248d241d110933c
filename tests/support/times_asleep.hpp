// SPDX-License-Identifier: BSD-3-Clause
// Whether a program sleeps: what its threads are at, and not how much time they get, which depends on what else runs.
//
// A function without state, for any thread. Source: proc(5), /proc/pid/stat.
#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <sys/types.h>

namespace fluxnet::test {

/// Looks at a process `looks` times, ten milliseconds apart. Returns how often none of its threads ran or wanted to run.
inline int times_asleep(pid_t pid, int looks) {
    int asleep = 0;
    for (int i = 0; i < looks; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        bool runs = false;
        for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
            std::string line;
            std::getline(std::ifstream(thread.path() / "stat"), line);
            const std::size_t name_end = line.rfind(')');  // the name may contain anything
            runs = runs || (name_end != std::string::npos && line.substr(name_end + 2, 1) == "R");
        }
        asleep += runs ? 0 : 1;
    }
    return asleep;
}

}  // namespace fluxnet::test
