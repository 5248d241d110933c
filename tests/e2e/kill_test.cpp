// SPDX-License-Identifier: BSD-3-Clause
// What a killed echo_async leaves behind: nothing.
#include "tests/e2e/echo_process.hpp"

#include "tests/proto/frames.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include <signal.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;
namespace proto = fluxnet::proto;

TEST_CASE("killed at a random moment of traffic 50 times it leaves no program and starts again") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const proto::test::endpoints who{.host = proto::mac_address(testbed::mac(side::host)),
                                     .host_ip = *proto::ipv4_address::parse("10.77.0.1"),
                                     .client = proto::mac_address(testbed::mac(side::peer)),
                                     .client_ip = *proto::ipv4_address::parse("10.77.0.2")};
    const auto request = proto::test::echo_request(who, proto::test::counting(56));
    packet_socket wire(bed.peer(), bed.name(side::peer));
    std::mt19937 random(20260701);
    for (int round = 0; round < 50; ++round) {
        CAPTURE(round);
        process echo = start_echo(bed);  // throws when the former one is still in the way
        std::atomic<bool> enough = false;
        std::thread generator([&] { wire.flood(request, packet_socket::without_end, &enough); });
        std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 30'000)(random)));
        echo.signal(SIGKILL);
        const auto ended = echo.wait(5s);
        enough = true;
        generator.join();
        REQUIRE(ended);
        CHECK(ended->signal == SIGKILL);
        // The kernel tears the link down as the process's descriptors are closed, which has happened when it is reaped.
        CHECK(bed.is_free_of_xdp(side::host));
    }
    process echo = start_echo(bed);
    const finished ping = bed.run(side::peer, {"ping", "-c", "3", "-i", "0.01", "-w", "5", "-q", "10.77.0.1"}, 10s);
    CHECK_MESSAGE(ping.success(), ping.output);
    CHECK(stop_echo(echo).frames_are_whole());
}
