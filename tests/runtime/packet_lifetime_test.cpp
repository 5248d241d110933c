// SPDX-License-Identifier: BSD-3-Clause
// Packets that outlive the sockets and the executor they came through, and coroutines that throw with packets in hand.
#include "fluxnet/xsk/memory/packet.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/xsk/mapped.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("packets outlive their sockets and their executor on whichever thread they end") {
    std::vector<packet> kept(8);
    const std::byte* base = nullptr;
    {
        std::optional<fake_port> port(std::in_place);
        port->loop.spawn([&]() -> task<void> {
            for (std::uint32_t i = 0; i < 4; ++i) { REQUIRE(port->kernel.deliver(numbered_frame(i))); }
            const auto [ec, n] = co_await port->sockets.rx.recv(std::span(kept).first(4));
            CHECK_FALSE(ec);
            CHECK(n == 4);
            auto made = numbered_packets(port->sockets.tx, 4, 4);
            std::move(made.begin(), made.end(), kept.begin() + 4);
        });
        port->loop.run();
        base = port->sockets.rx.socket().home().at(frame_index{0});
    }
    for (std::uint32_t i = 0; i < 8; ++i) { CHECK(number_of(kept[i].data()) == i); }
    CHECK(kept[0].adjust_head(-14));
    CHECK(kept[7].set_len(1000));
    std::thread([&] {
        kept[0].reset();
        const packet moved = std::move(kept[7]);
        CHECK(number_of(moved.data()) == 7);
    }).join();
    CHECK(is_mapped(base));
    kept.clear();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("a coroutine that throws returns the frames of its packets and the next one receives into them") {
    fake_port port(16, 16);
    unsigned received = 0;
    const auto work = [&]() -> task<void> {
        std::array<packet, 16> batch;
        const auto [ec, n] = co_await port.sockets.rx.recv(batch);
        CHECK_FALSE(ec);
        received += static_cast<unsigned>(n);
        throw std::runtime_error("malformed packet");
    };
    for (unsigned round = 0; round < 10; ++round) {
        for (std::uint32_t i = 0; i < 16; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
        bool caught = false;
        port.loop.spawn([&]() -> task<void> {
            try {
                co_await work();
            } catch (const std::runtime_error&) { caught = true; }
        });
        port.loop.run();
        CHECK(caught);
        port.sockets.rx.socket().refill();
        port.sockets.rx.socket().release();
    }
    CHECK(received == 160);
    check_nothing_lost(port.sockets);
}
