// SPDX-License-Identifier: BSD-3-Clause
// What the network tells endpoints for datagrams, and who of those that wait there hears it; and that endpoints wake a host
// that rests. On a simulated wire, in virtual time.
#include "fluxnet/runtime/host/udp_endpoint.hpp"

#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/host_bed.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;

namespace {

task<void> note_how_it_ends(host::udp_endpoint& at, bool lends, std::error_code& ended) {
    if (lends) {
        const auto got = co_await at.recv();
        CHECK(got.buffer.bytes().empty());
        ended = got.ec;
    } else {
        std::array<std::byte, 10> room{};
        const datagram_result got = co_await at.recv_from(room);
        CHECK(got.n == 0);
        ended = got.ec;
    }
}

task<void> send_ten(host::udp_endpoint& from, proto::ip_endpoint to, std::error_code& ended) {
    const frame_bytes bytes = counting(10);
    const io_result sent = co_await from.send_to(bytes, to);
    ended = sent.ec;
}

}  // namespace

TEST_CASE("an error that ends a receive is the receive's, also when a send comes before it goes on") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto other = bed.left.open_udp({v4_of(1), 5001}).value();
    const proto::ip_endpoint nobody{v4_of(1), 9};  // the host says so itself, within the send
    REQUIRE(near.connect(nobody).has_value());
    for (const bool lends : {false, true}) {
        std::error_code ended;
        std::array<std::error_code, 2> sent;
        bed.loop.spawn(note_how_it_ends(near, lends, ended));
        bed.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            co_await send_ten(near, nobody, sent[0]);
            co_await send_ten(near, other.local_endpoint(), sent[1]);
        });
        bed.loop.run();
        CHECK(ended == std::errc::connection_refused);
        for (const std::error_code& one : sent) { CHECK_FALSE(one); }
        std::array<std::byte, 10> room{};
        bed.loop.spawn([&]() -> task<void> {
            const timed<datagram_result> none = co_await timeout(10ms, near.recv_from(room));
            CHECK(none.expired);  // it is told once
        });
        bed.loop.run();
    }
}
