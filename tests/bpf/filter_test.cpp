// SPDX-License-Identifier: BSD-3-Clause
// The XDP program with a filter against packet_filter::judge(): two implementations that share no code, over frames and
// rules drawn at random from what makes them meet.
#include "fluxnet/xsk/program.hpp"

#include "fluxnet/xsk/builder.hpp"
#include "tests/bpf/test_run.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/filter_frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// Frames and filters of one seed.
class world {
public:
    explicit world(std::uint32_t seed) : random_(seed) {}

    frame_bytes frame() {
        frame_bytes made = whole_frame();
        if (one_in(6)) { made = tagged(std::move(made), one_in(2) ? 0x8100 : 0x88a8); }
        if (one_in(4)) { made.resize(14 + below(static_cast<unsigned>(made.size()) - 13)); }
        for (unsigned faults = one_in(3) ? 1 + below(2) : 0; faults != 0; --faults) {
            made[12 + below(static_cast<unsigned>(made.size()) - 12)] = static_cast<std::byte>(below(256));
        }
        return made;
    }

    packet_filter filter() {
        packet_filter made;
        const std::size_t rules = one_in(8) ? packet_filter::most_rules : below(8);
        while (made.rules().size() < rules) {
            const filter_rule candidate = rule();
            if (packet_filter{candidate}.validate()) { made.add(candidate); }
        }
        return made;
    }

private:
    std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }
    bool one_in(std::uint32_t times) { return below(times) == 0; }
    template <class T, std::size_t count>
    T any_of(const std::array<T, count>& values) {
        return values[below(count)];
    }

    unsigned port() { return any_of(std::array{0U, 7U, 8U, 80U, 1000U, 65535U}); }
    unsigned protocol() { return any_of(std::array{0U, 1U, 6U, 6U, 17U, 17U, 33U, 58U, 132U, 136U}); }
    frame_bytes ports() { return from_to(port(), port(), below(12)); }

    frame_bytes whole_frame() {
        switch (below(9)) {
            case 8: return arp(below(3), below(3), one_in(4) ? 6 : 1);
            case 0: return ethernet(any_of(std::array{0x0806U, 0x88b5U, 0x0800U, 0x86ddU, 46U}), frame_bytes(below(60)));
            case 1:
            case 2:
            case 3:
                return ipv4({.protocol = protocol(),
                             .fragment = one_in(4) ? any_of(std::array{0x2000U, 0x4000U, 0x8000U, 3U, 0x2003U}) : 0,
                             .options = one_in(3) ? below(11) : 0,
                             .last_source = below(3),
                             .last_destination = below(3)},
                            ports());
            default: break;
        }
        frame_bytes chain = ports();
        unsigned next = protocol();
        for (unsigned headers = one_in(2) ? below(7) : 0; headers != 0; --headers) {
            const unsigned kind = any_of(std::array{0U, 43U, 44U, 51U, 60U, 135U, 139U, 140U});
            chain = kind == 44
                        ? fragment_header(next, one_in(2) ? 0 : any_of(std::array{1U, 2U, 6U, 8U, 9U, 0xfff8U}), chain)
                        : extension(next, chain, below(3));
            next = kind;
        }
        return ipv6(next, chain, below(3));
    }

    std::optional<port_range> some_ports() {
        if (!one_in(2)) { return std::nullopt; }
        const unsigned first = port();
        return port_range(static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(one_in(2) ? first : port()));
    }

    std::optional<ip_prefix> some_prefix() {
        if (!one_in(4)) { return std::nullopt; }
        const auto last = static_cast<std::uint8_t>(below(3));
        if (one_in(2)) { return ip_prefix::v4({10, 77, 0, last}, any_of(std::array{32U, 31U, 30U})); }
        if (one_in(3)) { return ip_prefix::v6({0x20, 1, 0xd, 0xb8}, any_of(std::array{32U, 64U, 65U, 126U})); }
        return ip_prefix::v6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}, any_of(std::array{128U, 127U}));
    }

    filter_rule rule() {
        filter_rule made;
        made.verdict = any_of(std::array{filter_verdict::redirect, filter_verdict::pass, filter_verdict::drop});
        if (one_in(6)) { made.ether_type = any_of(std::array<std::uint16_t, 5>{0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8}); }
        if (one_in(5)) { made.ip_version = one_in(2) ? std::uint8_t{4} : std::uint8_t{6}; }
        if (!one_in(4)) { made.protocol = static_cast<std::uint8_t>(protocol()); }
        made.destination_ports = some_ports();
        made.source_ports = some_ports();
        made.destination = some_prefix();
        made.source = some_prefix();
        return made;
    }

    std::mt19937 random_;
};

/// A program with a filter, and a socket on its queue 0.
struct filtered_port {
    filtered_port() : bed({.queues = 2}), inside(bed.host()) {
        REQUIRE(system_kernel().find_interface(bed.name(side::host).c_str(), interface) == 0);
        loaded = program::load(interface, packet_filter()).value();
        sockets.emplace(
            builder(bed.name(side::host)).frames(64).use_program(loaded).mode(xdp_mode::native).build_system().value());
    }

    testbed bed;
    network_namespace::scoped_enter inside;
    interface_info interface;
    std::shared_ptr<program> loaded;
    std::optional<system_sockets> sockets;
};

std::uint32_t action_of(filter_verdict verdict) {
    switch (verdict) {
        case filter_verdict::redirect: return XDP_REDIRECT;
        case filter_verdict::pass: return XDP_PASS;
        case filter_verdict::drop: break;
    }
    return XDP_DROP;
}

/// What the counters show after one packet.
void add(verdict_counts& sum, std::vector<std::uint64_t>& rules, const filter_decision& decision) {
    switch (decision.verdict) {
        case filter_verdict::redirect: ++sum.redirected; break;
        case filter_verdict::pass: ++sum.passed; break;
        case filter_verdict::drop: ++sum.dropped; break;
    }
    switch (decision.reason) {
        case filter_reason::rule: ++rules[decision.rule]; break;
        case filter_reason::unmatched: ++sum.unmatched; break;
        case filter_reason::fragment: ++sum.fragment; break;
        case filter_reason::tagged: ++sum.tagged; break;
        case filter_reason::unreadable: ++sum.unreadable; break;
    }
}

std::array<std::uint64_t, 7> numbers(const verdict_counts& of) {
    return {of.redirected, of.passed, of.dropped, of.unmatched, of.fragment, of.tagged, of.unreadable};
}

std::vector<std::uint64_t> packets_of(const program& of) {
    std::vector<std::uint64_t> counts;
    for (const rule_count& one : of.count_rules()) { counts.push_back(one.packets); }
    return counts;
}

}  // namespace

TEST_CASE("the program decides and counts as judge() does over random frames and random filters") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    world draw(20240607);
    verdict_counts expected;
    std::uint64_t decided_by_rules = 0;
    for (int round = 0; round < 120; ++round) {
        const packet_filter filter = draw.filter();
        REQUIRE(port.loaded->set_filter(filter).has_value());
        CHECK(port.loaded->filter() == filter);
        std::vector<std::uint64_t> rules = packets_of(*port.loaded);
        REQUIRE(rules.size() == filter.rules().size());
        for (int i = 0; i < 250; ++i) {
            const frame_bytes frame = draw.frame();
            const filter_decision decision = filter.judge(frame);
            add(expected, rules, decision);
            const test_verdict seen = run_over(*port.loaded, frame, port.interface.index, 0);
            REQUIRE(seen.error == 0);
            const bool same_action = seen.action == action_of(decision.verdict);
            const bool same_counts = numbers(port.loaded->count()) == numbers(expected);
            CAPTURE(round);
            CAPTURE(i);
            REQUIRE(same_action);
            REQUIRE(same_counts);
            REQUIRE(seen.packet == frame);
            decided_by_rules += decision.reason == filter_reason::rule;
        }
        CHECK(packets_of(*port.loaded) == rules);
    }
    // The frames are of all kinds.
    for (const std::uint64_t number : numbers(expected)) { CHECK(number > 300); }
    CHECK(decided_by_rules > 3000);
}

TEST_CASE("a frame of every length from the shortest is decided as judge() does") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    const packet_filter filter{filter_rule::udp_to(7)};
    REQUIRE(port.loaded->set_filter(filter).has_value());
    frame_bytes chain = from_to(9, 7);
    for (const unsigned next : {17U, 60U, 43U, 0U}) { chain = extension(next, chain, 1); }
    for (const frame_bytes& whole :
         {ipv4({}, from_to(9, 7)), ipv4({.options = 10}, from_to(9, 7)), ipv6(17, from_to(9, 7)), ipv6(60, chain),
          tagged(tagged(ipv4({}, from_to(9, 7)), 0x88a8)), ipv6(44, fragment_header(17, 0, from_to(9, 7)))}) {
        for (std::size_t size = 14; size <= whole.size(); ++size) {
            const frame_bytes frame = cut(whole, size);
            const test_verdict seen = run_over(*port.loaded, frame, port.interface.index, 0);
            REQUIRE(seen.error == 0);
            CHECK(seen.action == action_of(filter.judge(frame).verdict));
        }
    }
}

TEST_CASE("rules that stay in the filter keep their counts and others begin at zero") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    const auto send = [&](unsigned to, int times) {
        for (; times != 0; --times) {
            REQUIRE(run_over(*port.loaded, ipv4({}, from_to(9, to)), port.interface.index, 0).error == 0);
        }
    };
    const auto counts = [&] { return packets_of(*port.loaded); };
    using list = std::vector<std::uint64_t>;
    const filter_rule a = filter_rule::udp_to(1);
    const filter_rule b = filter_rule::udp_to(2);
    const filter_rule c = filter_rule::udp_to(3);
    REQUIRE(port.loaded->set_filter({a, b}).has_value());
    send(1, 3);
    send(2, 2);
    CHECK(counts() == list{3, 2});
    REQUIRE(port.loaded->set_filter({c, b}).has_value());
    send(2, 1);
    send(3, 4);
    CHECK(counts() == list{4, 3});
    REQUIRE(port.loaded->set_filter({a, b, b, c}).has_value());
    CHECK(counts() == list{0, 3, 0, 4});
    send(2, 1);
    send(1, 1);
    CHECK(counts() == list{1, 4, 0, 4});
    REQUIRE(port.loaded->set_filter({}).has_value());
    CHECK(counts().empty());
    REQUIRE(port.loaded->set_filter({a, b, c}).has_value());
    CHECK(counts() == list{0, 0, 0});
    CHECK(port.loaded->count_rules()[1].rule == b);
    // The largest filters, one after another: every counter is free again in time.
    for (int round = 0; round < 5; ++round) {
        packet_filter large;
        for (std::size_t i = 0; i < packet_filter::most_rules; ++i) {
            large.add(filter_rule::tcp_to(static_cast<std::uint16_t>(1000 * round + static_cast<int>(i))));
        }
        REQUIRE(port.loaded->set_filter(large).has_value());
        CHECK(counts() == list(packet_filter::most_rules));
    }
}

TEST_CASE("a packet that spans several buffers is decided by its headers") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    REQUIRE(port.loaded->set_filter({filter_rule::udp_to(7)}).has_value());
    for (const std::size_t size : {3000U, 9014U}) {
        for (const unsigned to : {7U, 8U}) {
            const frame_bytes frame = ipv6(60, extension(17, from_to(9, to, size), 2));
            const test_verdict seen = run_over(*port.loaded, frame, port.interface.index, 0);
            REQUIRE(seen.error == 0);
            CHECK(seen.action == (to == 7 ? XDP_REDIRECT : XDP_PASS));
            CHECK(seen.packet == frame);
        }
    }
}

TEST_CASE("a filter that is refused leaves the former one in force") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    REQUIRE(port.loaded->set_filter({filter_rule::udp_to(7)}).has_value());
    const auto refused = port.loaded->set_filter({{.destination_ports = port_range(7)}});
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::invalid_option);
    CHECK(port.loaded->filter() == packet_filter{filter_rule::udp_to(7)});
    CHECK(run_over(*port.loaded, ipv4({}, from_to(9, 7)), port.interface.index, 0).action == XDP_REDIRECT);
    // On a queue without a socket what the filter redirects passes.
    CHECK(run_over(*port.loaded, ipv4({}, from_to(9, 7)), port.interface.index, 1).action == XDP_PASS);
    CHECK(packets_of(*port.loaded) == std::vector<std::uint64_t>{2});
    CHECK(port.loaded->count().redirected == 1);
    CHECK(port.loaded->count().passed == 1);
}

TEST_CASE("a program that was loaded without a filter gets none later") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    filtered_port port;
    const auto plain = program::load(port.interface).value();
    CHECK_FALSE(plain->filter().has_value());
    CHECK(plain->count_rules().empty());
    const auto refused = plain->set_filter(packet_filter::everything());
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::invalid_option);
    CHECK(refused.error().remedy.find("only(") != std::string::npos);
}
