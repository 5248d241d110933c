// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/packet_socket.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

// A frame to the host with an EtherType that no stack answers, and bytes that count upwards.
std::vector<std::byte> make_frame(std::size_t size) {
    std::vector<std::byte> frame(size);
    for (std::size_t at = 0; at < size; ++at) frame[at] = static_cast<std::byte>(at);
    const auto to = testbed::mac(side::host);
    const auto from = testbed::mac(side::peer);
    std::transform(to.begin(), to.end(), frame.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
    std::transform(from.begin(), from.end(), frame.begin() + 6, [](std::uint8_t byte) { return std::byte{byte}; });
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    return frame;
}

}  // namespace

TEST_CASE("a frame sent at one end arrives at the other") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    for (const std::size_t size : {std::size_t{15}, std::size_t{60}, std::size_t{1514}}) {
        CAPTURE(size);
        const auto frame = make_frame(size);
        peer.send(frame);
        CHECK(host.recv(5s) == frame);
        host.send(frame);
        CHECK(peer.recv(5s) == frame);
    }
}

TEST_CASE("a packet socket does not hear what its own interface sends") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    packet_socket peer(bed.peer(), bed.name(side::peer));
    packet_socket beside(bed.peer(), bed.name(side::peer));
    peer.send(make_frame(60));
    CHECK_FALSE(peer.recv(50ms));
    CHECK(beside.drain() == 0);
}

TEST_CASE("a VLAN tag arrives where it was") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    for (const auto& [high, low] : {std::pair{0x81, 0x00}, std::pair{0x88, 0xa8}}) {
        auto frame = make_frame(68);
        const std::byte tag[] = {static_cast<std::byte>(high), static_cast<std::byte>(low), std::byte{0x60}, std::byte{42}};
        std::copy(std::begin(tag), std::end(tag), frame.begin() + 12);
        peer.send(frame);
        CHECK(host.recv(5s) == frame);
    }
}

TEST_CASE("a frame above the MTU is refused") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    packet_socket peer(bed.peer(), bed.name(side::peer));
    CHECK_THROWS_AS(peer.send(make_frame(1600)), std::system_error);
}

TEST_CASE("a packet socket tells once that its link went down and hears again when it is up") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    bed.set_link(side::host, false);
    CHECK_THROWS_AS(static_cast<void>(host.recv(5s)), std::system_error);
    CHECK_FALSE(host.recv(10ms));
    CHECK_THROWS_AS(host.send(make_frame(60)), std::system_error);
    bed.set_link(side::host, true);
    REQUIRE(bed.wait_until_up(5s));
    peer.send(make_frame(60));
    CHECK(host.recv(5s) == make_frame(60));
}

TEST_CASE("an interface that does not exist is reported") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    CHECK_THROWS_WITH_AS(packet_socket(bed.host(), "nothing0"), doctest::Contains("nothing0"), std::system_error);
}

TEST_CASE("a flood is accepted in full and counted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed({.queues = 2});
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    CHECK(peer.flood(make_frame(60), 1000) == 1000);
    std::size_t arrived = 0;
    while (host.recv(200ms)) ++arrived;
    CHECK(arrived == 1000);
    CHECK(host.dropped() == 0);
}

TEST_CASE("a flood stops when told") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const testbed bed;
    packet_socket peer(bed.peer(), bed.name(side::peer));
    std::atomic<bool> stop = false;
    std::uint64_t accepted = 0;
    std::thread sender([&] { accepted = peer.flood(make_frame(60), packet_socket::without_end, &stop); });
    std::this_thread::sleep_for(20ms);
    stop = true;
    sender.join();
    CHECK(accepted > 0);
}
