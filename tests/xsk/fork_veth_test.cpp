// SPDX-License-Identifier: BSD-3-Clause
// What a child of fork() may do with the sockets of its parent: drop them, or go on with them.
#include "fluxnet/xsk/builder.hpp"

#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <optional>

#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Runs `work` in a child and returns what it returned; -1 when a signal ended it.
int in_child(const std::function<int()>& work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) { ::_exit(work()); }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

FLUXNET_VETH_TEST("a child of fork that drops its copies changes nothing for the parent") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    std::optional<system_sockets> host = pair.open(side::host, mode);
    // One packet in the TX ring, one received and not read, one in hand.
    std::array<packet, 1> held;
    peer.send(numbered(0, 64, side::peer));
    REQUIRE(host->rx.wait(5s));
    REQUIRE(host->rx.try_recv(held) == 1);
    peer.send(numbered(1, 64, side::peer));
    REQUIRE(eventually([&] { return host->rx.available() == 1; }));
    std::array<packet, 1> queued;
    REQUIRE(host->tx.allocate(queued) == 1);
    REQUIRE(queued[0].assign(numbered(5)));
    REQUIRE(host->tx.try_send(queued) == 1);
    CHECK(in_child([&] {
              held[0].reset();
              host.reset();
              return 0;
          }) == 0);
    CHECK(is_numbered(held[0].data(), 0, side::peer));
    held[0].reset();
    for (std::uint32_t i = 2; i < 40; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(receive_numbered(host->rx, 1, 39, side::peer) == 39);
    CHECK_FALSE(host->tx.flush());
    CHECK(receive_numbered(peer, 5, 1) == 1);
    CHECK(send_numbered(host->tx, 6, 20) == 20);
    CHECK(receive_numbered(peer, 6, 20) == 20);
    CHECK_FALSE(host->rx.wait(1ms));
    check_all_home(*host);
}

FLUXNET_VETH_TEST("a daemon that forks after opening serves with the sockets it inherited") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    std::optional<system_sockets> host = pair.open(side::host, mode);
    // Received before the fork, and after it more than the rings hold.
    for (std::uint32_t i = 0; i < 10; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(in_child([&] {
              if (receive_numbered(host->rx, 0, 10, side::peer) != 10) { return 1; }
              for (std::uint32_t i = 10; i < 300; ++i) {
                  peer.send(numbered(i, 64, side::peer));
                  if (receive_numbered(host->rx, i, 1, side::peer) != 1) { return 2; }
                  if (send_numbered(host->tx, i, 1) != 1) { return 3; }
                  if (receive_numbered(peer, i, 1) != 1) { return 4; }
              }
              if (!host->tx.drain(500ms)) { return 5; }
              const frame_census census = host->rx.pool().census();
              host.reset();
              return census.exact && census.sum() == census.frames && census.user == 0 ? 0 : 6;
          }) == 0);
}

TEST_CASE("the memory of frames is one for parent and child in huge pages too") {
    for (const bool huge : {false, true}) {
        const umem memory = umem::create({.frame_count = 16, .huge_pages = huge}).value();
        memory.pool().checker().forget();  // this test writes to frames that nobody has taken
        memory.frame({3})[7] = std::byte{1};
        CHECK(in_child([&] {
                  const bool seen = memory.frame({3})[7] == std::byte{1};
                  memory.frame({3})[7] = std::byte{2};
                  return seen ? 0 : 1;
              }) == 0);
        CHECK(memory.frame({3})[7] == std::byte{2});
    }
}
