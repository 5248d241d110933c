// SPDX-License-Identifier: BSD-3-Clause
// firewall_engine where things go wrong: bad starts, hostile frames, floods, links that fail; and when nothing happens.
#include "tests/e2e/firewall_bed.hpp"
#include "tests/e2e/number_in.hpp"
#include "tests/e2e/text_file.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/support/times_asleep.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <signal.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;
namespace proto = fluxnet::proto;

namespace {

using bytes = std::vector<std::byte>;

/// A station beyond the firewall that does not exist, so that nobody answers.
proto::test::endpoints nobody() {
    return {.host = proto::mac_address({0x02, 0, 0, 0x78, 1, 99}),
            .host_ip = {10, 78, 1, 99},
            .client = proto::mac_address(firewall_bed::client_mac()),
            .client_ip = {10, 78, 1, 1}};
}

bytes datagram(std::uint16_t port, std::size_t size = 18) {
    auto who = nobody();
    who.echo_port = port;
    return proto::test::udp_request(who, proto::test::counting(size));
}

bytes with_fragment(bytes frame, bool more, std::size_t offset) {
    auto packet = proto::mutable_ipv4_view::unchecked(std::span(frame).subspan(proto::ethernet_header_length));
    packet.set_fragment(false, more, offset);
    packet.fill_checksum();
    return frame;
}

bytes of_type(bytes frame, std::uint16_t type) {
    proto::store_be16(frame.data() + proto::ethernet_offset::type, type);
    return frame;
}

bytes turned(bytes frame, std::size_t at, unsigned bits) {
    frame[at] ^= static_cast<std::byte>(bits);
    return frame;
}

bytes resized(bytes frame, std::size_t size) {
    frame.resize(size);
    return frame;
}

bool pings(const firewall_bed& bed, const char* count) {
    return bed.run_client({"ping", "-n", "-q", "-c", count, "-i", "0.01", "-w", "5", firewall_bed::server_ip}, 10s)
        .success();
}

}  // namespace

TEST_CASE("each bad start of the firewall names the value and the place and leaves nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    firewall_bed bed;
    const text_file good("default allow\n");
    const text_file bad("# rules\nallow icmp\n  allow tcp to any port 80-\ndefault deny\n");
    const text_file cut("allow icmp\n");
    const std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> starts{
        {{"--interface", "left0", "right0", "--rules", bad.path()},
         {"read " + bad.path() + ":3:28: found the end of the line; expected a port from 0 to 65535"}},
        {{"--interface", "left0", "right0", "--rules", cut.path()},
         {cut.path() + ":2:1: found the end of the file; expected 'default allow' or 'default deny'"}},
        {{"--interface", "left0", "right0", "--rules", "/no/such/rules"}, {"/no/such/rules", "ENOENT"}},
        {{"--interface", "left0", "right0", "--rules", "/tmp"}, {"/tmp", "not a regular file"}},
        {{"--interface", "left0", "right0"}, {"--rules"}},
        {{"--interface", "left0", "--rules", good.path()}, {"--interface"}},
        {{"--interface", "left0", "right0", "lo", "--rules", good.path()}, {"--interface"}},
        {{"--interface", "left0", "left0", "--rules", good.path()}, {"--interface left0", "named twice"}},
        {{"--interface", "left0", "nosuch0", "--rules", good.path()}, {"nosuch0", "ENODEV"}},
        {{"--interface", "left0", "lo", "--mode", "native", "--rules", good.path()}, {"lo", "EOPNOTSUPP"}},
        {{"--interface", "left0", "right0", "--queue", "3", "--rules", good.path()}, {"left0 queue 3", "use queue 0"}},
        {{"--interface", "left0", "right0", "--poller", "lazy", "--rules", good.path()},
         {"--poller: lazy not in {busy,adaptive,wait}"}},
    };
    for (const auto& [arguments, parts] : starts) {
        const finished ended = bed.run_wall(arguments);
        CHECK(ended.exit_code > 0);
        for (const std::string& part : parts) {
            CHECK_MESSAGE(ended.output.find(part) != std::string::npos, "no '", part, "' in: ", ended.output);
        }
        CHECK(ended.output.find("filtering") == std::string::npos);
        CHECK(bed.program_on(firewall_bed::left) == 0);
        CHECK(bed.program_on(firewall_bed::right) == 0);
    }
}

TEST_CASE("frames pass as they are or count as what they are") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    using proto::test::octets;
    using proto::test::with_options;
    firewall_bed bed;
    const text_file rules("deny udp to any port 54\nallow udp to any port 53\nallow udp to 10.78.1.99\ndefault deny\n");
    process wall = bed.start({"--rules", rules.path(), "--poller", "wait"});
    packet_socket client(bed.client(), firewall_bed::host_interface);
    packet_socket server(bed.server(), firewall_bed::host_interface);
    const auto arp = proto::test::arp_request(nobody());
    const auto echo = proto::test::echo_request(nobody(), proto::test::counting(10));

    const std::vector<bytes> pass{
        datagram(53),
        datagram(55, 1472),
        turned(datagram(53), 45, 1),                                 // its checksum is the receiver's business
        resized(datagram(53), 100),                                  // padding behind the datagram
        with_options(datagram(53), octets(7, 7, 4, 0, 0, 0, 0, 0)),  // a route to be recorded
        with_fragment(datagram(53, 16), true, 0),
        with_fragment(datagram(54), false, 1480),  // has no ports: denied by none
        arp,
    };
    const std::vector<bytes> denied{datagram(54), with_fragment(datagram(54, 24), true, 0), echo};
    const std::vector<bytes> other{of_type(arp, 0x86dd), of_type(datagram(53), 0x8100), of_type(arp, 0x0026)};
    const std::vector<bytes> malformed{
        turned(datagram(53), 6, 1),                                   // ethernet: the source is a group
        resized(arp, 41),                                             // arp
        resized(datagram(53), 14),                                    // ipv4: nothing in it
        turned(datagram(53), proto::test::network_at, 0x10),          // ipv4: version 5
        turned(datagram(53), proto::test::network_at + 10, 1),        // ipv4: a wrong checksum
        with_options(datagram(53), octets(131, 3, 4, 0)),             // source_route
        with_fragment(datagram(53), true, 65528),                     // fragment: too far out
        turned(datagram(53), proto::test::transport_at + 4, 0x80),    // udp: longer than it is
        turned(datagram(53), proto::test::transport_at + 5, 26 ^ 7),  // udp: shorter than its header
        resized(echo, echo.size() - 1),                               // ipv4: its end is missing
    };
    for (const auto* kind : {&denied, &pass, &other, &malformed}) {
        for (const bytes& frame : *kind) { client.send(frame); }
    }
    for (std::size_t i = 0; i < pass.size(); ++i) {
        CAPTURE(i);
        const bytes& expected = pass[i];
        const auto came = server.recv(5s);
        REQUIRE(came.has_value());
        CHECK(came->size() == expected.size());
        CHECK(*came == expected);
    }
    CHECK_FALSE(server.recv(200ms).has_value());
    CHECK_FALSE(client.recv(0ms).has_value());  // nothing comes back

    const std::string output = stop_firewall(wall, SIGTERM);
    const auto count = [&](const char* line, const char* name) { return number_in(output, line, name); };
    CHECK(count("summary:", "rx") == static_cast<long long>(pass.size() + denied.size() + other.size() + malformed.size()));
    CHECK(count("summary:", "allowed") == static_cast<long long>(pass.size() - 1));
    CHECK(count("summary:", "arp") == 1);
    CHECK(count("summary:", "denied") == static_cast<long long>(denied.size()));
    CHECK(count("summary:", "non_ip") == static_cast<long long>(other.size()));
    CHECK(count("summary:", "malformed") == static_cast<long long>(malformed.size()));
    CHECK(output.find("\nmalformed: ethernet 1 arp 1 ipv4 4 source_route 1 fragment 1 icmp 0 tcp 0 udp 2\n") !=
          std::string::npos);
    CHECK(count("rule 1:", "hits") == 2);
    CHECK(count("rule 2:", "hits") == 5);
    CHECK(count("rule 3:", "hits") == 2);
    CHECK(count("rule 4:", "hits") == 1);
    CHECK_MESSAGE(accounts_balance(output), output);
}

TEST_CASE("pings larger than a frame pass in fragments") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    firewall_bed bed;
    const text_file rules("allow icmp\ndefault deny\n");
    process wall = bed.start({"--rules", rules.path()});
    const finished ping = bed.run_client(
        {"ping", "-n", "-q", "-s", "20000", "-c", "20", "-i", "0.01", "-W", "5", firewall_bed::server_ip}, 10s);
    CHECK_MESSAGE(ping.output.find(" 0% packet loss") != std::string::npos, ping.output);
    const std::string output = stop_firewall(wall, SIGTERM);
    CHECK(number_in(output, "summary:", "allowed") == 2 * 20 * 14);  // 20008 octets, 1480 in a fragment
    CHECK_MESSAGE(accounts_balance(output), output);
}

TEST_CASE("a firewall that is stopped and reloaded in the middle of a flood accounts for every packet") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* mode : {"native", "generic"}) {
        CAPTURE(mode);
        firewall_bed bed;
        const text_file rules("allow udp to any port 53\ndefault deny\n");
        process wall = bed.start({"--rules", rules.path(), "--mode", mode, "--quiet"});
        packet_socket client(bed.client(), firewall_bed::host_interface);
        std::atomic<bool> stop = false;
        std::thread flooding([&] {
            const bytes allowed = datagram(53);
            const bytes denied = datagram(54);
            for (unsigned i = 0; !stop && i < 10'000; ++i) { client.flood(i % 2 == 0 ? allowed : denied, 1000, &stop); }
        });
        std::this_thread::sleep_for(300ms);
        bool reloaded = true;
        for (unsigned i = 0; i < 5; ++i) {
            wall.signal(SIGHUP);
            reloaded = reloaded && wall.read_until("reloaded: 2 rules", 5s);
        }
        wall.signal(SIGTERM);
        const auto ended = wall.wait(10s);
        stop = true;
        flooding.join();
        const std::string output = wall.output();
        CHECK(reloaded);
        REQUIRE(ended.has_value());
        CHECK(ended->success());
        CHECK(number_in(output, "summary:", "sent") > 1000);
        CHECK(number_in(output, "summary:", "denied") > 1000);
        CHECK_MESSAGE(accounts_balance(output), output);
        std::printf("%s: %s", mode, output.substr(output.rfind("\nsummary:") + 1).c_str());
    }
}

TEST_CASE("the firewall ends with an error when either of its interfaces is deleted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const char* interface : {firewall_bed::left, firewall_bed::right}) {
        CAPTURE(interface);
        firewall_bed bed;
        const text_file rules("default allow\n");
        process wall = bed.start({"--rules", rules.path()});
        REQUIRE(pings(bed, "2"));
        bed.delete_link(interface);
        const auto ended = wall.wait(5s);
        REQUIRE(ended.has_value());
        CHECK(ended->exit_code == 1);
        const std::string output = wall.output();
        CHECK_MESSAGE(output.find("stopped on " + std::string(interface) + ": interface gone") != std::string::npos, output);
        CHECK_MESSAGE(accounts_balance(output), output);
    }
}

TEST_CASE("links that go down and come up again are waited for") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    firewall_bed bed;
    const text_file rules("default allow\n");
    process wall = bed.start({"--rules", rules.path()});
    for (const char* interface : {firewall_bed::left, firewall_bed::right}) {
        bed.set_link(interface, false);
        CHECK_FALSE(bed.client_connects(firewall_bed::server_ip, 80, 200ms));
        bed.set_link(interface, true);
        CHECK(pings(bed, "3"));
    }
    CHECK(accounts_balance(stop_firewall(wall, SIGINT)));
}

TEST_CASE("every poller filters and only a busy one takes a processor when nothing comes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const std::string poller : {"busy", "adaptive", "wait"}) {
        CAPTURE(poller);
        firewall_bed bed;
        const text_file rules("default allow\n");
        process wall = bed.start({"--rules", rules.path(), "--poller", poller, "--quiet"});
        REQUIRE(pings(bed, "20"));
        const int asleep = times_asleep(wall.pid(), 50);
        if (poller == "busy") {
            CHECK(asleep == 0);
        } else {
            CHECK(asleep > 25);
        }
        CHECK(accounts_balance(stop_firewall(wall, SIGTERM)));
    }
}

TEST_CASE("the firewall ends by itself when its time is over and tells every second how it is") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    firewall_bed bed;
    const text_file rules("default allow\n");
    process wall = bed.start({"--rules", rules.path(), "--duration", "1.5"});
    CHECK(wall.read_until("| total rx ", 5s));
    const auto ended = wall.wait(5s);
    REQUIRE(ended.has_value());
    CHECK(ended->success());
    CHECK_MESSAGE(accounts_balance(wall.output()), wall.output());
}
