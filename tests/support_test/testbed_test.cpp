// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/testbed.hpp"

#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <linux/if_link.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// The ones' complement sum over the bytes, folded: 0xffff over anything that carries a correct checksum.
unsigned ones_complement_sum(std::span<const std::byte> bytes, unsigned sum = 0) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        const auto value = std::to_integer<unsigned>(bytes[at]);
        sum += at % 2 == 0 ? value << 8 : value;
    }
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

// "return verdict" in two instructions.
detail::file_descriptor load_xdp_program(xdp_action verdict) {
    const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, verdict}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    return detail::file_descriptor{::bpf_prog_load(BPF_PROG_TYPE_XDP, "verdict", "BSD", code, 2, nullptr)};
}

}  // namespace

TEST_CASE("the peer of a testbed answers its own ping") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const finished ping = bed.run(side::peer, {"ping", "-n", "-c", "1", "-W", "2", bed.peer_ip()}, 10s);
    CHECK_MESSAGE(ping.success(), ping.output);
}

TEST_CASE("a testbed has the links that were asked for") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed({.queues = 2, .mtu = 3000, .host_name = "left0", .peer_name = "right0", .peer_address = "10.9.8.7/30"});
    const std::string host = bed.run(side::host, {"ip", "-d", "address", "show", "dev", "left0"}, 10s).output;
    const std::string peer = bed.run(side::peer, {"ip", "-d", "address", "show", "dev", "right0"}, 10s).output;
    for (const std::string& end : {host, peer}) {
        CHECK_MESSAGE(contains(end, " mtu 3000 "), end);
        CHECK_MESSAGE(contains(end, " state UP "), end);
        CHECK_MESSAGE(contains(end, "numtxqueues 2 numrxqueues 2"), end);
        CHECK_MESSAGE(!contains(end, "inet6"), end);
    }
    CHECK(contains(peer, "inet 10.9.8.7/30 "));
    CHECK(!contains(host, "inet "));
    CHECK(contains(host, "10: left0"));
    CHECK(contains(host, "02:00:00:77:00:01"));
    CHECK(bed.ifindex(side::host) == 10);
    CHECK(bed.mac(side::host)[5] == 1);
    CHECK(bed.ifindex(side::peer) != bed.ifindex(side::host));
    CHECK(bed.mac(side::peer) != bed.mac(side::host));
}

TEST_CASE("testbeds stand beside each other") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed one;
    testbed two;
    one.delete_link();
    CHECK(two.wait_until_up(5s));
}

TEST_CASE("the peer finishes its checksums before the wire") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    packet_socket wire(bed.host(), bed.name(side::host));
    CHECK(bed.run(side::peer, {"ip", "neighbour", "add", "10.77.0.1", "lladdr", "02:00:00:77:00:01", "dev", "peer0"}, 10s)
              .success());
    CHECK(bed.run(side::peer, {"bash", "-c", "printf hello >/dev/udp/10.77.0.1/9"}, 10s).success());
    const auto frame = wire.recv(5s);
    REQUIRE(frame);
    REQUIRE(frame->size() == 14 + 20 + 8 + 5);
    const std::span<const std::byte> bytes{*frame};
    CHECK(ones_complement_sum(bytes.subspan(14, 20)) == 0xffff);
    // The pseudo header: both addresses, the protocol and the length of the datagram.
    const unsigned pseudo = ones_complement_sum(bytes.subspan(26, 8), 17 + 13);
    CHECK(ones_complement_sum(bytes.subspan(34), pseudo) == 0xffff);
}

TEST_CASE("the peer is quiet until spoken to") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    packet_socket wire(bed.host(), bed.name(side::host));
    CHECK_FALSE(wire.recv(300ms));
}

TEST_CASE("a testbed takes its links down and up") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    for (const side end : {side::host, side::peer}) {
        bed.set_link(end, false);
        CHECK_FALSE(bed.wait_until_up(20ms));
        bed.set_link(end, true);
        CHECK(bed.wait_until_up(5s));
    }
}

TEST_CASE("deleting the link of a testbed removes both ends") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    bed.delete_link();
    CHECK_FALSE(bed.run(side::host, {"ip", "link", "show", "dev", "flux0"}, 10s).success());
    CHECK_FALSE(bed.run(side::peer, {"ip", "link", "show", "dev", "peer0"}, 10s).success());
    CHECK(bed.is_free_of_xdp(side::host));
    bed.delete_link();
}

TEST_CASE("a testbed tells which XDP program is attached") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const auto program = load_xdp_program(XDP_PASS);
    REQUIRE(program);
    bpf_prog_info info{};
    __u32 size = sizeof info;
    REQUIRE(::bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0);
    CHECK(bed.is_free_of_xdp(side::host));
    for (const __u32 mode : {XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE}) {
        const int index = static_cast<int>(bed.ifindex(side::host));
        REQUIRE(bed.host().call([&] { return ::bpf_xdp_attach(index, program.get(), mode, nullptr); }) == 0);
        CHECK(bed.xdp_program_id(side::host) == info.id);
        CHECK(bed.is_free_of_xdp(side::peer));
        REQUIRE(bed.host().call([&] { return ::bpf_xdp_detach(index, mode, nullptr); }) == 0);
        CHECK(bed.is_free_of_xdp(side::host));
    }
}

// A namespace is gone when the links in it are: so each namespace of the testbed that will be killed gets one end of a
// further veth pair, whose other end lies in a namespace held here. It vanishes from here when the kernel ends theirs.
TEST_CASE("nothing of a testbed remains when its test is killed") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace here;
    detail::route_socket witness(here);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t test = ::fork();
    if (test == 0) {
        testbed bed;
        detail::route_socket(here).create_veth({here, "see-host", {2, 0, 0, 0, 1, 1}, 101},
                                               {bed.host(), "seen", {2, 0, 0, 0, 1, 2}, 201}, 1, 1500);
        detail::route_socket(here).create_veth({here, "see-peer", {2, 0, 0, 0, 2, 1}, 102},
                                               {bed.peer(), "seen", {2, 0, 0, 0, 2, 2}, 202}, 1, 1500);
        const process inside = bed.spawn(side::peer, {"sleep", "1000"});
        if (::write(ends[1], "r", 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    char ready = 0;
    CHECK(::read(ends[0], &ready, 1) == 1);
    CHECK(witness.link("see-host"));
    CHECK(witness.link("see-peer"));
    std::this_thread::sleep_for(50ms);
    CHECK(witness.link("see-host"));

    ::kill(test, SIGKILL);
    ::waitpid(test, nullptr, 0);
    const deadline limit = 10s;
    while ((witness.link("see-host") || witness.link("see-peer")) && !limit.passed()) std::this_thread::sleep_for(5ms);
    CHECK_FALSE(witness.link("see-host"));
    CHECK_FALSE(witness.link("see-peer"));
    ::close(ends[0]);
    ::close(ends[1]);
}
