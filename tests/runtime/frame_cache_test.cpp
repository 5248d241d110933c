// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/detail/frame_cache.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using fluxnet::detail::frame_cache;

namespace {

std::optional<std::string> why_nothing_is_kept() {
    if (fluxnet::detail::keeps_frames) { return {}; }
    return "a sanitizer is to see every frame come and go";
}

void use_cache_once() {
    frame_cache::here().give(frame_cache::here().take(1), 1);
    frame_cache::here().clear();
}

task<void> nothing() {
    co_return;
}

task<int> sum_to(int n) {
    if (n == 0) { co_return 0; }
    task<int> rest = sum_to(n - 1);
    const int sum = co_await rest;
    co_return sum + n;
}

}  // namespace

TEST_CASE("the memory of a frame that has ended serves the next one of about its size") {
    FLUXNET_SKIP_IF(why_nothing_is_kept());
    frame_cache& cache = frame_cache::here();
    cache.clear();
    void* const first = cache.take(100);
    void* const other = cache.take(100);
    CHECK(first != other);
    cache.give(first, 100);
    void* const smaller = cache.take(56);
    CHECK(smaller != first);
    CHECK(cache.take(120) == first);  // what is left of 57 to 120 bytes is one and the same
    cache.give(first, 120);
    cache.give(other, 100);
    cache.give(smaller, 56);
    cache.clear();
}

TEST_CASE("a thread keeps so many bytes of a size and gives them back when it ends") {
    FLUXNET_SKIP_IF(why_nothing_is_kept());
    std::thread(use_cache_once).join();  // the C library keeps something of the first thread that does
    for (const std::size_t size : {1U, 56U, 57U, 1000U, 2040U, 2041U}) {
        const std::size_t rounded =
            (size + frame_cache::before + frame_cache::step - 1) / frame_cache::step * frame_cache::step;
        const std::size_t room = size > frame_cache::largest ? 0 : frame_cache::kept_bytes / rounded;
        constexpr std::size_t count = 300;
        static std::array<void*, count> frames;
        std::int64_t kept = -1;
        const allocation_watch watch;
        std::thread([&] {
            use_cache_once();
            const allocation_watch inside;
            for (void*& each : frames) { each = frame_cache::here().take(size); }
            for (void* const each : frames) { frame_cache::here().give(each, size); }
            kept = inside.outstanding();
        }).join();
        CHECK(kept == static_cast<std::int64_t>(room));
        CHECK(watch.outstanding() == 0);
    }
}

TEST_CASE("a frame that ends on another thread is kept there") {
    FLUXNET_SKIP_IF(why_nothing_is_kept());
    std::thread(use_cache_once).join();  // the C library keeps something of the first thread that does
    frame_cache::here().clear();
    const allocation_watch watch;
    void* const frame = frame_cache::here().take(200);
    bool same = false;
    std::thread([&] {
        frame_cache::here().give(frame, 200);
        same = frame_cache::here().take(200) == frame;
        frame_cache::here().give(frame, 200);
    }).join();
    CHECK(same);
    CHECK(watch.outstanding() == 0);
}

TEST_CASE("coroutines that await and spawn others allocate nothing once they run") {
    FLUXNET_SKIP_IF(why_nothing_is_kept());
    executor loop;
    std::uint64_t allocated = 1;
    int wrong = 0;
    loop.spawn([&]() -> task<void> {
        scope children;
        const auto round = [&]() -> task<void> {
            task<int> sum = sum_to(20);
            const int value = co_await sum;
            wrong += value == 210 ? 0 : 1;
            children.spawn(nothing());
            const std::error_code ec = co_await children.join();
            wrong += ec ? 1 : 0;
        };
        {
            task<void> warm_up = round();
            co_await warm_up;
        }
        const allocation_watch watch;
        for (int i = 0; i < 1000; ++i) {
            task<void> again = round();
            co_await again;
        }
        allocated = watch.allocations();
    });
    loop.run();
    CHECK(wrong == 0);
    CHECK(allocated == 0);
}

TEST_CASE("what wants a cache line of its own has it in a coroutine") {
    struct alignas(64) line {
        int value = 0;
    };
    static_assert(alignof(line) == frame_cache::step);
    int misplaced = 0;
    executor loop;
    for (int i = 0; i < 10; ++i) {
        loop.spawn([&]() -> task<void> {
            line here;
            channel<int> items(2);
            static_cast<void>(co_await yield());
            here.value = 1;
            misplaced += reinterpret_cast<std::uintptr_t>(&here) % alignof(line) == 0 ? 0 : 1;
            misplaced += reinterpret_cast<std::uintptr_t>(&items) % alignof(channel<int>) == 0 ? 0 : 1;
        });
    }
    loop.run();
    CHECK(misplaced == 0);
}
