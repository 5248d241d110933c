// SPDX-License-Identifier: BSD-3-Clause
// The other end of the wire goes down, comes up, is killed and started again: our sockets stay, lose no frame, and carry
// packets as soon as the other end does.
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// A process at the peer's end with an AF_XDP socket of its own. It answers each packet with the packet itself, until it is
/// killed. It is a copy of this process and holds whatever sockets this one has: those are not closed before it has ended.
class echo_process {
public:
    echo_process(const veth_pair& pair, xdp_mode mode) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        child_ = ::fork();
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::_exit(run(pair, mode, ends[1]));
        }
        ::close(ends[1]);
        char ready = 0;
        started_ = ::read(ends[0], &ready, 1) == 1;  // 0 when it could not open its socket
        ::close(ends[0]);
    }
    ~echo_process() { kill(); }
    echo_process(const echo_process&) = delete;
    echo_process& operator=(const echo_process&) = delete;

    [[nodiscard]] bool started() const { return started_; }

    void kill() {
        if (child_ <= 0) { return; }
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = -1;
    }

private:
    static int run(const veth_pair& pair, xdp_mode mode, int report) {
        auto sockets = pair.try_open(side::peer, pair.at(side::peer, mode));
        if (!sockets || ::write(report, "y", 1) != 1) { return 1; }
        const deadline limit = 60s;
        std::array<packet, 16> burst;
        while (!limit.passed()) {
            static_cast<void>(sockets->rx.wait(10ms));
            const std::uint32_t count = sockets->rx.try_recv(burst);
            sockets->tx.try_send(std::span(burst).first(count));
            if (sockets->tx.flush()) { return 1; }
        }
        return 0;
    }

    pid_t child_ = -1;
    bool started_ = false;
};

/// Sends packets and takes what comes back, for a while; returns how many came back whole.
std::uint32_t converse(system_sockets& host, std::uint32_t& next, std::chrono::milliseconds time) {
    std::uint32_t answered = 0;
    std::array<packet, 16> burst;
    for (const deadline end = time; !end.passed();) {
        if (host.tx.credit() >= 4) { next += send_numbered(host.tx, next, 4); }
        static_cast<void>(host.rx.wait(1ms));
        for (packet& one : std::span(burst).first(host.rx.try_recv(burst))) {
            CHECK(is_numbered(one.data(), number_in(one.data())));
            one.reset();
            ++answered;
        }
    }
    return answered;
}

}  // namespace

FLUXNET_VETH_TEST("an end that goes down and up again costs the packets of that while only") {
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    system_sockets peer = pair.open(side::peer, mode);
    std::uint32_t number = 0;
    for (const side end : {side::peer, side::host, side::peer}) {
        for (int i = 0; i < 10; ++i, ++number) {
            REQUIRE(send_numbered(host.tx, number, 1) == 1);
            REQUIRE(receive_numbered(peer.rx, number, 1) == 1);
            REQUIRE(send_numbered(peer.tx, number, 1, 64, side::peer) == 1);
            REQUIRE(receive_numbered(host.rx, number, 1, side::peer) == 1);
        }
        pair.bed.set_link(end, false);
        system_sockets& down = end == side::host ? host : peer;
        system_sockets& other = end == side::host ? peer : host;
        const side from = end == side::host ? side::peer : side::host;
        // The end that is down keeps its packets; the other one's are dropped, and their frames come back.
        CHECK(send_numbered(other.tx, 5000, 8, 64, from) == 8);
        CHECK(other.tx.drain(500ms));
        CHECK(send_numbered(down.tx, number, 8, 64, end) == 8);
        CHECK(down.tx.pending() == 8);
        CHECK(down.tx.link_down());
        CHECK_FALSE(down.rx.wait(5ms));
        CHECK_FALSE(other.rx.wait(5ms));
        CHECK_FALSE(down.tx.failure());
        CHECK_FALSE(other.tx.failure());
        pair.bed.set_link(end, true);
        REQUIRE(pair.bed.wait_until_up(5s));
        CHECK_FALSE(down.tx.flush());
        CHECK(receive_numbered(other.rx, number, 8, end) == 8);
        number += 8;
    }
    CHECK(host.rx.available() == 0);
    CHECK(peer.rx.available() == 0);
    check_all_home(host);
    check_all_home(peer);
}

FLUXNET_VETH_TEST("a raw socket goes on after the other end was down") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t round = 0; round < 3; ++round) {
        pair.bed.set_link(side::peer, false);
        CHECK(host.queue_numbered(5000, 8) == 8);
        CHECK(host.drain());
        CHECK(poll_for(host.socket.fd(), POLLIN, 5ms) == 0);
        pair.bed.set_link(side::peer, true);
        REQUIRE(pair.bed.wait_until_up(5s));
        packet_socket again = pair.plain(side::peer);
        again.send(numbered(round, 64, side::peer));
        CHECK(host.receive_numbered(round, 1) == 1);
        CHECK(host.queue_numbered(round, 1) == 1);
        CHECK(host.drain());
        CHECK(receive_numbered(again, round, 1) == 1);
    }
    host.check_books();
}

FLUXNET_VETH_TEST("a peer that is killed in the middle of traffic and started again is talked to again") {
    veth_pair pair;
    std::uint32_t next = 0;
    std::optional<echo_process> first(std::in_place, pair, mode);
    REQUIRE(first->started());
    system_sockets host = pair.open(side::host, mode);
    CHECK(converse(host, next, 50ms) > 0);
    first->kill();
    // Nobody answers: sending goes on into the other end's kernel, and frames come back.
    converse(host, next, 20ms);
    CHECK(converse(host, next, 20ms) == 0);
    CHECK(pair.bed.is_free_of_xdp(side::peer));
    for (int round = 0; round < 3; ++round) {
        echo_process again(pair, mode);
        REQUIRE(again.started());
        CHECK(converse(host, next, 50ms) > 0);
        again.kill();
    }
    CHECK_FALSE(host.rx.failure());
    CHECK_FALSE(host.tx.failure());
    check_all_home(host);
}

FLUXNET_VETH_TEST("sockets at the other end that are closed and opened again are talked to again by a raw socket") {
    veth_pair pair;
    raw_end host = open_raw_end(pair, side::host, mode);
    for (std::uint32_t i = 0; i < 5; ++i) {
        {
            system_sockets peer = pair.open(side::peer, mode);
            CHECK(host.queue_numbered(i, 1) == 1);
            CHECK(host.drain());
            CHECK(receive_numbered(peer.rx, i, 1) == 1);
            CHECK(send_numbered(peer.tx, i, 1, 64, side::peer) == 1);
            CHECK(host.receive_numbered(i, 1) == 1);
            CHECK(host.give(1) == 1);
            check_all_home(peer);
        }
        CHECK(host.queue_numbered(1000, 8) == 8);
        CHECK(host.drain());
    }
    host.check_books();
}
