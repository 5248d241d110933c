// SPDX-License-Identifier: BSD-3-Clause
// datagram_transport over frames: what is dropped and counted, what is too large, and the port that it keeps.
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/proto/frames.hpp"
#include "tests/runtime/transport_bed.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/packet_socket.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using proto::reason;

TEST_CASE("malformed and foreign frames are dropped, each counted by its reason") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        CAPTURE(name(rung));
        transport_bed bed;
        datagram_transport transport = bed.open(bed.options({rung}));
        const proto::test::endpoints who{.host = proto::mac_address(testbed::mac(side::host)),
                                         .host_ip = transport_bed::local.address.v4(),
                                         .client = proto::mac_address(testbed::mac(side::peer)),
                                         .client_ip = proto::ipv4_address(10, 77, 0, 2),
                                         .echo_port = transport_bed::local.port};
        packet_socket wire(bed.bed.peer(), bed.bed.name(side::peer));
        std::array<std::uint64_t, proto::reason_count> sent{};
        for (const proto::test::malformed_frame& bad : proto::test::malformed_frames(who)) {
            const bool icmp = proto::name(bad.expected).starts_with("icmp");
            if (bad.bytes.size() < 14 || icmp || bad.expected == reason::udp_echo_loop) { continue; }
            wire.send(bad.bytes);
            ++sent[static_cast<std::size_t>(bad.expected)];
        }
        wire.send(proto::test::udp_request(who, proto::test::counting(33)));
        bed.loop.run([](datagram_transport& receiver) -> task<void> {
            std::vector<std::byte> room(100);
            const datagram_result got = co_await receiver.recv_from(room);
            CHECK_FALSE(got.ec);
            CHECK(got.n == 33);  // and nothing before it
        }(transport));
        const proto::udp_station::counters count = transport.count();
        CHECK(count.datagrams == 1);
        for (const reason why : {reason::ipv4_bad_checksum, reason::udp_bad_checksum, reason::ipv4_fragment,
                                 reason::udp_port_not_served, reason::ipv4_not_for_us}) {
            REQUIRE(sent[static_cast<std::size_t>(why)] != 0);
        }
        for (std::size_t why = 0; why != sent.size(); ++why) {
            CAPTURE(proto::name(static_cast<reason>(why)));
            CHECK(count.dropped[why] == sent[why]);
        }
    }
}

TEST_CASE("a datagram of the peer's that comes in fragments is dropped and counted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_transport transport = bed.open(bed.options({rung}));
        bed.loop.run([](transport_bed& at_bed, datagram_transport& receiver) -> task<void> {
            const std::vector<std::byte> small = payload_of(10);
            std::vector<std::byte> room(100);
            // The first datagram has the peer's kernel resolve our address.
            for (const std::size_t size : {10U, 3000U, 10U}) {
                const std::vector<std::byte> bytes = payload_of(size);
                const io_result sent = co_await at_bed.peer.send_to(bytes, transport_bed::local);
                CHECK_FALSE(sent.ec);
                if (size == 3000) { continue; }
                const datagram_result got = co_await receiver.recv_from(room);
                CHECK(got.n == 10);
            }
        }(bed, transport));
        CHECK(transport.count().dropped_for(reason::ipv4_fragment) == 3);
    }
}

TEST_CASE("what frames cannot send is told") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_options wanted = bed.options({rung});
        wanted.arp_requests = 1;
        wanted.arp_wait = std::chrono::milliseconds(1);
        datagram_transport transport = bed.open(std::move(wanted));
        CHECK(transport.longest_datagram() == 1472);
        bed.loop.run([](transport_bed& at_bed, datagram_transport& sender) -> task<void> {
            const std::vector<std::byte> bytes(1473);
            const std::span<const std::byte> fits = std::span(bytes).first(1472);
            const io_result too_large = co_await sender.send_to(bytes, at_bed.peer.local_endpoint());
            CHECK(too_large.ec == std::errc::message_size);
            CHECK(too_large.n == 0);
            const io_result nowhere = co_await sender.send_to(fits, at("10.77.0.3:7"));
            CHECK(nowhere.ec == std::errc::host_unreachable);
            const io_result everywhere = co_await sender.send_to(fits, at("255.255.255.255:7"));
            CHECK(everywhere.ec == std::errc::permission_denied);
            const io_result version_6 = co_await sender.send_to(fits, at("[::1]:7"));
            CHECK(version_6.ec == std::errc::address_family_not_supported);
            const io_result no_port = co_await sender.send_to(fits, at("10.77.0.2:0"));
            CHECK(no_port.ec == std::errc::invalid_argument);
            const io_result sent = co_await sender.send_to(fits, at_bed.peer.local_endpoint());
            CHECK_FALSE(sent.ec);
            std::vector<std::byte> room(2000);
            const datagram_result got = co_await at_bed.peer.recv_from(room);
            CHECK(got.n == 1472);  // and nothing before it
        }(bed, transport));
    }
}

TEST_CASE("a link that is down or has no carrier is told as that and not as an unreachable host") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        for (const side down : {side::host, side::peer}) {
            CAPTURE(name(rung));
            transport_bed bed;
            datagram_transport transport = bed.open(bed.options({rung}));
            bed.bed.set_link(down, false);
            bed.loop.run([](datagram_transport& sender) -> task<void> {
                const std::array<std::byte, 3> bytes{};
                io_result sent{};
                do {  // the other end hears of it a moment later
                    sent = co_await sender.send_to(bytes, at("10.77.0.3:7"));
                } while (sent.ec == std::errc::host_unreachable);
                CHECK(sent.ec == errc::link_down);
                CHECK(sent.ec == std::errc::network_down);
            }(transport));
        }
    }
}

TEST_CASE("datagrams whose checksums were left to a device arrive over AF_PACKET and are counted over AF_XDP") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        CAPTURE(name(rung));
        transport_bed bed;
        const std::vector<std::string> offload{"ethtool", "-K", bed.bed.name(side::peer), "tx", "on"};
        REQUIRE(bed.bed.run(side::peer, offload, std::chrono::seconds(5)).success());
        datagram_transport transport = bed.open(bed.options({rung}));
        const bool noted = std::ranges::any_of(transport.notes(), [](const std::string& note) {
            return note.find("ethtool -K PEER tx off") != std::string::npos;
        });
        CHECK(noted == (rung == datagram_rung::af_xdp));
        bed.loop.spawn([](transport_bed& at_bed, datagram_transport& receiver, bool arrives) -> task<void> {
            const std::vector<std::byte> bytes(100);
            while (!arrives && receiver.count().dropped_for(reason::udp_bad_checksum) == 0) {
                const io_result lost = co_await at_bed.peer.send_to(bytes, transport_bed::local);
                CHECK_FALSE(lost.ec);
                static_cast<void>(co_await sleep_for(std::chrono::milliseconds(1)));
            }
            if (!arrives) {
                const std::vector<std::string> off{"ethtool", "-K", at_bed.bed.name(side::peer), "tx", "off"};
                REQUIRE(at_bed.bed.run(side::peer, off, std::chrono::seconds(5)).success());
            }
            const io_result sent = co_await at_bed.peer.send_to(bytes, transport_bed::local);
            CHECK_FALSE(sent.ec);
        }(bed, transport, rung == datagram_rung::af_packet));
        bed.loop.spawn([](datagram_transport& receiver) -> task<void> {
            std::vector<std::byte> room(200);
            const datagram_result got = co_await receiver.recv_from(room);
            CHECK_FALSE(got.ec);
            CHECK(got.n == 100);
        }(transport));
        bed.loop.run();
        CHECK(transport.count().datagrams == 1);
        CHECK((transport.count().dropped_for(reason::udp_bad_checksum) != 0) == (rung == datagram_rung::af_xdp));
    }
}

TEST_CASE("where the kernel has the address its network's broadcast address is known") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        CAPTURE(name(rung));
        transport_bed bed;
        bed.give_address_to_kernel();
        datagram_options wanted = bed.options({rung});
        wanted.kernel.broadcast = true;
        datagram_transport transport = bed.open(std::move(wanted));
        packet_socket wire(bed.bed.peer(), bed.bed.name(side::peer));
        bed.loop.run([](datagram_transport& sender) -> task<void> {
            const std::array<std::byte, 3> bytes{};
            const io_result sent = co_await sender.send_to(bytes, at("10.77.0.255:7"));
            CHECK_FALSE(sent.ec);
        }(transport));
        bool found = false;
        while (!found) {
            const auto frame = wire.recv(std::chrono::seconds(5));
            REQUIRE(frame.has_value());
            const auto view = proto::ethernet_view::parse(*frame);
            found = view && view->type() == proto::ethertype::ipv4 && view->destination().is_broadcast();
        }
    }
}

TEST_CASE("a transport finds a peer that it was not told of by asking its kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_options wanted = bed.options({rung});
        wanted.neighbours.clear();
        datagram_transport transport = bed.open(std::move(wanted));
        bed.loop.spawn(echo_datagrams(bed.peer, sizes.size()));
        bed.loop.spawn(exchange_sizes(transport, bed.peer.local_endpoint()));  // the first send finds it
        bed.loop.run();
        CHECK(transport.count().arp_answers == 1);
    }
}

TEST_CASE("a transport asks by ARP for a peer that is not there and gives up") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_options wanted = bed.options({rung});
        wanted.arp_requests = 4;
        wanted.arp_wait = std::chrono::milliseconds(10);
        datagram_transport transport = bed.open(std::move(wanted));
        packet_socket wire(bed.bed.peer(), bed.bed.name(side::peer));
        bed.loop.run([](datagram_transport& sender) -> task<void> {
            const std::array<std::byte, 3> bytes{};
            const io_result nowhere = co_await sender.send_to(bytes, at("10.77.0.3:7"));
            CHECK(nowhere.ec == std::errc::host_unreachable);
        }(transport));
        int requests = 0;
        while (const auto frame = wire.recv(std::chrono::milliseconds(50))) {
            const auto view = proto::ethernet_view::parse(*frame);
            if (!view || view->type() != proto::ethertype::arp) { continue; }
            const auto packet = proto::arp_view::parse(view->payload());
            REQUIRE(packet.has_value());
            if (packet->target_protocol() != proto::ipv4_address(10, 77, 0, 3)) { continue; }
            CHECK(packet->sender_protocol() == transport_bed::local.address.v4());
            ++requests;
        }
        CHECK(requests >= 1);  // of a busy machine; never more than
        CHECK(requests <= 4);
    }
}

TEST_CASE("a transport over a simulated wire takes no port of the kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    transport_bed bed;
    bed.give_address_to_kernel();
    const auto taken = udp_socket::bind(transport_bed::local).value();
    simulated_wire wire;
    virtual_clock clock{1};
    clock.attach(wire);
    executor loop{clock};
    datagram_options wanted = bed.options({datagram_rung::af_xdp});
    wanted.frames = wire.socket_on(simulated_wire::end::left).frames(64).tx_frames(16);
    const auto opened = datagram_transport::open(loop, wanted);
    REQUIRE(opened.has_value());
    CHECK(opened->local_endpoint() == transport_bed::local);
    wanted.local.port = 0;
    CHECK(datagram_transport::open(loop, wanted).error().code == errc::invalid_option);
}

TEST_CASE("where the kernel has the address the transport keeps the port and the kernel does not answer") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    transport_bed bed;
    bed.give_address_to_kernel();
    {
        datagram_options wanted = bed.options({datagram_rung::af_packet});
        wanted.local.port = 0;
        datagram_transport transport = bed.open(std::move(wanted));
        const proto::ip_endpoint place = transport.local_endpoint();
        CHECK(place.port != 0);
        CHECK(udp_socket::bind(place).error().code == std::errc::address_in_use);
        // A connected socket is told when nobody listens.
        REQUIRE(bed.peer.connect(place).has_value());
        bed.loop.spawn(echo_datagrams(transport, 20));
        bed.loop.spawn([&]() -> task<void> {
            for (std::size_t i = 0; i != 20; ++i) { co_await exchange(bed.peer, place, i); }
        });
        bed.loop.run();

        datagram_options same = bed.options({datagram_rung::af_packet});
        same.local = place;
        CHECK(datagram_transport::open(bed.loop, same).error().code == std::errc::address_in_use);
    }
    datagram_transport again = bed.open(bed.options({datagram_rung::af_xdp}));
    CHECK(again.took() == datagram_rung::af_xdp);
}

TEST_CASE("datagrams over frames allocate nothing once they run") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_transport transport = bed.open(bed.options({rung}));
        std::uint64_t allocations = 0;
        bed.loop.run([](transport_bed& at_bed, datagram_transport& echo, std::uint64_t& counted) -> task<void> {
            const proto::ip_endpoint peer = at_bed.peer.local_endpoint();
            std::array<std::byte, 200> room{};
            for (int round = 0; round != 2; ++round) {
                const allocation_watch watch;
                for (int i = 0; i != 100; ++i) {
                    const io_result sent = co_await echo.send_to(std::span(room).first(100), peer);
                    CHECK_FALSE(sent.ec);
                    const datagram_result got = co_await at_bed.peer.recv_from(room);
                    CHECK(got.n == 100);
                    const io_result answered = co_await at_bed.peer.send_to(std::span(room).first(50), got.from);
                    CHECK_FALSE(answered.ec);
                    const datagram_result back = co_await echo.recv_from(room);
                    CHECK(back.n == 50);
                }
                counted = watch.allocations();  // of the second round in the end
            }
        }(bed, transport, allocations));
        // With a sanitizer each of a round's 200 calls has a coroutine frame of its own.
        CHECK(allocations == (fluxnet::detail::keeps_frames ? 0 : 200));
    }
}
