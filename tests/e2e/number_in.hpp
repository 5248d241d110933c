// SPDX-License-Identifier: BSD-3-Clause
// `number_in()`: a number out of what a program under test has printed. A function without state.
#pragma once

#include <cstdlib>
#include <string>

namespace fluxnet::test {

/// Returns the number behind " `name` " in the last line of `output` that begins with `head`; -1 when there is none.
inline long long number_in(const std::string& output, const std::string& head, const std::string& name) {
    const std::size_t begin = output.rfind("\n" + head);
    if (begin == std::string::npos) { return -1; }
    const std::string line = output.substr(begin + 1, output.find('\n', begin + 1) - begin - 1);
    const std::size_t at = line.find(" " + name + " ");
    return at == std::string::npos ? -1 : std::atoll(line.c_str() + at + name.size() + 2);
}

}  // namespace fluxnet::test
