// SPDX-License-Identifier: BSD-3-Clause
// What echo_async costs: nothing when idle, few system calls when overloaded.
#include "tests/e2e/echo_process.hpp"

#include "tests/proto/frames.hpp"
#include "tests/support/cpu_time.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;
namespace proto = fluxnet::proto;

TEST_CASE("an idle echo_async makes fewer than 10 system calls in 5 s") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    testbed bed;
    process echo = start_echo(bed);
    std::this_thread::sleep_for(200ms);
    syscall_counter calls(echo.pid());
    const auto before = cpu_time(echo.pid());
    std::this_thread::sleep_for(5s);
    const std::uint64_t counted_calls = calls.total();
    const auto used = cpu_time(echo.pid()) - before;
    std::printf("idle for 5 s: %llu system calls, %.3f ms of CPU time\n", 0ULL + counted_calls,
                static_cast<double>(used.count()) / 1e6);
    CHECK(counted_calls < 10);
    CHECK(stop_echo(echo).frames_are_whole());
}

/// A socket that takes the answers and never reads them, so that the kernel has somewhere to put them.
static int open_sink(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
}

TEST_CASE("at overload echo_async makes at most one system call per 16 packets received") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    testbed bed;
    process echo = start_echo(bed);
    const proto::test::endpoints who{.host = proto::mac_address(testbed::mac(side::host)),
                                     .host_ip = *proto::ipv4_address::parse("10.77.0.1"),
                                     .client = proto::mac_address(testbed::mac(side::peer)),
                                     .client_ip = *proto::ipv4_address::parse("10.77.0.2")};
    const auto request = proto::test::udp_request(who, proto::test::counting(18));
    const int sink = bed.peer().call([&] { return open_sink(who.client_port); });
    packet_socket wire(bed.peer(), bed.name(side::peer));
    wire.flood(request, 20'000);  // warm up
    syscall_counter calls(echo.pid());
    // Two of them, one for each core: the receiver shares its own with the second and cannot keep up.
    packet_socket second(bed.peer(), bed.name(side::peer));
    constexpr std::size_t count = 1'000'000;
    std::atomic<std::uint64_t> offered = 0;
    std::thread helper([&] { offered += second.flood(request, count); });
    offered += wire.flood(request, count);
    helper.join();
    std::this_thread::sleep_for(200ms);
    const std::uint64_t counted_calls = calls.total();
    const auto by_number = calls.snapshot();
    const echo_summary summary = stop_echo(echo);
    ::close(sink);

    const auto received = static_cast<double>(summary.of("summary", "rx") - 20'000);
    std::printf("overload: %llu packets offered, %.0f received, %llu system calls: one per %.1f packets\n", 0ULL + offered,
                received, 0ULL + counted_calls, received / static_cast<double>(counted_calls));
    for (const auto& [number, count] : by_number) { std::printf("  system call %ld: %llu\n", number, 0ULL + count); }
    CHECK_MESSAGE(received < 0.95 * static_cast<double>(offered.load()), "the generator did not outrun the receiver");
    CHECK(received >= 1e4);  // enough to divide by
    CHECK(static_cast<double>(counted_calls) * 16 <= received);
    CHECK(summary.frames_are_whole());
}
