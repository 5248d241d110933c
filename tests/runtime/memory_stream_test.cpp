// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_stream.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/memory_world.hpp"
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(stream<memory_stream> && !std::is_copy_constructible_v<memory_stream>);
static_assert(std::is_nothrow_move_constructible_v<memory_buffer> && !std::is_copy_constructible_v<memory_buffer>);

TEST_CASE("a rate spaces what is sent") {
    memory_options options;
    options.bits_per_second = 8'000'000;  // a byte each microsecond
    options.fragmentation = 0;
    options.buffer_bytes = 1'000'000;
    memory_world here(options);
    const auto body = [&]() -> task<void> {
        auto ends = memory_pair(here.net);
        std::vector<std::byte> bytes(100'000);
        const io_result sent = co_await ends.first.write(bytes);
        CHECK(sent.n == bytes.size());
        std::size_t there = 0;
        while (there != bytes.size()) {
            const io_result got = co_await ends.second.read(bytes);
            REQUIRE(!got.ec);
            there += got.n;
            CHECK(here.clock.elapsed() == std::chrono::microseconds(there));
        }
    };
    here.loop.run(body());
}

TEST_CASE("a direction holds its buffer and no more") {
    for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{65'536}}) {
        memory_options options = slow();
        options.buffer_bytes = size;
        memory_world here(options);
        const auto body = [&]() -> task<void> {
            auto ends = memory_pair(here.net);
            std::vector<std::byte> bytes(100'000);
            const timed<io_result> sent = co_await timeout(1s, ends.first.write(bytes));
            CHECK(sent.expired);
            CHECK(sent.value.n == size);
            std::size_t there = 0;
            while (there != size) {
                const io_result got = co_await ends.second.read(bytes);
                REQUIRE(!got.ec);
                there += got.n;
            }
            const timed<io_result> none = co_await timeout(1s, ends.second.read(bytes));
            CHECK(none.expired);
        };
        here.loop.run(body());
    }
}

TEST_CASE("a peer that has gone is written to as far as its buffer had room until the reset comes") {
    for (const std::size_t unread : {std::size_t{0}, std::size_t{300}}) {
        memory_options options = slow();
        options.buffer_bytes = 1000;
        memory_world here(options);
        const auto body = [&]() -> task<void> {
            auto ends = memory_pair(here.net);
            std::vector<std::byte> bytes(100'000);
            const io_result first = co_await ends.first.write(std::span(bytes).first(unread));
            CHECK(first.n == unread);
            static_cast<void>(co_await sleep_for(10ms));
            ends.second.close();
            // With bytes unread the reset is on its way; without, the bytes that are written now cause it.
            const io_result sent = co_await ends.first.write(bytes);
            CHECK(sent.ec == std::errc::connection_reset);
            CHECK(sent.n == 1000 - unread);
            CHECK(here.clock.elapsed() == (unread == 0 ? 16ms : 13ms));
            const io_result again = co_await ends.first.write(bytes);
            CHECK(again.ec != std::error_code());
            CHECK(again.n == 0);
        };
        here.loop.run(body());
    }
}

TEST_CASE("reads are cut into pieces as the seed has it") {
    const auto pieces_of = [](std::uint64_t seed, double fragmentation) {
        memory_options options;
        options.seed = seed;
        options.fragmentation = fragmentation;
        memory_world here(options);
        std::vector<std::size_t> pieces;
        const auto body = [&]() -> task<void> {
            auto ends = memory_pair(here.net);
            std::vector<std::byte> bytes(1000);
            static_cast<void>(co_await ends.first.write(bytes));
            static_cast<void>(co_await ends.first.shutdown_write());
            for (;;) {
                const io_result got = co_await ends.second.read(bytes);
                if (got.ec) { break; }
                pieces.push_back(got.n);
            }
        };
        here.loop.run(body());
        return pieces;
    };
    CHECK(pieces_of(1, 0) == std::vector<std::size_t>{1000});
    CHECK(pieces_of(1, 1).size() > 1);
    std::set<std::vector<std::size_t>> seen;
    for (std::uint64_t seed = 0; seed != 50; ++seed) {
        const auto pieces = pieces_of(seed, 0.25);
        CHECK(pieces == pieces_of(seed, 0.25));
        seen.insert(pieces);
    }
    CHECK(seen.size() > 5);
}

TEST_CASE("what had arrived before a reset can be read and then the reset is told every time") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto ends = memory_pair(here.net);
        std::array<std::byte, 100> bytes{};
        static_cast<void>(co_await ends.first.write(bytes));
        static_cast<void>(co_await ends.second.write(std::span(bytes).first(5)));
        ends.second.close();  // with 100 bytes unread
        std::size_t there = 0;
        io_result got;
        while (!got.ec) {
            got = co_await ends.first.read(bytes);
            there += got.n;
        }
        CHECK(there == 5);
        for (int i = 0; i != 3; ++i) {
            const io_result again = co_await ends.first.read(bytes);
            CHECK(again.ec == std::errc::connection_reset);
            const auto lent = co_await ends.first.read_borrowed();
            CHECK(lent.ec == std::errc::connection_reset);
            const io_result put = co_await ends.first.write(bytes);
            CHECK(put.ec == std::errc::connection_reset);
            const wait_result shut = co_await ends.first.shutdown_write();
            CHECK(shut == std::errc::connection_reset);
        }
    };
    here.loop.run(body());
}

TEST_CASE("the steady state allocates nothing") {
    for (const bool takes_time : {false, true}) {
        memory_world here(takes_time ? slow() : memory_options());
        const auto body = [&]() -> task<void> {
            auto ends = memory_pair(here.net);
            memory_datagram_socket socket = here.net.bind(at(5)).value();
            std::vector<std::byte> bytes(60'000);
            std::optional<allocation_watch> watch;
            for (int round = 0; round != 20; ++round) {
                if (round == 3) { watch.emplace(); }
                const io_result put = co_await ends.first.write(bytes);
                CHECK(put.n == bytes.size());
                for (std::size_t there = 0; there < bytes.size();) {
                    if (round % 2 == 0) {
                        const io_result got = co_await ends.second.read(bytes);
                        there += got.n;
                    } else {
                        const auto lent = co_await ends.second.read_borrowed();
                        there += lent.buffer.bytes().size();
                    }
                }
                const io_result sent = co_await socket.send_to(bytes, at(5));
                CHECK(sent.n == bytes.size());
                const datagram_result got = co_await socket.recv_from(bytes);
                CHECK(got.n == bytes.size());
            }
            CHECK(watch->allocations() == 0);
        };
        here.loop.run(body());
    }
}
