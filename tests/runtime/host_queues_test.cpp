// SPDX-License-Identifier: BSD-3-Clause
// Hosts on two queues of one interface, which are one host to their peer, in virtual time.
#include "fluxnet/runtime/host/host_queues.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "tests/runtime/host_connections_bed.hpp"
#include "tests/runtime/host_queues_bed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;

namespace {

unsigned all_to_queue_0(std::span<const std::byte> /*frame*/) {
    return 0;
}

/// Sends numbers back, to so many streams.
task<void> echo_so_many(host::tcp_listener& door, int count) {
    scope echoing;
    for (int i = 0; i != count; ++i) {
        auto next = co_await door.accept();
        REQUIRE(next.has_value());
        echoing.spawn(echo_numbers(std::move(*next)));
    }
    const wait_result over = co_await echoing.join();
    CHECK_FALSE(over);
}

/// Has some numbers come back by a connection of its own.
task<void> ask(host::ip_host& from, proto::ip_endpoint to, std::uint64_t number) {
    auto made = co_await from.connect(to);
    REQUIRE(made.has_value());
    for (std::uint64_t i = 0; i != 5; ++i) {
        const bool well = co_await number_comes_back(*made, number + i);
        CHECK(well);
    }
}

task<void> write_all(host::ip_host& from, proto::ip_endpoint to, const frame_bytes& octets) {
    auto made = co_await from.connect(to);
    REQUIRE(made.has_value());
    const io_result sent = co_await made->write(octets);
    CHECK(sent.n == octets.size());
}

task<void> read_all(host::tcp_listener& door, frame_bytes& into) {
    auto made = co_await door.accept();
    REQUIRE(made.has_value());
    std::array<std::byte, 4096> room{};
    for (;;) {
        const io_result got = co_await made->read(room);
        into.insert(into.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(got.n));
        if (got.ec) { co_return; }
    }
}

task<void> send(host::udp_endpoint& from, proto::ip_endpoint to, std::size_t size, std::error_code& told) {
    const frame_bytes octets = counting(size);
    const io_result sent = co_await from.send_to(octets, to);
    told = sent.ec;
}

task<void> receive(host::udp_endpoint& at, std::size_t& size) {
    frame_bytes room(70'000);
    const datagram_result got = co_await at.recv_from(room);
    const frame_bytes expected = counting(got.n);
    CHECK(std::ranges::equal(std::span(room).first(got.n), expected));
    size = got.n;
}

std::uint64_t handed_on(const two_queues& bed) {
    return bed.here[0]->counters().handed_on + bed.here[1]->counters().handed_on;
}

/// Every received frame is accounted for, by the host that received it and by the one that it was handed on to.
void check_accounts(const two_queues& bed) {
    for (const auto& one : bed.here) {
        if (one) { CHECK(one->counters().accounted() == one->counters().frames); }
    }
}

}  // namespace

TEST_CASE(
    "connections to a port that hosts on all queues serve are accepted by the host of their queue and never handed on") {
    two_queues bed;
    constexpr int each = 20;
    auto door_0 = bed.here[0]->listen({v4_of(1), 80}).value();
    auto door_1 = bed.here[1]->listen({v4_of(1), 80}).value();
    int made = 0;
    bed.loop.spawn(echo_so_many(door_0, each));
    bed.loop.spawn(echo_so_many(door_1, each));
    for (std::uint16_t port = 1000; port != 1000 + 2 * each; ++port) {
        bed.loop.spawn([](two_queues& in, std::uint16_t from, int& count) -> task<void> {
            host::tcp_options options;
            options.from = proto::ip_endpoint{v4_of(2), from};
            const proto::ip_endpoint to{v4_of(1), 80};
            auto connected = co_await in.peer->connect(to, options);
            REQUIRE(connected.has_value());
            const bool well = co_await number_comes_back(*connected, from);
            CHECK(well);
            ++count;
        }(bed, port, made));
    }
    bed.loop.run();
    CHECK(made == 2 * each);
    CHECK(bed.here[0]->tcp()->count().accepted == each);
    CHECK(bed.here[1]->tcp()->count().accepted == each);
    CHECK(handed_on(bed) == 0);
    check_accounts(bed);
}

TEST_CASE("what answers a connection that a host opens reaches it by whichever queue it comes, and each octet once") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto door = bed.peer->listen({v4_of(2), 80}).value();
    const frame_bytes octets = counting(300'000);
    for (auto& one : bed.here) {
        frame_bytes arrived;
        bed.loop.spawn(read_all(door, arrived));
        bed.loop.spawn(write_all(*one, {v4_of(2), 80}, octets));
        bed.loop.run();
        CHECK(arrived == octets);
    }
    CHECK(bed.here[0]->counters().handed_on > 10);
    CHECK(bed.here[0]->tcp()->count().dropped_for(proto::reason::tcp_not_connected) == 0);
    CHECK(bed.here[1]->tcp()->count().connected == 1);
    check_accounts(bed);
}

TEST_CASE("a host that sends a megabyte gets back acknowledgments, and one that receives it octets, by another's queue") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto door = bed.here[1]->listen({v4_of(1), 80}).value();
    const frame_bytes octets = counting(1'000'000);
    frame_bytes arrived;
    bed.loop.spawn(read_all(door, arrived));
    bed.loop.spawn(write_all(*bed.peer, {v4_of(1), 80}, octets));
    bed.loop.run();
    CHECK(arrived == octets);
    CHECK(bed.here[1]->tcp()->count().accepted == 1);
    check_accounts(bed);
}

TEST_CASE("connections that both hosts open to one peer have different ports") {
    two_queues bed;
    bed.crossing->choose = [](std::span<const std::byte> frame) { return 1 - by_port_of_peer(frame); };
    auto door = bed.peer->listen({v4_of(2), 80}).value();
    constexpr int each = 50;
    bed.loop.spawn(echo_so_many(door, 2 * each));
    for (int i = 0; i != each; ++i) {
        for (auto& one : bed.here) { bed.loop.spawn(ask(*one, {v4_of(2), 80}, 1000U + static_cast<unsigned>(i))); }
    }
    bed.loop.run();
    CHECK(bed.here[0]->tcp()->count().connected == each);
    CHECK(bed.here[1]->tcp()->count().connected == each);
    CHECK(bed.peer->tcp()->count().accepted == 2 * each);
    check_accounts(bed);
}

TEST_CASE("a connection from a port that the program names is answered by whichever queue") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto door = bed.peer->listen({v4_of(2), 80}).value();
    bed.loop.spawn(echo_so_many(door, 1));
    bool well = false;
    bed.run([](two_queues& in, bool& so) -> task<void> {
        host::tcp_options options;
        options.from = proto::ip_endpoint{v4_of(1), 700};
        const proto::ip_endpoint to{v4_of(2), 80};
        auto made = co_await in.here[1]->connect(to, options);
        REQUIRE(made.has_value());
        so = co_await number_comes_back(*made, 7);
    }(bed, well));
    CHECK(well);
}

TEST_CASE(
    "a datagram reaches the endpoint of another queue's host, whole or in fragments, and what no host serves is refused") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto served = bed.here[1]->open_udp({v4_of(1), 7}).value();
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    for (const std::size_t size : {std::size_t{10}, std::size_t{1400}, std::size_t{5000}, std::size_t{60'000}}) {
        CAPTURE(size);
        std::size_t arrived = 0;
        std::error_code told;
        bed.loop.spawn(receive(served, arrived));
        bed.loop.spawn(send(asking, {v4_of(1), 7}, size, told));
        bed.loop.run();
        CHECK_FALSE(told);
        CHECK(arrived == size);
    }
    CHECK(bed.here[0]->counters().handed_on == 4);
    CHECK(bed.here[1]->counters().datagrams == 4);

    REQUIRE(asking.connect({v4_of(1), 8}).has_value());
    std::error_code told;
    bed.run(send(asking, {v4_of(1), 8}, 10, told));
    bed.pass(10ms);
    bed.run(send(asking, {v4_of(1), 8}, 10, told));
    CHECK(told == std::errc::connection_refused);
    check_accounts(bed);
}

TEST_CASE("datagrams for a port that is served no more are refused by the host that receives them") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    std::error_code told;
    {
        auto served = bed.here[1]->open_udp({v4_of(1), 7}).value();
        bed.run(send(asking, {v4_of(1), 7}, 10, told));
        bed.pass(1ms);
        CHECK(bed.here[1]->counters().datagrams == 1);
    }
    const std::uint64_t before = handed_on(bed);
    bed.run(send(asking, {v4_of(1), 7}, 10, told));
    bed.pass(1ms);
    CHECK(handed_on(bed) == before);
    CHECK(bed.here[0]->counters().dropped_for(proto::reason::udp_port_not_served) == 1);
    check_accounts(bed);
}

TEST_CASE("a connection outlives its listener, though its octets come by the queue of a host that never had one") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    bool well = false;
    bed.run([](two_queues& in, bool& so) -> task<void> {
        const proto::ip_endpoint at{v4_of(1), 80};
        auto door = std::optional(in.here[1]->listen(at).value());
        auto near = co_await in.peer->connect(at);
        auto far = co_await door->accept();
        REQUIRE(near.has_value());
        REQUIRE(far.has_value());
        door.reset();
        scope both;
        both.spawn(echo_numbers(std::move(*far)));
        so = co_await number_comes_back(*near, 7);
        near = error{};
        const wait_result over = co_await both.join();
        CHECK_FALSE(over);
        // Whoever comes now is refused, by the host that had the listener.
        auto late = co_await in.peer->connect(at);
        REQUIRE_FALSE(late.has_value());
        CHECK(late.error().code == std::errc::connection_refused);
    }(bed, well));
    CHECK(well);
    CHECK(bed.here[1]->tcp()->count().dropped_for(proto::reason::tcp_not_connected) == 1);
    check_accounts(bed);
}

TEST_CASE("segments of strangers at a port that all hosts serve go no further than their queue, and are answered once") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto door_0 = bed.here[0]->listen({v4_of(1), 80}).value();
    auto door_1 = bed.here[1]->listen({v4_of(1), 80}).value();
    proto::tcp_repr what;
    what.source_port = 1000;
    what.destination_port = 80;
    what.sequence = 7;
    what.acknowledgment = 9;
    for (const std::uint8_t flags : {proto::tcp_flag::ack, proto::tcp_flag::rst}) {
        what.flags = flags;
        frame_bytes frame(proto::ethernet_header_length + proto::ipv4_header_length + proto::tcp_header_length);
        proto::ethernet_repr{mac_of(1), mac_of(2), proto::ethertype::ipv4}.emit(frame);
        const auto packet = proto::ipv4_repr{v4_of(2), v4_of(1), proto::ip_protocol::tcp, proto::tcp_header_length}.emit(
            std::span(frame).subspan(proto::ethernet_header_length));
        what.emit(packet.payload()).fill_checksum(v4_of(2), v4_of(1));
        for (int i = 0; i != 10; ++i) { bed.inject(0, frame); }
    }
    const proto::tcp::stack_counters& counted = bed.here[0]->tcp()->count();
    CHECK(counted.dropped_for(proto::reason::tcp_not_connected) == 10);
    CHECK(counted.dropped_for(proto::reason::tcp_unknown_reset) == 10);
    CHECK(counted.strangers == 0);
    CHECK(bed.here[0]->counters().handed_on == 0);
    CHECK(bed.here[1]->counters().segments == 0);
    check_accounts(bed);
}

TEST_CASE("segments too short to be any are dropped by a host, alone or one of several") {
    two_queues bed;
    host_and_station alone;
    for (std::size_t length = 0; length != proto::tcp_header_length; ++length) {
        frame_bytes frame(proto::ethernet_header_length + proto::ipv4_header_length + length);
        proto::ethernet_repr{mac_of(1), mac_of(2), proto::ethertype::ipv4}.emit(frame);
        proto::ipv4_repr{v4_of(2), v4_of(1), proto::ip_protocol::tcp, length}.emit(
            std::span(frame).subspan(proto::ethernet_header_length));
        alone.send(frame);
        bed.inject(0, frame);
    }
    CHECK(alone.here.tcp()->count().dropped_for(proto::reason::tcp_truncated) == proto::tcp_header_length);
    CHECK(bed.here[0]->tcp()->count().dropped_for(proto::reason::tcp_truncated) == proto::tcp_header_length);
    check_accounts(bed);
}

TEST_CASE("a host hears of an ICMP error about what it has sent by another's queue") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto asking = bed.here[1]->open_udp({v4_of(1), 0}).value();
    REQUIRE(asking.connect({v4_of(2), 8}).has_value());
    std::error_code told;
    bed.run(send(asking, {v4_of(2), 8}, 10, told));
    CHECK_FALSE(told);
    bed.pass(10ms);
    bed.run(send(asking, {v4_of(2), 8}, 10, told));
    CHECK(told == std::errc::connection_refused);
    CHECK(bed.here[1]->counters().errors == 1);
    check_accounts(bed);
}

TEST_CASE(
    "of both versions, each host learns its neighbours from answers that come by one queue, and each request is answered "
    "once") {
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        two_queues bed;
        bed.crossing->choose = all_to_queue_0;
        auto served = bed.peer->open_udp({address_of(v4, 2), 7}).value();
        for (auto& one : bed.here) {
            auto asking = one->open_udp({address_of(v4, 1), 0}).value();
            std::error_code told;
            std::size_t arrived = 0;
            bed.loop.spawn(receive(served, arrived));
            bed.loop.spawn(send(asking, {address_of(v4, 2), 7}, 100, told));
            bed.loop.run();
            CHECK_FALSE(told);
            CHECK(arrived == 100);
            CHECK(one->neighbour(address_of(v4, 2)).hardware == mac_of(2));
        }
        // The peer has asked for nothing yet: it knows the host from its questions.
        CHECK(bed.here[0]->counters().answers_sent + bed.here[1]->counters().answers_sent <= 1);
        CHECK(bed.here[0]->counters().not_told == 0);
        check_accounts(bed);
    }
}

TEST_CASE("one of the hosts probes the addresses, and the others use them when it does, whatever delays they would draw") {
    for (std::uint64_t seed = 1; seed != 20; ++seed) {
        CAPTURE(seed);
        host::host_options options = host_number(1);
        options.probe_addresses = true;
        options.seed = seed;
        two_queues bed(options, {}, 100 + seed);
        int probes = 0;
        bed.crossing->watch = [&](std::span<const std::byte> frame) {
            if (type_of(frame) != proto::ethertype::arp) { return; }
            const auto view = proto::arp_view::parse(frame.subspan(proto::ethernet_header_length));
            REQUIRE(view.has_value());
            probes += view->sender_protocol().is_unspecified() ? 1 : 0;
        };
        while (!bed.here[0]->owns(v4_of(1))) {
            CHECK_FALSE(bed.here[1]->owns(v4_of(1)));
            bed.pass(1ms);
        }
        bed.pass(1ms);
        CHECK(probes == 3);
        CHECK(bed.here[1]->owns(v4_of(1)));
        bed.pass(10s);
        for (auto& one : bed.here) { CHECK(one->owns(v6_of(1))); }
        CHECK(bed.here[0]->counters().claims_sent != 0);
        CHECK(bed.here[1]->counters().claims_sent == 0);
        CHECK(bed.here[0]->counters().not_told == 0);
    }
}

TEST_CASE("an address that another station has is lost to both hosts, whichever queue tells and whenever it comes") {
    for (const unsigned queue : {0U, 1U}) {
        for (const auto after : {0ms, 1500ms, 4200ms, 5500ms, 9000ms}) {
            CAPTURE(queue);
            CAPTURE(after.count());
            host::host_options options = host_number(1);
            options.addresses = {{v4_of(3), 24}};
            options.probe_addresses = true;
            options.defence = proto::own_addresses::defence::never;
            two_queues bed(options, {}, 77);
            bed.pass(after);
            // A claim of another station.
            frame_bytes frame(proto::ethernet_header_length + proto::arp_packet_length);
            proto::ethernet_repr{proto::mac_address::broadcast(), mac_of(9), proto::ethertype::arp}.emit(frame);
            proto::arp_repr{proto::arp_operation::request, mac_of(9), v4_of(3), proto::mac_address(), v4_of(3)}.emit(
                std::span(frame).subspan(proto::ethernet_header_length));
            bed.inject(queue, frame);
            bed.pass(10s);
            for (auto& one : bed.here) {
                CHECK_FALSE(one->owns(v4_of(3)));
                CHECK(one->counters().addresses_lost == 1);
            }
        }
    }
}

TEST_CASE("a host that is opened later uses the addresses that the others use, at once, and loses none to whoever asks") {
    host::host_options options = host_number(1);
    options.probe_addresses = true;
    two_queues bed(options);
    bed.pass(10s);
    bed.here[0].reset();  // the one that led
    bed.pass(1ms);
    bed.open_queue(0);
    bed.pass(1ms);
    CHECK(bed.here[0]->owns(v4_of(1)));
    frame_bytes probe(proto::ethernet_header_length + proto::arp_packet_length);
    proto::ethernet_repr{proto::mac_address::broadcast(), mac_of(9), proto::ethertype::arp}.emit(probe);
    proto::arp_repr{proto::arp_operation::request, mac_of(9), proto::ipv4_address(), proto::mac_address(), v4_of(1)}.emit(
        std::span(probe).subspan(proto::ethernet_header_length));
    const std::uint64_t before = bed.here[0]->counters().answers_sent + bed.here[1]->counters().answers_sent;
    bed.inject(0, probe);
    bed.pass(10ms);
    for (auto& one : bed.here) { CHECK(one->owns(v4_of(1))); }
    CHECK(bed.here[0]->counters().answers_sent + bed.here[1]->counters().answers_sent == before + 1);

    // The other one leads now, and defends.
    proto::arp_repr{proto::arp_operation::request, mac_of(9), v4_of(1), proto::mac_address(), v4_of(1)}.emit(
        std::span(probe).subspan(proto::ethernet_header_length));
    const std::uint64_t claims = bed.here[1]->counters().claims_sent;
    bed.inject(0, probe);
    bed.pass(10ms);
    CHECK(bed.here[1]->counters().claims_sent == claims + 1);
    CHECK(bed.here[0]->counters().claims_sent == 0);
}

TEST_CASE("a host that leads before it has had a turn goes on with the addresses that are in use") {
    host::host_options options = host_number(1);
    options.probe_addresses = true;
    two_queues bed(options);
    bed.pass(10s);
    bed.here[1].reset();
    bed.open_queue(1);
    bed.here[0].reset();
    bed.pass(1ms);
    CHECK(bed.here[1]->owns(v4_of(1)));
    bed.open_queue(0);
    bed.pass(1ms);
    CHECK(bed.here[0]->owns(v4_of(1)));
}

TEST_CASE("what stations say to one another is not told to the other hosts") {
    two_queues bed;
    frame_bytes frame(proto::ethernet_header_length + proto::arp_packet_length);
    proto::ethernet_repr{proto::mac_address::broadcast(), mac_of(9), proto::ethertype::arp}.emit(frame);
    proto::arp_repr{proto::arp_operation::request, mac_of(9), v4_of(9), proto::mac_address(), v4_of(8)}.emit(
        std::span(frame).subspan(proto::ethernet_header_length));
    for (int i = 0; i != 50; ++i) { bed.inject(0, frame); }
    CHECK(bed.here[0]->counters().frames >= 50);
    CHECK(bed.here[1]->counters().frames == 0);
}

TEST_CASE("a host that does not take what others hand on keeps a quarter of their frames at most, and they receive on") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto served = bed.here[1]->open_udp({v4_of(1), 7}).value();
    auto here_too = bed.here[0]->open_udp({v4_of(1), 8}).value();
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    std::error_code told;
    bed.run(send(asking, {v4_of(1), 8}, 10, told));  // finds its neighbour
    bed.pass(1ms);
    // In one turn of the loop, so that the other's task has none in between.
    std::int64_t most = 0;
    for (int round = 0; round != 20; ++round) {
        for (int i = 0; i != 50; ++i) { bed.loop.spawn(send(asking, {v4_of(1), 7}, 10, told)); }
        bed.loop.run();
        const frame_census census = bed.memory[0].pool().census();
        most = std::max(most, census.user);
    }
    CHECK(most <= 256 / 4 + 8);
    bed.pass(10ms);
    std::size_t arrived = 0;
    bed.loop.spawn(receive(here_too, arrived));
    bed.run(send(asking, {v4_of(1), 8}, 10, told));
    CHECK(arrived == 10);
    check_accounts(bed);
}

TEST_CASE("a host whose interface ends serves and speaks for nobody any more, though it is not closed") {
    two_queues bed;
    auto served = bed.here[0]->open_udp({v4_of(1), 7}).value();
    auto also = bed.here[1]->open_udp({v4_of(1), 8}).value();
    bed.wires[0].set_link(simulated_wire::end::left, wire_link::gone);
    std::error_code lost;
    bed.run(send(served, {v4_of(2), 9}, 10, lost));  // the first kick tells
    bed.pass(1s);
    REQUIRE(bed.here[0]->failure());
    bed.crossing->choose = [](std::span<const std::byte>) { return 1U; };
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    std::error_code told;
    bed.run(send(asking, {v4_of(1), 7}, 10, told));
    bed.pass(1ms);
    CHECK(bed.here[1]->counters().handed_on == 0);
    CHECK(bed.here[1]->counters().dropped_for(proto::reason::udp_port_not_served) == 1);
    frame_bytes claim(proto::ethernet_header_length + proto::arp_packet_length);
    proto::ethernet_repr{proto::mac_address::broadcast(), mac_of(9), proto::ethertype::arp}.emit(claim);
    proto::arp_repr{proto::arp_operation::request, mac_of(9), v4_of(1), proto::mac_address(), v4_of(1)}.emit(
        std::span(claim).subspan(proto::ethernet_header_length));
    bed.inject(1, claim);
    bed.pass(10ms);
    CHECK(bed.here[1]->counters().claims_sent == 1);
}

TEST_CASE("a broadcast datagram in fragments is for endpoints that want such, on whichever queue it is put together") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto deaf = bed.here[1]->open_udp({v4_of(1), 7}).value();
    host::udp_endpoint_options loud;
    loud.broadcast = true;
    auto asking = bed.peer->open_udp({v4_of(2), 0}, loud).value();
    std::error_code told;
    bed.run(send(asking, {proto::ipv4_address(192, 0, 2, 255), 7}, 4000, told));
    bed.pass(10ms);
    CHECK_FALSE(told);
    CHECK(bed.here[0]->counters().handed_on == 1);
    CHECK(bed.here[1]->counters().datagrams == 0);
    CHECK(bed.here[1]->counters().dropped_for(proto::reason::udp_broadcast) == 1);
}

TEST_CASE(
    "when the host that speaks for the addresses is closed another one does, and the ports of the former are nobody's") {
    two_queues bed;
    bed.crossing->choose = [](std::span<const std::byte>) { return 1U; };
    auto served = std::optional(bed.here[0]->open_udp({v4_of(1), 7}).value());
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    std::error_code told;
    bed.run(send(asking, {v4_of(1), 7}, 10, told));
    bed.pass(1ms);
    CHECK(bed.here[1]->counters().handed_on == 1);
    served.reset();
    bed.here[0].reset();
    bed.run(send(asking, {v4_of(1), 7}, 10, told));
    bed.pass(1ms);
    CHECK(bed.here[1]->counters().handed_on == 1);
    CHECK(bed.here[1]->counters().dropped_for(proto::reason::udp_port_not_served) == 1);

    bed.open_queue(0);  // takes the place that is free
    auto again = bed.here[0]->open_udp({v4_of(1), 7}).value();
    std::size_t arrived = 0;
    bed.loop.spawn(receive(again, arrived));
    bed.run(send(asking, {v4_of(1), 7}, 10, told));
    CHECK(arrived == 10);
}

TEST_CASE("a host that is closed with things in its inbox gives their frames back") {
    two_queues bed;
    bed.crossing->choose = all_to_queue_0;
    auto served = std::optional(bed.here[1]->open_udp({v4_of(1), 7}).value());
    auto asking = bed.peer->open_udp({v4_of(2), 0}).value();
    std::error_code told;
    for (int i = 0; i != 20; ++i) { bed.loop.spawn(send(asking, {v4_of(1), 7}, 100, told)); }
    bed.loop.spawn([](two_queues& in, std::optional<host::udp_endpoint>& at) -> task<void> {
        while (in.here[0]->counters().handed_on == 0) {
            const wait_result gone = co_await sleep_for(1us);
            if (gone) { co_return; }
        }
        at.reset();
        in.here[1].reset();
    }(bed, served));
    bed.loop.run();
    bed.here[0].reset();
    const frame_census census = bed.memory[0].pool().census();
    CHECK(census.user == 0);
}

TEST_CASE("hosts that do not fit together are refused by name") {
    CHECK_THROWS_AS(host::host_queues(0), std::invalid_argument);
    CHECK_THROWS_AS(host::host_queues(host::host_queues::most + 1), std::invalid_argument);
    two_queues bed;
    const auto refusal = [&](const host::host_options& options) {
        simulated_wire wire;
        umem own;
        bed.clock.attach(wire);
        auto sockets = open_async(bed.loop, socket_over(own, wire, simulated_wire::end::left)).value();
        const auto made = host::ip_host::open(bed.loop, std::move(sockets.rx), std::move(sockets.tx), options);
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error().code == errc::invalid_option);
        return made.error().message();
    };
    CHECK(refusal(bed.together).find("2 hosts of its host_queues are open") != std::string::npos);
    bed.here[1].reset();
    host::host_options others = bed.together;
    others.addresses = {{v4_of(9), 24}};
    CHECK(refusal(others).find("other addresses") != std::string::npos);
    others = bed.together;
    others.tcp.ports.first = 50'000;
    CHECK(refusal(others).find("other ports") != std::string::npos);
}

TEST_CASE(
    "a thousand connections with loss, both ways, over both queues: every number comes back, and all frames come home") {
    wire_options lossy;
    lossy.seed = 5;
    lossy.to_left.loss = lossy.to_right.loss = 0.02;
    two_queues bed(host_number(1), lossy);
    bed.crossing->choose = [](std::span<const std::byte> frame) { return 1 - by_port_of_peer(frame); };
    auto door_0 = bed.here[0]->listen({v4_of(1), 80}).value();
    auto door_1 = bed.here[1]->listen({v4_of(1), 80}).value();
    auto far = bed.peer->listen({v4_of(2), 80}).value();
    constexpr int rounds = 25;
    bed.loop.spawn(echo_so_many(far, 20 * rounds));
    bed.loop.spawn_background(echo_so_many(door_0, 20 * rounds));
    bed.loop.spawn_background(echo_so_many(door_1, 20 * rounds));
    bed.run([](two_queues& in) -> task<void> {
        for (std::uint64_t round = 0; round != rounds; ++round) {
            scope some;
            for (std::uint64_t i = 0; i != 10; ++i) {
                some.spawn(ask(*in.here[0], {v4_of(2), 80}, 1000 * round + i + 1));
                some.spawn(ask(*in.here[1], {v4_of(2), 80}, 1000 * round + i + 1));
                some.spawn(ask(*in.peer, {v4_of(1), 80}, 1000 * round + i + 1));
                some.spawn(ask(*in.peer, {v4_of(1), 80}, 1000 * round + i + 1));
            }
            const wait_result over = co_await some.join();
            CHECK_FALSE(over);
        }
    }(bed));
    CHECK(bed.here[0]->tcp()->count().accepted + bed.here[1]->tcp()->count().accepted == 20 * rounds);
    CHECK(handed_on(bed) != 0);
    check_accounts(bed);
}
