// SPDX-License-Identifier: BSD-3-Clause
// That what some peers make a stack hold leaves its other connections what they need in order to go on.
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace stacks {
namespace {

/// Connects strangers to port 80 of the second host, none of which is ever accepted or read, and has each of them say
/// `count` single octets, one of `step` each.
void annoy(two_stacks& wire, std::uint16_t strangers, std::uint32_t count, std::uint32_t step) {
    const std::array<std::byte, 1> one{std::byte{1}};
    for (std::uint16_t i = 0; i != strangers; ++i) {
        stranger who(wire.b, wire.now, proto::ipv4_address(192, 0, 2, 3), static_cast<std::uint16_t>(1000 + i));
        who.say(plain(99, 0, flag::syn, stranger::syn_options(false)));
        const std::uint32_t theirs = who.answer().sequence.value() + 1;
        for (std::uint32_t at = step; at <= count * step; at += step) {
            who.say(plain(99 + at, theirs, flag::ack), one);
            static_cast<void>(who.heard());
        }
    }
}

/// Has octets go to the second host and back, over a connection of its own.
void expect_an_exchange(two_stacks& wire) {
    const auto sent = octets(100'000);
    std::vector<std::byte> there;
    std::vector<std::byte> back;
    const tcp::listener_handle door = *wire.b.stack.listen({.port = 81});
    const tcp::connection_handle calling = wire.connect(81);
    std::optional<tcp::connection_handle> called;
    std::size_t written = 0;
    std::size_t answered = 0;
    const auto read_all = [&](host& at, tcp::connection_handle from, std::vector<std::byte>& into) {
        std::array<std::byte, 4096> some;
        while (const std::size_t n = at.stack.read(from, some, wire.now)) {
            into.insert(into.end(), some.data(), some.data() + n);
        }
    };
    wire.a.turn = [&](host& at) {
        written += at.stack.write(calling, std::span(sent).subspan(written), wire.now);
        read_all(at, calling, back);
    };
    wire.b.turn = [&](host& at) {
        if (!called) { called = at.stack.accept(door); }
        if (!called) { return; }
        read_all(at, *called, there);
        answered += at.stack.write(*called, std::span(there).subspan(answered), wire.now);
    };
    CHECK(wire.run([&] { return back.size() == sent.size(); }, 60s));
    CHECK(back == sent);
}

}  // namespace

TEST_CASE("single octets beyond gaps, on a few connections, leave the others the ranges that they need") {
    two_stacks wire;
    static_cast<void>(wire.b.stack.listen({.port = 80}));
    annoy(wire, 4, 2000, 2);
    CHECK(wire.b.stack.ranges() > 1000);
    expect_an_exchange(wire);
}

TEST_CASE("single octets in order that nobody reads take no range each") {
    two_stacks wire;
    static_cast<void>(wire.b.stack.listen({.port = 80}));
    annoy(wire, 4, 1000, 1);
    CHECK(wire.b.stack.ranges() <= 8);
    CHECK(wire.b.stack.buffers() <= 4);
    expect_an_exchange(wire);
}

TEST_CASE("a connection has ranges of its own, whatever others hold, for what it sends, for what it receives and to cut") {
    tcp::range_pool pool(64, 4);
    std::uint32_t greedy = 0;
    std::size_t taken = 0;
    while (pool.take(greedy) != nullptr) { ++taken; }
    CHECK(taken == pool.size() - pool.reserve() + 1);  // one is its own
    CHECK(greedy == 1);
    std::size_t cut = 0;
    while (pool.take_to_cut(greedy) != nullptr) { ++cut; }
    CHECK(pool.take_beyond_gap() == nullptr);
    CHECK(greedy == 2);
    CHECK(cut == 64 - 12 - (taken - 1) + 1);
    std::array<std::uint32_t, 3> sending{};
    std::array<std::uint32_t, 4> receiving{};
    for (std::uint32_t& one : sending) {
        tcp::range* const first = pool.take(one);
        REQUIRE(first != nullptr);
        CHECK(pool.take(one) == nullptr);
        CHECK(pool.take_to_cut(one) != nullptr);
        CHECK(pool.take_to_cut(one) == nullptr);
        pool.give(*first, one);
        CHECK(pool.take(one) == nullptr);  // the other one of its own is in use
    }
    for (std::uint32_t& one : receiving) { CHECK(pool.take(one) != nullptr); }
    CHECK(pool.in_use() == pool.size() - 3);
}

}  // namespace stacks
