// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/icmp_limiter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>

namespace fluxnet::proto::test::limits {

using namespace std::chrono_literals;

namespace {

constexpr std::array<std::byte, 16> limiter_secret{std::byte{1}, std::byte{2}, std::byte{3}};

ip_address limited_host(std::uint32_t number) {
    return ipv4_address::from_host_order(number);
}

}  // namespace

TEST_CASE("a destination gets a burst of errors and then its rate (RFC 4443 2.4 (f))") {
    icmp_limiter limiter({.class_per_second = 10, .class_burst = 6}, limiter_secret);
    const icmp_limiter::time_point start(100s);
    int sent = 0;
    for (int i = 0; i != 100; ++i) { sent += limiter.may_send(limited_host(1), start, 1) ? 1 : 0; }
    CHECK(sent == 6);
    CHECK(limiter.refused() == 94);
    for (int i = 0; i != 1000; ++i) { sent += limiter.may_send(limited_host(1), start + i * 1ms, 1) ? 1 : 0; }
    CHECK(sent == 6 + 9);
}

TEST_CASE("a network that floods, from all of its addresses, leaves others their errors") {
    icmp_limiter limiter({}, limiter_secret);
    const icmp_limiter::time_point start(100s);
    int sent = 0;
    for (std::uint32_t host = 0; host != 256; ++host) {
        sent += limiter.may_send(limited_host(0x0a000000U + host), start, 1) ? 1 : 0;
    }
    CHECK(sent == 10);
    CHECK(limiter.may_send(limited_host(0xc0000201U), start, 1));
    const auto v6 = ip_address::parse("2001:db8::1").value();
    CHECK(limiter.may_send(v6, start, 1));
}

TEST_CASE("all errors together keep to one bucket, whatever forged addresses they answer (RFC 1812 4.3.2.8)") {
    icmp_limiter limiter({}, limiter_secret);
    std::mt19937 random(1);
    int sent = 0;
    for (int i = 0; i != 100'000; ++i) {
        const icmp_limiter::time_point now(100s + i * 100us);  // ten seconds
        sent +=
            limiter.may_send(limited_host(static_cast<std::uint32_t>(random())), now, static_cast<std::uint32_t>(random()))
                ? 1
                : 0;
    }
    CHECK(sent > 9000);  // 10,050 on average; it has 256 classes of 10 a second as well
    CHECK(sent < 11'000);
}

TEST_CASE("how many errors come out of the bucket for all is not the same twice (CVE-2020-25705)") {
    std::mt19937 random(1);
    int least = 1000;
    int most = 0;
    for (int round = 0; round != 100; ++round) {
        icmp_limiter limiter({}, limiter_secret);
        int sent = 0;
        for (std::uint32_t i = 0; i != 200; ++i) {
            sent +=
                limiter.may_send(limited_host(i << 8), icmp_limiter::time_point(100s), static_cast<std::uint32_t>(random()))
                    ? 1
                    : 0;
        }
        least = std::min(least, sent);
        most = std::max(most, sent);
    }
    CHECK(least >= 25);
    CHECK(most - least >= 5);
}

TEST_CASE("the memory of a limiter does not depend on how many destinations there are") {
    icmp_limiter limiter({.classes = 100}, limiter_secret);
    const std::size_t before = limiter.memory_octets();
    for (std::uint32_t i = 0; i != 10'000; ++i) { static_cast<void>(limiter.may_send(limited_host(i << 8), {}, i)); }
    CHECK(limiter.memory_octets() == before);
    CHECK(before < 128 * 64);
}

}  // namespace fluxnet::proto::test::limits
