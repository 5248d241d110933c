// SPDX-License-Identifier: BSD-3-Clause
// What the runtime costs once it runs: no allocation for waiting and for posting nodes, no system call for being idle, and
// at most one system call a turn.
#include "fluxnet/runtime/core/executor.hpp"

#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

namespace {

/// A node that posts nothing and only counts.
struct counting_node final : ready_node {
    void run() noexcept override { runs.fetch_add(1); }
    std::atomic<int> runs = 0;
};

}  // namespace

TEST_CASE("sleeping and waiting for descriptors allocates nothing") {
    executor loop;
    const file_descriptor event{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::uint64_t sleeping = ~std::uint64_t{0};
    std::uint64_t waiting = ~std::uint64_t{0};
    std::uint64_t around = ~std::uint64_t{0};
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1us));
        static_cast<void>(co_await readable(event.get()));
        const allocation_watch watch;
        for (int i = 0; i < 100; ++i) { static_cast<void>(co_await sleep_for(1us)); }
        sleeping = watch.allocations();
        for (int i = 0; i < 100; ++i) { static_cast<void>(co_await readable(event.get())); }
        waiting = watch.allocations() - sleeping;
        for (int i = 0; i < 1000; ++i) { co_await requeue(); }
        around = watch.allocations() - sleeping - waiting;
    });
    loop.run();
    CHECK(sleeping == 0);
    CHECK(waiting == 0);
    CHECK(around == 0);
}

TEST_CASE("posting a node allocates nothing on either thread") {
    executor loop;
    counting_node node;
    std::uint64_t allocations = ~std::uint64_t{0};
    std::atomic<bool> counted = false;  // the end of run() may allocate, and is not what is counted here
    loop.spawn([&]() -> task<void> {
        while (!counted.load()) { static_cast<void>(co_await sleep_for(1ms)); }
    });
    std::thread other([&] {
        while (loop.sleeps() < 2) { std::this_thread::yield(); }  // the loop has what its first turns ask for
        const allocation_watch watch;
        for (int i = 0; i < 100; ++i) {
            fluxnet::detail::inside(loop).post(node);
            while (node.runs.load() <= i) { std::this_thread::yield(); }
        }
        allocations = watch.allocations();
        counted.store(true);
    });
    loop.run();
    other.join();
    CHECK(allocations == 0);
}

TEST_CASE("posting a function allocates its node and what the function holds and nothing else") {
    executor loop;
    loop.post([] {});
    loop.run();
    const allocation_watch watch;
    loop.post([] {});
    loop.run();
    const std::uint64_t allocations = watch.allocations();
    CHECK(allocations == 1);
}

TEST_CASE("a spawned coroutine costs two frames and one more for a function object") {
    executor loop;
    loop.run();
    const auto body = []() -> task<void> { co_return; };
    fluxnet::detail::frame_cache::here().clear();
    const allocation_watch watch;
    loop.spawn(body());
    const std::uint64_t of_task = watch.allocations();
    loop.spawn(body);
    loop.run();
    const std::uint64_t of_both = watch.allocations();
    CHECK(of_task == 2);
    // Two where the compiler puts the function's frame into that of its awaiter.
    CHECK(of_both - of_task <= 3);
}

TEST_CASE("an executor that sleeps makes no system call") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    executor loop;
    std::atomic<pid_t> thread = 0;
    std::uint64_t calls = ~std::uint64_t{0};
    std::uint64_t turns = 0;
    loop.spawn([]() -> task<void> { co_await never(); });
    std::thread other([&] {
        while (thread == 0) { std::this_thread::yield(); }
        syscall_counter counter(thread, counted::thread);
        std::this_thread::sleep_for(20ms);
        counter.reset();
        std::this_thread::sleep_for(300ms);
        calls = own_calls(counter);
        turns = loop.turns();
        loop.stop();
    });
    thread = ::gettid();
    loop.run();
    other.join();
    CHECK(calls == 0);
    CHECK(turns <= 2);
}

TEST_CASE("a turn in which a hundred timers are due enters the kernel once") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    executor loop;
    const syscall_counter counter(::gettid(), counted::thread);
    const auto first = std::chrono::steady_clock::now() + 20ms;
    std::map<long, std::uint64_t> before;
    std::map<long, std::uint64_t> after;
    for (int i = 0; i < 100; ++i) {
        loop.spawn([&, i]() -> task<void> {
            static_cast<void>(co_await sleep_until(first));
            if (i == 0) { before = counter.snapshot(); }
            static_cast<void>(co_await sleep_until(first + 20ms));
            if (i == 0) { after = counter.snapshot(); }
        });
    }
    loop.run();
    std::uint64_t entries = 0;
    std::uint64_t others = 0;
    for (const auto& [number, count] : after) {
        if (is_reactor_entry(number)) {
            entries += count - before[number];
        } else if (number != SYS_brk && number != SYS_mmap) {  // the snapshot itself may ask for memory
            others += count - before[number];
        }
    }
    CHECK(entries <= 1);
    CHECK(others == 0);
}

TEST_CASE("a busy executor with nothing to hand over makes no system call") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    executor loop;
    syscall_counter counter(::gettid(), counted::thread);
    std::uint64_t calls = ~std::uint64_t{0};
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 1000; ++i) { co_await requeue(); }  // several turns: the first one hands over
        counter.reset();
        for (int i = 0; i < 10'000; ++i) { co_await requeue(); }
        calls = own_calls(counter);
    });
    loop.run();
    CHECK(calls == 0);
}

TEST_CASE("a post to an executor that is awake makes no system call") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    executor loop;
    counting_node node;
    syscall_counter counter(::gettid(), counted::thread);
    std::uint64_t calls = ~std::uint64_t{0};
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 1100; ++i) {
            // Several turns have passed: the first one hands over, and sanitizers ask the kernel about what they see first.
            if (i == 100) { counter.reset(); }
            fluxnet::detail::inside(loop).post(node);
            while (node.runs.load() <= i) { co_await requeue(); }
        }
        calls = own_calls(counter);
    });
    loop.run();
    CHECK(calls == 0);
}
