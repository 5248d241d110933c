// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/syn_cookie.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

using namespace fluxnet::proto;
using tcp::four_tuple;
using tcp::sequence_number;
using tcp::syn_cookie;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::byte, 16> cookie_secret{std::byte{1}, std::byte{2}};
constexpr std::array<std::byte, 16> other_cookie_secret{std::byte{1}, std::byte{3}};
const syn_cookie::time_point cookie_now{64s * 100};  // a counter's beginning
const four_tuple cookie_name(ipv4_address(10, 0, 0, 1), 80, ipv4_address(10, 0, 0, 2), 40'000);

/// What the ACK for a SYN-ACK with that cookie gives.
std::optional<std::uint16_t> shown(const syn_cookie& cookies, const four_tuple& name, sequence_number client,
                                   sequence_number cookie, syn_cookie::time_point now) {
    return cookies.check(name, client + 1, cookie + 1, now);
}

}  // namespace

TEST_CASE("RFC 4987 section 3.6: the ACK of a cookie gives the highest class not above the client's MSS") {
    const syn_cookie cookies(cookie_secret);
    for (const std::uint32_t client : {0U, 1U, 0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU}) {
        const sequence_number first(client);
        for (std::uint32_t mss = 0; mss <= 65'535; mss += mss < 1500 ? 1 : 97) {
            const auto offered = static_cast<std::uint16_t>(mss);
            std::uint16_t expected = syn_cookie::mss_classes.front();
            for (const std::uint16_t size : syn_cookie::mss_classes) {
                if (size <= mss) { expected = size; }
            }
            const auto found =
                shown(cookies, cookie_name, first, cookies.make(cookie_name, first, offered, cookie_now), cookie_now);
            if (found != expected) { FAIL("MSS " << mss << " of client " << client); }
        }
    }
}

TEST_CASE("each class of the MSS comes back, over both versions of IP") {
    const syn_cookie cookies(cookie_secret);
    const four_tuple over6(ipv6_address::loopback(), 80, ipv6_address(), 40'000);
    for (const auto& name : {cookie_name, over6}) {
        for (const std::uint16_t mss : syn_cookie::mss_classes) {
            const sequence_number cookie = cookies.make(name, sequence_number(5), mss, cookie_now);
            CHECK(shown(cookies, name, sequence_number(5), cookie, cookie_now) == mss);
        }
    }
}

TEST_CASE("a cookie holds during its counter of 64 s and the next, and no longer") {
    const syn_cookie cookies(cookie_secret);
    const sequence_number client(7);
    const sequence_number early = cookies.make(cookie_name, client, 1460, cookie_now);
    const sequence_number late = cookies.make(cookie_name, client, 1460, cookie_now + 64s - 1ns);
    CHECK(early == late);
    CHECK(shown(cookies, cookie_name, client, early, cookie_now + 128s - 1ns) == 1460);
    CHECK_FALSE(shown(cookies, cookie_name, client, early, cookie_now + 128s));
    CHECK_FALSE(shown(cookies, cookie_name, client, early, cookie_now + 24h));
    CHECK_FALSE(shown(cookies, cookie_name, client, early, cookie_now - 1ns));
    CHECK(cookies.make(cookie_name, client, 1460, cookie_now + 64s) != early);
}

TEST_CASE("a cookie is for one name, one client's sequence number and one secret") {
    const syn_cookie cookies(cookie_secret);
    const sequence_number client(7);
    const sequence_number cookie = cookies.make(cookie_name, client, 1460, cookie_now);
    const ipv4_address host(10, 0, 0, 1);
    const ipv4_address peer(10, 0, 0, 2);
    for (const auto& name : {four_tuple(host, 81, peer, 40'000), four_tuple(host, 80, peer, 40'001),
                             four_tuple(peer, 80, host, 40'000), four_tuple(host, 80, ipv4_address(10, 0, 0, 3), 40'000)}) {
        CHECK_FALSE(shown(cookies, name, client, cookie, cookie_now));
    }
    CHECK_FALSE(shown(cookies, cookie_name, client + 1, cookie, cookie_now));
    CHECK_FALSE(shown(cookies, cookie_name, client - 1, cookie, cookie_now));
    CHECK_FALSE(shown(syn_cookie(other_cookie_secret), cookie_name, client, cookie, cookie_now));
    for (std::uint32_t bit = 0; bit != 32; ++bit) {
        const sequence_number forged(cookie.value() ^ 1U << bit);
        CHECK_FALSE(shown(cookies, cookie_name, client, forged, cookie_now));
    }
}

TEST_CASE("of a million random ACKs none is taken for a cookie") {
    const syn_cookie cookies(cookie_secret);
    std::mt19937_64 random(1);
    int taken = 0;
    for (int i = 0; i != 1'000'000; ++i) {
        const std::uint64_t numbers = random();
        taken += cookies
                     .check(cookie_name, sequence_number(static_cast<std::uint32_t>(numbers)),
                            sequence_number(static_cast<std::uint32_t>(numbers >> 32)), cookie_now)
                     .has_value();
    }
    CHECK(taken == 0);  // 1 in 2^28 is right: the chance of one here is 0.4 %, and the numbers are the same in every run
}

TEST_CASE("RFC 7323 section 5.4: options come back by a timestamp's low bits, which is late by less than 64") {
    std::mt19937 random(2);
    for (const std::uint8_t scale : std::array<std::uint8_t, 7>{0, 1, 7, 8, 13, 14, 0xff}) {
        for (int flags = 0; flags != 4; ++flags) {
            const syn_cookie::options offered{
                .window_scale = scale, .sack_permitted = flags % 2 == 1, .ecn = flags / 2 == 1};
            std::uint32_t timestamp = static_cast<std::uint32_t>(random());
            std::uint32_t last = syn_cookie::with_options(timestamp, offered);
            for (int i = 0; i != 200; ++i) {
                const std::uint32_t marked = syn_cookie::with_options(++timestamp, offered);
                CHECK(timestamp - marked < 64);
                CHECK(static_cast<std::int32_t>(marked - last) >= 0);
                CHECK(syn_cookie::options_of(marked) == offered);
                last = marked;
            }
        }
    }
    for (const std::uint32_t near : {0U, 1U, 63U, 64U, 0xffff'ffffU}) {
        const syn_cookie::options offered{.window_scale = 14, .sack_permitted = true, .ecn = true};
        CHECK(near - syn_cookie::with_options(near, offered) < 64);
        CHECK(syn_cookie::options_of(syn_cookie::with_options(near, offered)) == offered);
    }
}

TEST_CASE("any echo of a timestamp gives options that are valid") {
    for (std::uint32_t echo = 0; echo != 256; ++echo) {
        const auto found = syn_cookie::options_of(echo);
        CHECK((found.window_scale <= 14 || found.window_scale == syn_cookie::options::no_scale));
    }
}
