// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_datagram_socket.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/memory_world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(datagram_socket<memory_datagram_socket> && !std::is_copy_constructible_v<memory_datagram_socket>);

namespace {

/// Sends numbered datagrams from one socket to another and returns the numbers in the order in which they arrive.
std::vector<std::uint8_t> arrivals(const memory_options& options, memory_counts& counts, std::uint8_t total) {
    memory_world here(options);
    std::vector<std::uint8_t> order;
    const auto body = [&]() -> task<void> {
        memory_datagram_socket near = here.net.bind(at(1)).value();
        memory_datagram_socket far = here.net.bind(at(2)).value();
        for (std::uint8_t i = 0; i != total; ++i) {
            const std::byte number{i};
            static_cast<void>(co_await near.send_to(std::span(&number, 1), at(2)));
        }
        for (;;) {
            std::byte number{};
            const timed<io_result> got = co_await timeout(1s, [&]() -> task<io_result> {
                const datagram_result one = co_await far.recv_from(std::span(&number, 1));
                co_return io_result{one.ec, one.n};
            }());
            if (got.value.n == 0) { break; }
            order.push_back(std::to_integer<std::uint8_t>(number));
        }
        counts = here.net.counts();
    };
    here.loop.run(body());
    CHECK(counts.sent + counts.duplicated ==
          counts.delivered + counts.lost + counts.transit_full + counts.unreachable + counts.queue_full + counts.in_transit);
    CHECK(counts.delivered == order.size());
    return order;
}

}  // namespace

TEST_CASE("datagrams are lost and doubled and put out of order as the seed has it") {
    memory_options options;
    memory_counts counts;
    std::vector<std::uint8_t> all(200);
    for (std::size_t i = 0; i != all.size(); ++i) { all[i] = static_cast<std::uint8_t>(i); }
    CHECK(arrivals(options, counts, 200) == all);
    options.latency = 1ms;
    options.jitter = 5ms;
    CHECK(arrivals(options, counts, 200) == all);  // jitter keeps the order
    options.loss = 0.2;
    const auto fewer = arrivals(options, counts, 200);
    CHECK(counts.lost > 10);
    CHECK(fewer.size() == 200 - counts.lost);
    CHECK(std::is_sorted(fewer.begin(), fewer.end()));
    CHECK(fewer == arrivals(options, counts, 200));
    options.seed = 2;
    CHECK(fewer != arrivals(options, counts, 200));
    options.loss = 0;
    options.duplication = 0.2;
    const auto more = arrivals(options, counts, 200);
    CHECK(counts.duplicated > 10);
    CHECK(more.size() == 200 + counts.duplicated);
    options.duplication = 0;
    options.jitter = 0ms;
    options.reordering = 0.2;
    const auto mixed = arrivals(options, counts, 200);
    CHECK(counts.reordered > 10);
    CHECK(mixed.size() == 200);
    CHECK(!std::is_sorted(mixed.begin(), mixed.end()));
}

TEST_CASE("a full queue and a full way drop datagrams and count them") {
    memory_options options;
    memory_counts counts;
    options.datagram_queue = 10;
    const auto first_ten = arrivals(options, counts, 25);
    CHECK(first_ten == std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(counts.queue_full == 15);
    options.latency = 1ms;
    options.datagrams_in_transit = 4;
    CHECK(arrivals(options, counts, 25) == std::vector<std::uint8_t>{0, 1, 2, 3});
    CHECK(counts.transit_full == 21);
}

TEST_CASE("datagrams to a socket that has gone are counted as unreachable") {
    memory_world here(slow());
    const auto body = [&]() -> task<void> {
        memory_datagram_socket near = here.net.bind(at(1)).value();
        std::optional<memory_datagram_socket> far(here.net.bind(at(2)).value());
        const std::byte one{1};
        static_cast<void>(co_await near.send_to(std::span(&one, 1), at(2)));
        CHECK(here.net.counts().in_transit == 1);
        far.reset();
        static_cast<void>(co_await sleep_for(10ms));
        CHECK(here.net.counts().in_transit == 0);
        CHECK(here.net.counts().unreachable == 1);
    };
    here.loop.run(body());
}
