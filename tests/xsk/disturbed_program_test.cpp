// SPDX-License-Identifier: BSD-3-Clause
// What becomes of a socket whose XDP program somebody else detaches or replaces: reception ends, nothing hangs, no frame is
// lost, sending goes on. The handles of a socket that was split say program_detached; a raw socket's user can ask, and
// attach again. See runtime/link_monitor_test.cpp for handles that an executor has.
#include "tests/support/foreign_program.hpp"
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// What somebody does to the program of this number.
using disturbance = std::function<void(std::uint32_t program)>;

const disturbance detach = [](std::uint32_t program) { detach_link_of(program); };

/// The other program is the kernel's own afterwards: it lives as long as the link that runs it.
const disturbance replace = [](std::uint32_t program) {
    const auto foreign = load_foreign_program();
    update_link(find_link_of(program).get(), foreign.get());
};

void disturb_handles(xdp_mode mode, const disturbance& disturb) {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    packet_socket kernel = pair.plain(side::host);
    {
        system_sockets host = pair.open(side::host, mode);
        for (std::uint32_t i = 0; i < 10; ++i) { peer.send(numbered(i, 64, side::peer)); }
        REQUIRE(receive_numbered(host.rx, 0, 5, side::peer) == 5);
        REQUIRE(eventually([&] { return host.rx.available() == 5; }));
        disturb(host.rx.redirect()->id());
        for (std::uint32_t i = 10; i < 20; ++i) { peer.send(numbered(i, 64, side::peer)); }
        CHECK(receive_numbered(kernel, 10, 10, side::peer) == 10);
        // What had been received is not lost, and then there is nothing more: a wait ends with its time and with the reason.
        CHECK(receive_numbered(host.rx, 5, 5, side::peer) == 5);
        CHECK_FALSE(host.rx.failure());
        CHECK(host.rx.wait(30ms));
        CHECK(host.rx.failure() == errc::program_detached);
        packet none;
        CHECK(host.rx.try_recv(std::span(&none, 1)) == 0);
        CHECK(host.rx.wait(5s));  // at once
        CHECK(send_numbered(host.tx, 20, 5) == 5);
        CHECK(receive_numbered(peer, 20, 5) == 5);
        check_all_home(host);
    }
    // Whoever opens it anew receives again.
    system_sockets next = pair.open(side::host, mode);
    peer.send(numbered(30, 64, side::peer));
    CHECK(receive_numbered(next.rx, 30, 1, side::peer) == 1);
    CHECK_FALSE(next.rx.wait(10ms));
    check_all_home(next);
}

void disturb_raw_socket(xdp_mode mode, const disturbance& disturb) {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    packet_socket kernel = pair.plain(side::host);
    program& ours = *host.socket.redirect();
    for (std::uint32_t i = 0; i < 10; ++i) { peer.send(numbered(i, 64, side::peer)); }
    REQUIRE(host.receive_numbered(0, 5) == 5);
    REQUIRE(eventually([&] { return host.socket.rx.available() == 5; }));
    CHECK_FALSE(ours.displaced());
    disturb(ours.id());
    CHECK(ours.displaced());
    for (std::uint32_t i = 10; i < 20; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(receive_numbered(kernel, 10, 10, side::peer) == 10);
    CHECK(host.receive_numbered(5, 5) == 5);
    CHECK(poll_for(host.socket.fd(), POLLIN, 20ms) == 0);
    CHECK(host.socket.rx.available() == 0);
    CHECK(host.queue_numbered(20, 5) == 5);
    CHECK(host.drain());
    CHECK(receive_numbered(peer, 20, 5) == 5);
    // The socket stays bound and in the program's map: to attach again is enough.
    {
        const network_namespace::scoped_enter inside(pair.bed.host());
        const auto again = ours.attach(mode == xdp_mode::native ? attach_mode::native : attach_mode::generic);
        REQUIRE_MESSAGE(again.has_value(), (again ? "" : again.error().message()));
    }
    CHECK_FALSE(ours.displaced());
    for (std::uint32_t i = 30; i < 40; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(host.receive_numbered(30, 10) == 10);
    CHECK_FALSE(kernel.recv(10ms));
    host.check_books();
}

}  // namespace

FLUXNET_VETH_TEST("a program that somebody detaches ends reception with program_detached and loses no frame") {
    disturb_handles(mode, detach);
}

FLUXNET_VETH_TEST("a program that somebody replaces ends reception with program_detached and loses no frame") {
    disturb_handles(mode, replace);
}

FLUXNET_VETH_TEST("a raw socket whose program was detached receives again when it is attached again") {
    disturb_raw_socket(mode, detach);
}

FLUXNET_VETH_TEST("a raw socket whose program was replaced receives again when it is attached again") {
    disturb_raw_socket(mode, replace);
}

FLUXNET_VETH_TEST("a program that replaced ours for a while costs the packets of that while only") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    packet_socket kernel = pair.plain(side::host);
    const auto foreign = load_foreign_program();
    const auto link = find_link_of(host.rx.redirect()->id());
    for (std::uint32_t round = 0; round < 10; ++round) {
        update_link(link.get(), foreign.get());
        peer.send(numbered(100 + round, 64, side::peer));
        CHECK(receive_numbered(kernel, 100 + round, 1, side::peer) == 1);
        update_link(link.get(), host.rx.redirect()->fd());
        peer.send(numbered(round, 64, side::peer));
        CHECK(receive_numbered(host.rx, round, 1, side::peer) == 1);
    }
    CHECK_FALSE(host.rx.wait(5ms));
    CHECK_FALSE(host.rx.failure());
    check_all_home(host);
}

FLUXNET_VETH_TEST("a socket opens though somebody keeps the link of the one before open") {
    veth_pair pair;
    std::optional<system_sockets> former = pair.open(side::host, mode);
    const auto link = find_link_of(former->rx.redirect()->id());  // as whoever lists links does
    former.reset();
    const auto next = pair.try_open(side::host, pair.at(side::host, mode).busy_deadline(60s));
    REQUIRE_MESSAGE(next.has_value(), next.error().message());
}

FLUXNET_VETH_TEST("a program that was replaced takes its place back though somebody keeps its link open") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode);
    program& ours = *host.socket.redirect();
    const auto link = find_link_of(ours.id());
    replace(ours.id());
    const network_namespace::scoped_enter inside(pair.bed.host());
    const auto again = ours.attach(mode == xdp_mode::native ? attach_mode::native : attach_mode::generic);
    REQUIRE_MESSAGE(again.has_value(), (again ? "" : again.error().message()));
    CHECK_FALSE(ours.displaced());
}
