// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/ring.hpp"

#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/ring_storage.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using test::ring_storage;

using entry = std::uint64_t;
using producer = producer_ring<entry>;
using consumer = consumer_ring<entry>;

static_assert(!std::is_copy_constructible_v<producer::reservation> && !std::is_move_constructible_v<producer::reservation>);
static_assert(!std::is_copy_constructible_v<consumer::claim> && !std::is_move_constructible_v<consumer::claim>);
static_assert(noexcept(std::declval<producer&>().reserve(1)) && noexcept(std::declval<consumer&>().consume(1)));

namespace {

constexpr std::uint32_t near_wrap = 0xffff'fffdU;

std::uint32_t push_all(producer& ring, std::uint32_t count, entry first) {
    auto slots = ring.reserve(count);
    while (slots.push(first)) { ++first; }
    return slots.written();
}

std::vector<entry> read_all(consumer& ring) {
    std::vector<entry> values;
    auto claim = ring.consume();
    while (claim.remaining() != 0) { values.push_back(claim.next()); }
    return values;
}

}  // namespace

TEST_CASE("entries come out as they went in across the end of the index") {
    for (const std::uint32_t size : {1U, 2U, 8U, 4096U}) {
        CAPTURE(size);
        ring_storage<entry> memory(size, near_wrap);
        producer in(memory.memory());
        consumer out(memory.memory());
        entry sent = 0;
        entry received = 0;
        std::uint64_t wrong = 0;
        for (std::uint32_t round = 0; round < 5 * size + 7; ++round) {
            const std::uint32_t wanted = round % size + 1;
            sent += push_all(in, wanted, sent);
            for (const entry value : read_all(out)) { wrong += value != received++ ? 1U : 0U; }
            wrong += sent != received ? 1U : 0U;
        }
        CHECK(wrong == 0);
        CHECK(memory.producer().load() == static_cast<std::uint32_t>(near_wrap + sent));
        CHECK(memory.consumer().load() == memory.producer().load());
        CHECK(memory.producer().load() < near_wrap);
        CHECK_FALSE(in.corrupt());
        CHECK_FALSE(out.corrupt());
    }
}

TEST_CASE("a ring can be filled to its last slot and no further") {
    for (const std::uint32_t size : {1U, 64U}) {
        for (const std::uint32_t start : {0U, near_wrap, ~0U}) {
            ring_storage<entry> memory(size, start);
            producer in(memory.memory());
            CHECK(in.available() == size);
            CHECK(in.pending() == 0);
            CHECK(push_all(in, size + 5, 0) == size);
            CHECK(in.available() == 0);
            CHECK(in.pending() == size);
            CHECK(in.reserve(1).capacity() == 0);
            consumer out(memory.memory());
            CHECK(out.available() == size);
            CHECK(read_all(out).size() == size);
            CHECK(in.pending() == 0);
            CHECK(in.available() == size);
        }
    }
}

TEST_CASE("a reservation grants what there is and no more than was asked for") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    CHECK(in.reserve(3).capacity() == 3);
    push_all(in, 6, 0);
    auto slots = in.reserve(5);
    CHECK(slots.capacity() == 2);
    CHECK(slots.push(1));
    CHECK(slots.remaining() == 1);
    CHECK(slots.push(2));
    CHECK_FALSE(slots.push(3));
    CHECK(slots.written() == 2);
    CHECK(in.reserve(0).capacity() == 0);
}

TEST_CASE("slots and entries that lie side by side end where the ring's memory ends") {
    ring_storage<entry> memory(8, near_wrap);  // slot 5 comes first
    producer in(memory.memory());
    consumer out(memory.memory());
    CHECK(out.readable(8).empty());
    auto slots = in.writable(8);
    REQUIRE(slots.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) { slots[i] = i; }
    CHECK(out.readable(8).empty());
    in.publish(2);
    CHECK(in.writable(8).size() == 1);
    CHECK(in.writable(0).empty());
    REQUIRE(out.readable(1).size() == 1);
    CHECK(out.readable(1)[0] == 0);
    REQUIRE(out.readable(8).size() == 2);
    CHECK(out.readable(8)[1] == 1);
    in.publish(1);
    slots = in.writable(8);
    REQUIRE(slots.size() == 5);
    slots[0] = 3;
    in.publish(1);
    CHECK(out.readable(8).size() == 3);
    CHECK(in.available() == 4);
    out.release(3);
    CHECK(in.available() == 7);
    REQUIRE(out.readable(8).size() == 1);
    CHECK(out.readable(8)[0] == 3);
    out.release(1);
    CHECK(out.readable(8).empty());
    CHECK(in.writable(3).size() == 3);
}

TEST_CASE("a reservation commits only what was written") {
    ring_storage<entry> memory(8, near_wrap);
    producer in(memory.memory());
    {
        auto slots = in.reserve(8);
        slots.push(41);
        slots.push(42);
        CHECK(memory.producer().load() == near_wrap);
    }
    CHECK(memory.producer().load() == near_wrap + 2);
    { const auto untouched = in.reserve(6); }
    CHECK(memory.producer().load() == near_wrap + 2);
    CHECK(in.available() == 6);
    consumer out(memory.memory());
    CHECK(read_all(out) == std::vector<entry>{41, 42});
}

TEST_CASE("a reservation is committed once") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    {
        auto slots = in.reserve(4);
        slots.push(1);
        slots.commit();
        CHECK(memory.producer().load() == 1);
        slots.commit();
        CHECK_FALSE(slots.push(2));
        CHECK(slots.capacity() == 0);
        CHECK(slots.written() == 0);
    }
    CHECK(memory.producer().load() == 1);
}

TEST_CASE("a reservation that unwinds commits what was written") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    try {
        auto slots = in.reserve(8);
        slots.push(7);
        slots.push(8);
        slots.push(9);
        throw std::runtime_error("half-way");
    } catch (const std::runtime_error&) {}
    CHECK(memory.producer().load() == 3);
    consumer out(memory.memory());
    CHECK(read_all(out) == std::vector<entry>{7, 8, 9});
}

TEST_CASE("a claim releases only what was read") {
    ring_storage<entry> memory(8, near_wrap);
    producer in(memory.memory());
    consumer out(memory.memory());
    push_all(in, 6, 10);
    {
        auto claim = out.consume();
        CHECK(claim.size() == 6);
        CHECK(claim.peek() == 10);
        CHECK(claim.peek(5) == 15);
        CHECK(claim.remaining() == 6);
        CHECK(claim.next() == 10);
        CHECK(claim.next() == 11);
        CHECK(claim.peek(3) == 15);
        CHECK(memory.consumer().load() == near_wrap);
    }
    CHECK(memory.consumer().load() == near_wrap + 2);
    { const auto untouched = out.consume(); }
    CHECK(memory.consumer().load() == near_wrap + 2);
    CHECK(out.available() == 4);
    CHECK(read_all(out) == std::vector<entry>{12, 13, 14, 15});
}

TEST_CASE("a claim is released once") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    consumer out(memory.memory());
    push_all(in, 4, 0);
    {
        auto claim = out.consume(3);
        CHECK(claim.size() == 3);
        static_cast<void>(claim.next());
        claim.release();
        CHECK(memory.consumer().load() == 1);
        claim.release();
        CHECK(claim.size() == 0);
        CHECK(claim.remaining() == 0);
    }
    CHECK(memory.consumer().load() == 1);
}

TEST_CASE("a claim that unwinds releases what was read") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    consumer out(memory.memory());
    push_all(in, 5, 0);
    try {
        auto claim = out.consume();
        static_cast<void>(claim.next());
        throw std::runtime_error("half-way");
    } catch (const std::runtime_error&) {}
    CHECK(memory.consumer().load() == 1);
    CHECK(read_all(out).size() == 4);
}

TEST_CASE("an end built late goes on where the ring stands") {
    ring_storage<entry> memory(8, near_wrap);
    producer first(memory.memory());
    push_all(first, 5, 0);
    {
        consumer early(memory.memory());
        auto claim = early.consume(2);
        static_cast<void>(claim.next());
        static_cast<void>(claim.next());
    }
    producer again(memory.memory());
    CHECK(again.pending() == 3);
    push_all(again, 8, 5);
    consumer late(memory.memory());
    CHECK(read_all(late) == std::vector<entry>{2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("the peer is looked at only when the copy of its index promises too little") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    push_all(in, 4, 0);
    memory.consumer().store(0xdead'0000U);  // would be seen as corrupt
    CHECK(in.reserve(4).capacity() == 4);
    CHECK_FALSE(in.corrupt());
    CHECK(in.reserve(5).capacity() == 0);
    CHECK(in.corrupt());
}

TEST_CASE("a consumer index that cannot be stops the producer for good") {
    for (const std::uint32_t wrong : {11U, 0xffff'fff0U, 0x8000'0000U}) {
        CAPTURE(wrong);
        ring_storage<entry> memory(8);
        producer in(memory.memory());
        push_all(in, 8, 0);
        memory.consumer().store(2);
        CHECK(in.available() == 2);
        memory.consumer().store(wrong);
        CHECK(in.available() == 0);
        CHECK(in.corrupt());
        CHECK(push_all(in, 4, 0) == 0);
        CHECK(memory.producer().load() == 8);
        memory.consumer().store(8);
        CHECK(in.available() == 0);
        CHECK(in.reserve(1).capacity() == 0);
        CHECK(in.corrupt());
    }
}

TEST_CASE("a producer index that cannot be stops the consumer for good") {
    for (const std::uint32_t wrong : {9U, 0xffff'ffffU, 0x8000'0000U}) {
        CAPTURE(wrong);
        ring_storage<entry> memory(8);
        consumer out(memory.memory());
        memory.producer().store(wrong);
        CHECK(out.available() == 0);
        CHECK(out.corrupt());
        CHECK(out.consume().size() == 0);
        memory.producer().store(4);
        CHECK(out.available() == 0);
        CHECK(out.consume(1).size() == 0);
        CHECK(memory.consumer().load() == 0);
    }
}

TEST_CASE("corruption found while a guard is open grants nothing afterwards") {
    ring_storage<entry> memory(8);
    {
        producer in(memory.memory());
        {
            auto slots = in.reserve(4);
            while (slots.push(0)) {}
            memory.consumer().store(100);
            CHECK(in.available() == 0);
        }
        CHECK(in.corrupt());
        CHECK(in.reserve(8).capacity() == 0);
        CHECK(in.pending() == 8);
    }
    memory.consumer().store(0);
    memory.producer().store(4);
    consumer out(memory.memory());
    {
        auto claim = out.consume(4);
        memory.producer().store(100);
        CHECK(out.available() == 0);
        CHECK(claim.next() == 0);
        CHECK(claim.next() == 0);
    }
    CHECK(out.corrupt());
    CHECK(out.consume(8).size() == 0);
    CHECK(out.available() == 0);
}

TEST_CASE("the flag of a ring that wants a system call is its lowest bit") {
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    CHECK_FALSE(in.needs_wakeup());
    memory.flags().store(1);
    CHECK(in.needs_wakeup());
    memory.flags().store(2);
    CHECK_FALSE(in.needs_wakeup());
    memory.flags().store(3);
    CHECK(in.needs_wakeup());
    CHECK(memory.producer().load() == 0);
}

TEST_CASE("reading past a claim is stopped by an assertion") {
    FLUXNET_SKIP_IF(test::why_no_assertions());
    ring_storage<entry> memory(8);
    producer in(memory.memory());
    consumer out(memory.memory());
    push_all(in, 1, 0);
    CHECK(test::dies([&] {
        auto claim = out.consume();
        static_cast<void>(claim.next());
        static_cast<void>(claim.next());
    }));
}
