// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/lossy_link.hpp"

#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t frames_through = 500;

/// A frame to everybody with an EtherType that no stack answers, and a number.
std::vector<std::byte> numbered_frame(std::size_t number) {
    std::vector<std::byte> frame(60, std::byte{0xff});
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    frame[14] = static_cast<std::byte>(number >> 8);
    frame[15] = static_cast<std::byte>(number);
    return frame;
}

/// Sends frames from the end that loses them; returns the numbers of those that arrive.
std::vector<std::size_t> numbers_that_pass(const loss_rates& rates, lossy_link::packets& told) {
    testbed bed;
    const lossy_link link(bed.peer(), testbed::ifindex(side::peer), rates);
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i != frames_through; ++i) { peer.send(numbered_frame(i)); }
    told = link.sent();
    while (numbers.size() != told.seen - told.lost) {
        const std::optional<std::vector<std::byte>> frame = host.recv(10s);
        REQUIRE(frame);
        numbers.push_back(std::to_integer<std::size_t>((*frame)[14]) << 8 | std::to_integer<std::size_t>((*frame)[15]));
    }
    CHECK_FALSE(host.recv(0s));
    return numbers;
}

}  // namespace

TEST_CASE("a lossy link loses as many of the packets that are sent as it says, and the same ones for the same seed") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(lossy_link::why_not_available());
    lossy_link::packets told;
    const std::vector<std::size_t> first = numbers_that_pass({.sent_per_mille = 100, .seed = 5}, told);
    CHECK(told.seen == frames_through);
    CHECK(told.lost >= 30);
    CHECK(told.lost <= 75);
    CHECK(numbers_that_pass({.sent_per_mille = 100, .seed = 5}, told) == first);
    CHECK(numbers_that_pass({.sent_per_mille = 100, .seed = 6}, told) != first);
    CHECK(numbers_that_pass({}, told).size() == frames_through);
    CHECK(numbers_that_pass({.sent_per_mille = 1000}, told).empty());
}

TEST_CASE("a lossy link loses packets that come in, and not those that go out meanwhile") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(lossy_link::why_not_available());
    testbed bed;
    const lossy_link link(bed.peer(), testbed::ifindex(side::peer), {.received_per_mille = 100});
    packet_socket host(bed.host(), bed.name(side::host));
    packet_socket peer(bed.peer(), bed.name(side::peer));
    for (std::size_t i = 0; i != frames_through; ++i) {
        host.send(numbered_frame(i));
        peer.send(numbered_frame(i));
    }
    const deadline limit = 10s;
    while (link.received().seen != frames_through && !limit.passed()) {}
    CHECK(link.received().seen == frames_through);
    CHECK(link.received().lost >= 30);
    CHECK(link.received().lost <= 75);
    CHECK(link.sent().seen == frames_through);
    CHECK(link.sent().lost == 0);
}
