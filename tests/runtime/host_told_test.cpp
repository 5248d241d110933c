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

TEST_CASE("an endpoint that is connected to another peer is told nothing of the former one") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    const proto::ip_endpoint nobody{v4_of(1), 9};
    REQUIRE(near.connect(nobody).has_value());
    std::error_code sent;
    bed.loop.spawn(send_ten(near, nobody, sent));
    bed.loop.run();
    CHECK(near.trouble().count == 1);
    REQUIRE(near.connect(far.local_endpoint()).has_value());
    bed.loop.spawn(send_ten(near, far.local_endpoint(), sent));
    bed.loop.run();
    CHECK_FALSE(sent);
}

TEST_CASE("a host that rests is woken by a send that completes at once, and by a receive that does") {
    host_and_station bed(knowing_the_station());
    auto near = bed.here.open_udp({v4_of(1), 5000}).value();
    const auto rest = [&] { bed.loop.run([]() -> task<void> { co_return; }()); };  // ends the host's task, too
    const frame_bytes bytes = counting(10);
    const frame_bytes echo = proto::test::echo_request(station_to_host, bytes);
    for (const bool sends : {true, false}) {
        proto::test::endpoints from = station_to_host;
        from.echo_port = 5000;
        if (!sends) { bed.send(proto::test::udp_request(from, bytes)); }
        rest();
        CHECK(bed.ask(echo).empty());
        bed.loop.spawn([&]() -> task<void> {
            const proto::ip_endpoint to(v4_of(2), 7);
            if (sends) {
                const io_result sent = co_await near.send_to(bytes, to);
                CHECK(sent.n == 10);
            } else {
                std::array<std::byte, 10> room{};
                const datagram_result got = co_await near.recv_from(room);
                CHECK(got.n == 10);
            }
        });
        bed.loop.run();
        CHECK(bed.ask(echo).size() >= 1);
    }
}

TEST_CASE("datagrams that came in fragments wait in no more memory than half of what a host receives into") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    constexpr std::size_t size = 60'000;
    const std::size_t most = 256U * bed.right_memory.config().frame_size / 2;
    const frame_bytes bytes = counting(size);
    for (int round = 0; round != 2; ++round) {
        const auto before = bed.right.counters();
        bed.loop.spawn([&]() -> task<void> {
            for (int i = 0; i != 40; ++i) {
                const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
                CHECK(sent.n == size);
            }
            static_cast<void>(co_await sleep_for(1ms));
        });
        bed.loop.run();
        const std::uint64_t waiting = bed.right.counters().datagrams - before.datagrams;
        CHECK(waiting == most / size);
        CHECK(bed.right.counters().queue_full - before.queue_full == 40 - waiting);
        bed.loop.spawn([&]() -> task<void> {
            for (std::uint64_t i = 0; i != waiting; ++i) {
                const auto got = co_await far.recv();
                CHECK(got.buffer.bytes().size() == size);
            }
        });
        bed.loop.run();
    }
}
