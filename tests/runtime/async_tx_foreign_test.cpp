// SPDX-License-Identifier: BSD-3-Clause
// Packets of another UMEM through an async_tx that copies them, and how it waits for frames to copy into.
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/fake_port.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Packets that no socket has anything to do with.
struct elsewhere {
    explicit elsewhere(std::uint32_t frames, std::uint32_t frame_size = 2048)
        : memory(umem::create({.frame_count = frames, .frame_size = frame_size}).value()),
          home(memory.pool().make_home(frames)) {
        home->adopt();
    }
    ~elsewhere() { home->release(); }

    std::vector<packet> numbered(std::uint32_t count, std::uint32_t first) {
        std::vector<packet> made;
        for (std::uint32_t i = 0; i < count; ++i) {
            const frame_index frame = home->take().value();
            made.push_back(packet::from_raw(*home, {home->addr_of(home->at(frame) + 256), 0, 0}));
            REQUIRE(made.back().assign(numbered_frame(first + i)));
        }
        return made;
    }

    void check_all_home() {
        home->drain();
        CHECK(home->free_count() == home->frame_count());
    }

    umem memory;
    frame_home* home;
};

}  // namespace

TEST_CASE("packets of another UMEM are copied in their place among the others") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    elsewhere other(8);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 3, 0);
        auto foreign = other.numbered(3, 3);
        for (packet& one : foreign) { packets.push_back(std::move(one)); }
        std::swap(packets[1], packets[4]);
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == 6);
    });
    port.loop.run();
    CHECK(port.take_sent() == std::vector<std::uint32_t>{0, 4, 2, 3, 1, 5});
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("more packets to copy than there are frames all leave as completions bring frames back") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    elsewhere other(300);
    auto kept = numbered_packets(port.sockets.tx, fake_port::sending - 5);
    port.sockets.tx.socket().release();
    bool sent = false;
    port.loop.spawn([&]() -> task<void> {
        auto foreign = other.numbered(300, 0);
        const auto [ec, n] = co_await port.sockets.tx.send(foreign);
        CHECK_FALSE(ec);
        CHECK(n == 300);
        sent = true;
    });
    port.loop.run();
    CHECK(sent);
    CHECK(port.take_sent() == numbers(0, 300));
    kept.clear();
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that waits for a frame to copy into goes on when a completion brings one") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    port.kernel.hold_completions(true);
    elsewhere other(1);
    auto own = numbered_packets(port.sockets.tx, fake_port::sending);
    port.sockets.tx.socket().release();
    bool released = false;
    bool sent = false;
    port.loop.spawn([&]() -> task<void> {
        const auto [ec, n] = co_await port.sockets.tx.send(std::span(own).first(1));
        CHECK_FALSE(ec);
        auto foreign = other.numbered(1, 500);
        const auto [ec2, n2] = co_await port.sockets.tx.send(foreign);
        CHECK_FALSE(ec2);
        CHECK(n2 == 1);
        CHECK(released);
        sent = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(50ms));
        CHECK_FALSE(sent);
        port.kernel.hold_completions(false);
        released = true;
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK(sent);
    CHECK(port.take_sent() == std::vector<std::uint32_t>{0, 500});
    own.clear();
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that waits for a frame to copy into goes on when another thread drops a packet") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    elsewhere other(1);
    auto own = numbered_packets(port.sockets.tx, fake_port::sending);
    port.sockets.tx.socket().release();
    std::atomic<bool> waiting = false;
    std::thread dropping([&] {
        while (!waiting) { std::this_thread::yield(); }
        std::this_thread::sleep_for(50ms);
        own[3].reset();
    });
    bool sent = false;
    port.loop.spawn([&]() -> task<void> {
        auto foreign = other.numbered(1, 7);
        waiting = true;
        const auto [ec, n] = co_await port.sockets.tx.send(foreign);
        CHECK_FALSE(ec);
        CHECK(n == 1);
        sent = true;
    });
    port.loop.run();  // nothing is in flight and nothing else is awaited: only the timer looks again
    dropping.join();
    CHECK(sent);
    CHECK(port.loop.turns() < 100);
    CHECK(port.take_sent() == std::vector<std::uint32_t>{7});
    own.clear();
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that waits for a frame to copy into while nothing is in flight is under no completion limit") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    port.sockets.tx.set_completion_limit(1ms);
    elsewhere other(1);
    auto own = numbered_packets(port.sockets.tx, fake_port::sending);
    port.sockets.tx.socket().release();
    bool sent = false;
    port.loop.spawn([&]() -> task<void> {
        auto foreign = other.numbered(1, 7);
        const auto [ec, n] = co_await port.sockets.tx.send(foreign);
        CHECK_FALSE(ec);
        CHECK(n == 1);
        sent = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(30ms));
        CHECK_FALSE(sent);
        own[3].reset();
    });
    port.loop.run();
    CHECK(sent);
    own.clear();
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that waits for a frame to copy into is cancelled with its packet unharmed") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    elsewhere other(1);
    auto own = numbered_packets(port.sockets.tx, fake_port::sending);
    port.sockets.tx.socket().release();
    std::stop_source source;
    bool ended = false;
    const auto send = [&]() -> task<void> {
        auto foreign = other.numbered(1, 9);
        const auto [ec, n] = co_await port.sockets.tx.send(foreign);
        CHECK(ec == errc::operation_canceled);
        CHECK(n == 0);
        CHECK(number_of(foreign[0].data()) == 9);
        ended = true;
    };
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), send());
        co_await under;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(5ms));
        source.request_stop();
    });
    port.loop.run();
    CHECK(ended);
    CHECK(port.take_sent().empty());
    own.clear();
    other.check_all_home();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a packet too long to be copied ends the send with the reason and the others leave") {
    fake_port port;
    port.sockets.tx.socket().copy_foreign(true);
    elsewhere other(2, 4096);
    port.loop.spawn([&]() -> task<void> {
        auto packets = other.numbered(2, 0);
        REQUIRE(packets[1].set_len(2049));
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK(ec == errc::packet_too_large);
        CHECK(n == 1);
        CHECK(packets[1].size() == 2049);
    });
    port.loop.run();
    CHECK(port.take_sent() == std::vector<std::uint32_t>{0});
    other.check_all_home();
    check_nothing_lost(port.sockets);
}
