// SPDX-License-Identifier: BSD-3-Clause
// The buffer of a receive that finds none in its ring.
#include "fluxnet/runtime/reactor/detail/spare_buffer.hpp"

#include "tests/runtime/receive_tests.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

FLUXNET_RECEIVE_TEST("a spare buffer takes one piece of a receive that finds no other, as often as it is free") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 1, .size = 64});
    std::optional<fluxnet::detail::spare_buffer> spare(std::in_place, ring.buffer_size());
    ring.receive_many(operation, sockets.near.get());
    for (int i = 0; i < 6; ++i) { sockets.send(std::to_string(i)); }
    REQUIRE(turns_until(*tested, [&] { return operation.results.size() >= 2; }));
    CHECK(operation.results == std::vector<int>{1, -ENOBUFS});
    CHECK(ring.none_left());
    for (std::size_t i = 1; i < 4; ++i) {
        REQUIRE(spare->is_free());
        spare->receive(operation, sockets.near.get(), *tested);
        REQUIRE(turns_until(*tested, [&] { return operation.results.size() >= i + 2; }));
        CHECK(operation.results.back() == 1);
        CHECK_FALSE(operation.pending());
        CHECK(operation.text(1) == std::to_string(i));
        CHECK_FALSE(spare->is_free());
        if (i != 3) { operation.buffers.pop_back(); }
    }
    spare.reset();
    CHECK(operation.text(1) == "3");  // and after the spare buffer's owner has gone
    operation.buffers.clear();
    CHECK_FALSE(ring.none_left());
    ring.receive_many(operation, sockets.near.get());
    REQUIRE(turns_until(*tested, [&] { return operation.results.size() >= 6; }));
    CHECK(operation.text(0) == "4");
    operation.buffers.clear();
    if (operation.pending()) { tested->cancel_now(operation); }

    spare.emplace(64U);
    const socket_pair quiet;
    spare->receive(operation, quiet.near.get(), *tested);
    tested->poll();
    spare.reset();  // the pending receive keeps its memory
    quiet.send("late");
    REQUIRE(turns_until(*tested, [&] { return !operation.pending(); }));
    CHECK(operation.text(operation.buffers.size() - 1) == "late");
}
