// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/detail/turn_lock.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <mutex>
#include <thread>

using fluxnet::asio::detail::turn_lock;

TEST_CASE("a turn_lock lets one thread in at a time, and that one again") {
    turn_lock lock;
    int count = 0;
    constexpr int rounds = 20'000;
    std::array<std::thread, 3> threads;
    for (std::thread& each : threads) {
        each = std::thread([&] {
            for (int i = 0; i != rounds; ++i) {
                const std::lock_guard outer(lock);
                ++count;
                const std::lock_guard inner(lock);
                ++count;
            }
        });
    }
    for (std::thread& each : threads) { each.join(); }
    CHECK(count == 6 * rounds);
}

TEST_CASE("a thread that waits for a turn_lock goes on when the last of the holder's locks is given up") {
    turn_lock lock;
    std::atomic<bool> got = false;
    lock.lock();
    lock.lock();
    std::thread waits([&] {
        const std::lock_guard mine(lock);
        got = true;
    });
    lock.unlock();
    std::this_thread::yield();
    CHECK_FALSE(got);
    lock.unlock();
    waits.join();
    CHECK(got);
}

TEST_CASE("a turn_lock is taken without waiting, unless another thread holds it") {
    turn_lock lock;
    REQUIRE(lock.try_lock());
    REQUIRE(lock.try_lock());
    CHECK(lock.is_mine());
    bool of_another = false;
    bool got = true;
    std::thread([&] {
        of_another = lock.is_mine();
        got = lock.try_lock();
    }).join();
    CHECK_FALSE(of_another);
    CHECK_FALSE(got);
    lock.unlock();
    lock.unlock();
    CHECK_FALSE(lock.is_mine());
    std::thread([&] {
        got = lock.try_lock();
        lock.unlock();
    }).join();
    CHECK(got);
}
