// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/filter.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <string_view>
#include <vector>

using namespace firewall;
using proto::test::counting;

namespace {

const proto::test::endpoints dns_host{.host = proto::mac_address({2, 0, 0, 0, 0, 1}),
                                      .host_ip = {192, 0, 2, 1},
                                      .client = proto::mac_address({2, 0, 0, 0, 0, 2}),
                                      .client_ip = {192, 0, 2, 77},
                                      .echo_port = 53};

rule_set filter_rules(std::string_view text) {
    auto rules = rule_set::parse(text, "test");
    REQUIRE_MESSAGE(rules.has_value(), rules.error().message());
    return std::move(*rules);
}

void check_sums(const filter& rules) {
    const filter_counts& all = rules.counts();
    CHECK(all.frames == all.allowed + all.arp + all.denied + all.malformed + all.other);
    CHECK(std::accumulate(all.flaws.begin(), all.flaws.end(), std::uint64_t{0}) == all.malformed);
    std::uint64_t hits = all.former_hits;
    for (std::size_t i = 0; i < rules.rules().size(); ++i) { hits += rules.hits(i); }
    CHECK(hits == all.allowed + all.denied);
}

std::vector<std::byte> of_type(std::uint16_t type) {
    auto frame = proto::test::arp_request(dns_host);
    proto::store_be16(frame.data() + proto::ethernet_offset::type, type);
    return frame;
}

}  // namespace

TEST_CASE("rules decide about IPv4 and every frame counts once") {
    filter rules(filter_rules("allow udp to any port 53\ndefault deny"));
    CHECK(rules.passes(proto::test::udp_request(dns_host, counting(5))));
    CHECK(rules.passes(proto::test::udp_request(dns_host, counting(6))));
    CHECK(!rules.passes(proto::test::echo_request(dns_host, counting(5))));
    CHECK(rules.passes(proto::test::arp_request(dns_host)));
    CHECK(!rules.passes(of_type(0x86dd)));
    CHECK(!rules.passes(std::vector<std::byte>(13)));
    const filter_counts& all = rules.counts();
    CHECK(all.frames == 6);
    CHECK(all.allowed == 2);
    CHECK(all.denied == 1);
    CHECK(all.arp == 1);
    CHECK(all.other == 1);
    CHECK(all.malformed == 1);
    CHECK(all.flaws[0] == 1);
    CHECK(all.passed() == 3);
    CHECK(rules.hits(0) == 2);
    CHECK(rules.hits(1) == 1);
    check_sums(rules);
}

TEST_CASE("ARP passes what denies everything and nothing else passes what allows everything but IPv4 and ARP") {
    filter nothing(filter_rules("deny any\ndefault deny"));
    CHECK(nothing.passes(proto::test::arp_request(dns_host)));
    CHECK(!nothing.passes(proto::test::udp_request(dns_host, {})));
    filter everything(filter_rules("allow any\ndefault allow"));
    CHECK(everything.passes(proto::test::udp_request(dns_host, {})));
    CHECK(!everything.passes(of_type(0x86dd)));
    CHECK(!everything.passes(of_type(0x8100)));
    check_sums(everything);
}

TEST_CASE("rules in the same words keep their hits when others take over") {
    filter rules(filter_rules("allow udp to any port 53\ndeny icmp\nallow tcp\ndefault deny"));
    const auto datagram = proto::test::udp_request(dns_host, counting(5));
    const auto ping = proto::test::echo_request(dns_host, counting(5));
    CHECK(rules.passes(datagram));
    CHECK(!rules.passes(ping));
    CHECK(!rules.passes(ping));
    check_sums(rules);

    rules.replace(filter_rules("allow icmp\nallow   udp to any port 53  # moved\nallow udp to any port 53\ndefault deny"));
    CHECK(rules.hits(0) == 0);
    CHECK(rules.hits(1) == 1);
    CHECK(rules.hits(2) == 0);
    CHECK(rules.counts().former_hits == 2);
    CHECK(rules.passes(ping));
    CHECK(rules.passes(datagram));
    CHECK(rules.hits(0) == 1);
    CHECK(rules.hits(1) == 2);
    check_sums(rules);

    rules.replace(filter_rules("default deny"));
    CHECK(!rules.passes(datagram));
    CHECK(rules.counts().former_hits == 5);
    CHECK(rules.counts().frames == 6);
    check_sums(rules);
}
