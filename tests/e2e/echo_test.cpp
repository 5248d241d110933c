// SPDX-License-Identifier: BSD-3-Clause
// echo_async against the kernel's own clients across a veth pair.
#include "tests/e2e/echo_process.hpp"

#include "fluxnet/proto/echo_host.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/ping.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

using namespace fluxnet::test;
using namespace std::chrono_literals;
namespace proto = fluxnet::proto;

static void ping_2000_times(const char* mode) {
    testbed bed;
    process echo = start_echo(bed, {"--quiet", "--mode", mode});
    const finished ping = bed.run(side::peer, {"ping", "-c", "2000", "-i", "0.002", "-w", "40", "10.77.0.1"}, 60s);
    CHECK_MESSAGE(ping.success(), ping.output);
    CHECK_MESSAGE(ping_answers(ping.output).are_the_first(2000), ping.output);
    const echo_summary summary = stop_echo(echo);
    CHECK(summary.of("summary", "icmp") >= 2000);
    CHECK(summary.frames_are_whole());
    CHECK(bed.is_free_of_xdp(side::host));
}

TEST_CASE("the kernel pings 2000 times in native mode and loses nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    ping_2000_times("native");
}

TEST_CASE("the kernel pings 2000 times in generic mode and loses nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    ping_2000_times("generic");
}

static void echo_every_size(const char* mode) {
    testbed bed;
    process echo = start_echo(bed, {"--quiet", "--mode", mode});
    const finished client = bed.run(side::peer, {FLUXNET_UDP_CLIENT, "--to", "10.77.0.1"}, 60s);
    CHECK_MESSAGE(client.success(), client.output);
    CHECK_MESSAGE(client.output.find("0 to 1472 bytes: 1473 sent, 0 lost, 0 wrong") != std::string::npos, client.output);
    const echo_summary summary = stop_echo(echo);
    CHECK(summary.of("summary", "udp") == 1473);
    CHECK(summary.frames_are_whole());
}

TEST_CASE("every payload from 0 to 1472 bytes comes back whole in native mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    echo_every_size("native");
}

TEST_CASE("every payload from 0 to 1472 bytes comes back whole in generic mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    echo_every_size("generic");
}

TEST_CASE("each malformed frame raises exactly its own drop counter") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process echo = start_echo(bed);
    const auto frames = proto::test::malformed_frames(
        proto::mac_address(testbed::mac(side::host)), *proto::ipv4_address::parse("10.77.0.1"),
        proto::mac_address(testbed::mac(side::peer)), *proto::ipv4_address::parse("10.77.0.2"));
    packet_socket wire(bed.peer(), bed.name(side::peer));
    std::map<std::string, long long> expected;
    for (const auto& frame : frames) {
        if (frame.bytes.size() < 14) { continue; }  // no device carries less than an Ethernet header
        wire.send(frame.bytes);
        ++expected[std::string(proto::name(frame.expected))];
    }
    // A ping behind them, answered: all of them have been seen.
    const finished ping = bed.run(side::peer, {"ping", "-c", "1", "-w", "5", "-q", "10.77.0.1"}, 10s);
    CHECK_MESSAGE(ping.success(), ping.output);
    const echo_summary summary = stop_echo(echo);
    CHECK(expected.size() >= 20);
    CHECK(summary.all("dropped") == expected);
    CHECK(summary.frames_are_whole());
}

TEST_CASE("echo_async stops by itself after its duration and prints a line a second until then") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process echo = start_echo(bed, {"--duration", "2.5"});
    const auto ended = echo.wait(6s);
    REQUIRE(ended);
    CHECK(ended->success());
    const std::string output = echo.output();
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = output.find("/s tx ", at)) != std::string::npos; ++at) { ++lines; }
    CHECK(lines == 2);
    CHECK(echo_summary(output).frames_are_whole());
}

TEST_CASE("hello_packets counts what arrives") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process hello = bed.spawn(side::host, {FLUXNET_HELLO_PACKETS, bed.name(side::host)});
    packet_socket wire(bed.peer(), bed.name(side::peer));
    for (int i = 0; i < 500 && bed.xdp_program_id(side::host) == 0; ++i) { std::this_thread::sleep_for(10ms); }
    std::this_thread::sleep_for(50ms);  // the queue is directed to the socket right after the program is attached
    const std::vector<std::byte> frame(60, std::byte{1});
    for (int i = 0; i < 100; ++i) { wire.send(frame); }
    const auto ended = hello.wait(15s);
    REQUIRE(ended);
    CHECK(ended->success());
    CHECK_MESSAGE(hello.output().ends_with("\n100 packets\n"), hello.output());  // behind why there is no zero-copy
}
