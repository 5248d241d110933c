// SPDX-License-Identifier: BSD-3-Clause
// The Raw examples with the kernel as the other party: its ping and UDP for manual_packet_pump, its datagrams for the loops.
#include "tests/e2e/echo_process.hpp"
#include "tests/support/foreign_program.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/ping.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::array modes{"native", "generic"};

/// Several flows of the kernel's: connected UDP sockets in the peer's namespace.
class kernel_flows {
public:
    explicit kernel_flows(const testbed& bed) {
        const network_namespace::scoped_enter inside(bed.peer());
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(7);
        REQUIRE(::inet_pton(AF_INET, bed.options().host_address.c_str(), &to.sin_addr) == 1);
        for (int i = 0; i < 16; ++i) {
            sockets_.emplace_back(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            REQUIRE(sockets_.back().get() >= 0);
            REQUIRE(::connect(sockets_.back().get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
        }
    }

    /// Sends datagrams at a pace that nobody has to drop, until the program has ended.
    void send_until_end_of(process& program, deadline limit) {
        const std::array<std::byte, 100> payload{};
        while (program.running() && !limit.passed()) {
            for (const auto& socket : sockets_) {
                REQUIRE(::send(socket.get(), payload.data(), payload.size(), 0) == static_cast<ssize_t>(payload.size()));
            }
            std::this_thread::sleep_for(1ms);
        }
    }

private:
    std::vector<fluxnet::test::detail::file_descriptor> sockets_;
};

/// What came back to the peer.
struct returned {
    long long ipv4 = 0;
    long long others = 0;
    long long misdirected = 0;  ///< Whose addresses are not exchanged.
};

returned count_returned(packet_socket& ear) {
    returned result;
    while (const auto frame = ear.recv(200ms)) {
        REQUIRE(frame->size() >= 14);
        const auto mac_at = [&](std::size_t at) {
            testbed::mac_address mac{};
            for (std::size_t i = 0; i < mac.size(); ++i) { mac[i] = std::to_integer<std::uint8_t>((*frame)[at + i]); }
            return mac;
        };
        const bool turned = mac_at(0) == testbed::mac(side::peer) && mac_at(6) == testbed::mac(side::host);
        const bool ipv4 = (*frame)[12] == std::byte{8} && (*frame)[13] == std::byte{0};
        ++(ipv4 ? result.ipv4 : result.others);
        result.misdirected += turned ? 0 : 1;
    }
    CHECK(ear.dropped() == 0);
    return result;
}

/// Tells the peer's kernel the host's MAC address: the loops answer no ARP.
void make_host_known(testbed& bed) {
    const finished done = bed.run(side::peer,
                                  {"ip", "neighbour", "add", bed.options().host_address, "lladdr", "02:00:00:77:00:01",
                                   "dev", bed.name(side::peer), "nud", "permanent"},
                                  5s);
    REQUIRE_MESSAGE(done.success(), done.output);
}

process start_loop(testbed& bed, const std::string& name, const char* mode) {
    const std::string path = std::string(FLUXNET_RAW_EXAMPLES) + "/raw_" + name;
    process child = bed.spawn(
        side::host, {path, "--interface", bed.name(side::host), "--count", "400", "--duration", "20", "--mode", mode});
    REQUIRE_MESSAGE(child.read_until("receiving on", 10s), child.output());
    return child;
}

/// Lets one of the loops carry the kernel's datagrams, and compares what it says with what the peer saw.
void carry(const std::string& name, const char* mode, unsigned queues = 1) {
    CAPTURE(name);
    CAPTURE(mode);
    testbed bed({.queues = queues});
    make_host_known(bed);
    packet_socket ear(bed.peer(), bed.name(side::peer));
    process loop = start_loop(bed, name, mode);
    kernel_flows(bed).send_until_end_of(loop, 20s);
    const auto ended = loop.wait(5s);
    REQUIRE(ended);
    CHECK_MESSAGE(ended->success(), loop.output());
    const echo_summary summary(loop.output());
    CHECK_MESSAGE(summary.frames_are_whole(), loop.output());
    CHECK(summary.of("packets", "received") >= 400);
    CHECK(summary.of("packets", "received") == summary.of("packets", "sent") + summary.of("packets", "recycled"));
    const returned back = count_returned(ear);
    CHECK(back.ipv4 == summary.of("packets", "sent"));
    CHECK(back.misdirected == 0);
}

}  // namespace

TEST_CASE("manual_packet_pump answers 2000 pings of the kernel and loses none") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* mode : modes) {
        testbed bed;
        process pump = start_echo(bed, {"--mode", mode}, {FLUXNET_MANUAL_PACKET_PUMP});
        const finished ping = bed.run(side::peer, {"ping", "-c", "2000", "-i", "0.002", "-w", "40", "10.77.0.1"}, 60s);
        CHECK_MESSAGE(ping_answers(ping.output).are_the_first(2000), ping.output);
        const echo_summary summary = stop_echo(pump);
        CHECK(summary.of("summary", "icmp") >= 2000);
        CHECK(summary.of("summary", "arp") >= 1);
        CHECK(summary.frames_are_whole());
        CHECK(bed.is_free_of_xdp(side::host));
    }
}

TEST_CASE("manual_packet_pump echoes every payload from 0 to 1472 bytes to a kernel socket") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* mode : modes) {
        testbed bed;
        process pump = start_echo(bed, {"--mode", mode}, {FLUXNET_MANUAL_PACKET_PUMP});
        const finished client = bed.run(side::peer, {FLUXNET_UDP_CLIENT, "--to", "10.77.0.1"}, 60s);
        CHECK_MESSAGE(client.output.find("1473 sent, 0 lost, 0 wrong") != std::string::npos, client.output);
        const echo_summary summary = stop_echo(pump);
        CHECK(summary.of("summary", "udp") == 1473);
        CHECK(summary.frames_are_whole());
    }
}

TEST_CASE("manual_packet_pump refuses to start without an address or an interface") {
    const finished nothing = run({FLUXNET_MANUAL_PACKET_PUMP}, {}, 10s);
    CHECK(nothing.exit_code == 2);
    const finished unknown =
        run({FLUXNET_MANUAL_PACKET_PUMP, "--interface", "no-such-if", "--address", "10.77.0.1"}, {}, 10s);
    CHECK(unknown.exit_code == 1);
    CHECK_MESSAGE(unknown.output.find("no-such-if") != std::string::npos, unknown.output);
}

TEST_CASE("the Raw loops carry the kernel's datagrams and end with an exact census") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* name :
         {"minimal_loop", "optimised_loop", "custom_allocator", "prefetching", "async_batches", "minimal_firewall"}) {
        carry(name, "native");
    }
    carry("multi_queue", "native", 2);
}

TEST_CASE("the Raw loops do so in generic mode too") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* name : {"optimised_loop", "async_batches", "minimal_firewall"}) { carry(name, "generic"); }
}

TEST_CASE("an example that polls its socket by itself ends with an error when its interface is deleted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const std::string name : {"minimal_loop", "multi_queue"}) {
        CAPTURE(name);
        testbed bed({.queues = name == "multi_queue" ? 2U : 1U});
        process loop = start_loop(bed, name, "native");
        bed.delete_link();
        const auto ended = loop.wait(15s);
        REQUIRE(ended);
        CHECK(ended->exit_code == 1);
        CHECK_MESSAGE(loop.output().find("interface gone") != std::string::npos, loop.output());
    }
    testbed bed;
    process pump = start_echo(bed, {}, {FLUXNET_MANUAL_PACKET_PUMP});
    bed.delete_link();
    const auto ended = pump.wait(15s);
    REQUIRE(ended);
    CHECK(ended->exit_code == 1);
    CHECK_MESSAGE(pump.output().find("stopped on flux0: interface gone") != std::string::npos, pump.output());
}

TEST_CASE("an example that polls its socket by itself ends with an error when its program is detached") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process pump = start_echo(bed, {}, {FLUXNET_MANUAL_PACKET_PUMP});
    detach_link_of(bed.xdp_program_id(side::host));
    const auto ended = pump.wait(15s);
    REQUIRE(ended);
    CHECK(ended->exit_code == 1);
    CHECK_MESSAGE(pump.output().find("stopped on flux0: XDP program detached") != std::string::npos, pump.output());
}

TEST_CASE("the Raw firewall lets the kernel's datagrams pass and denies its ARP") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* mode : modes) {
        testbed bed;
        packet_socket ear(bed.peer(), bed.name(side::peer));
        process firewall = start_loop(bed, "minimal_firewall", mode);
        // Nobody has this address: the kernel asks for it by broadcast.
        static_cast<void>(bed.run(side::peer, {"ping", "-c", "1", "-W", "1", "10.77.0.9"}, 10s));
        make_host_known(bed);
        kernel_flows(bed).send_until_end_of(firewall, 20s);
        const auto ended = firewall.wait(5s);
        REQUIRE(ended);
        CHECK_MESSAGE(ended->success(), firewall.output());
        const echo_summary summary(firewall.output());
        CHECK(summary.of("firewall", "denied") >= 1);
        CHECK(summary.of("firewall", "allowed") >= 300);
        CHECK(summary.of("firewall", "no_room") == 0);
        CHECK(summary.frames_are_whole());
        const returned back = count_returned(ear);
        CHECK(back.ipv4 == summary.of("firewall", "allowed"));
        CHECK(back.others == 0);
    }
}
