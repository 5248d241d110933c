// SPDX-License-Identifier: BSD-3-Clause
// An ip_host beside the kernel's stack on one interface, each with addresses of its own.
#include "fluxnet/runtime/host/host_filter.hpp"

#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "tests/runtime/host_testbed.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/filter_frames.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<void> echo_count(host::udp_endpoint& socket, std::size_t count) {
    std::vector<std::byte> room(70'000);
    for (; count != 0; --count) {
        const datagram_result got = co_await socket.recv_from(room);
        REQUIRE_FALSE(got.ec);
        const io_result sent = co_await socket.send_to(std::span(room).first(got.n), got.from);
        CHECK_FALSE(sent.ec);
    }
}

task<void> ask(udp_socket& socket, proto::ip_endpoint with, std::vector<std::size_t> sizes) {
    std::vector<std::byte> room(70'000);
    for (const std::size_t size : sizes) {
        const io_result sent = co_await socket.send_to(std::span(room).first(size), with);
        CHECK_FALSE(sent.ec);
        const datagram_result got = co_await socket.recv_from(room);
        CHECK_FALSE(got.ec);
        CHECK(got.n == size);
        CHECK(got.from.address == with.address);
    }
}

bool takes(const packet_filter& filter, const frame_bytes& frame) {
    return filter.judge(frame).verdict == filter_verdict::redirect;
}

}  // namespace

TEST_CASE("a prefix is made of an address and a length") {
    CHECK(host::prefix_of(ip("10.77.3.1")) == ip_prefix::v4({10, 77, 3, 1}));
    CHECK(host::prefix_of(ip("10.77.3.1"), 23) == ip_prefix::v4({10, 77, 2}, 23));
    CHECK(host::prefix_of(ip("10.77.3.1"), 99) == ip_prefix::v4({10, 77, 3, 1}));
    CHECK(host::prefix_of(ip("2001:db8::7"), 64) == ip_prefix::v6({0x20, 1, 0xd, 0xb8}, 64));
    CHECK(packet_filter{{.source = host::prefix_of(ip("255.255.255.255"), 0)}}.validate().has_value());
}

TEST_CASE("the filter of a host takes what is for its addresses and what asks for them") {
    host::host_options options;
    options.addresses = {{ip("10.77.0.1"), 24}, {ip("2001:db8::1"), 64}};
    const packet_filter filter = host::filter_for(options);
    REQUIRE(filter.validate().has_value());
    CHECK(takes(filter, arp(2, 1)));
    CHECK(takes(filter, arp(1, 0)));
    CHECK_FALSE(takes(filter, arp(2, 5)));
    for (const unsigned protocol : {1U, 6U, 17U, 99U}) {
        CHECK(takes(filter, ipv4({.protocol = protocol}, from_to(9, 7))));
        CHECK(takes(filter, ipv4({.protocol = protocol, .fragment = 0x2007}, from_to(9, 7))));
        CHECK_FALSE(takes(filter, ipv4({.protocol = protocol, .last_destination = 5}, from_to(9, 7))));
        CHECK(takes(filter, ipv6(protocol, from_to(9, 7))));
        CHECK_FALSE(takes(filter, ipv6(protocol, from_to(9, 7), 5)));
    }
    for (int i = 0; i != 14; ++i) { options.addresses.push_back({ip("2001:db8::1"), 64}); }
    CHECK(host::filter_for(options).validate().has_value());
}

TEST_CASE("a host beside the kernel on one interface has its own addresses and the kernel has the kernel's") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : {xdp_mode::native_copy, xdp_mode::generic}) {
        host_testbed bed({}, mode, true);
        tcp_listener kernels = tcp_listener::listen({ip("10.77.0.5"), 80}).value();
        // Whoever is asked first, both are found: the kernel's ARP and the host's do not hide each other.
        for (const char* const of_kernel : {"10.77.0.5", "fd77::5"}) { bed.ping(of_kernel, 20, "56"); }
        CHECK(bed.here->counters().echoes == 0);
        for (const bool v4 : {true, false}) {
            bed.ping(v4, 20, "56");
            bed.ping(v4, 5, "4000");
        }
        CHECK(bed.here->counters().echoes == 50);
        for (const char* const of_kernel : {"10.77.0.5", "fd77::5"}) { bed.ping(of_kernel, 5, "4000"); }
        CHECK(bed.here->counters().echoes == 50);
        bed.run_at_peer({"bash", "-c", "exec 3<>/dev/tcp/10.77.0.5/80"});

        const std::vector<std::size_t> sizes{0, 1, 1000, 5000};
        for (const bool v4 : {true, false}) {
            host::udp_endpoint ours = bed.here->open_udp({ip(host_text(v4)), 7000}).value();
            udp_socket theirs = bed.kernel_socket(v4);
            bed.loop.spawn(echo_count(ours, sizes.size()));
            bed.loop.spawn(ask(theirs, ours.local_endpoint(), sizes));
            bed.loop.run();
        }
        const auto& counts = bed.here->counters();
        CHECK(counts.datagrams == 2 * sizes.size());
        // Every frame that was redirected was for the host, and it has seen all of them.
        const verdict_counts counted = bed.redirect->count();
        CHECK(counted.redirected == counts.frames);
        CHECK(counts.accounted() == counts.frames);
        CHECK(counted.dropped == 0);
        CHECK(counted.unmatched == counted.passed);
        std::uint64_t by_rules = 0;
        for (const rule_count& one : bed.redirect->count_rules()) { by_rules += one.packets; }
        CHECK(by_rules == counted.redirected);
    }
}

TEST_CASE("a host beside the kernel hears that another station has an address that it probes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host::host_options options;
    options.addresses = {{ip(peer_text(true)), 24}, {ip(peer_text(false)), 64}};
    host_testbed bed(options, xdp_mode::native_copy, true);
    const auto& lost = bed.here->counters().addresses_lost;
    bed.loop.spawn([](const std::uint64_t& so_far) -> task<void> {
        const fluxnet::test::deadline limit = 60s;
        while (so_far < 2 && !limit.passed()) { static_cast<void>(co_await sleep_for(2ms)); }
    }(lost));
    bed.loop.run();
    CHECK(lost == 2);
    // What told it went to no address of the host's.
    const std::vector<rule_count> rules = bed.redirect->count_rules();
    REQUIRE(rules.size() == 6);
    CHECK(rules[2].packets > 0);
    CHECK(rules[5].packets > 0);
    CHECK_FALSE(bed.here->owns(ip(peer_text(true))));
    CHECK_FALSE(bed.here->owns(ip(peer_text(false))));
}
