// SPDX-License-Identifier: BSD-3-Clause
// What the runtime costs once it runs: no allocation for waiting and for posting nodes, no system call for being idle, at
// most one system call a turn, and coroutine frames of a bounded size.
#include "runtime/executor.hpp"

#include "runtime/detail/frame_cache.hpp"
#include "runtime/readable.hpp"
#include "runtime/signal_set.hpp"
#include "runtime/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

namespace {

constinit thread_local std::size_t largest_new = 0;

/// The largest block that `function` asks operator new for: the frame, when it does nothing but call a coroutine.
template <class F>
std::size_t largest_block(F&& function) {
    fluxnet::detail::frame_cache::here().clear();
    largest_new = 0;
    function();
    return largest_new;
}

/// A node that posts nothing and only counts.
struct counting_node final : ready_node {
    void run() noexcept override { runs.fetch_add(1); }
    std::atomic<int> runs = 0;
};

}  // namespace

// The thread sanitizer has an operator new of its own that cannot be replaced.
#if FLUXNET_THREAD_SANITIZER
static std::optional<std::string> why_sizes_are_unknown() {
    return "the thread sanitizer hides the sizes of allocations";
}
#else
static std::optional<std::string> why_sizes_are_unknown() {
    return {};
}

void* operator new(std::size_t size) {
    largest_new = std::max(largest_new, size);
    if (void* const memory = std::malloc(size != 0 ? size : 1)) { return memory; }
    throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    largest_new = std::max(largest_new, size);
    if (void* const memory = std::aligned_alloc(static_cast<std::size_t>(alignment), size)) { return memory; }
    throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
#endif

TEST_CASE("sleeping and waiting for descriptors allocates nothing") {
    executor loop;
    const file_descriptor event{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::uint64_t sleeping = ~std::uint64_t{0};
    std::uint64_t waiting = ~std::uint64_t{0};
    std::uint64_t around = ~std::uint64_t{0};
    loop.spawn([&]() -> task<void> {
        co_await sleep_for(1us);
        co_await readable(event.get());
        const allocation_watch watch;
        for (int i = 0; i < 100; ++i) { co_await sleep_for(1us); }
        sleeping = watch.allocations();
        for (int i = 0; i < 100; ++i) { co_await readable(event.get()); }
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
    loop.spawn([&]() -> task<void> {
        while (node.runs.load() < 100) { co_await sleep_for(1ms); }
    });
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        const allocation_watch watch;
        for (int i = 0; i < 100; ++i) {
            loop.post(node);
            while (node.runs.load() <= i) { std::this_thread::yield(); }
        }
        allocations = watch.allocations();
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
            co_await sleep_until(first);
            if (i == 0) { before = counter.snapshot(); }
            co_await sleep_until(first + 20ms);
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
            loop.post(node);
            while (node.runs.load() <= i) { co_await requeue(); }
        }
        calls = own_calls(counter);
    });
    loop.run();
    CHECK(calls == 0);
}

// Loose bounds, about twice what g++ without optimisation needs, which is the largest: see the numbers that this prints.
TEST_CASE("the frames of the library's own coroutines are small") {
    FLUXNET_SKIP_IF(why_sizes_are_unknown());
    executor loop;
    signal_set signals{SIGUSR1};
    const auto empty = []() -> task<void> { co_return; };
    const std::size_t of_next = largest_block([&] { static_cast<void>(signals.next()); });
    task<void> work = empty();
    const std::size_t of_root = largest_block([&] { loop.spawn(std::move(work)); });
    const std::size_t of_function = largest_block([&] { loop.spawn(empty); });
    const std::size_t of_empty = largest_block([&] { static_cast<void>(empty()); });
    loop.run();
    MESSAGE("bytes: signal_set::next ", of_next, ", root ", of_root, ", spawned function ", of_function, ", empty task ",
            of_empty);
    CHECK(of_next <= 1024);
    CHECK(of_root <= 512);
    CHECK(of_function <= 512);
    CHECK(of_empty <= 256);
}
