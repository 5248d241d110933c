// SPDX-License-Identifier: BSD-3-Clause
// The handles over AF_PACKET (xdp_mode::packet_ring): what arrives and leaves, what is lost and who says so, and how one
// comes to have them.
#include "fluxnet/xsk/builder.hpp"

#include "tests/support/syscall_counter.hpp"
#include "tests/xsk/capable_child.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <initializer_list>
#include <thread>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr xdp_mode mode = xdp_mode::packet_ring;

void run(veth_pair& pair, side end, const std::vector<std::string>& command) {
    const finished done = pair.bed.run(end, command, 5s);
    REQUIRE_MESSAGE(done.success(), done.output);
}

/// Receives until nothing has come for a while; returns how many there were.
std::uint32_t receive_all(rx& receiver) {
    std::array<packet, 32> burst;
    std::uint32_t count = 0;
    do {
        while (const std::uint32_t got = receiver.try_recv(burst)) { count += got; }
    } while (receiver.wait(50ms));
    for (packet& one : burst) { one.reset(); }
    receiver.refill();
    return count;
}

/// The next packet; an empty handle when none comes.
packet receive_one(rx& receiver) {
    packet one;
    if (receiver.try_recv(std::span(&one, 1)) == 0 && receiver.wait(2s)) { receiver.try_recv(std::span(&one, 1)); }
    return one;
}

bool any_mentions(const std::vector<std::string>& notes, const std::string& part) {
    return std::ranges::any_of(notes, [&](const std::string& note) { return contains(note, part); });
}

}  // namespace

TEST_CASE("a packet ring receives packets of every size, whole and in order, and says that they are copies") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    CHECK(host.rx.packet_ring());
    CHECK(any_mentions(host.notes, "AF_PACKET"));
    CHECK(pair.bed.is_free_of_xdp(side::host));
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t size = 60; size <= 1514;) {
        const std::uint32_t first = size;
        for (; size < first + 32 && size <= 1514; ++size) { peer.send(numbered(size, size, side::peer)); }
        REQUIRE(receive_numbered(host.rx, first, size - first, side::peer) == size - first);
    }
    check_all_home(host);
}

TEST_CASE("a packet ring sends packets of every size, whole and in order, and does not receive them itself") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t size = 60; size <= 1514; ++size) {
        REQUIRE(send_numbered(host.tx, size, 1, size) == 1);
        REQUIRE(receive_numbered(peer, size, 1) == 1);
    }
    CHECK(receive_all(host.rx) == 0);
    check_all_home(host);
}

TEST_CASE("a packet ring echoes received frames to a packet ring at the other end") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    system_sockets peer = pair.open(side::peer, mode);
    for (std::uint32_t round = 0; round < 40; ++round) {
        REQUIRE(send_numbered(peer.tx, round * 32, 32, 60 + round * 36, side::peer) == 32);
        std::array<packet, 32> burst;
        std::uint32_t got = 0;
        while (got < burst.size() && host.rx.wait(2s)) { got += host.rx.try_recv(std::span(burst).subspan(got)); }
        REQUIRE(got == 32);
        CHECK(host.tx.try_send(burst) == 32);
        CHECK_FALSE(host.tx.flush());
        CHECK(receive_numbered(peer.rx, round * 32, 32, side::peer) == 32);
    }
    check_all_home(host);
    check_all_home(peer);
}

TEST_CASE("a hundred thousand packets pass between packet rings without loss when the sender waits for the receiver") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    constexpr std::uint32_t total = 100'000;
    const auto large = [&](side end) {
        return pair.at(end, mode).frames(2048).tx_frames(1024).rx_ring(1024).tx_ring(1024).fill_ring(1024).completion_ring(
            1024);
    };
    system_sockets host = pair.open(side::host, large(side::host));
    system_sockets peer = pair.open(side::peer, large(side::peer));
    std::atomic<std::uint32_t> received = 0;
    std::thread sender([&] {
        const deadline limit = 60s;
        for (std::uint32_t sent = 0; sent < total && !limit.passed();) {
            const std::uint32_t room = std::min({512 - (sent - received), total - sent, 64U});
            const std::uint32_t now = room == 0 ? 0 : send_numbered(peer.tx, sent, room, 64, side::peer);
            if (now == 0) { std::this_thread::yield(); }
            sent += now;
        }
        peer.tx.drain(500ms);
        peer.tx.release();
    });
    const deadline limit = 60s;
    while (received < total && !limit.passed()) {
        const std::uint32_t good = receive_numbered(host.rx, received, std::min(256U, total - received), side::peer, 100ms);
        received += good;
    }
    sender.join();
    CHECK(received == total);
    CHECK(host.rx.statistics().rx_ring_full == 0);
    CHECK(host.rx.statistics().rx_dropped == 0);
    check_all_home(host);
    check_all_home(peer);
}

TEST_CASE("packets that nobody takes in time are counted by the packet ring, every one") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 3000; ++i) { peer.send(numbered(i, 1500, side::peer)); }
    const std::uint32_t received = receive_all(host.rx);
    CHECK(received > 0);
    CHECK(host.rx.statistics().rx_ring_full > 0);
    CHECK(received + host.rx.statistics().rx_ring_full == 3000);
    peer.send(numbered(7, 64, side::peer));
    CHECK(receive_numbered(host.rx, 7, 1, side::peer) == 1);
    check_all_home(host);
}

TEST_CASE("without frames the descriptor of a packet ring stays silent, and frames that return bring what has waited") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 100; ++i) { peer.send(numbered(i, 64, side::peer)); }
    std::vector<packet> held(64);
    for (std::uint32_t got = 0; got < 64 && host.rx.wait(2s);) { got += host.rx.try_recv(std::span(held).subspan(got)); }
    REQUIRE(is_numbered(held[63].data(), 63, side::peer));
    host.rx.prepare_wait();
    CHECK(poll_for(host.rx.fd(), POLLIN, 20ms) == 0);
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        held.clear();  // which ends the wait
    });
    CHECK(host.rx.wait(5s));
    other.join();
    CHECK(receive_numbered(host.rx, 64, 36, side::peer) == 36);
    CHECK(host.rx.statistics().rx_ring_full == 0);
    check_all_home(host);
}

TEST_CASE("a wait on a packet ring sleeps in one ppoll") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    CHECK_FALSE(host.rx.wait(5ms));  // the first sleep has more to do
    syscall_counter calls(::gettid(), counted::thread);
    CHECK_FALSE(host.rx.wait(200ms));
    CHECK(calls.of(SYS_ppoll) <= 2);
    CHECK(calls.of(SYS_getsockopt) <= 2);
    CHECK(calls.of(SYS_epoll_ctl) == 0);
    check_all_home(host);
}

TEST_CASE("a packet ring ends with interface_gone when the interface is deleted, and not when its link goes down") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    pair.bed.set_link(side::host, false);
    CHECK_FALSE(host.rx.wait(5ms));
    CHECK_FALSE(host.rx.check());
    CHECK(send_numbered(host.tx, 1, 1) == 1);
    CHECK(host.tx.link_down());
    pair.bed.set_link(side::host, true);
    REQUIRE(pair.bed.wait_until_up(5s));
    packet_socket peer = pair.plain(side::peer);
    peer.send(numbered(7, 64, side::peer));
    CHECK(receive_numbered(host.rx, 7, 1, side::peer) == 1);
    CHECK_FALSE(host.tx.flush());
    CHECK(receive_numbered(peer, 1, 1) == 1);
    std::thread other([&] { pair.bed.delete_link(); });
    const deadline limit = 5s;
    while (!host.rx.failure() && !limit.passed()) { static_cast<void>(host.rx.wait(20ms)); }
    other.join();
    CHECK(host.rx.failure() == errc::interface_gone);
    CHECK(host.tx.check() == errc::interface_gone);
    check_all_home(host);
}

TEST_CASE("a VLAN tag that the kernel has taken off stands in the packet again") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    for (const std::byte type : {std::byte{0x81}, std::byte{0x88}}) {
        std::vector<std::byte> tagged = numbered(3, 400, side::peer);
        const std::array tag{type, type == std::byte{0x81} ? std::byte{0x00} : std::byte{0xa8}, std::byte{0x61},
                             std::byte{0x23}};
        tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
        peer.send(tagged);
        const packet one = receive_one(host.rx);
        CHECK(same(one.data(), tagged));
    }
    check_all_home(host);
}

TEST_CASE("a checksum that the sender left to its device is finished") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    run(pair, side::peer, {"ethtool", "-K", pair.bed.name(side::peer), "tx", "on"});
    run(pair, side::peer,
        {"ip", "neighbour", "add", pair.bed.options().host_address, "lladdr", "02:00:00:77:00:01", "dev",
         pair.bed.name(side::peer)});
    run(pair, side::peer, {"bash", "-c", "printf odd >/dev/udp/" + pair.bed.options().host_address + "/9"});
    const packet one = receive_one(host.rx);
    const std::span<const std::byte> bytes = one.data();
    REQUIRE(bytes.size() >= 14 + 20 + 8 + 3);
    REQUIRE(bytes[23] == std::byte{17});
    // Addresses, protocol, length and datagram add up to all ones.
    std::uint32_t sum = 17 + 11;
    std::vector<std::byte> summed(bytes.begin() + 26, bytes.begin() + 14 + 20 + 11);
    summed.push_back(std::byte{0});
    for (std::size_t i = 0; i < summed.size(); i += 2) {
        sum += std::to_integer<std::uint32_t>(summed[i]) << 8 | std::to_integer<std::uint32_t>(summed[i + 1]);
    }
    CHECK((sum & 0xffff) + (sum >> 16) == 0xffff);
}

TEST_CASE("packets that do not fit are dropped by name and the next ones pass") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    system_sockets host = pair.open(side::host, mode);
    packet_socket peer = pair.plain(side::peer);
    const std::uint32_t sent = send_numbered(host.tx, 1, 1, 1600) + send_numbered(host.tx, 2, 1);
    CHECK(sent == 2);
    CHECK(host.tx.dropped_by_kernel() == 1);
    CHECK(receive_numbered(peer, 2, 1) == 1);
    for (const side end : {side::host, side::peer}) {
        run(pair, end, {"ip", "link", "set", "dev", pair.bed.name(end), "mtu", "3000"});
    }
    peer.send(numbered(3, 2500, side::peer));
    peer.send(numbered(4, 64, side::peer));
    CHECK(receive_numbered(host.rx, 4, 1, side::peer) == 1);
    CHECK(host.rx.statistics().rx_dropped == 1);
    run(pair, side::host, {"ip", "link", "set", "dev", pair.bed.name(side::host), "mtu", "1000"});
    CHECK(send_numbered(host.tx, 5, 1, 1200) == 1);  // which only the kernel knows to be too long
    CHECK(send_numbered(host.tx, 6, 1) == 1);
    CHECK(receive_numbered(peer, 6, 1) == 1);
    CHECK(host.tx.statistics().tx_invalid_descs == 1);
    check_all_home(host);
}

TEST_CASE("a raw socket over a packet ring keeps its census") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    raw_socket host = pair.open_raw(side::host, pair.at(side::host, mode));
    CHECK(host.packet_ring());
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t i = 0; i < 20; ++i) { peer.send(numbered(i, 64, side::peer)); }
    CHECK(eventually([&] { return !host.wakeup_rx() && host.rx.available() == 20; }));
    CHECK(poll_for(host.fd(), POLLIN, 100ms) != 0);
    const frame_census census = host.census(64);
    CHECK(census.rx == 20);
    CHECK(census.sum() == census.frames);
}

TEST_CASE("without CAP_NET_RAW a packet ring is refused by the name of the capability") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const network_namespace::scoped_enter inside(pair.bed.host());
    CHECK(run_with({}, [&] {
              const auto host = pair.at(side::host, mode).build_system();
              if (host) { return 1; }
              const std::string message = host.error().message();
              return host.error().code == errc::permission_denied && contains(message, "AF_PACKET") &&
                             contains(message, "CAP_NET_RAW")
                         ? 0
                         : 2;
          }) == 0);
}

TEST_CASE("where XDP is refused a packet ring is opened if the user allows it, and says why") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    const network_namespace::scoped_enter inside(pair.bed.host());
    CHECK(run_with({CAP_NET_RAW, CAP_IPC_LOCK}, [&] {
              builder options = pair.at(side::host, xdp_mode::automatic);
              const auto refused = options.build_system();
              if (refused || refused.error().code != errc::permission_denied) { return 1; }
              auto host = options.packet_ring_last(true).build_system();
              if (!host || !host->rx.packet_ring()) { return 2; }
              if (host->refusals.empty() || host->refusals.back().code != errc::permission_denied) { return 3; }
              if (send_numbered(host->tx, 5, 1) != 1) { return 4; }
              peer.send(numbered(6, 64, side::peer));
              return receive_numbered(host->rx, 6, 1, side::peer) == 1 ? 0 : 5;
          }) == 0);
    CHECK(receive_numbered(peer, 5, 1) == 1);
}

TEST_CASE("a packet ring does not stand in where AF_XDP works, or where another socket has the queue") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const builder options = pair.at(side::host, xdp_mode::automatic).packet_ring_last(true).busy_deadline(0ms);
    system_sockets host = pair.open(side::host, options);
    CHECK_FALSE(host.rx.packet_ring());
    const auto second = pair.try_open(side::host, options);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::queue_busy);
}

TEST_CASE("a packet ring has no queue but the first, needs a link that is up, and a kernel") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair({.queues = 2});
    const auto second = pair.try_open(side::host, pair.at(side::host, mode).queue(1));
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::invalid_option);
    pair.bed.set_link(side::host, false);
    const auto down = pair.try_open(side::host, pair.at(side::host, mode));
    REQUIRE_FALSE(down.has_value());
    CHECK(down.error().code == errc::link_down);
    fake_kernel fake;
    const auto simulated = sim_builder(fake).mode(mode).build_system();
    REQUIRE_FALSE(simulated.has_value());
    CHECK(simulated.error().code == errc::kernel_not_supported);
    check_nothing_left(fake);
}

TEST_CASE("a killed process with a packet ring leaves nothing on the interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const network_namespace::scoped_enter inside(pair.bed.host());
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto host = pair.at(side::host, mode).build_system();
        ::raise(host ? SIGKILL : SIGTERM);
        ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WTERMSIG(status) == SIGKILL);
    const finished sockets = pair.bed.run(side::host, {"cat", "/proc/net/packet"}, 5s);
    CHECK(std::ranges::count(sockets.output, '\n') == 1);  // the line of titles
    CHECK(pair.bed.is_free_of_xdp(side::host));
    const finished link = pair.bed.run(side::host, {"ip", "-d", "link", "show", pair.bed.name(side::host)}, 5s);
    CHECK(contains(link.output, "promiscuity 0"));
}
