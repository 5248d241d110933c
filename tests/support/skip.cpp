// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/skip.hpp"

#include <algorithm>
#include <cstdio>

namespace fluxnet::test {

void report_skip(const std::string& reason) {
    std::string line = "[skipped] " + reason;
    std::replace(line.begin(), line.end(), '\n', ' ');
    line += '\n';
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
}

}  // namespace fluxnet::test
