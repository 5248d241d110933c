// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

using namespace fluxnet::test;

namespace {

// Keeps the line away from the output of this test, which would count as skipped otherwise.
std::string output_of(const std::function<void()>& function) {
    std::fflush(stdout);
    const int file = ::memfd_create("output", MFD_CLOEXEC);
    const int former = ::dup(STDOUT_FILENO);
    ::dup2(file, STDOUT_FILENO);
    function();
    ::dup2(former, STDOUT_FILENO);
    char text[256];
    const ssize_t count = ::pread(file, text, sizeof text, 0);
    ::close(former);
    ::close(file);
    return {text, static_cast<std::size_t>(count)};
}

}  // namespace

TEST_CASE("a reason leaves the test case and prints one line") {
    bool reached = false;
    const std::string output = output_of([&] {
        FLUXNET_SKIP_IF(std::optional<std::string>{"no device\nof that kind"});
        reached = true;
    });
    CHECK_FALSE(reached);
    CHECK(output == "[skipped] no device of that kind\n");
}

TEST_CASE("a test case without a reason goes on") {
    bool reached = false;
    const std::string output = output_of([&] {
        FLUXNET_SKIP_IF(std::nullopt);
        reached = true;
    });
    CHECK(reached);
    CHECK(output.empty());
}
