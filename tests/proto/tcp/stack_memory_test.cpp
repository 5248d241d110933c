// SPDX-License-Identifier: BSD-3-Clause
// What a stack does when its buffers run out: whom it still answers, and who may still send.
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/listener_side.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stacks {
namespace {

/// A client that sends octets of its stream from any place.
struct sender : client {
    using client::client;

    /// `at`: from 0, the first octet behind the SYN.
    void send(std::uint32_t at, std::size_t count) {
        say(plain(number + 1 + at, theirs, flag::ack, now_options()), octets(count, 1));
    }
    /// How much of the stream the answer acknowledges, and how far the window reaches, from 0.
    [[nodiscard]] std::uint32_t acknowledged(const tcp::outgoing& by) const { return by.acknowledgment.value() - number - 1; }
    [[nodiscard]] static std::uint32_t window(const tcp::outgoing& by) { return std::uint32_t{by.window} << 8; }
};

tcp::stack_options few_buffers(std::uint32_t each, std::uint32_t all) {
    tcp::stack_options options = small_options();
    options.buffers_per_connection = each;
    options.buffers = all;
    options.v4.window_scale = 8;
    return options;
}

}  // namespace

TEST_CASE("tcp 12: octets in order for which the stack has no buffer are answered at once, and close the window (RFC 9293 "
          "section 3.8.6)") {
    for (const std::uint32_t number : client_numbers) {
        CAPTURE(number);
        server of(few_buffers(16, 1000));
        sender peer(of, 1000, number);
        peer.connect();
        const auto held = *of.at.stack.accept(of.door);
        for (std::uint32_t i = 0; i != 16; ++i) {
            peer.send(i * 1000, 1000);
            CHECK(sender::window(peer.answer()) > 100'000);
        }
        for (std::uint32_t i = 16; i != 40; ++i) {
            peer.send(i * 1000, 1000);
            const tcp::outgoing told = peer.answer();
            CHECK(peer.acknowledged(told) == 16'000);
            CHECK(sender::window(told) == 0);
            CHECK(of.at.stack.find(held)->info().receive_window == 0);
            CHECK(of.at.stack.find(held)->info().lacks_buffers);
        }
        CHECK(of.at.stack.count().payloads_refused == 24);
        // What is read makes room, and the peer hears of it.
        std::array<std::byte, 8000> some;
        REQUIRE(of.at.stack.read(held, some, of.now) == 8000);
        const tcp::outgoing opened = peer.answer();
        CHECK(peer.acknowledged(opened) == 16'000);
        CHECK(sender::window(opened) > 7000);
        CHECK(sender::window(opened) <= 8000);
        std::uint32_t at = 16'000;
        for (; at != 20'000; at += 1000) {
            peer.send(at, 1000);
            (void)peer.heard();  // delayed, some of them
            CHECK(of.at.stack.find(held)->receive_next().value() == number + 1 + at + 1000);
        }
        // The whole window is told again as soon as the user keeps up.
        std::uint32_t last = 0;
        for (int i = 0; i != 200; ++i, at += 1000) {
            std::array<std::byte, 20'000> all;
            (void)of.at.stack.read(held, all, of.now);
            (void)peer.heard();
            peer.send(at, 1000);
            const auto heard = peer.heard();
            if (!heard.empty()) { last = sender::window(heard.back().segment); }
        }
        CHECK(last > 200'000);
        CHECK_FALSE(of.at.stack.find(held)->info().lacks_buffers);
        of.at.stack.release(held, tcp::leaving::at_once, of.now);
        of.expect_nothing_left();
    }
}

TEST_CASE("tcp 12: octets beyond a gap for which the stack has no buffer draw a duplicate ACK each, and the window stays (RFC "
          "5681 section 4.2)") {
    server of(few_buffers(16, 1000));
    sender peer(of, 1000, 0x7fff'ffff);
    peer.connect();
    for (std::uint32_t i = 1; i != 40; ++i) {
        peer.send(i * 1000, 1000);
        const tcp::outgoing told = peer.answer();
        CHECK(peer.acknowledged(told) == 0);
        CHECK(sender::window(told) > 200'000);
        CHECK(told.options.sack_count == 1);
    }
    CHECK(of.at.stack.count().payloads_refused > 20);
}

TEST_CASE("hazard 8: each duplicate is acknowledged at once while the stack has no buffers, too") {
    server of(few_buffers(4, 1000));
    sender peer(of, 1000, 0xffff'fffe);
    peer.connect();
    for (std::uint32_t i = 0; i != 4; ++i) {
        peer.send(i * 1000, 1000);
        (void)peer.answer();
    }
    for (std::uint32_t i = 0; i != 10; ++i) {  // our ACK was lost, say
        peer.send(i % 4 * 1000, 1000);
        const tcp::outgoing told = peer.answer();
        CHECK(peer.acknowledged(told) == 4000);
        CHECK(told.options.sack_count == 1);  // RFC 2883
    }
}

TEST_CASE("tcp 12: octets beyond the gaps of strangers take no room from what others send and receive in order") {
    server of(few_buffers(32, 160));
    client good(of, 999, 0x7fff'ffff);
    good.connect();
    const auto served = *of.at.stack.accept(of.door);
    for (std::uint16_t port = 1000; port != 1010; ++port) {
        sender peer(of, port, 0xffff'fffe);
        peer.connect();
        for (std::uint32_t i = 1; i != 40; ++i) { peer.send(i * 1000, i % 2 == 0 ? 1000 : 100); }  // small ones are copied
        (void)peer.heard();
    }
    CHECK(of.at.stack.buffers() <= 80);
    CHECK(of.at.stack.write(served, octets(30'000), of.now) == 30'000);
    good.say_data(1000);
    CHECK(of.at.stack.find(served)->readable() == 1000);
    // Also its own octets beyond a gap leave a connection room to send.
    const auto other = *of.at.stack.accept(of.door);
    CHECK(of.at.stack.write(other, octets(10'000), of.now) == 10'000);
}

TEST_CASE("tcp 9: a peer does not give a connection up whose user pauses for long, however few buffers there are (RFC 1122 "
          "section 4.2.2.17)") {
    tcp::stack_options options = few_buffers(64, 1000);
    options.v4.receive_limit = options.v4.send_limit = 4 << 20;  // far more than 64 buffers hold
    two_stacks wire(options);
    const auto door = *wire.b.stack.listen({.port = 80});
    const auto from = wire.connect();
    wire.run_for(10ms);
    const auto to = *wire.b.stack.accept(door);
    const std::vector<std::byte> all = octets(1'000'000);
    std::size_t written = 0;
    wire.a.turn = [&](host& at) {
        while (written != all.size()) {
            const std::size_t n = at.stack.write(from, std::span(all).subspan(written), wire.now);
            if (n == 0) { break; }
            written += n;
        }
    };
    wire.run_for(400s);
    REQUIRE(wire.a.stack.find(from)->state() == tcp::state::established);
    CHECK(wire.b.stack.buffers() == 64);
    std::vector<std::byte> came;
    wire.b.turn = [&](host& at) {
        std::array<std::byte, 4096> some;
        while (const std::size_t n = at.stack.read(to, some, wire.now)) {
            came.insert(came.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
        }
    };
    wire.run_for(200s);
    CHECK(came == all);
}

}  // namespace stacks
