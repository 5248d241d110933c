// SPDX-License-Identifier: BSD-3-Clause
// async_raw on a veth whose other end is the kernel's.
#include "fluxnet/runtime/packets/async_raw.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t frames = 64;
constexpr std::uint32_t prefilled = 48;

struct raw_veth {
    explicit raw_veth(xdp_mode mode) : inside(bed.host()), raw(loop, open(mode)), peer(bed.peer(), bed.name(side::peer)) {}

    raw_socket open(xdp_mode mode) const {
        return builder(bed.name(side::host)).mode(mode).frames(frames).prefill(prefilled).build_raw().value();
    }

    testbed bed;
    network_namespace::scoped_enter inside;
    executor loop;
    async_raw raw;
    packet_socket peer;
};

/// Sends every packet back in its own frame and returns completed frames to the fill ring, until `count` are through.
task<void> reflect(async_raw& raw, std::atomic<std::uint32_t>& reflected, std::uint32_t count) {
    std::array<xdp_desc, 16> batch;
    raw_socket& socket = raw.socket();
    while (reflected < count) {
        const auto [ec, n] = co_await raw.recv_batch(batch);
        if (ec) { co_return; }
        {
            auto slots = socket.tx.reserve(static_cast<std::uint32_t>(n));
            for (const xdp_desc& desc : std::span(batch).first(n)) { REQUIRE(slots.push(desc)); }
        }
        while (socket.tx.pending() != 0) { REQUIRE_FALSE(socket.wakeup_tx()); }
        {
            auto done = socket.comp.consume();
            auto slots = socket.fill.reserve(done.size());
            while (done.remaining() != 0) { REQUIRE(slots.push(done.next())); }
        }
        reflected += static_cast<std::uint32_t>(n);
    }
}

}  // namespace

TEST_CASE("packets of the peer complete raw receives and go back in their frames") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        raw_veth port(mode);
        std::atomic<std::uint32_t> reflected = 0;
        port.loop.spawn(reflect(port.raw, reflected, 200));
        std::vector<std::uint32_t> back;
        std::thread sender([&] {
            const deadline limit = 10s;
            for (std::uint32_t i = 0; i < 200; ++i) {
                while (i - reflected >= 32 && !limit.passed()) { std::this_thread::yield(); }
                port.peer.send(numbered_frame(i));
                if (i % 7 == 0) { std::this_thread::sleep_for(300us); }
            }
            while (back.size() < 200) {
                const auto frame = port.peer.recv(limit);
                if (!frame) { break; }
                back.push_back(number_of(*frame));
            }
            port.loop.request_stop();
        });
        port.loop.run();
        sender.join();
        CHECK(back == numbers(0, 200));
        CHECK(port.raw.wakeups() > 0);
        const frame_census census = port.raw.socket().census(frames - prefilled);
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.tx == 0);
    }
}

TEST_CASE("a deleted interface ends a waiting raw receive with interface_gone") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    raw_veth port(xdp_mode::native);
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 8> batch;
        const auto [ec, n] = co_await port.raw.recv_batch(batch);
        seen = ec;
    });
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        port.bed.delete_link();
    });
    port.loop.run();
    other.join();
    CHECK(seen == errc::interface_gone);
    CHECK(port.raw.socket().census(frames - prefilled).sum() == frames);
}

TEST_CASE("descriptors that are none are completed in copy mode and spoil the census by one each") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : both_modes) {
        raw_veth port(mode);
        raw_socket& socket = port.raw.socket();
        {
            auto slots = socket.tx.reserve(2);
            REQUIRE(slots.push({{std::uint64_t{frames} * 2048}, 64, 0}));
            REQUIRE(slots.push({{std::uint64_t{frames - 1} * 2048 + 2000}, 64, 0}));  // across the end of its frame
        }
        const deadline limit = 2s;
        while (socket.tx.pending() != 0 && !limit.passed()) { static_cast<void>(socket.wakeup_tx()); }
        CHECK(socket.statistics().tx_invalid_descs == 2);
        const frame_census census = socket.census(frames - prefilled - 1);
        CHECK(census.completion == 2);
        CHECK(census.tx == 0);
        CHECK(census.sum() == frames + 1);  // the second was a frame, the first was not
    }
}
