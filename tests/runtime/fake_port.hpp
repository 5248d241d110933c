// SPDX-License-Identifier: BSD-3-Clause
// An executor with both halves of a socket whose kernel is a model, and numbered frames to send through it.
//
// Owned by one test case, used on its thread; the model itself may be called from any. The link monitor is the real one, so
// the model's interface takes the number of the loopback interface, which never changes.
#pragma once

#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/support/fake_kernel.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

namespace fluxnet::test {

/// 64 bytes that carry a number behind the Ethernet header.
inline std::array<std::byte, 64> numbered_frame(std::uint32_t number) {
    std::array<std::byte, 64> bytes{};
    bytes.fill(std::byte{0xff});
    bytes[12] = std::byte{0x88};
    bytes[13] = std::byte{0xb5};  // local experimental Ethertype
    std::memcpy(bytes.data() + 14, &number, sizeof number);
    return bytes;
}

inline std::uint32_t number_of(std::span<const std::byte> frame) {
    std::uint32_t number = 0;
    REQUIRE(frame.size() >= 14 + sizeof number);
    std::memcpy(&number, frame.data() + 14, sizeof number);
    return number;
}

/// The numbers from `first` on.
inline std::vector<std::uint32_t> numbers(std::uint32_t first, std::uint32_t count) {
    std::vector<std::uint32_t> all(count);
    std::iota(all.begin(), all.end(), first);
    return all;
}

/// Makes `count` packets with the numbers from `first` on.
inline std::vector<packet> numbered_packets(async_tx& tx, std::size_t count, std::uint32_t first = 0) {
    std::vector<packet> made(count);
    REQUIRE(tx.try_allocate(made) == count);
    for (packet& one : made) { REQUIRE(one.assign(numbered_frame(first++))); }
    return made;
}

/// Every frame is accounted for, and nobody but the pool and the kernel has one.
inline void check_nothing_lost(async_sockets& sockets) {
    sockets.tx.socket().drain(std::chrono::milliseconds(200));
    const frame_census census = sockets.rx.socket().pool().census();
    CHECK(census.exact);
    CHECK(census.sum() == census.frames);
    CHECK(census.user == 0);
    CHECK(census.tx == 0);
    CHECK(census.completion == 0);
}

struct fake_port {
    static constexpr std::uint32_t receiving = 48;
    static constexpr std::uint32_t sending = 160;
    static constexpr std::uint32_t ring_size = 64;

    explicit fake_port(std::uint32_t frames = receiving, std::uint32_t ring = ring_size)
        : sockets(open(loop, kernel, frames, ring)) {}

    static async_sockets open(executor& loop, fake_kernel& kernel, std::uint32_t frames = receiving,
                              std::uint32_t ring = ring_size) {
        kernel.interface.index = 1;
        return open_async(loop, builder("fake0")
                                    .calls(kernel)
                                    .attach(false)
                                    .frames(frames + sending)
                                    .tx_frames(sending)
                                    .rx_ring(ring)
                                    .tx_ring(ring_size)
                                    .fill_ring(ring)
                                    .completion_ring(ring_size))
            .value();
    }

    /// The numbers of the frames that have left since the last call.
    std::vector<std::uint32_t> take_sent() {
        std::vector<std::uint32_t> numbers;
        for (const auto& frame : kernel.take_sent()) { numbers.push_back(number_of(frame)); }
        return numbers;
    }

    fake_kernel kernel;
    executor loop;
    async_sockets sockets;
};

}  // namespace fluxnet::test
