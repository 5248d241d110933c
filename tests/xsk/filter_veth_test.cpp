// SPDX-License-Identifier: BSD-3-Clause
// A socket with a filter beside the kernel's own addresses on one interface: what is ours and what stays the kernel's, on
// the running kernel.
#include "fluxnet/xsk/filter.hpp"

#include "fluxnet/xsk/builder.hpp"
#include "tests/xsk/capable_child.hpp"
#include "tests/xsk/filter_frames.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* own_address = "10.77.0.1";  // the kernel's, at the host's end

/// A pair whose host's end has an address of the kernel's.
struct shared_interface {
    shared_interface() {
        const finished done =
            pair.bed.run(side::host, {"ip", "addr", "add", std::string(own_address) + "/24", "dev", "flux0"}, 5s);
        REQUIRE_MESSAGE(done.success(), done.output);
    }

    veth_pair pair;
};

/// A socket of the kernel's, in the namespace of one end.
class kernel_socket {
public:
    kernel_socket(const veth_pair& pair, side end, int type) {
        const network_namespace::scoped_enter inside(pair.bed.place(end));
        fd_ = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
        REQUIRE(fd_ >= 0);
        const timeval limit{5, 0};
        REQUIRE(::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    }
    kernel_socket(const kernel_socket&) = delete;
    kernel_socket& operator=(const kernel_socket&) = delete;
    ~kernel_socket() { ::close(fd_); }

    static sockaddr_in to(const char* address, std::uint16_t port) {
        sockaddr_in made{};
        made.sin_family = AF_INET;
        made.sin_port = htons(port);
        REQUIRE(::inet_pton(AF_INET, address, &made.sin_addr) == 1);
        return made;
    }
    void bind(std::uint16_t port) const {
        const sockaddr_in where = to("0.0.0.0", port);
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
    }
    [[nodiscard]] int connect(const char* address, std::uint16_t port) const {
        const sockaddr_in where = to(address, port);
        return ::connect(fd_, reinterpret_cast<const sockaddr*>(&where), sizeof where);
    }
    void send(std::uint16_t port, const std::string& text) const {
        const sockaddr_in where = to(own_address, port);
        REQUIRE(::sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&where), sizeof where) ==
                static_cast<ssize_t>(text.size()));
    }
    [[nodiscard]] std::string receive() const {
        std::array<char, 100> bytes;
        const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
        return got < 0 ? "nothing" : std::string(bytes.data(), static_cast<std::size_t>(got));
    }
    [[nodiscard]] bool has_nothing() const {
        char one = 0;
        return ::recv(fd_, &one, 1, MSG_DONTWAIT) < 0;
    }
    [[nodiscard]] int fd() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

/// Receives a packet and returns its bytes behind a UDP header over IPv4.
std::string receive_udp(rx& receiver) {
    packet one;
    REQUIRE(receiver.wait(5s));
    REQUIRE(receiver.try_recv(std::span(&one, 1)) == 1);
    REQUIRE(one.data().size() >= 42);
    const std::size_t length = std::to_integer<std::size_t>(one.data()[39]) - 8;
    REQUIRE(one.data().size() >= 42 + length);
    return {reinterpret_cast<const char*>(one.data().data()) + 42, length};
}

/// A frame for the host's end, as the peer sends it.
frame_bytes addressed(frame_bytes frame) {
    const auto to = testbed::mac(side::host);
    const auto from = testbed::mac(side::peer);
    std::memcpy(frame.data(), to.data(), to.size());
    std::memcpy(frame.data() + 6, from.data(), from.size());
    return frame;
}

/// Waits until the program has seen that many packets.
bool has_seen(const program& of, std::uint64_t packets) {
    return eventually([&] {
        const verdict_counts now = of.count();
        return now.redirected + now.passed + now.dropped >= packets;
    });
}

std::string opening_refused(const veth_pair& pair, const builder& options) {
    const auto refused = pair.try_open(side::host, options);
    if (!refused) {
        CHECK(refused.error().code == errc::invalid_option);
        CHECK_FALSE(refused.error().remedy.empty());
        return refused.error().cause;
    }
    return "opened";
}

}  // namespace

FLUXNET_VETH_TEST("one UDP port is ours while ping and ARP and TCP and other UDP ports stay the kernel's") {
    shared_interface shared;
    veth_pair& pair = shared.pair;
    const kernel_socket listening(pair, side::host, SOCK_STREAM);
    listening.bind(80);
    REQUIRE(::listen(listening.fd(), 5) == 0);
    const kernel_socket on_7(pair, side::host, SOCK_DGRAM);
    on_7.bind(7);
    const kernel_socket on_8(pair, side::host, SOCK_DGRAM);
    on_8.bind(8);
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).only({filter_rule::udp_to(7)}));
    CHECK(host.rx.redirect()->mode() == (mode == xdp_mode::native ? attach_mode::native : attach_mode::generic));

    // The address is resolved, which takes ARP both ways.
    const kernel_socket peer(pair, side::peer, SOCK_DGRAM);
    for (int i = 0; i < 20; ++i) {
        const std::string text = "number " + std::to_string(i);
        peer.send(7, text + " to us");
        peer.send(8, text + " to the kernel");
        CHECK(receive_udp(host.rx) == text + " to us");
        CHECK(on_8.receive() == text + " to the kernel");
    }
    const finished ping = pair.bed.run(side::peer, {"ping", "-c", "3", "-i", "0.1", "-W", "5", own_address}, 20s);
    CHECK_MESSAGE(ping.success(), ping.output);
    const kernel_socket connecting(pair, side::peer, SOCK_STREAM);
    CHECK(connecting.connect(own_address, 80) == 0);
    CHECK(on_7.has_nothing());
    CHECK(host.rx.available() == 0);

    const verdict_counts counted = host.rx.redirect()->count();
    CHECK(counted.redirected == 20);
    CHECK(counted.dropped == 0);
    CHECK(counted.passed >= 20 + 3 + 2);
    CHECK(counted.unmatched == counted.passed);
    const auto rules = host.rx.redirect()->count_rules();
    REQUIRE(rules.size() == 1);
    CHECK(rules[0].packets == 20);
    check_all_home(host);
}

FLUXNET_VETH_TEST("hostile frames pass to the kernel whole and are counted by the reason") {
    veth_pair pair;
    packet_socket kernel = pair.plain(side::host);
    packet_socket peer = pair.plain(side::peer);
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).only({filter_rule::udp_to(7)}));
    const frame_bytes ours = addressed(ipv4({}, from_to(9, 7, 40)));
    frame_bytes chain = from_to(9, 7, 40);
    for (const unsigned next : {17U, 60U, 43U, 60U, 43U}) { chain = extension(next, chain); }
    const std::vector<frame_bytes> unreadable{cut(ours, 14),
                                              cut(ours, 15),
                                              cut(ours, 33),
                                              cut(ours, 37),
                                              cut(ipv4({.options = 10}, from_to(9, 7)), 60),
                                              ipv4({.version = 6}, from_to(9, 7)),
                                              cut(ipv6(17, from_to(9, 7)), 53),
                                              cut(ipv6(17, from_to(9, 7)), 57),
                                              ipv6(43, chain)};
    const std::vector<frame_bytes> tags{tagged(ours), tagged(tagged(ours), 0x88a8), tagged(tagged(tagged(tagged(ours)))),
                                        cut(tagged(ours), 20)};  // shorter ones the kernel drops itself
    const std::vector<frame_bytes> fragments{
        ipv4({.fragment = 0x2000}, from_to(9, 7, 40)), ipv4({.fragment = 5}, from_to(9, 7, 40)),
        ipv6(44, fragment_header(17, 1, from_to(9, 7))), ipv6(44, fragment_header(60, 0x801, extension(17, from_to(9, 7))))};
    const std::vector<frame_bytes> others{ethernet(0x88b5, from_to(9, 7, 40)), ipv4({.protocol = 6}, from_to(9, 7, 40)),
                                          ethernet(7, frame_bytes(46)), ipv6(58, from_to(9, 7))};
    std::uint64_t sent = 0;
    for (const auto* kind : {&unreadable, &tags, &fragments, &others}) {
        for (const frame_bytes& bytes : *kind) {
            const frame_bytes frame = addressed(bytes);
            peer.send(frame);
            const auto got = kernel.recv(5s);
            REQUIRE(got.has_value());
            CHECK(same(*got, frame));
            peer.send(ours);
            sent += 2;
        }
    }
    REQUIRE(has_seen(*host.rx.redirect(), sent));
    const verdict_counts counted = host.rx.redirect()->count();
    CHECK(counted.unreadable == unreadable.size());
    CHECK(counted.tagged == tags.size());
    CHECK(counted.fragment == fragments.size());
    CHECK(counted.unmatched == others.size());
    CHECK(counted.passed == sent / 2);
    CHECK(counted.redirected == sent / 2);
    CHECK(counted.dropped == 0);
    std::array<packet, 64> burst;
    std::uint64_t received = 0;
    CHECK(eventually([&] {
        const std::uint32_t got = host.rx.try_recv(burst);
        for (std::uint32_t i = 0; i < got; ++i) { CHECK(same(burst[i].data(), ours)); }
        return (received += got) == sent / 2;
    }));
    for (packet& one : burst) { one.reset(); }
    host.rx.refill();
    check_all_home(host);
    CHECK_FALSE(kernel.recv(20ms).has_value());
}

FLUXNET_VETH_TEST("a filter that changes all the time under traffic directs no packet elsewhere") {
    veth_pair pair;
    packet_socket kernel = pair.plain(side::host);
    packet_socket peer = pair.plain(side::peer);
    // Every one of them redirects port 7, drops port 9 and says nothing of port 8; what stands in their places differs.
    const filter_rule ours = filter_rule::udp_to(7);
    const filter_rule nobodys{
        .verdict = filter_verdict::drop, .protocol = std::uint8_t{17}, .destination_ports = port_range(9)};
    std::vector<packet_filter> filters{{ours, nobodys}, {nobodys, ours}};
    packet_filter full;
    for (std::size_t i = 0; i + 2 < packet_filter::most_rules; ++i) {
        full.add({.verdict = i % 2 == 0 ? filter_verdict::drop : filter_verdict::redirect,
                  .protocol = std::uint8_t{17},
                  .destination_ports = port_range(static_cast<std::uint16_t>(1000 + i))});
    }
    filters.push_back(packet_filter(full).add(ours).add(nobodys));
    filters.push_back(packet_filter(full).add(nobodys).add(ours));
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).only(filters[0]));

    std::atomic<bool> enough = false;
    std::uint64_t rounds = 0;
    std::thread sending([&] {
        const std::array frames{addressed(ipv4({}, from_to(1, 7, 40))), addressed(ipv4({}, from_to(1, 8, 40))),
                                addressed(ipv4({}, from_to(1, 9, 40)))};
        for (; !enough; ++rounds) {
            for (const frame_bytes& frame : frames) { peer.send(frame); }
            if (rounds % 16 == 0) { std::this_thread::sleep_for(100us); }  // others have work to do, too
        }
    });
    unsigned changes = 0;
    std::array<packet, 64> burst;
    std::uint64_t strangers = 0;
    const auto receive = [&] {
        const std::uint32_t got = host.rx.try_recv(burst);
        for (std::uint32_t i = 0; i < got; ++i) { strangers += std::to_integer<unsigned>(burst[i].data()[37]) != 7; }
    };
    for (; changes < 60; ++changes) {
        CHECK(host.rx.set_filter(filters[(changes + 1) % filters.size()]).has_value());
        receive();
        static_cast<void>(kernel.drain());
    }
    enough = true;
    sending.join();
    REQUIRE(has_seen(*host.rx.redirect(), 3 * rounds));
    while (host.rx.available() != 0) { receive(); }
    CHECK(rounds > changes);
    CHECK(strangers == 0);
    const verdict_counts counted = host.rx.redirect()->count();
    CHECK(counted.redirected == rounds);
    CHECK(counted.passed == rounds);
    CHECK(counted.unmatched == rounds);
    CHECK(counted.dropped == rounds);
    // The two rules stood in every filter.
    std::uint64_t by_rules = 0;
    for (const rule_count& one : host.rx.redirect()->count_rules()) { by_rules += one.packets; }
    CHECK(by_rules == 2 * rounds);
    for (packet& one : burst) { one.reset(); }
    host.rx.refill();
    check_all_home(host);
}

FLUXNET_VETH_TEST("a socket with a filter opens with CAP_NET_RAW and CAP_NET_ADMIN and CAP_BPF") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    const network_namespace::scoped_enter inside(pair.bed.host());
    const int outcome = run_with({CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF}, [&] {
        auto host = pair.at(side::host, mode).only({filter_rule::udp_to(7)}).build_system();
        if (!host) {
            std::fputs((host.error().message() + "\n").c_str(), stderr);
            return 1;
        }
        if (!host->rx.set_filter({{.ether_type = std::uint16_t{0x88b5}}})) { return 2; }
        peer.send(numbered(1, 64, side::peer));
        return receive_numbered(host->rx, 1, 1, side::peer) == 1 ? 0 : 3;
    });
    CHECK(outcome == 0);
}

FLUXNET_VETH_TEST("sockets on several queues share one filter") {
    veth_pair pair({.queues = 2});
    const network_namespace::scoped_enter inside(pair.bed.host());
    const packet_filter wanted{filter_rule::udp_to(7)};
    auto queues = pair.at(side::host, mode).only(wanted).build_queues(2);
    REQUIRE_MESSAGE(queues.has_value(), queues.error().message());
    CHECK((*queues)[0].rx.redirect() == (*queues)[1].rx.redirect());
    CHECK((*queues)[1].rx.redirect()->filter() == wanted);
    REQUIRE((*queues)[1].rx.set_filter({}).has_value());
    CHECK((*queues)[0].rx.redirect()->filter() == packet_filter());
}

TEST_CASE("a filter that nobody could apply is refused when the socket is opened") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const packet_filter wanted{filter_rule::udp_to(7)};
    const auto at = [&](xdp_mode mode = xdp_mode::native) { return pair.at(side::host, mode); };
    CHECK(opening_refused(pair, at().only({{.destination_ports = port_range(7)}})) ==
          "it asks for ports and names no protocol");
    CHECK(opening_refused(pair, at(xdp_mode::packet_ring).only(wanted)) == "a packet ring sees copies of all packets");
    CHECK(opening_refused(pair, at().attach(false).only(wanted)) ==
          "with attach(false) no XDP program of ours is there to do it");
    std::shared_ptr<program> plain;
    {
        system_sockets host = pair.open(side::host, at());
        plain = host.rx.redirect();
        const auto refused = host.rx.set_filter(wanted);
        REQUIRE(refused.has_error());
        CHECK(refused.error().code == errc::invalid_option);
    }
    CHECK(opening_refused(pair, at().use_program(plain).only(wanted)) == "the shared XDP program has no filter");
    plain.reset();
    std::shared_ptr<program> filtered = pair.open(side::host, at().only(wanted)).rx.redirect();
    CHECK(opening_refused(pair, at().use_program(filtered).only({filter_rule::udp_to(8)})) ==
          "the shared XDP program has another filter");
    CHECK(opening_refused(pair, at().use_program(filtered).only(wanted)) == "opened");
    CHECK(opening_refused(pair, at().use_program(filtered)) == "opened");
}

TEST_CASE("a packet ring does not stand in for a socket with a filter") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const auto refused = pair.try_open(
        side::host, pair.at(side::host, xdp_mode::native_zero_copy).packet_ring_last(true).only({filter_rule::udp_to(7)}));
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::interface_not_supported);
}

FLUXNET_VETH_TEST("a child of fork changes the filter that it has from its parent") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).only({filter_rule::udp_to(8)}));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool had = host.rx.redirect()->filter() == packet_filter{filter_rule::udp_to(8)};
        ::_exit(had && host.rx.set_filter({{.ether_type = std::uint16_t{0x88b5}}}) ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    peer.send(numbered(1, 64, side::peer));
    CHECK(receive_numbered(host.rx, 1, 1, side::peer) == 1);
    check_all_home(host);
}

FLUXNET_VETH_TEST("a program that was taken off the interface comes back with its filter") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    packet_socket kernel = pair.plain(side::host);
    system_sockets host = pair.open(side::host, pair.at(side::host, mode).only({{.ether_type = std::uint16_t{0x88b5}}}));
    const auto redirect = host.rx.redirect();
    const network_namespace::scoped_enter inside(pair.bed.host());
    redirect->detach();
    peer.send(numbered(1, 64, side::peer));
    CHECK(receive_numbered(kernel, 1, 1, side::peer) == 1);
    REQUIRE(redirect->set_filter({filter_rule::udp_to(7), {.ether_type = std::uint16_t{0x88b5}}}).has_value());
    REQUIRE(redirect->attach(mode == xdp_mode::native ? attach_mode::native : attach_mode::generic).has_value());
    peer.send(numbered(2, 64, side::peer));
    CHECK(receive_numbered(host.rx, 2, 1, side::peer) == 1);
    CHECK(redirect->count_rules()[1].packets == 1);
    check_all_home(host);
}

TEST_CASE("raw sockets have filters too") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    raw_socket host = pair.open_raw(side::host, pair.at(side::host, xdp_mode::native).only({filter_rule::udp_to(7)}));
    CHECK(host.set_filter({filter_rule::udp_to(8)}).has_value());
    CHECK(host.redirect()->filter() == packet_filter{filter_rule::udp_to(8)});
    raw_socket sender = pair.open_raw(side::peer, pair.at(side::peer, xdp_mode::native).attach(false));
    const auto refused = sender.set_filter({filter_rule::udp_to(8)});
    REQUIRE(refused.has_error());
    CHECK(refused.error().cause == "no XDP program of ours directs packets to this socket");
}
