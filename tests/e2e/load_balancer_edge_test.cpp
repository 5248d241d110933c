// SPDX-License-Identifier: BSD-3-Clause
// load_balancer_system where things go wrong: bad starts, overload, an interface that disappears; and the order of a flow.
#include "tests/e2e/load_balancer_process.hpp"
#include "tests/e2e/text_file.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <signal.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;
namespace proto = fluxnet::proto;

namespace {

const std::vector<std::string> two_backends{"--backend", "one=02:00:00:00:00:11", "--backend", "two=02:00:00:00:00:12"};

process start(testbed& bed, std::vector<std::string> more) {
    std::vector<std::string> argv{FLUXNET_LOAD_BALANCER, "--interface", bed.name(side::host), "--address",
                                  bed.options().host_address};
    argv.insert(argv.end(), two_backends.begin(), two_backends.end());
    argv.insert(argv.end(), more.begin(), more.end());
    process child = bed.spawn(side::host, argv);
    wait_until_balancing(child);
    return child;
}

/// A datagram to the virtual address, of the flow that `client_port` names, which carries `payload`.
std::vector<std::byte> datagram(std::uint16_t client_port, std::span<const std::byte> payload) {
    proto::test::endpoints who{.host = proto::mac_address(testbed::mac(side::host)),
                               .host_ip = *proto::ipv4_address::parse("10.77.0.1"),
                               .client = proto::mac_address(testbed::mac(side::peer)),
                               .client_ip = *proto::ipv4_address::parse("10.77.0.2")};
    who.client_port = client_port;
    return proto::test::udp_request(who, payload);
}

std::vector<std::byte> numbered(std::uint32_t number) {
    std::vector<std::byte> payload(18);
    proto::store_be32(payload.data(), number);
    return payload;
}

}  // namespace

TEST_CASE("each bad start of the balancer names the value and the remedy") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const text_file bad("one=02:00:00:00:00:11\n\n  two:02:00:00:00:00:12\n");
    const text_file empty("# nobody\n");
    const std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> starts{
        {{"--interface", "nosuch0", "--address", "10.77.0.1", "--backend", "a=02:00:00:00:00:11"}, {"nosuch0", "ENODEV"}},
        {{"--interface", "flux0", "--address", "10.77.0", "--backend", "a=02:00:00:00:00:11"},
         {"--address '10.77.0'", "192.0.2.1"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backends", bad.path()},
         {bad.path() + ":3:3: ", "'two:02:00:00:00:00:12' has no '='", "write NAME=MAC"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backends", empty.path()}, {"names no backend"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backends", "/no/such/file"}, {"/no/such/file", "ENOENT"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backends", "/tmp"}, {"/tmp", "EISDIR"}},
        {{"--interface", "flux0", "--address", "10.77.0.1"}, {"backend"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backends", empty.path(), "--backend", "a=02:00:00:00:00:11"},
         {"backend"}},
        {{"--interface", "flux0", "--address", "10.77.0.1", "--backend", "a=02:00:00:00:00:11", "--workers", "0"},
         {"--workers"}},
    };
    for (const auto& [arguments, parts] : starts) {
        std::vector<std::string> argv{FLUXNET_LOAD_BALANCER};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        const finished ended = bed.run(side::host, argv, 10s);
        CHECK(ended.exit_code > 0);
        for (const std::string& part : parts) {
            CHECK_MESSAGE(ended.output.find(part) != std::string::npos, "no '", part, "' in: ", ended.output);
        }
    }
    CHECK(bed.is_free_of_xdp(side::host));
}

TEST_CASE("more packets than the queues hold are dropped and counted one by one") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process balancer = start(bed, {"--depth", "8", "--workers", "2"});
    packet_socket wire(bed.peer(), bed.name(side::peer));
    for (std::uint16_t port = 2000; port < 2020; ++port) { wire.flood(datagram(port, numbered(0)), 20'000); }
    std::this_thread::sleep_for(200ms);
    const std::string output = stop_balancer(balancer, SIGTERM);
    CHECK(number_in(output, "summary:", "worker_queue_full") > 0);
    CHECK(number_in(output, "summary:", "forwarded") > 1000);
    CHECK_MESSAGE(accounts_balance(output), output);
    std::printf("%s\n", output.substr(output.find("summary:")).c_str());
}

TEST_CASE("the packets of a flow stay in order and go to one backend") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process balancer = start(bed, {"--workers", "4"});
    packet_socket wire(bed.peer(), bed.name(side::peer));
    constexpr std::uint32_t rounds = 1000;
    constexpr std::uint16_t flows = 20;
    std::thread sender([&] {
        for (std::uint32_t round = 1; round <= rounds; ++round) {
            for (std::uint16_t flow = 0; flow < flows; ++flow) {
                wire.send(datagram(static_cast<std::uint16_t>(3000 + flow), numbered(round)));
            }
            if (round % 10 == 0) { std::this_thread::sleep_for(1ms); }
        }
    });
    std::map<std::uint16_t, std::uint32_t> latest;
    std::map<std::uint16_t, std::set<std::string>> backends;
    std::uint32_t seen = 0;
    std::uint32_t out_of_order = 0;
    while (const auto frame = wire.recv(1s)) {
        const auto ethernet = proto::ethernet_view::parse(*frame).value();
        const auto packet = proto::ipv4_view::parse(ethernet.payload()).value();
        const std::uint16_t port = proto::load_be16(packet.payload().data());
        const std::uint32_t number = proto::load_be32(packet.payload().data() + 8);
        out_of_order += number <= latest[port] ? 1 : 0;
        latest[port] = number;
        backends[port].insert(ethernet.destination().to_string());
        CHECK(ethernet.source() == proto::mac_address(testbed::mac(side::host)));
        ++seen;
    }
    sender.join();
    const std::string output = stop_balancer(balancer, SIGTERM);
    CHECK(out_of_order == 0);
    CHECK(seen > rounds * flows / 2);
    CHECK(backends.size() == flows);
    std::set<std::string> all;
    for (const auto& [port, macs] : backends) {
        CHECK(macs.size() == 1);
        all.insert(macs.begin(), macs.end());
    }
    CHECK(all == std::set<std::string>{"02:00:00:00:00:11", "02:00:00:00:00:12"});
    CHECK_MESSAGE(accounts_balance(output), output);
}

TEST_CASE("the balancer ends with an error when its interface is deleted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process balancer = start(bed, {});
    bed.delete_link();
    const auto ended = balancer.wait(5s);
    REQUIRE(ended);
    CHECK(ended->exit_code == 1);
    const std::string output = balancer.output();
    CHECK_MESSAGE(output.find("stopped on flux0: ") != std::string::npos, output);
    CHECK_MESSAGE(accounts_balance(output), output);
}

TEST_CASE("a link that goes down and comes up again is waited for") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process balancer = start(bed, {});
    bed.set_link(side::host, false);
    std::this_thread::sleep_for(300ms);
    bed.set_link(side::host, true);
    REQUIRE(bed.wait_until_up(5s));
    const finished ping = bed.run(side::peer, {"ping", "-n", "-c", "3", "-i", "0.01", "-w", "5", "10.77.0.1"}, 10s);
    CHECK_MESSAGE(ping.success(), ping.output);
    CHECK(accounts_balance(stop_balancer(balancer, SIGTERM)));
}
