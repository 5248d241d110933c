// SPDX-License-Identifier: BSD-3-Clause
// Setting sockets up on the running kernel: which rights it takes, who is named when something is in the way, what is
// refused and what is noted.
#include "fluxnet/xsk/builder.hpp"

#include "tests/xsk/capable_child.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

void ip(veth_pair& pair, const std::vector<std::string>& arguments) {
    std::vector<std::string> command{"ip"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const finished done = pair.bed.run(side::host, command, 5s);
    REQUIRE_MESSAGE(done.success(), done.output);
}

}  // namespace

FLUXNET_VETH_TEST("a socket opens and works with CAP_NET_RAW and CAP_NET_ADMIN and CAP_BPF") {
    veth_pair pair;
    packet_socket peer = pair.plain(side::peer);
    const network_namespace::scoped_enter inside(pair.bed.host());
    const int outcome = run_with({CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF}, [&] {
        auto host = pair.at(side::host, mode).build_system();
        if (!host) {
            std::fputs((host.error().message() + "\n").c_str(), stderr);
            return 1;
        }
        peer.send(numbered(1, 64, side::peer));
        if (receive_numbered(host->rx, 1, 1, side::peer) != 1) { return 2; }
        return send_numbered(host->tx, 2, 1) == 1 ? 0 : 3;
    });
    CHECK(outcome == 0);
    CHECK(receive_numbered(peer, 2, 1) == 1);
}

TEST_CASE("a remedy names the capabilities that are missing and no others") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const network_namespace::scoped_enter inside(pair.bed.host());
    const auto remedy_is = [&](const std::string& remedy) {
        return [&pair, remedy] {
            const auto refused = pair.at(side::host, xdp_mode::native).build_system();
            if (refused || refused.error().code != errc::permission_denied) { return 1; }
            if (refused.error().remedy == remedy) { return 0; }
            std::fputs((refused.error().message() + "\n").c_str(), stderr);
            return 2;
        };
    };
    CHECK(run_with({}, remedy_is("grant CAP_NET_RAW, CAP_BPF and CAP_NET_ADMIN, or run as root")) == 0);
    CHECK(run_with({CAP_NET_RAW}, remedy_is("grant CAP_BPF and CAP_NET_ADMIN, or run as root")) == 0);
    CHECK(run_with({CAP_NET_RAW, CAP_NET_ADMIN}, remedy_is("grant CAP_BPF, or run as root")) == 0);
    CHECK(run_with({CAP_NET_RAW, CAP_BPF}, remedy_is("grant CAP_NET_ADMIN, or run as root")) == 0);
}

TEST_CASE("a socket takes no number of a standard stream that is closed") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    const network_namespace::scoped_enter inside(pair.bed.host());
    for (const xdp_mode mode : {xdp_mode::native, xdp_mode::packet_ring}) {
        CAPTURE(static_cast<int>(mode));
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            for (int fd = 0; fd != 3; ++fd) { ::close(fd); }
            const auto opened = pair.at(side::host, mode).build_system();
            bool free = opened.has_value();
            for (int fd = 0; fd != 3; ++fd) { free = free && ::fcntl(fd, F_GETFD) < 0; }
            ::_exit(free ? 0 : 1);
        }
        int status = -1;
        ::waitpid(child, &status, 0);
        CHECK(status == 0);
    }
}

FLUXNET_VETH_TEST("a queue that another process holds is refused with that process alone") {
    veth_pair pair;
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        pair.bed.host().enter();
        const auto holder = pair.at(side::host, mode).build_system();
        const char answer = holder ? 'y' : 'n';
        if (::write(ends[1], &answer, 1) != 1) { ::_exit(1); }
        for (;;) { ::pause(); }
    }
    char answer = 0;
    CHECK(::read(ends[0], &answer, 1) == 1);
    CHECK(answer == 'y');
    const auto refused = pair.try_open(side::host, pair.at(side::host, mode).busy_deadline(20ms).attach(false));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::queue_busy);
    const std::string text = refused.error().message();
    CHECK_MESSAGE(contains(text, "pid " + std::to_string(child)), text);
    CHECK_MESSAGE(!contains(text, "pid " + std::to_string(::getpid())), text);
}

FLUXNET_VETH_TEST("a queue that this process holds by another socket is refused saying so") {
    veth_pair pair;
    const system_sockets holder = pair.open(side::host, mode);
    const auto refused = pair.try_open(side::host, pair.at(side::host, mode).busy_deadline(20ms));
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::queue_busy);
    const std::string text = refused.error().message();
    CHECK_MESSAGE(contains(text, "pid " + std::to_string(::getpid()) + ", this process by another socket"), text);
}

FLUXNET_VETH_TEST("a program for one interface is refused by sockets of another one") {
    veth_pair pair;
    packet_socket kernel = pair.plain(side::host);
    packet_socket peer = pair.plain(side::peer);
    system_sockets host = pair.open(side::host, mode);
    // The peer's interface lies in another namespace; one in the same namespace is another interface too.
    const auto elsewhere = pair.try_open(side::peer, pair.at(side::peer, mode).use_program(host.rx.redirect()));
    ip(pair, {"link", "add", "second0", "type", "veth", "peer", "name", "second1"});
    const auto beside = [&] {
        const network_namespace::scoped_enter inside(pair.bed.host());
        return builder("second0").mode(mode).frames(128).use_program(host.rx.redirect()).build_system();
    }();
    for (const auto* refused : {&elsewhere, &beside}) {
        REQUIRE(refused->has_error());
        CHECK(refused->error().code == errc::invalid_option);
        CHECK(contains(refused->error().message(), "it was loaded for " + pair.bed.name(side::host)));
    }
    CHECK(contains(elsewhere.error().step, pair.bed.name(side::peer)));
    CHECK(contains(beside.error().step, "second0"));
    // The socket that has the program goes on.
    peer.send(numbered(1, 64, side::peer));
    CHECK(receive_numbered(host.rx, 1, 1, side::peer) == 1);
    check_all_home(host);
}

TEST_CASE("a socket on one of several queues notes which are served") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair({.queues = 3});
    {
        const system_sockets one = pair.open(side::host, pair.at(side::host, xdp_mode::native).queue(1));
        REQUIRE(one.notes.size() == 1);
        CHECK_MESSAGE(contains(one.notes[0], "has 3 queues, and of them 1 is served"), one.notes[0]);
        CHECK(contains(one.notes[0], "build_queues(3)"));
    }
    const network_namespace::scoped_enter inside(pair.bed.host());
    const auto count_notes = [&](std::uint32_t queues) {
        std::vector<std::string> notes;
        for (const system_sockets& one : pair.at(side::host, xdp_mode::native).build_queues(queues).value()) {
            notes.insert(notes.end(), one.notes.begin(), one.notes.end());
        }
        return notes;
    };
    const auto some = count_notes(2);
    REQUIRE(some.size() == 1);
    CHECK_MESSAGE(contains(some[0], "of them 0 and 1 are served"), some[0]);
    CHECK(count_notes(3).empty());
    CHECK(pair.at(side::host, xdp_mode::native).attach(false).build_system().value().notes.empty());
}

FLUXNET_VETH_TEST("an interface is found by an alternative name and opened by its own") {
    veth_pair pair;
    const std::string own = pair.bed.name(side::host);
    const std::string names[] = {"short0", "sixteen-letters0", std::string(127, 'x')};
    for (const std::string& name : names) { ip(pair, {"link", "property", "add", "dev", own, "altname", name}); }
    packet_socket peer = pair.plain(side::peer);
    const network_namespace::scoped_enter inside(pair.bed.host());
    for (const std::string& name : names) {
        CAPTURE(name);
        system_sockets host = builder(name).mode(mode).frames(128).tx_frames(64).build_system().value();
        CHECK(host.rx.interface().name == own);
        CHECK(host.rx.interface().index == static_cast<int>(testbed::ifindex(side::host)));
        peer.send(numbered(1, 64, side::peer));
        CHECK(receive_numbered(host.rx, 1, 1, side::peer) == 1);
    }
    for (const std::string& name : {std::string("sixteen-letters1"), std::string(128, 'x'), std::string(5000, 'x')}) {
        const auto refused = builder(name).build_system();
        REQUIRE(refused.has_error());
        CHECK(refused.error().code == errc::interface_not_found);
    }
}

TEST_CASE("a tun interface is refused for its packets have no Ethernet header") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    ip(pair, {"tuntap", "add", "dev", "tun7", "mode", "tun"});
    const network_namespace::scoped_enter inside(pair.bed.host());
    const auto refused = builder("tun7").build_system();
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::interface_not_supported);
    CHECK_MESSAGE(contains(refused.error().message(), "65534 (none: a tun"), refused.error().message());
}
