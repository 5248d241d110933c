// SPDX-License-Identifier: BSD-3-Clause
#include "examples/load_balancer/packet_queue.hpp"

#include "examples/load_balancer/doorbell.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace load_balancer;

namespace {

/// Frames whose owner is the thread that makes it.
struct frames {
    explicit frames(std::uint32_t count) {
        umem_config config;
        config.frame_count = count;
        memory = umem::create(config).value();
        home = memory.pool().make_home(count);
        home->adopt();
    }
    ~frames() { home->release(); }

    /// A packet that holds a number; an empty handle when all frames are out.
    packet make(std::uint32_t number) {
        home->drain();
        const auto frame = home->take();
        if (!frame) { return {}; }
        packet one = packet::from_raw(*home, {home->addr_of(home->at(*frame) + 256), sizeof number, 0});
        std::memcpy(one.data().data(), &number, sizeof number);
        return one;
    }

    std::int64_t held() { return memory.pool().census().user; }

    umem memory;
    frame_home* home = nullptr;
};

std::uint32_t number_in(const packet& one) {
    std::uint32_t number = 0;
    std::memcpy(&number, one.data().data(), sizeof number);
    return number;
}

}  // namespace

TEST_CASE("packets leave a queue in the order in which they came") {
    frames stock(16);
    packet_queue queue(8);
    std::array<packet, 4> in;
    std::array<packet, 8> out;
    std::uint32_t next_in = 0;
    std::uint32_t next_out = 0;
    for (int round = 0; round < 10; ++round) {  // around the ring's end more than once
        for (packet& one : in) { one = stock.make(next_in++); }
        CHECK(queue.push(in) == 4);
        for (const packet& one : in) { CHECK(!one); }
        CHECK(queue.pop(std::span(out).first(3)) == 3);
        CHECK(queue.pop(std::span(out).subspan(3)) == 1);
        for (packet& one : std::span(out).first(4)) { CHECK(number_in(one) == next_out++); }
    }
    CHECK(queue.pop(out) == 0);
}

TEST_CASE("a full queue takes what fits and leaves the rest with the caller") {
    frames stock(16);
    packet_queue queue(5);
    std::array<packet, 8> in;
    for (std::uint32_t i = 0; i < 8; ++i) { in[i] = stock.make(i); }
    CHECK(queue.push(in) == 5);
    CHECK(!in[4]);
    REQUIRE(static_cast<bool>(in[5]));
    CHECK(number_in(in[5]) == 5);
    CHECK(queue.push(std::span(in).subspan(5)) == 0);
    CHECK(queue.push(std::span(in).first(0)) == 0);
    CHECK(stock.held() == 8);
}

TEST_CASE("packets left in a queue return their frames with it") {
    frames stock(8);
    auto queue = std::make_unique<packet_queue>(8);
    std::array<packet, 3> in{stock.make(0), stock.make(1), stock.make(2)};
    CHECK(queue->push(in) == 3);
    CHECK(stock.held() == 3);
    queue.reset();
    CHECK(stock.held() == 0);
}

TEST_CASE("a queue is idle while it is open and empty") {
    frames stock(2);
    packet_queue queue(2);
    CHECK(queue.idle());
    packet one = stock.make(1);
    CHECK(queue.push(std::span(&one, 1)) == 1);
    CHECK(!queue.idle());
    CHECK(queue.pop(std::span(&one, 1)) == 1);
    CHECK(queue.idle());
    queue.close();
    CHECK(!queue.idle());
    CHECK(queue.closed());
}

TEST_CASE("a doorbell that nobody rings lets the sleeper go when its time is over") {
    doorbell bell;
    const auto start = std::chrono::steady_clock::now();
    bell.wait([] { return true; }, std::chrono::milliseconds(20));
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(19));
    bell.ring();  // nobody sleeps: nothing is left for the next wait
    const auto again = std::chrono::steady_clock::now();
    bell.wait([] { return true; }, std::chrono::milliseconds(20));
    CHECK(std::chrono::steady_clock::now() - again >= std::chrono::milliseconds(19));
    bell.wait([] { return false; });  // something to do: no sleep at all
}

// The producer waits for each packet to arrive before it makes the next, so nothing but its own ring ends the consumer's
// sleep. Both dawdle for a varying time, the consumer right between its last look and its sleep.
TEST_CASE("no ring is lost when a packet meets a consumer that is falling asleep") {
    const std::uint32_t total = test::rounds(100'000, 5);
    frames stock(4);
    packet_queue queue(2);
    doorbell bell;
    std::atomic<std::uint32_t> received = 0;
    std::uint32_t wrong = 0;
    const auto dawdle = [](std::uint32_t turns) {
        for (volatile std::uint32_t i = 0; i < turns;) { i = i + 1; }
    };
    std::thread consumer([&] {
        packet one;
        std::uint32_t turns = 0;
        for (;;) {
            const bool last = queue.closed();
            if (queue.pop(std::span(&one, 1)) == 1) {
                wrong += number_in(one) != received ? 1 : 0;
                one.reset();
                ++received;
            } else if (last) {
                return;
            } else {
                bell.wait([&] {
                    const bool idle = queue.idle();
                    dawdle(turns = (turns + 7) % 4000);  // longer than the producer takes, or shorter
                    return idle;
                });
            }
        }
    });
    bool lost = false;
    std::uint32_t wrong_pushes = 0;
    for (std::uint32_t number = 0; number < total && !lost; ++number) {
        packet one = stock.make(number);
        wrong_pushes += queue.push(std::span(&one, 1)) == 1 ? 0 : 1;
        bell.ring();
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
        while (received != number + 1 && !lost) { lost = std::chrono::steady_clock::now() > limit; }
        dawdle(number % 300);
    }
    queue.close();
    bell.ring();
    consumer.join();
    CHECK(!lost);
    CHECK(wrong_pushes == 0);
    CHECK(wrong == 0);
    CHECK(stock.held() == 0);
}

TEST_CASE("a million packets cross in bursts and none is lost or out of order") {
    const std::uint32_t total = test::rounds(1'000'000, 10);
    frames stock(64);
    packet_queue queue(32);
    doorbell bell;
    std::uint32_t wrong = 0;
    std::uint32_t received = 0;
    std::thread consumer([&] {
        std::array<packet, 16> burst;
        for (;;) {
            const bool last = queue.closed();
            const std::size_t count = queue.pop(burst);
            if (count == 0) {
                if (last) { return; }
                bell.wait([&] { return queue.idle(); });
            }
            for (packet& one : std::span(burst).first(count)) {
                wrong += number_in(one) != received++ ? 1 : 0;
                one.reset();
            }
        }
    });
    for (std::uint32_t number = 0; number < total; ++number) {
        packet one = stock.make(number);
        for (; !one; one = stock.make(number)) { std::this_thread::yield(); }
        while (queue.push(std::span(&one, 1)) == 0) { std::this_thread::yield(); }
        bell.ring();
    }
    queue.close();
    bell.ring();
    consumer.join();
    CHECK(received == total);
    CHECK(wrong == 0);
    CHECK(stock.held() == 0);
}
