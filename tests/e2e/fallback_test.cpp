// SPDX-License-Identifier: BSD-3-Clause
// echo_async where io_uring is refused: it says so when it starts, and does its work on epoll.
#include "tests/e2e/echo_process.hpp"

#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("echo_async names its reactor when it starts") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process echo = start_echo(bed);
    const std::string output = echo.output();
    const std::string first_line = output.substr(0, output.find('\n'));
    CHECK_MESSAGE(
        (first_line.find("reactor: io_uring (") == 0 || first_line.find("reactor: epoll (io_uring_setup answered ") == 0),
        output);
    CHECK(stop_echo(echo).frames_are_whole());
}

TEST_CASE("echo_async takes epoll where io_uring is refused and says why and loses nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const std::string answer : {"EPERM", "ENOSYS"}) {
        testbed bed;
        process echo = start_echo(bed, {"--quiet"}, {FLUXNET_WITHOUT_IO_URING, answer, FLUXNET_ECHO_ASYNC});
        const std::string output = echo.output();
        CHECK_MESSAGE(output.find("reactor: epoll (io_uring_setup answered " + answer + ": ") == 0, output);
        const finished client = bed.run(side::peer, {FLUXNET_UDP_CLIENT, "--to", "10.77.0.1"}, 60s);
        CHECK_MESSAGE(client.output.find("0 to 1472 bytes: 1473 sent, 0 lost, 0 wrong") != std::string::npos, client.output);
        const echo_summary summary = stop_echo(echo);
        CHECK(summary.of("summary", "udp") == 1473);
        CHECK(summary.frames_are_whole());
    }
}
