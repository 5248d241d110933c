// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/capabilities.hpp"

#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>
#include <linux/capability.h>

#include <chrono>
#include <optional>
#include <string>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

std::optional<std::string> why_nothing_to_drop() {
    if (has_capability(CAP_SETPCAP) && has_capability(CAP_NET_RAW)) return std::nullopt;
    return "there is no capability to drop: run the tests as root";
}

// What the child has left, one line each: inheritable, permitted, effective, bounding, ambient.
std::string sets_after(void (*in_child)()) {
    process_options options;
    options.in_child = in_child;
    return run({"sh", "-c", "grep ^Cap /proc/self/status | cut -f2"}, options, 10s).output;
}

bool every_line_lacks(const std::string& sets, int capability) {
    for (std::size_t at = 0; at + 16 < sets.size(); at += 17) {
        if ((std::stoull(sets.substr(at, 16), nullptr, 16) >> capability & 1) != 0) return false;
    }
    return sets.size() == 5 * 17;
}

}  // namespace

TEST_CASE("a dropped capability is gone from every set of a program started afterwards") {
    FLUXNET_SKIP_IF(why_nothing_to_drop());
    const std::string sets = sets_after([] { drop_capability(CAP_NET_RAW); });
    CHECK_MESSAGE(every_line_lacks(sets, CAP_NET_RAW), sets);
    CHECK_FALSE(every_line_lacks(sets, CAP_NET_ADMIN));
    CHECK(has_capability(CAP_NET_RAW));
}

TEST_CASE("dropping all capabilities leaves none") {
    FLUXNET_SKIP_IF(why_nothing_to_drop());
    const std::string none = "0000000000000000\n";
    CHECK(sets_after(drop_all_capabilities) == none + none + none + none + none);
}

TEST_CASE("the limit of locked memory holds for the program") {
    process_options options;
    options.in_child = [] { set_memlock_limit(65536); };
    CHECK(run({"sh", "-c", "ulimit -l; ulimit -H -l"}, options, 10s).output == "64\n64\n");
}
