// SPDX-License-Identifier: BSD-3-Clause
// `precedence`: for as long as it lives the calling thread, and those that it starts, run before what else the machine does,
// if they may: within their scheduling group (nice), and that group among the others.
//
// For tests that measure delays. Used on one thread; where it is not permitted nothing happens. Source: sched(7), "The
// autogroup feature".
#pragma once

#include <fstream>
#include <string>

#include <sys/resource.h>

namespace fluxnet::test {

class precedence {
public:
    precedence() {
        std::string name;
        std::string word;
        if (!(std::ifstream(group_file) >> name >> word >> group_before_)) { group_before_ = 0; }
        set(-20, -20);
    }
    precedence(const precedence&) = delete;
    precedence& operator=(const precedence&) = delete;
    ~precedence() { set(before_, group_before_); }

private:
    static constexpr const char* group_file = "/proc/self/autogroup";

    static void set(int thread, int group) {
        static_cast<void>(::setpriority(PRIO_PROCESS, 0, thread));
        std::ofstream(group_file) << group << std::flush;
    }

    const int before_ = ::getpriority(PRIO_PROCESS, 0);
    int group_before_ = 0;
};

}  // namespace fluxnet::test
