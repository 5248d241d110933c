// SPDX-License-Identifier: BSD-3-Clause
// The echo path inside the test's own process, with malloc, operator new and mmap counted.
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <optional>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

struct run_state {
    std::uint64_t received = 0;
    std::uint64_t dropped = 0;
    std::uint64_t allocations = 0;
    std::uint64_t maps = 0;
    std::error_code ended;
};

constexpr std::uint64_t warm_up = 20'000;
constexpr std::uint64_t measured = 1'000'000;

task<void> echo(async_sockets& sockets, proto::echo_host& host, run_state& state) {
    std::array<packet, 64> burst;
    std::optional<allocation_watch> watch;
    while (state.received < warm_up + measured) {
        const io_result got = co_await sockets.rx.recv(burst);
        if (got.ec) {
            state.ended = got.ec;
            break;
        }
        state.received += got.n;
        std::size_t replies = 0;
        for (std::size_t i = 0; i < got.n; ++i) {
            const auto length = host.answer(burst[i].data());
            if (length && burst[i].set_len(*length)) { burst[replies++] = std::move(burst[i]); }
        }
        state.dropped += got.n - replies;
        static_cast<void>(co_await sockets.tx.send(std::span(burst).first(replies)));
        if (!watch && state.received >= warm_up) { watch.emplace(); }
    }
    if (watch) {
        state.allocations = watch->allocations();
        state.maps = watch->maps();
    }
}

}  // namespace

TEST_CASE("one million packets with drops among them allocate and map nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    const proto::test::endpoints who{.host = proto::mac_address(testbed::mac(side::host)),
                                     .host_ip = *proto::ipv4_address::parse("10.77.0.1"),
                                     .client = proto::mac_address(testbed::mac(side::peer)),
                                     .client_ip = *proto::ipv4_address::parse("10.77.0.2")};
    executor loop;
    auto sockets = open_async(loop, builder("flux0"));
    REQUIRE_MESSAGE(sockets.has_value(), sockets.error().message());
    proto::echo_host host(who.host, who.host_ip);
    run_state state;
    loop.spawn(echo(*sockets, host, state));

    packet_socket wire(bed.peer(), bed.name(side::peer));
    const auto good = proto::test::udp_request(who, proto::test::counting(18));
    auto bad = good;
    bad.back() ^= std::byte{1};  // the UDP checksum no longer fits
    std::atomic<bool> enough = false;
    std::thread generator([&] {
        while (!enough) {
            wire.flood(good, 900, &enough);
            wire.flood(bad, 100, &enough);
        }
    });
    loop.run();
    enough = true;
    generator.join();
    sockets->tx.socket().drain(std::chrono::milliseconds(500));

    std::printf("%llu packets, %llu of them dropped: %llu allocations, %llu maps\n", 0ULL + state.received,
                0ULL + state.dropped, 0ULL + state.allocations, 0ULL + state.maps);
    CHECK(!state.ended);
    CHECK(state.received >= warm_up + measured);
    CHECK(state.dropped > 1000);
    CHECK(state.allocations == 0);
    CHECK(state.maps == 0);
    const frame_census census = sockets->rx.socket().pool().census();
    CHECK(census.exact);
    CHECK(census.sum() == census.frames);
    CHECK(census.user == 0);
    CHECK(census.tx == 0);
}
