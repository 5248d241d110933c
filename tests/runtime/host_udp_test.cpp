// SPDX-License-Identifier: BSD-3-Clause
// udp_endpoint: datagrams between two hosts on a simulated wire, in virtual time.
#include "fluxnet/runtime/host/udp_endpoint.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <system_error>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;

namespace {

task<void> send_and_expect(host::udp_endpoint& from, proto::ip_endpoint to, std::size_t size,
                           std::error_code expected = {}) {
    const frame_bytes bytes = counting(size);
    const io_result sent = co_await from.send_to(bytes, to);
    CHECK(sent.ec == expected);
    CHECK(sent.n == (expected ? 0 : size));
}

task<void> receive_and_expect(host::udp_endpoint& at, proto::ip_endpoint from, std::size_t size) {
    frame_bytes room(70'000);
    const datagram_result got = co_await at.recv_from(room);
    CHECK_FALSE(got.ec);
    CHECK(got.n == size);
    CHECK(got.from == from);
    const frame_bytes expected = counting(size);
    CHECK(std::ranges::equal(std::span(room).first(got.n), expected));
}

std::error_code told(std::errc what) {
    return std::make_error_code(what);
}

}  // namespace

TEST_CASE("hosts find each other and exchange datagrams over both versions by one endpoint each") {
    two_hosts bed;
    auto near = bed.left.open_udp({proto::ipv6_address(), 5000}).value();
    auto far = bed.right.open_udp({proto::ipv6_address(), 6000}).value();
    for (const bool v4 : {true, false}) {
        const proto::ip_endpoint at_near{address_of(v4, 1), 5000};
        const proto::ip_endpoint at_far{address_of(v4, 2), 6000};
        bed.loop.spawn([&]() -> task<void> {
            co_await send_and_expect(near, at_far, 100);
            co_await receive_and_expect(near, at_far, 50);
        });
        bed.loop.spawn([&]() -> task<void> {
            co_await receive_and_expect(far, at_near, 100);
            co_await send_and_expect(far, at_near, 50);
        });
        bed.loop.run();
    }
    CHECK(bed.clock.elapsed() < 1s);  // nothing was asked twice
    CHECK(bed.left.counters().questions_sent == 2);
    CHECK(bed.left.counters().datagrams == 2);
    CHECK(bed.left.neighbour(v4_of(2)).hardware == mac_of(2));
    CHECK(bed.left.neighbour(v6_of(2)).state == proto::neighbour_state::reachable);
}

TEST_CASE("a datagram is lent where it has arrived") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    bed.loop.spawn([&]() -> task<void> {
        co_await send_and_expect(near, far.local_endpoint(), 100);
        const auto got = co_await far.recv();
        CHECK_FALSE(got.ec);
        CHECK(std::ranges::equal(got.buffer.bytes(), counting(100)));
        CHECK(got.buffer.from() == near.local_endpoint());
    });
    bed.loop.run();
}

TEST_CASE(
    "a datagram that is larger than a packet goes in fragments and arrives whole, or is refused where that is unwanted") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        auto near = bed.left.open_udp({address_of(v4, 1), 5000}).value();
        auto far = bed.right.open_udp({address_of(v4, 2), 6000}).value();
        auto whole = bed.left.open_udp({address_of(v4, 1), 5001}, {.fragment = false}).value();
        const std::size_t fits = v4 ? 1472 : 1452;
        const std::size_t longest = v4 ? 65'507 : 65'527;
        for (const std::size_t size : {fits, fits + 1, std::size_t{2960}, std::size_t{20'001}, longest}) {
            CAPTURE(size);
            bed.loop.spawn(send_and_expect(near, far.local_endpoint(), size));
            bed.loop.spawn(receive_and_expect(far, near.local_endpoint(), size));
            bed.loop.run();
        }
        bed.loop.spawn(send_and_expect(near, far.local_endpoint(), longest + 1, told(std::errc::message_size)));
        bed.loop.spawn(send_and_expect(whole, far.local_endpoint(), fits));
        bed.loop.spawn(send_and_expect(whole, far.local_endpoint(), fits + 1, told(std::errc::message_size)));
        bed.loop.run();
    }
    const auto& counts = bed.right.counters();
    CHECK(counts.accounted() == counts.frames);
    CHECK(counts.fragments != 0);
}

TEST_CASE("a send to a host that does not answer ends with host_unreachable after three questions") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        auto near = bed.left.open_udp({address_of(v4, 1), 5000}).value();
        const auto before = bed.left.counters().questions_sent;
        const auto begun = bed.clock.elapsed();
        bed.loop.spawn(send_and_expect(near, {address_of(v4, 9), 7}, 10, told(std::errc::host_unreachable)));
        bed.loop.spawn(send_and_expect(near, {address_of(v4, 9), 8}, 10, told(std::errc::host_unreachable)));
        bed.loop.run();
        CHECK(bed.left.counters().questions_sent == before + 3);
        CHECK(bed.clock.elapsed() - begun >= 3s);
        CHECK(bed.clock.elapsed() - begun < 4s);
        // The failure is remembered for a while.
        bed.loop.spawn(send_and_expect(near, {address_of(v4, 9), 7}, 10, told(std::errc::host_unreachable)));
        bed.loop.run();
        CHECK(bed.left.counters().questions_sent == before + 3);
    }
}

TEST_CASE("what cannot be sent is refused at once and by name") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto near6 = bed.left.open_udp({v6_of(1), 5000}).value();
    const auto expect = [&](host::udp_endpoint& from, const char* to, std::errc what) {
        CAPTURE(to);
        bed.loop.spawn(send_and_expect(from, proto::ip_endpoint::parse(to).value(), 10, told(what)));
        bed.loop.run();
    };
    expect(near, "198.51.100.1:7", std::errc::network_unreachable);  // no gateway
    expect(near, "127.0.0.1:7", std::errc::network_unreachable);
    expect(near, "0.0.0.0:7", std::errc::invalid_argument);
    expect(near, "192.0.2.2:0", std::errc::invalid_argument);
    expect(near, "255.255.255.255:7", std::errc::permission_denied);
    expect(near, "192.0.2.255:7", std::errc::permission_denied);
    expect(near, "[2001:db8::2]:7", std::errc::address_family_not_supported);
    expect(near6, "192.0.2.2:7", std::errc::address_family_not_supported);
    expect(near6, "[2001:db9::2]:7", std::errc::network_unreachable);
    bed.loop.spawn([&]() -> task<void> {
        const io_result sent = co_await near.send({});
        CHECK(sent.ec == std::errc::destination_address_required);
    });
    bed.loop.run();
    CHECK(bed.clock.elapsed() < 1ms);
}

TEST_CASE("an endpoint has its port to itself, and the port is free when it has gone") {
    two_hosts bed;
    auto first = bed.left.open_udp({v4_of(1), 5000}).value();
    CHECK(bed.left.open_udp({v4_of(1), 5000}).error().code == std::errc::address_in_use);
    CHECK(bed.left.open_udp({proto::ipv4_address(), 5000}).error().code == std::errc::address_in_use);
    CHECK(bed.left.open_udp({proto::ipv6_address(), 5000}).error().code == std::errc::address_in_use);
    CHECK(bed.left.open_udp({v4_of(2), 5000}).error().code == std::errc::address_not_available);
    auto sixth = bed.left.open_udp({v6_of(1), 5000}).value();
    first = bed.left.open_udp({v4_of(1), 5001}).value();
    CHECK(bed.left.open_udp({v4_of(1), 5000}).has_value());
    const auto chosen = bed.left.open_udp({v4_of(1), 0}).value();
    CHECK(chosen.local_endpoint().port >= 49152);
}

TEST_CASE("a connected endpoint hears its peer alone, and is told that nobody listens there") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        auto near = bed.left.open_udp({proto::ipv6_address(), 0}).value();
        auto far = bed.right.open_udp({address_of(v4, 2), 6000}).value();
        auto other = bed.right.open_udp({address_of(v4, 2), 6001}).value();
        REQUIRE(near.connect(far.local_endpoint()).has_value());
        CHECK(near.local_endpoint().address == address_of(v4, 1));
        bed.loop.spawn([&]() -> task<void> {
            co_await send_and_expect(other, near.local_endpoint(), 20);  // refused there: nobody is meant
            co_await send_and_expect(far, near.local_endpoint(), 30);
            co_await receive_and_expect(near, far.local_endpoint(), 30);
            const frame_bytes seven = counting(7);
            const io_result sent = co_await near.send(seven);
            CHECK(sent.n == 7);
            co_await receive_and_expect(far, near.local_endpoint(), 7);
        });
        bed.loop.run();
        CHECK(other.trouble().count == 1);
        CHECK(other.trouble().what == std::errc::connection_refused);
        CHECK(other.trouble().about == near.local_endpoint());
        { const auto gone = std::move(far); }
        bed.loop.spawn([&]() -> task<void> {
            frame_bytes room(100);
            const io_result sent = co_await near.send(std::span(room).first(7));
            CHECK_FALSE(sent.ec);
            const datagram_result got = co_await near.recv_from(room);
            CHECK(got.ec == std::errc::connection_refused);
            const timed<datagram_result> none = co_await timeout(10ms, near.recv_from(room));
            CHECK(none.expired);  // it is told once
        });
        bed.loop.run();
    }
}

TEST_CASE("an endpoint is not connected, nor to nowhere, while a coroutine receives there") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    for (const char* const nowhere : {"0.0.0.0:7", "192.0.2.2:0", "[2001:db8::2]:7"}) {
        CHECK(near.connect(proto::ip_endpoint::parse(nowhere).value()).error().code == errc::invalid_option);
    }
    bed.loop.spawn([&]() -> task<void> {
        scope receiving;
        frame_bytes room(10);
        datagram_result got;
        const auto receive = [&]() -> task<void> { got = co_await near.recv_from(room); };
        receiving.spawn(receive());
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(near.connect({v4_of(2), 7}).error().code == errc::handle_in_use);
        receiving.request_stop();
        static_cast<void>(co_await receiving.join());
        CHECK(got.ec == errc::operation_canceled);
        CHECK(near.connect({v4_of(2), 7}).has_value());
    });
    bed.loop.run();
}

TEST_CASE("a queue that is full drops what comes, and the endpoint goes on when it is read") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}, {.receive_queue = 3}).value();
    bed.loop.spawn([&]() -> task<void> {
        for (std::size_t size = 1; size != 6; ++size) { co_await send_and_expect(near, far.local_endpoint(), size); }
        static_cast<void>(co_await sleep_for(1ms));
        for (std::size_t size = 1; size != 4; ++size) { co_await receive_and_expect(far, near.local_endpoint(), size); }
        co_await send_and_expect(near, far.local_endpoint(), 9);
        co_await receive_and_expect(far, near.local_endpoint(), 9);
    });
    bed.loop.run();
    CHECK(bed.right.counters().queue_full == 2);
}

TEST_CASE("endpoints that nobody reads do not keep a host from answering") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}, {.receive_queue = 10'000}).value();
    auto heard = bed.right.open_udp({v6_of(2), 6000}).value();
    auto near6 = bed.left.open_udp({v6_of(1), 5000}).value();
    bed.loop.spawn([&]() -> task<void> {
        for (std::size_t i = 0; i != 1000; ++i) { co_await send_and_expect(near, far.local_endpoint(), 10); }
        static_cast<void>(co_await sleep_for(1ms));
        co_await send_and_expect(near6, heard.local_endpoint(), 10);  // the neighbour is asked for, and answers
    });
    bed.loop.run();
    CHECK(bed.right.counters().datagrams == 128);  // half of the frames
    CHECK(bed.right.counters().queue_full >= 800);
    CHECK(bed.right.counters().answers_sent == 2);
}

TEST_CASE("a broadcast reaches the endpoints that want broadcasts") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}, {.broadcast = true}).value();
    auto far = bed.right.open_udp({proto::ipv4_address(), 6000}, {.broadcast = true}).value();
    auto deaf = bed.right.open_udp({proto::ipv4_address(), 6001}).value();
    for (const char* const to : {"255.255.255.255", "192.0.2.255"}) {
        bed.loop.spawn([&]() -> task<void> {
            const proto::ip_address all = proto::ip_address::parse(to).value();
            const proto::ip_endpoint to_deaf(all, 6001);
            const proto::ip_endpoint to_far(all, 6000);
            co_await send_and_expect(near, to_deaf, 10);
            co_await send_and_expect(near, to_far, 20);
            co_await receive_and_expect(far, near.local_endpoint(), 20);
        });
        bed.loop.run();
    }
    CHECK(bed.right.counters().dropped_for(proto::reason::udp_broadcast) == 2);
    CHECK(bed.right.counters().errors_sent == 0);
}

TEST_CASE("a datagram that is sent to a known neighbour and one that is received allocate nothing") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        auto near = bed.left.open_udp({address_of(v4, 1), 5000}).value();
        auto far = bed.right.open_udp({address_of(v4, 2), 6000}).value();
        std::uint64_t allocations = 1;
        bed.loop.spawn([&]() -> task<void> {
            const frame_bytes bytes = counting(100);
            frame_bytes room(200);
            for (int round = 0; round != 2; ++round) {
                const allocation_watch watch;
                for (int i = 0; i != 200; ++i) {
                    const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
                    CHECK(sent.n == 100);
                    {
                        const auto lent = co_await far.recv();
                        CHECK(lent.buffer.bytes().size() == 100);
                    }
                    const io_result back = co_await far.send_to(bytes, near.local_endpoint());
                    CHECK(back.n == 100);
                    const datagram_result got = co_await near.recv_from(room);
                    CHECK(got.n == 100);
                }
                allocations = watch.allocations();
            }
        });
        bed.loop.run();
        CHECK(allocations == 0);
    }
}

TEST_CASE("a datagram that is sent and one that is received make no system call of their own") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    syscall_counter calls(::gettid(), counted::thread);
    std::uint64_t made = 1;
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(100);
        frame_bytes room(200);
        for (int round = 0; round != 2; ++round) {
            calls.reset();
            for (int i = 0; i != 200; ++i) {
                const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
                CHECK(sent.n == 100);
                const datagram_result got = co_await far.recv_from(room);
                CHECK(got.n == 100);
            }
            made = calls.total();
        }
    });
    bed.loop.run();
    CHECK(made == 0);  // those that hand frames to a kernel are the simulated wire's
}

TEST_CASE("a host spreads a burst of large datagrams over the few frames that it has, and loses none of them") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    bed.loop.spawn([&]() -> task<void> {
        scope senders;
        for (int i = 0; i != 20; ++i) { senders.spawn(send_and_expect(near, far.local_endpoint(), 9000)); }
        for (int i = 0; i != 20; ++i) { co_await receive_and_expect(far, near.local_endpoint(), 9000); }
        const wait_result ended = co_await senders.join();
        CHECK(!ended);
    });
    bed.loop.run();
    CHECK(bed.left.counters().sent == 20);
    CHECK(bed.left.counters().pieces_sent == 20 * 7);
}

TEST_CASE("over a wire that loses, doubles, mixes and spoils frames, each datagram that arrives is one that was sent") {
    wire_options options;
    for (wire_profile* const way : {&options.to_left, &options.to_right}) {
        way->loss = 0.05;
        way->duplication = 0.05;
        way->corruption = 0.05;
        way->reordering = 0.2;
        way->delay = 100us;
        way->jitter = 300us;
    }
    two_hosts bed(options);
    for (const bool v4 : {true, false}) {
        auto near = bed.left.open_udp({address_of(v4, 1), 5000}).value();
        auto far = bed.right.open_udp({address_of(v4, 2), 6000}).value();
        std::size_t arrived = 0;
        bed.loop.spawn([&]() -> task<void> {
            for (std::size_t i = 0; i != 300; ++i) {
                const frame_bytes bytes = counting(i * 13);
                const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
                const bool fine = !sent.ec || sent.ec == std::errc::host_unreachable;
                CHECK(fine);
                static_cast<void>(co_await sleep_for(10ms));
            }
        });
        bed.loop.spawn([&]() -> task<void> {
            frame_bytes room(5000);
            for (;;) {
                const timed<datagram_result> got = co_await timeout(5s, far.recv_from(room));
                if (got.expired) { co_return; }
                CHECK_FALSE(got.value.ec);
                const frame_bytes expected = counting(got.value.n);
                CHECK(got.value.n % 13 == 0);
                CHECK(std::ranges::equal(std::span(room).first(got.value.n), expected));
                ++arrived;
            }
        });
        bed.loop.run();
        CHECK(arrived > 150);
    }
    bed.pass(61s);  // what was not completed is forgotten
    for (const host::ip_host* const one : {&bed.left, &bed.right}) {
        CHECK(one->counters().accounted() == one->counters().frames);
    }
}
