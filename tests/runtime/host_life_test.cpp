// SPDX-License-Identifier: BSD-3-Clause
// How an ip_host begins, rests and ends, and that all its frames go home: on a simulated wire, in virtual time.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/runtime/leaves_nothing.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;
using end = simulated_wire::end;

namespace {

task<void> note_receive(host::udp_endpoint& at, datagram_result& got) {
    std::array<std::byte, 100> room{};
    got = co_await at.recv_from(room);
}

task<void> note_send(host::udp_endpoint& from, proto::ip_endpoint to, std::size_t size, io_result& sent) {
    const frame_bytes bytes = counting(size);
    sent = co_await from.send_to(bytes, to);
}

/// What goes to nobody, and so waits for a neighbour.
const proto::ip_endpoint silent{v4_of(99), 7};

}  // namespace

TEST_CASE("what waits at a host's endpoints ends with `closed` when the host goes, and every frame is home") {
    mortal_hosts bed;
    auto near = bed.left->open_udp({v4_of(1), 5000}).value();
    auto other = bed.left->open_udp({v4_of(1), 5001}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    datagram_result got;
    std::array<io_result, 3> sent;
    bed.loop.spawn(note_send(far, other.local_endpoint(), 100, sent[0]));  // nobody reads it
    bed.loop.spawn(note_receive(near, got));
    bed.loop.spawn(note_send(near, silent, 10, sent[1]));
    bed.loop.spawn(note_send(near, silent, 20'000, sent[2]));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(500ms));
        bed.left.reset();
    });
    bed.loop.run();
    CHECK_FALSE(sent[0].ec);
    CHECK(got.ec == errc::closed);
    CHECK(sent[1].ec == errc::closed);
    CHECK(sent[2].ec == errc::closed);
    CHECK(bed.frames_are_home(end::left));
    bed.loop.spawn(note_receive(other, got));
    bed.loop.spawn(note_send(other, far.local_endpoint(), 10, sent[0]));
    bed.loop.run();
    CHECK(got.ec == errc::closed);
    CHECK(sent[0].ec == errc::closed);
}

TEST_CASE("what waits at an endpoint ends with `closed` when the endpoint goes") {
    two_hosts bed;
    std::optional<host::udp_endpoint> near = bed.left.open_udp({v4_of(1), 5000}).value();
    datagram_result got;
    io_result sent;
    bed.loop.spawn(note_receive(*near, got));
    bed.loop.spawn(note_send(*near, silent, 10, sent));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(500ms));
        near.reset();
    });
    bed.loop.run();
    CHECK(got.ec == errc::closed);
    CHECK(sent.ec == errc::closed);
    CHECK(bed.clock.elapsed() < 1s);
}

TEST_CASE("a send is cancelled while it waits for a neighbour, and the others go on") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(10);
        const timed<io_result> limited = co_await timeout(100ms, near.send_to(bytes, silent));
        CHECK(limited.expired);
        CHECK(limited.value.ec == errc::operation_canceled);
        const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
        CHECK(sent.n == 10);
        const io_result failed = co_await near.send_to(bytes, silent);
        CHECK(failed.ec == std::errc::host_unreachable);
    });
    bed.loop.run();
    CHECK(bed.left.counters().neighbours_failed == 1);
}

TEST_CASE("a host rests when its executor's tasks are cancelled, and an await at an endpoint wakes it") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    for (int round = 0; round != 3; ++round) {
        bed.loop.run([](host::udp_endpoint& from, host::udp_endpoint& to) -> task<void> {
            std::array<std::byte, 10> room{};
            scope receiver;
            datagram_result got;
            const auto receive = [&]() -> task<void> { got = co_await to.recv_from(room); };
            receiver.spawn(receive());
            static_cast<void>(co_await sleep_for(1ms));
            const std::array<std::byte, 5> bytes{};
            const io_result sent = co_await from.send_to(bytes, to.local_endpoint());
            CHECK(sent.n == 5);
            static_cast<void>(co_await receiver.join());
            CHECK(got.n == 5);
        }(near, far));
    }
}

TEST_CASE("a host whose task was discarded with the others is woken by the next await") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    for (int round = 0; round != 2; ++round) {
        bed.loop.discard_tasks();
        datagram_result got;
        io_result sent;
        bed.loop.spawn(note_receive(far, got));
        bed.loop.spawn(note_send(near, far.local_endpoint(), 10, sent));
        bed.loop.run();
        CHECK(got.n == 10);
    }
}

TEST_CASE("a host whose task is being cancelled when somebody begins to wait there starts it again") {
    for (int round = 0; round != 20; ++round) {
        two_hosts bed;
        auto near = bed.left.open_udp({v4_of(1), 5000}).value();
        auto far = bed.right.open_udp({v4_of(2), 6000}).value();
        bed.pass(std::chrono::microseconds(round));
        datagram_result got;
        io_result sent;
        bed.loop.spawn([&]() -> task<void> {
            bed.loop.request_stop();
            bed.loop.restart();
            bed.loop.spawn(note_receive(near, got));
            bed.loop.spawn([](host::udp_endpoint& from, proto::ip_endpoint to, io_result& told) -> task<void> {
                static_cast<void>(co_await sleep_for(std::chrono::milliseconds(1)));
                co_await note_send(from, to, 10, told);
            }(far, near.local_endpoint(), sent));
            co_return;
        });
        bed.loop.run();
        CHECK(got.n == 10);
    }
}

TEST_CASE("a datagram that was lent outlives its endpoint and its host") {
    mortal_hosts bed;
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    host::received_datagram kept;
    io_result sent;
    bed.loop.spawn([&]() -> task<void> {
        auto near = bed.left->open_udp({v4_of(1), 5000}).value();
        co_await note_send(far, near.local_endpoint(), 100, sent);
        auto got = co_await near.recv();
        kept = std::move(got.buffer);
        bed.left.reset();
    });
    bed.loop.run();
    CHECK(std::ranges::equal(kept.bytes(), counting(100)));
    CHECK_FALSE(bed.frames_are_home(end::left));
    kept = host::received_datagram();
    CHECK(bed.frames_are_home(end::left));
}

TEST_CASE("hosts, endpoints and waiting coroutines end in any order and leave nothing") {
    leaves_nothing([](std::uint64_t round) {
        std::optional<virtual_wire> bed(std::in_place);
        std::optional<host::ip_host> here = bed->open(end::left, host_number(1));
        std::optional<host::udp_endpoint> endpoint = here->open_udp({v4_of(1), 5000}).value();
        datagram_result got;
        io_result sent;
        bed->loop.spawn_background(note_receive(*endpoint, got));
        bed->loop.spawn_background(note_send(*endpoint, silent, 10, sent));
        bed->pass(10ms);
        if (round % 2 == 0) {
            endpoint.reset();
            here.reset();
        } else {
            here.reset();
            endpoint.reset();
        }
        CHECK(bed->frames_are_home(end::left));
        bed.reset();
    });
}

TEST_CASE("a host is refused addresses and links that cannot be") {
    virtual_wire bed;
    const auto refused = [&](auto change) {
        host::host_options options = host_number(1);
        change(options);
        auto sockets = open_async(bed.loop, bed.socket_on(end::left)).value();
        const auto made = host::ip_host::open(bed.loop, std::move(sockets.rx), std::move(sockets.tx), options);
        REQUIRE(made.has_error());
        CHECK(made.error().code == errc::invalid_option);
        CHECK_FALSE(made.error().cause.empty());
    };
    refused([](auto& options) { options.addresses.clear(); });
    refused([](auto& options) { options.addresses[0].address = proto::ipv4_address(224, 0, 0, 1); });
    refused([](auto& options) { options.addresses[0].address = proto::ipv4_address::broadcast(); });
    refused([](auto& options) { options.addresses[0].prefix_length = 33; });
    refused([](auto& options) { options.addresses.push_back(options.addresses[0]); });
    refused([](auto& options) { options.gateways = {proto::ipv4_address(198, 51, 100, 1)}; });
    refused([](auto& options) { options.gateways = {v4_of(2), v4_of(3)}; });
    refused([](auto& options) { options.hardware = proto::mac_address::broadcast(); });
    refused([](auto& options) { options.neighbours = {{v4_of(2), mac_of(2)}, {v4_of(3), proto::mac_address::broadcast()}}; });
    refused([](auto& options) { options.neighbours = {{proto::ipv4_address(224, 0, 0, 1), mac_of(2)}}; });
    refused([](auto& options) {
        options.neighbour_table.capacity = 16;
        for (std::uint8_t i = 2; i != 19; ++i) { options.neighbours.push_back({v4_of(i), mac_of(i)}); }
    });
    refused([](auto& options) { options.mtu = 1279; });
    refused([](auto& options) { options.mtu = 9000; });
    refused([](auto& options) { options.tcp.connections = 0; });
    refused([](auto& options) { options.tcp.time_wait = 0; });
    refused([](auto& options) { options.tcp.answers = 0; });
    refused([](auto& options) { options.tcp.ranges = 0; });
    refused([](auto& options) { options.tcp.buffers = 0; });
    refused([](auto& options) { options.tcp.buffers_per_connection = 0; });
    refused([](auto& options) { options.tcp.v4.receive_limit = 0; });
    refused([](auto& options) { options.tcp.v6.send_limit = 0; });
    auto sockets = open_async(bed.loop, bed.socket_on(end::left).tx_frames(7)).value();
    CHECK(host::ip_host::open(bed.loop, std::move(sockets.rx), std::move(sockets.tx), host_number(1)).has_error());
}

TEST_CASE("a host whose tables no memory can hold is refused") {
#if defined(FLUXNET_TEST_SANITIZED)
    FLUXNET_SKIP_IF(std::optional<std::string>("a sanitizer ends a program that asks for so much"));
#endif
    virtual_wire bed;
    host::host_options options = host_number(1);
    options.tcp.connections = std::size_t{1} << 58;
    auto sockets = open_async(bed.loop, bed.socket_on(end::left)).value();
    const auto made = host::ip_host::open(bed.loop, std::move(sockets.rx), std::move(sockets.tx), options);
    REQUIRE(made.has_error());
    CHECK(made.error().code == errc::out_of_memory);
}

TEST_CASE("a host that may have no listener says what to raise") {
    virtual_wire bed;
    host::host_options options = host_number(2);
    options.tcp.listeners = 0;
    host::ip_host here = bed.open(end::right, options);
    const auto door = here.listen({v4_of(2), 80});
    REQUIRE(door.has_error());
    CHECK(door.error().code == std::errc::no_buffer_space);
    CHECK(door.error().remedy.find("tcp.listeners") != std::string::npos);
}

TEST_CASE("a host uses an address when it has been probed, and what is sent from it waits until then") {
    virtual_wire bed;
    host::host_options options = host_number(1);
    options.probe_addresses = true;
    host::ip_host left = bed.open(end::left, options);
    host::ip_host right = bed.open(end::right, host_number(2));
    auto far = right.open_udp({proto::ipv6_address(), 6000}).value();
    CHECK_FALSE(left.owns(v4_of(1)));
    for (const bool v4 : {false, true}) {
        auto near = left.open_udp({address_of(v4, 1), 5000}).value();
        datagram_result got;
        io_result sent;
        bed.loop.spawn(note_receive(far, got));
        bed.loop.spawn(note_send(near, {address_of(v4, 2), 6000}, 10, sent));
        bed.loop.run();
        CHECK(got.n == 10);
        CHECK(left.owns(address_of(v4, 1)));
        CHECK(bed.clock.elapsed() > (v4 ? 4s : 1s));
        CHECK(bed.clock.elapsed() < (v4 ? 8s : 2s));
    }
    CHECK(left.counters().claims_sent >= 3 + 1 + 1 + 2);  // probes and announcements
}

TEST_CASE("a host does not use an address that another has, and says so to what waits") {
    virtual_wire bed;
    host::ip_host right = bed.open(end::right, host_number(1));
    host::host_options options = host_number(1);
    options.hardware = mac_of(7);
    options.probe_addresses = true;
    host::ip_host left = bed.open(end::left, options);
    auto near = left.open_udp({v4_of(1), 5000}).value();
    auto near6 = left.open_udp({v6_of(1), 5000}).value();
    std::array<io_result, 2> sent;
    bed.loop.spawn(note_send(near, {v4_of(2), 6000}, 10, sent[0]));
    bed.loop.spawn(note_send(near6, {v6_of(2), 6000}, 10, sent[1]));
    bed.loop.run();
    for (const io_result& one : sent) { CHECK(one.ec == std::errc::address_not_available); }
    CHECK_FALSE(left.owns(v4_of(1)));
    CHECK_FALSE(left.owns(v6_of(1)));
    CHECK(right.owns(v4_of(1)));
    CHECK(right.owns(v6_of(1)));
    CHECK(left.counters().addresses_lost == 2);
    CHECK(left.open_udp({v4_of(1), 5001}).error().code == std::errc::address_not_available);
}
