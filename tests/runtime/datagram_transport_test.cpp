// SPDX-License-Identifier: BSD-3-Clause
// datagram_transport: which rung it takes, and how it moves to the next one.
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/transport_bed.hpp"
#include "tests/support/foreign_program.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(datagram_socket<datagram_transport>);

namespace {

using enum datagram_rung;

/// Receives one datagram that is sent to the transport's new place as soon as it has one, after `disturb`.
task<void> receive_across(transport_bed& bed, datagram_transport& transport, std::optional<datagram_move>& moved,
                          std::function<void()> disturb) {
    scope receiving;
    datagram_result got;
    std::vector<std::byte> room(100);
    const auto receive = [&]() -> task<void> { got = co_await transport.recv_from(room); };
    receiving.spawn(receive());
    static_cast<void>(co_await sleep_for(20ms));
    disturb();
    while (!moved) { static_cast<void>(co_await sleep_for(1ms)); }
    udp_socket near = udp_socket::bind(at("127.0.0.1:0")).value();
    udp_socket& sender = transport.took() == kernel_udp ? near : bed.peer;
    const std::vector<std::byte> bytes = payload_of(50);
    const io_result sent = co_await sender.send_to(bytes, transport.local_endpoint());
    CHECK_FALSE(sent.ec);
    const wait_result ended = co_await receiving.join();
    CHECK(!ended);
    CHECK_FALSE(got.ec);
    CHECK(got.n == 50);
    CHECK(got.from == sender.local_endpoint());
}

}  // namespace

TEST_CASE("each rung alone exchanges datagrams with a socket of another kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : {af_xdp, af_packet, kernel_udp}) {
        CAPTURE(name(rung));
        transport_bed bed;
        if (rung == kernel_udp) { bed.give_address_to_kernel(); }
        datagram_options wanted = bed.options({rung});
        wanted.neighbours.clear();  // the peer is heard
        datagram_transport transport = bed.open(std::move(wanted));
        CHECK(transport.took() == rung);
        CHECK(transport.refusals().empty());
        CHECK(transport.local_endpoint() == transport_bed::local);
        bed.loop.spawn(echo_datagrams(transport, sizes.size()));
        bed.loop.spawn(exchange_sizes(bed.peer, transport_bed::local));
        bed.loop.run();
        CHECK(transport.count().datagrams == (rung == kernel_udp ? 0 : sizes.size()));
        CHECK((transport.count().arp_replies != 0) == (rung != kernel_udp));
    }
}

TEST_CASE("a transport speaks first, through its gateway or to a neighbour that was given") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        for (const bool by_gateway : {false, true}) {
            transport_bed bed;
            datagram_options wanted = bed.options({rung});
            if (by_gateway) { wanted.gateway = std::exchange(wanted.neighbours, {}).front().hardware; }
            datagram_transport transport = bed.open(std::move(wanted));
            bed.loop.spawn(echo_datagrams(bed.peer, sizes.size()));
            bed.loop.spawn(exchange_sizes(transport, bed.peer.local_endpoint()));
            bed.loop.run();
        }
    }
}

TEST_CASE("a transport takes AF_PACKET where AF_XDP is refused and says why") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    transport_bed bed;
    const auto foreign = load_foreign_program();
    const auto link = link_program(foreign.get(), testbed::ifindex(side::host), false);
    datagram_transport transport = bed.open(bed.options({af_xdp, af_packet, kernel_udp}));
    CHECK(transport.took() == af_packet);
    REQUIRE(transport.refusals().size() == 1);
    CHECK(transport.refusals()[0].rung == af_xdp);
    CHECK(transport.refusals()[0].why.code == errc::program_conflict);
    CHECK_FALSE(transport.notes().empty());  // the packets are copies
    bed.loop.spawn(echo_datagrams(bed.peer, 1));
    bed.loop.spawn(exchange(transport, bed.peer.local_endpoint(), 100));
    bed.loop.run();
}

TEST_CASE("a transport takes the kernel's UDP where no interface is given and says why") {
    executor loop;
    datagram_options wanted;
    wanted.local = at("127.0.0.1:0");
    datagram_transport transport = datagram_transport::open(loop, wanted).value();
    CHECK(transport.took() == kernel_udp);
    CHECK(transport.longest_datagram() == 65'507);
    REQUIRE(transport.refusals().size() == 2);
    CHECK(transport.refusals()[0].rung == af_xdp);
    CHECK(transport.refusals()[1].rung == af_packet);
    for (const datagram_refusal& refused : transport.refusals()) {
        CHECK(refused.why.code == errc::invalid_option);
        CHECK(refused.why.step.find(name(refused.rung)) != std::string::npos);
        CHECK_FALSE(refused.why.remedy.empty());
    }
    udp_socket near = udp_socket::bind(at("127.0.0.1:0")).value();
    loop.spawn(echo_datagrams(near, 1));
    loop.spawn(exchange(transport, near.local_endpoint(), 100));
    loop.run();
}

TEST_CASE("what frames cannot do is refused before anything is opened") {
    executor loop;
    for (const char* const address : {"[::1]:7", "0.0.0.0:7", "127.0.0.1:7", "224.0.0.1:7", "255.255.255.255:7"}) {
        CAPTURE(address);
        datagram_options wanted;
        wanted.local = at(address);
        wanted.order = {af_packet};
        wanted.frames = builder("none");
        CHECK(datagram_transport::open(loop, wanted).error().code == errc::invalid_option);
    }
    datagram_options wanted;
    wanted.local = at("192.0.2.1:0");  // nobody could choose the port
    wanted.frames = builder("none");
    wanted.order = {af_packet};
    CHECK(datagram_transport::open(loop, wanted).error().code == errc::invalid_option);
    wanted.local.port = 7;
    wanted.gateway = proto::mac_address::broadcast();
    CHECK(datagram_transport::open(loop, wanted).error().code == errc::invalid_option);
    wanted.gateway.reset();
    CHECK(datagram_transport::open(loop, wanted).error().code == errc::interface_not_found);
    wanted.order.clear();
    CHECK(datagram_transport::open(loop, wanted).error().code == errc::invalid_option);
}

TEST_CASE("where every rung is refused the error tells of each") {
    executor loop;
    datagram_options wanted;
    wanted.local = at("192.0.2.1:7");
    wanted.frames = builder("none");
    const auto opened = datagram_transport::open(loop, wanted);
    REQUIRE(opened.has_error());
    CHECK(opened.error().code == std::errc::address_not_available);
    for (const datagram_rung rung : wanted.order) { CHECK(opened.error().cause.find(name(rung)) != std::string::npos); }
    for (const char* const remedy : {"ip link", "use an address that this host has"}) {  // of frames, of the kernel's UDP
        CAPTURE(remedy);
        CHECK(opened.error().cause.find(remedy) != std::string::npos);
    }
    CHECK(opened.error().message().size() < 10'000);
}

TEST_CASE("a receive goes on by the kernel's UDP when the interface is deleted under it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        CAPTURE(name(rung));
        transport_bed bed;
        std::optional<datagram_move> moved;
        datagram_options wanted = bed.options({rung, af_packet, kernel_udp});
        wanted.kernel_local = at("127.0.0.1:0");
        wanted.on_move = [&](const datagram_move& move) { moved = move; };
        datagram_transport transport = bed.open(std::move(wanted));
        CHECK(transport.took() == rung);
        bed.loop.run(receive_across(bed, transport, moved, [&] { bed.bed.delete_link(); }));
        REQUIRE(moved.has_value());
        CHECK(moved->from == rung);
        CHECK(moved->to == kernel_udp);
        CHECK(moved->why.code == errc::interface_gone);
        CHECK(transport.took() == kernel_udp);
        REQUIRE(transport.refusals().size() == 2);
        CHECK(transport.refusals()[0].rung == rung);
        CHECK(transport.refusals()[0].why.code == errc::interface_gone);
        CHECK(transport.refusals()[1].rung == af_packet);
        CHECK(transport.refusals()[1].why.code == errc::interface_not_found);
    }
}

TEST_CASE("a receive goes on by AF_PACKET when the XDP program is detached") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    transport_bed bed;
    std::optional<datagram_move> moved;
    datagram_options wanted = bed.options({af_xdp, af_packet, kernel_udp});
    wanted.on_move = [&](const datagram_move& move) { moved = move; };
    datagram_transport transport = bed.open(std::move(wanted));
    CHECK(transport.took() == af_xdp);
    bed.loop.run(receive_across(bed, transport, moved, [&] {
        detach_link_of(bed.bed.xdp_program_id(side::host));
        // The kernel announces that with the next news of the interface only.
        CHECK(bed.bed.run(side::host, {"ip", "link", "set", "dev", "flux0", "alias", "news"}, 5s).success());
    }));
    REQUIRE(moved.has_value());
    CHECK(moved->to == af_packet);
    CHECK(moved->why.code == errc::program_detached);
    CHECK(transport.took() == af_packet);
    bed.loop.spawn(echo_datagrams(bed.peer, sizes.size()));
    bed.loop.spawn(exchange_sizes(transport, bed.peer.local_endpoint()));
    bed.loop.run();
}

TEST_CASE("a transport whose last rung has ended says so from then on") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        CAPTURE(name(rung));
        transport_bed bed;
        std::optional<datagram_move> moved;
        datagram_options wanted = bed.options({rung});
        wanted.on_move = [&](const datagram_move& move) { moved = move; };
        datagram_transport transport = bed.open(std::move(wanted));
        bed.loop.run([](transport_bed& at_bed, datagram_transport& dying) -> task<void> {
            scope receiving;
            std::vector<std::byte> room(100);
            datagram_result got;
            const auto receive = [&]() -> task<void> { got = co_await dying.recv_from(room); };
            receiving.spawn(receive());
            static_cast<void>(co_await sleep_for(20ms));
            at_bed.bed.delete_link();
            const wait_result ended = co_await receiving.join();
            CHECK(!ended);
            CHECK(got.ec == errc::interface_gone);
            const datagram_result again = co_await dying.recv_from(room);
            CHECK(again.ec == errc::interface_gone);
            const io_result sent = co_await dying.send_to(room, at_bed.peer.local_endpoint());
            CHECK(sent.ec == errc::interface_gone);
        }(bed, transport));
        REQUIRE(moved.has_value());
        CHECK(moved->to == std::nullopt);
        CHECK(transport.took() == std::nullopt);
        CHECK(transport.longest_datagram() == 0);
    }
}

TEST_CASE("a send that waits for frames goes on at the next rung") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool receiver_finds_out : {false, true}) {
        transport_bed bed;
        datagram_options wanted = bed.options({af_xdp, kernel_udp});
        wanted.kernel_local = at("127.0.0.1:0");
        datagram_transport transport = bed.open(std::move(wanted));
        bed.loop.run([](transport_bed& at_bed, datagram_transport& moving, bool receives) -> task<void> {
            at_bed.bed.set_link(side::host, false);
            scope child;
            io_result last;
            std::vector<std::byte> bytes(100);
            const auto send = [&]() -> task<void> {
                // The kernel takes none of these while the link is down; later there is no frame left.
                for (int i = 0; i != 100 && !last.ec; ++i) {
                    last = co_await moving.send_to(bytes, at_bed.peer.local_endpoint());
                }
            };
            child.spawn(send());
            std::vector<std::byte> room(100);
            const auto receive = [&]() -> task<void> { static_cast<void>(co_await moving.recv_from(room)); };
            if (receives) { child.spawn(receive()); }
            static_cast<void>(co_await sleep_for(50ms));
            CHECK(moving.took() == af_xdp);
            at_bed.bed.delete_link();
            while (!last.ec) { static_cast<void>(co_await sleep_for(1ms)); }
            CHECK(moving.took() == kernel_udp);
            CHECK(last.ec.category() == std::system_category());  // the kernel's: it has no way to the peer any more
            child.request_stop();
            const wait_result ended = co_await child.join();
            CHECK(!ended);
        }(bed, transport, receiver_finds_out));
    }
}

TEST_CASE("a datagram that comes after its receive was given up goes to the next one") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : frame_rungs) {
        transport_bed bed;
        datagram_transport transport = bed.open(bed.options({rung}));
        bed.loop.run([](transport_bed& at_bed, datagram_transport& receiver) -> task<void> {
            std::vector<std::byte> room(100);
            const timed<datagram_result> early = co_await timeout(10ms, receiver.recv_from(room));
            CHECK(early.expired);
            CHECK(early.value.ec == errc::operation_canceled);
            scope child;
            child.spawn(exchange(at_bed.peer, transport_bed::local, 40));
            co_await echo_datagrams(receiver, 1);
            const wait_result ended = co_await child.join();
            CHECK(!ended);
        }(bed, transport));
    }
}

TEST_CASE("a transport may be destroyed before the coroutines that wait for it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const datagram_rung rung : {af_xdp, af_packet, kernel_udp}) {
        CAPTURE(name(rung));
        transport_bed bed;
        if (rung == kernel_udp) { bed.give_address_to_kernel(); }
        {
            executor loop;
            datagram_transport transport = datagram_transport::open(loop, bed.options({rung})).value();
            loop.spawn(echo_datagrams(transport, 1));
            loop.spawn([&]() -> task<void> {
                static_cast<void>(co_await sleep_for(5ms));
                loop.stop();
            });
            loop.run();
        }
        // The coroutine has gone with its executor, and the socket with the coroutine.
        datagram_transport next = bed.open(bed.options({rung}));
        bed.loop.spawn(echo_datagrams(next, 1));
        bed.loop.spawn(exchange(bed.peer, transport_bed::local, 10));
        bed.loop.run();
    }
}
