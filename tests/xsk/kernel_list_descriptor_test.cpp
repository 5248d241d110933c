// SPDX-License-Identifier: BSD-3-Clause
// Descriptors that no kernel should follow, written to the TX ring and the fill ring of a raw socket, with good ones between
// them. The cases are those of the kernel's own AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c, "invalid
// descriptors") and of net/xdp/xsk_queue.h (xskq_cons_is_valid_desc).
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t frames = 64;

struct scenario {
    const char* what;
    xdp_desc desc;
    bool valid;
};

/// The descriptors of a UMEM with frames of `size` bytes. Frame n belongs to the nth of them.
std::vector<scenario> scenarios(std::uint64_t size) {
    const std::uint64_t end = frames * size;
    const auto whole = static_cast<std::uint32_t>(size);
    const auto mid = [size](std::uint64_t frame) { return frame_addr{frame * size + 2048 - 32}; };
    return {
        {"at address 0", {{0}, 64, 0}, true},
        {"of length 0", {{1 * size}, 0, 0}, false},
        {"before the UMEM", {{~std::uint64_t{0} - 1}, 64, 0}, false},
        {"in the middle of a frame", {{3 * size + 1000}, 64, 0}, true},
        {"longer than a frame", {{4 * size}, whole + 1, 0}, false},
        {"behind the UMEM", {{end}, 64, 0}, false},
        {"far behind the UMEM", {{end << 20}, 64, 0}, false},
        {"up to the end of its frame", {{8 * size - 64}, 64, 0}, true},
        {"across the end of its frame", {{9 * size - 32}, 64, 0}, false},
        {"across 2048", {mid(10), 64, 0}, size > 2048},
        {"across the end of the UMEM", {{end - 32}, 64, 0}, false},
        {"up to the end of the UMEM", {{end - 64}, 64, 0}, true},
        {"with options that nobody knows", {{12 * size}, 64, 0x8000}, false},
        {"with the largest length", {{13 * size}, ~0U, 0}, false},
        {"a byte too far", {{14 * size + 1}, whole, 0}, false},
        {"after all of these", {{15 * size}, 64, 0}, true},
    };
}

void send_scenarios(xdp_mode mode, std::uint32_t frame_size) {
    veth_pair pair;
    raw_socket socket =
        pair.open_raw(side::host, pair.at(side::host, mode).frames(frames).frame_size(frame_size).prefill(0));
    packet_socket kernel = pair.plain(side::peer);
    const std::vector<scenario> all = scenarios(frame_size);
    std::uint32_t valid = 0;
    {
        auto slots = socket.tx.reserve(static_cast<std::uint32_t>(all.size()));
        REQUIRE(slots.capacity() == all.size());
        for (const scenario& each : all) {
            CAPTURE(each.what);
            // What we check descriptors with agrees with the kernel, but for what is no matter of place.
            if (each.desc.len != 0 && each.desc.options == 0) {
                CHECK(socket.umem.contains(each.desc.addr, each.desc.len) == each.valid);
            }
            if (each.valid) {
                std::ranges::copy(numbered(valid++), socket.umem.bytes_unchecked(each.desc.addr, each.desc.len).begin());
            }
            CHECK(slots.push(each.desc));
        }
    }
    // A kick may end at a bad descriptor; the next one goes on behind it. Never more kicks than descriptors.
    std::uint32_t kicks = 0;
    for (; socket.tx.pending() != 0 && kicks < 2 * all.size(); ++kicks) { CHECK_FALSE(socket.wakeup_tx()); }
    CHECK(socket.tx.pending() == 0);
    CHECK(kicks <= all.size());
    CHECK(receive_numbered(kernel, 0, valid) == valid);
    CHECK_FALSE(kernel.recv(20ms));
    CHECK(socket.statistics().tx_invalid_descs == all.size() - valid);

    // Every good descriptor is completed; a bad one may be, with the address that it had.
    std::uint32_t completed = 0;
    auto done = socket.comp.consume();
    for (const scenario& each : all) {
        if (done.remaining() != 0 && done.peek() == each.desc.addr) {
            completed += each.valid ? 1U : 0U;
            static_cast<void>(done.next());
        } else {
            CHECK_FALSE_MESSAGE(each.valid, each.what);
        }
    }
    CHECK(completed == valid);
    CHECK(done.remaining() == 0);
}

}  // namespace

FLUXNET_VETH_TEST("bad descriptors are counted and the good ones between them leave from frames of 2048 bytes") {
    send_scenarios(mode, 2048);
}

FLUXNET_VETH_TEST("bad descriptors are counted and the good ones between them leave from frames of 4096 bytes") {
    send_scenarios(mode, 4096);
}

FLUXNET_VETH_TEST("bad addresses in the fill ring cost no packet and the good ones between them are received into") {
    veth_pair pair;
    raw_socket socket = pair.open_raw(side::host, pair.at(side::host, mode).frames(frames).prefill(0));
    packet_socket kernel = pair.plain(side::peer);
    const std::uint64_t end = std::uint64_t{frames} * 2048;
    const std::vector<std::uint64_t> addresses{0, end, 5 * 2048, end + 2048, ~std::uint64_t{0}, 7 * 2048 + 100, end - 1};
    const std::vector<std::uint64_t> expected{0, 5 * 2048, 7 * 2048, end - 2048};
    {
        auto slots = socket.fill.reserve(static_cast<std::uint32_t>(addresses.size()));
        for (const std::uint64_t address : addresses) { CHECK(slots.push({address})); }
    }
    for (std::uint32_t i = 0; i < expected.size(); ++i) { kernel.send(numbered(i, 64, side::peer)); }
    REQUIRE(eventually([&] { return socket.rx.available() == expected.size(); }));
    auto claim = socket.rx.consume();
    for (std::uint32_t i = 0; i < expected.size(); ++i) {
        const xdp_desc desc = claim.next();
        // Wherever in a frame the address points, the packet begins behind the frame's own headroom.
        CHECK(desc.addr.value == expected[i] + 256 + 256);
        CHECK(is_numbered(socket.umem.bytes_unchecked(desc.addr, desc.len), i, side::peer));
    }
    CHECK(socket.statistics().rx_dropped == 0);
    CHECK(socket.fill.pending() == 0);  // the bad ones were taken and are gone: no ring ever shows them again
}
