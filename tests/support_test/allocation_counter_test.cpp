// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

using namespace fluxnet::test;

namespace {

// The compiler may leave out an allocation whose result goes nowhere.
void* volatile escaped = nullptr;

struct alignas(64) wide {
    char bytes[64];
};

}  // namespace

TEST_CASE("nothing is counted when nothing is allocated") {
    const allocation_watch watch;
    int values[16] = {};
    for (int& value : values) value += 1;
    escaped = values;
    const std::uint64_t count = watch.allocations();
    CHECK(count == 0);
    CHECK(watch.maps() == 0);
}

TEST_CASE("every form of allocation counts once") {
    // Collected first and checked afterwards, because checking allocates.
    std::uint64_t counts[8] = {};
    std::size_t steps = 0;
    std::uint64_t before = 0;
    const allocation_watch watch;
    const auto note = [&](void* memory) {
        escaped = memory;
        const std::uint64_t now = watch.allocations();
        counts[steps++] = now - before;
        before = now;
        return memory;
    };

    void* const first = note(std::malloc(10));
    std::free(note(std::realloc(first, 100'000)));
    std::free(note(std::calloc(3, 5)));
    delete static_cast<int*>(note(new int(1)));
    delete static_cast<wide*>(note(new wide));
    std::vector<int> numbers(100);
    note(numbers.data());
    std::free(note(std::aligned_alloc(64, 128)));
    void* page = nullptr;
    const int error = ::posix_memalign(&page, 4096, 10);
    std::free(note(page));

    CHECK(error == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(page) % 4096 == 0);
    for (std::size_t step = 0; step < 6; ++step) CHECK(counts[step] == 1);
    for (std::size_t step = 6; step < 8; ++step) CHECK(counts[step] == (allocation_watch::counts_aligned_alloc() ? 1 : 0));
}

TEST_CASE("calloc clears and realloc keeps what was there") {
    auto* bytes = static_cast<unsigned char*>(std::calloc(1, 64));
    REQUIRE(bytes != nullptr);
    unsigned sum = 0;
    for (int i = 0; i < 64; ++i) sum += bytes[i];
    CHECK(sum == 0);
    bytes[5] = 55;
    bytes = static_cast<unsigned char*>(std::realloc(bytes, 1 << 20));
    REQUIRE(bytes != nullptr);
    CHECK(bytes[5] == 55);
    std::free(bytes);
}

TEST_CASE("watches nest and each counts from its own beginning") {
    const allocation_watch outer;
    escaped = std::malloc(1);
    std::free(escaped);
    const allocation_watch inner;
    escaped = std::malloc(1);
    std::free(escaped);
    const std::uint64_t inner_count = inner.allocations();
    const std::uint64_t outer_count = outer.allocations();
    CHECK(inner_count == 1);
    CHECK(outer_count == 2);
}

TEST_CASE("allocations of other threads count") {
    std::thread idle([] {});
    idle.join();
    const allocation_watch watch;
    std::thread other([] {
        for (int i = 0; i < 1000; ++i) {
            void* const memory = std::malloc(16);
            escaped = memory;
            std::free(memory);
        }
    });
    other.join();
    const std::uint64_t count = watch.allocations();
    CHECK(count >= 1000);
    CHECK(count <= 1010);  // the thread itself takes a few
}

TEST_CASE("mappings are counted where the build can") {
    const allocation_watch watch;
    void* const area = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED);
    static_cast<char*>(area)[4096] = 1;
    ::munmap(area, 8192);
    CHECK(watch.maps() == (allocation_watch::counts_maps() ? 1 : 0));
    CHECK(::mmap(nullptr, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

TEST_CASE("blocks that are not freed stay outstanding") {
    // Collected first and checked afterwards, because checking allocates.
    std::int64_t counts[8] = {};
    const allocation_watch watch;
    void* plain = std::malloc(10);
    escaped = plain;
    counts[0] = watch.outstanding();
    plain = std::realloc(plain, 100'000);
    escaped = plain;
    counts[1] = watch.outstanding();
    int* const object = new int(1);
    escaped = object;
    counts[2] = watch.outstanding();
    delete object;
    counts[3] = watch.outstanding();
    std::free(plain);
    counts[4] = watch.outstanding();
    std::free(nullptr);
    counts[5] = watch.outstanding();
    std::thread([] { delete new int(2); }).join();
    void* fresh = std::realloc(nullptr, 10);
    escaped = fresh;
    counts[6] = watch.outstanding();
    std::free(fresh);
    const std::int64_t expected[6] = {1, 1, 2, 1, 0, 0};
    for (int i = 0; i < 6; ++i) { CHECK(counts[i] == expected[i]); }
    CHECK(counts[6] >= 1);  // the thread's own may be kept by the C library
}
