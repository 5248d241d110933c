// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/ring.hpp"

#include "tests/xsk/ring_storage.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using namespace fluxnet;

TEST_CASE("a million entries cross between two threads in order") {
    for (const std::uint32_t size : {1U, 64U, 2048U}) {
        CAPTURE(size);
        const std::uint64_t count = test::rounds(size == 1 ? 20'000 : 1'000'000, 10);
        test::ring_storage<std::uint64_t> memory(size, 0xffff'0000U);
        std::thread sender([&] {
            producer_ring<std::uint64_t> in(memory.memory());
            std::uint32_t step = 1;
            for (std::uint64_t next = 0; next < count;) {
                {
                    auto slots = in.reserve(step = step % 97 + 1);
                    // Some granted slots stay unwritten.
                    while (slots.remaining() > step % 3 && next < count) { slots.push(next++); }
                    if (slots.capacity() <= step % 3 && slots.remaining() != 0 && next < count) { slots.push(next++); }
                }
                if (in.available() == 0) { std::this_thread::yield(); }
            }
        });
        consumer_ring<std::uint64_t> out(memory.memory());
        std::uint64_t expected = 0;
        std::uint64_t wrong = 0;
        std::uint32_t step = 1;
        while (expected < count) {
            auto claim = out.consume(step = step % 61 + 1);
            if (claim.size() == 0) { std::this_thread::yield(); }
            // Some claimed entries stay unread.
            const std::uint32_t kept = claim.size() > 8 ? step % 4 : 0;
            while (claim.remaining() > kept) { wrong += claim.next() != expected++ ? 1U : 0U; }
        }
        sender.join();
        CHECK(wrong == 0);
        CHECK(out.available() == 0);
        CHECK_FALSE(out.corrupt());
        CHECK(memory.consumer().load() == static_cast<std::uint32_t>(0xffff'0000U + count));
    }
}
