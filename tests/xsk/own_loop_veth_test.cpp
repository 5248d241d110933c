// SPDX-License-Identifier: BSD-3-Clause
// Loops of a program's own, which poll the descriptor of a socket: how they learn that the interface, or our XDP program on
// it, has gone.
#include "tests/support/foreign_program.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

using until_ended = std::function<std::error_code(std::atomic<int>&)>;

/// Runs a loop that counts its rounds, does `what` to it once it has gone round without an end, and returns how it ended.
std::error_code disturb(const until_ended& loop, const std::function<void()>& what) {
    std::atomic<int> rounds = 0;
    std::thread other([&] {
        while (rounds < 2) { std::this_thread::yield(); }
        what();
    });
    const std::error_code ended = loop(rounds);
    other.join();
    return ended;
}

until_ended receiving(rx& receiver) {
    return [&receiver](std::atomic<int>& rounds) {
        packet one;
        for (; !receiver.failure(); ++rounds) {
            receiver.refill();
            receiver.wake_if_needed();
            if (poll_for(receiver.fd(), POLLIN, 20ms) == 0) { receiver.check(); }
            receiver.try_recv(std::span(&one, 1));
        }
        return receiver.failure();
    };
}

until_ended by_hand(raw_socket& socket) {
    return [&socket](std::atomic<int>& rounds) {
        std::error_code ended;
        for (; !ended; ++rounds) {
            if (poll_for(socket.fd(), POLLIN, 20ms) == 0) { ended = socket.check(); }
        }
        return ended;
    };
}

}  // namespace

FLUXNET_VETH_TEST("a loop on the descriptor of an rx ends with interface_gone when the interface is deleted under it") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    CHECK(disturb(receiving(host.rx), [&] { pair.bed.delete_link(); }) == errc::interface_gone);
    CHECK(host.rx.check() == errc::interface_gone);
    CHECK(host.tx.check() == errc::interface_gone);
    CHECK(host.tx.failure() == errc::interface_gone);
}

FLUXNET_VETH_TEST("a loop on the descriptor of a raw socket ends with interface_gone when the interface is deleted") {
    veth_pair pair;
    raw_socket socket = pair.open_raw(side::host, pair.at(side::host, mode));
    CHECK(disturb(by_hand(socket), [&] { pair.bed.delete_link(); }) == errc::interface_gone);
    CHECK(socket.check() == errc::interface_gone);
}

FLUXNET_VETH_TEST("a loop on the descriptor of an rx ends with program_detached when somebody detaches the program") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    CHECK(disturb(receiving(host.rx), [&] { detach_link_of(host.rx.redirect()->id()); }) == errc::program_detached);
    CHECK_FALSE(host.tx.check());  // which does not need it
    check_all_home(host);
}

FLUXNET_VETH_TEST("a raw socket reports a detached program until it is attached again") {
    veth_pair pair;
    raw_socket socket = pair.open_raw(side::host, pair.at(side::host, mode));
    CHECK_FALSE(socket.check());
    CHECK(disturb(by_hand(socket), [&] { detach_link_of(socket.redirect()->id()); }) == errc::program_detached);
    CHECK(socket.check() == errc::program_detached);
    const network_namespace::scoped_enter inside(pair.bed.host());
    REQUIRE(socket.redirect()->attach(socket.redirect()->mode()).has_value());
    CHECK_FALSE(socket.check());
}

FLUXNET_VETH_TEST("a link that goes down is no end of a loop") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    pair.bed.set_link(side::host, false);
    CHECK_FALSE(host.rx.check());
    CHECK_FALSE(host.tx.check());
    pair.bed.set_link(side::host, true);
    REQUIRE(pair.bed.wait_until_up(5s));
    packet_socket peer = pair.plain(side::peer);
    peer.send(numbered(7, 64, side::peer));
    CHECK(receive_numbered(host.rx, 7, 1, side::peer) == 1);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a program that is detached while the link is down is reported when the link is up again") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    pair.bed.set_link(side::host, false);
    detach_link_of(host.rx.redirect()->id());
    CHECK_FALSE(host.rx.check());
    pair.bed.set_link(side::host, true);
    CHECK(host.rx.check() == errc::program_detached);
    check_all_home(host);
}
