// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/rules.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

using namespace firewall;
using fluxnet::errc;
using proto::ip_protocol;

namespace {

rule_set make(std::string_view text) {
    auto rules = rule_set::parse(text, "test");
    REQUIRE_MESSAGE(rules.has_value(), rules.error().message());
    return std::move(*rules);
}

constexpr std::uint32_t ip(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return proto::ipv4_address(a, b, c, d).to_host_order();
}

/// From 10.1.2.3 port 40000 to 10.9.8.7 port 80.
datagram packet(ip_protocol protocol) {
    datagram made{.source = ip(10, 1, 2, 3), .destination = ip(10, 9, 8, 7), .protocol = protocol};
    if (protocol != ip_protocol::icmp) {
        made.has_ports = true;
        made.source_port = 40000;
        made.destination_port = 80;
    }
    return made;
}

std::string refusal(std::string_view text) {
    const auto rules = rule_set::parse(text, "file");
    REQUIRE(!rules.has_value());
    CHECK(rules.error().code == errc::invalid_option);
    return rules.error().message();
}

}  // namespace

TEST_CASE("a file of rules has blanks and comments and empty lines") {
    const rule_set rules = make(
        "# web\n\n  allow\ttcp  to 10.9.8.7 port 80 # the server\r\n"
        "deny any#all of it\nallow udp from 10.0.0.0/8 port 1-9 to any port 53\n\tdefault deny\n# end");
    REQUIRE(rules.size() == 4);
    CHECK(rules.text(0) == "allow tcp to 10.9.8.7 port 80");
    CHECK(rules.text(1) == "deny any");
    CHECK(rules.text(2) == "allow udp from 10.0.0.0/8 port 1-9 to any port 53");
    CHECK(rules.text(3) == "default deny");

    CHECK(rules[0].what == verdict::allow);
    CHECK(rules[0].protocol == ip_protocol::tcp);
    CHECK(rules[0].has_ports);
    CHECK(rules[0].from.where.mask == 0);
    CHECK(rules[0].from.ports.first == 0);
    CHECK(rules[0].from.ports.last == 65535);
    CHECK(rules[0].to.where.bits == ip(10, 9, 8, 7));
    CHECK(rules[0].to.where.mask == 0xffffffff);
    CHECK(rules[0].to.ports.first == 80);
    CHECK(rules[0].to.ports.last == 80);
    CHECK(rules[1].what == verdict::deny);
    CHECK(!rules[1].protocol.has_value());
    CHECK(!rules[1].has_ports);
    CHECK(rules[2].protocol == ip_protocol::udp);
    CHECK(rules[2].from.where.bits == ip(10, 0, 0, 0));
    CHECK(rules[2].from.where.mask == 0xff000000);
    CHECK(rules[2].from.ports.last == 9);
    CHECK(rules[2].to.where.mask == 0);
    CHECK(rules[2].to.ports.first == 53);
    CHECK(rules[3].what == verdict::deny);
}

TEST_CASE("a file may hold nothing but its default") {
    CHECK(make("default allow")[0].what == verdict::allow);
    CHECK(make("default deny\n")[0].what == verdict::deny);
}

TEST_CASE("the first rule that matches decides and else the default") {
    const rule_set rules = make("deny tcp to any port 80\nallow tcp\nallow icmp to 10.9.8.7\ndefault deny");
    CHECK(rules.find(packet(ip_protocol::tcp)) == 0);
    datagram other = packet(ip_protocol::tcp);
    other.destination_port = 81;
    CHECK(rules.find(other) == 1);
    CHECK(rules.find(packet(ip_protocol::icmp)) == 2);
    CHECK(rules.find(packet(ip_protocol::udp)) == 3);
    CHECK(rules.find(packet(ip_protocol{47})) == 3);
}

TEST_CASE("each part of a rule decides whether it matches") {
    const struct {
        const char* rule;
        bool tcp;
        bool udp;
        bool icmp;
    } cases[] = {
        {"any", true, true, true},
        {"tcp", true, false, false},
        {"udp", false, true, false},
        {"icmp", false, false, true},
        {"any from 10.1.2.3", true, true, true},
        {"any from 10.1.2.3/32 to 10.9.8.7/32", true, true, true},
        {"any from 10.1.2.2", false, false, false},
        {"any from 10.9.8.7", false, false, false},
        {"any to 10.1.2.3", false, false, false},
        {"any from 0.0.0.0/0", true, true, true},
        {"any from 0.0.0.0/1", true, true, true},
        {"any from 128.0.0.0/1", false, false, false},
        {"any from 10.1.2.2/31", true, true, true},
        {"any from 10.1.2.0/31", false, false, false},
        {"any from 10.1.0.0/16 to 10.9.0.0/16", true, true, true},
        {"any from 10.1.0.0/16 to 10.8.0.0/16", false, false, false},
        {"udp to any port 80", false, true, false},
        {"udp to any port 81", false, false, false},
        {"tcp from any port 40000", true, false, false},
        {"tcp from any port 80", false, false, false},
        {"tcp from any port 40000-50000 to any port 1-80", true, false, false},
        {"tcp from any port 40001-50000", false, false, false},
        {"tcp to any port 0-79", false, false, false},
        {"tcp from any port 0-65535 to any port 0-65535", true, false, false},
        {"tcp from 10.1.2.3 port 40000 to 10.9.8.7 port 80", true, false, false},
        {"tcp from 10.1.2.3 port 80 to 10.9.8.7 port 40000", false, false, false},
    };
    for (const auto& [text, tcp, udp, icmp] : cases) {
        CAPTURE(text);
        const rule_set rules = make(std::string("allow ") + text + "\ndefault deny");
        CHECK((rules.find(packet(ip_protocol::tcp)) == 0) == tcp);
        CHECK((rules.find(packet(ip_protocol::udp)) == 0) == udp);
        CHECK((rules.find(packet(ip_protocol::icmp)) == 0) == icmp);
    }
}

TEST_CASE("a packet without ports matches only rules without ports") {
    const rule_set rules = make("allow udp from any port 0-65535\ndeny udp to any port 0-65535\nallow udp\ndefault deny");
    datagram fragment = packet(ip_protocol::udp);
    CHECK(rules.find(fragment) == 0);
    fragment.has_ports = false;
    CHECK(rules.find(fragment) == 2);
}

TEST_CASE("each mistake in a file names line and column and what was found and what was expected") {
    const struct {
        std::string_view text;
        const char* message;
    } mistakes[] = {
        // words
        {"permit tcp", "read file:1:1: found 'permit'; expected 'default', 'allow' or 'deny'"},
        {"Allow tcp", "read file:1:1: found 'Allow'; expected 'default', 'allow' or 'deny'"},
        {"\n\n  permit tcp", "read file:3:3: found 'permit'; expected 'default', 'allow' or 'deny'"},
        {"allow", "read file:1:6: found the end of the line; expected 'tcp', 'udp', 'icmp' or 'any'"},
        {"allow  # all", "read file:1:6: found the end of the line; expected 'tcp', 'udp', 'icmp' or 'any'"},
        {"default deny # no\nallow", "read file:2:1: found 'allow'; expected nothing behind the default"},
        {"allow tpc", "read file:1:7: found 'tpc'; expected 'tcp', 'udp', 'icmp' or 'any'"},
        {"allow from any", "read file:1:7: found 'from'; expected 'tcp', 'udp', 'icmp' or 'any'"},
        {"allow tcp form any", "read file:1:11: found 'form'; expected 'from', 'to' or the end of the line"},
        {"allow tcp port 80", "read file:1:11: found 'port'; expected 'from', 'to' or the end of the line"},
        {"allow tcp to any from any", "read file:1:18: found 'from'; expected 'port' or the end of the line"},
        {"allow tcp from any from any", "read file:1:20: found 'from'; expected 'port', 'to' or the end of the line"},
        {"allow tcp from any port 1 from any", "read file:1:27: found 'from'; expected 'to' or the end of the line"},
        {"allow tcp to any port 1 to any", "read file:1:25: found 'to'; expected the end of the line"},
        {"allow icmp from any and", "read file:1:21: found 'and'; expected 'to' or the end of the line"},
        {"allow icmp to any and", "read file:1:19: found 'and'; expected the end of the line"},
        // addresses
        {"allow tcp from",
         "read file:1:15: found the end of the line; expected 'any', an address like 192.0.2.1 or a prefix like "
         "192.0.2.0/24"},
        {"allow tcp from to any",
         "read file:1:16: found 'to'; expected 'any', an address like 192.0.2.1 or a prefix like 192.0.2.0/24"},
        {"allow tcp from 10.0.0.256", "read file:1:16: found '10.0.0.256'; expected 'any', an address"},
        {"allow tcp from 10.0.0", "read file:1:16: found '10.0.0'; expected 'any', an address"},
        {"allow tcp from example.com/8", "read file:1:16: found 'example.com'; expected 'any', an address"},
        {"allow tcp from /8", "read file:1:16: found nothing; expected 'any', an address"},
        {"allow tcp from ::1", "read file:1:16: found '::1'; expected 'any', an address"},
        {"allow tcp to 10.0.0.0/", "read file:1:23: found the end of the line; expected a prefix length from 0 to 32"},
        {"allow tcp from 10.0.0.0/ to any", "read file:1:25: found nothing; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.0.0.0/33", "read file:1:23: found '33'; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.0.0.0/-1", "read file:1:23: found '-1'; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.0.0.0/08", "read file:1:23: found '08'; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.0.0.0/8/8", "read file:1:23: found '8/8'; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.0.0.0/255.0.0.0", "read file:1:23: found '255.0.0.0'; expected a prefix length from 0 to 32"},
        {"allow tcp to 10.1.2.3/8",
         "read file:1:14: found '10.1.2.3/8'; expected '10.0.0.0/8', with zeros behind the prefix"},
        {"allow tcp to 10.1.2.3/0", "read file:1:14: found '10.1.2.3/0'; expected '0.0.0.0/0', with zeros"},
        // ports
        {"allow tcp to any port", "read file:1:22: found the end of the line; expected a port from 0 to 65535"},
        {"allow tcp to any port 65536", "read file:1:23: found '65536'; expected a port from 0 to 65535"},
        {"allow tcp to any port 99999999999", "read file:1:23: found '99999999999'; expected a port from 0 to 65535"},
        {"allow tcp to any port http", "read file:1:23: found 'http'; expected a port from 0 to 65535"},
        {"allow tcp to any port 080", "read file:1:23: found '080'; expected a port from 0 to 65535"},
        {"allow tcp to any port 80,81", "read file:1:23: found '80,81'; expected a port from 0 to 65535"},
        {"allow tcp to any port 1-", "read file:1:25: found the end of the line; expected a port from 0 to 65535"},
        {"allow tcp from any port 1- to any", "read file:1:27: found nothing; expected a port from 0 to 65535"},
        {"allow tcp to any port -1", "read file:1:23: found nothing; expected a port from 0 to 65535"},
        {"allow tcp to any port 1-2-3", "read file:1:25: found '2-3'; expected a port from 0 to 65535"},
        {"allow tcp to any port 90-80", "read file:1:23: found '90-80'; expected 80-90, the lower port first"},
        {"allow icmp to any port 80", "read file:1:19: found 'port'; expected no ports: only tcp and udp have them"},
        {"deny any from any port 80", "read file:1:19: found 'port'; expected no ports: only tcp and udp have them"},
        // the default
        {"default", "read file:1:8: found the end of the line; expected 'allow' or 'deny'"},
        {"default drop", "read file:1:9: found 'drop'; expected 'allow' or 'deny'"},
        {"default deny all", "read file:1:14: found 'all'; expected the end of the line"},
        {"default deny\ndefault deny", "read file:2:1: found 'default'; expected nothing behind the default"},
        {"default deny\n\n allow tcp", "read file:3:2: found 'allow'; expected nothing behind the default"},
        {"", "read file:1:1: found the end of the file; expected 'default allow' or 'default deny' as the last line"},
        {"allow tcp", "read file:1:10: found the end of the file; expected 'default allow'"},
        {"allow tcp\n# default deny\n", "read file:3:1: found the end of the file; expected 'default allow'"},
    };
    for (const auto& [text, message] : mistakes) {
        CAPTURE(text);
        const std::string refused = refusal(text);
        CHECK_MESSAGE(refused.starts_with(message), refused);
    }
}

TEST_CASE("the first of several mistakes is named") {
    CHECK(refusal("allow tcp\nallow tpc from nowhere port x\npermit\n").starts_with("read file:2:7: found 'tpc'"));
}

TEST_CASE("bytes that no text has are refused and shown harmlessly") {
    using namespace std::string_view_literals;
    CHECK(refusal("allow\0tcp"sv).starts_with("read file:1:1: found 'allow\\x00tcp'; "));
    CHECK(refusal("allow \x1b[2J"sv).starts_with("read file:1:7: found '\\x1b[2J'; "));
    CHECK(refusal("\xef\xbb\xbf"
                  "allow tcp"sv)
              .starts_with("read file:1:1: found '\\xef\\xbb\\xbfallow'; "));
    CHECK(refusal("allow " + std::string(1000, 'x'))
              .starts_with("read file:1:7: found '" + std::string(40, 'x') + "...'; expected"));
}

TEST_CASE("a file cut short anywhere is no file of rules") {
    const std::string whole = "allow tcp to 10.9.8.7 port 80\ndeny udp\ndefault allow";
    CHECK(make(whole).size() == 3);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CAPTURE(length);
        CHECK(!rule_set::parse(std::string_view(whole).substr(0, length), "file").has_value());
    }
}

TEST_CASE("there is a largest number of rules") {
    std::string text;
    for (std::size_t i = 0; i < rule_set::max_rules; ++i) { text += "deny icmp\n"; }
    CHECK(make(text + "default allow").size() == rule_set::max_rules + 1);
    CHECK(make(text + "default allow").find(packet(ip_protocol::tcp)) == rule_set::max_rules);
    CHECK(
        refusal(text + "\n allow tcp\ndefault allow").starts_with("read file:4098:2: found 'allow'; expected at most 4096"));
}

TEST_CASE("a file that cannot be read is named with the reason") {
    const auto message = [](const char* path) { return rule_set::load(path).error().message(); };
    CHECK(message("/no/such/file").starts_with("read /no/such/file: ENOENT"));
    CHECK(message("/tmp").starts_with("read /tmp: it is not a regular file"));
    CHECK(message("/dev/null").starts_with("read /dev/null: it is not a regular file"));
    CHECK(message("/dev/null/x").starts_with("read /dev/null/x: ENOTDIR"));
}

TEST_CASE("a file is read whole up to its largest size") {
    const int fd = ::memfd_create("rules", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const std::string end = "\ndefault deny\n";
    std::string text = "#" + std::string(rule_set::max_file_size - end.size() - 1, 'x') + end;
    REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    const auto whole = rule_set::load(path);
    CHECK(whole.has_value());
    REQUIRE(::pwrite(fd, "#", 1, static_cast<off_t>(text.size())) == 1);
    const auto larger = rule_set::load(path);
    REQUIRE(!larger.has_value());
    CHECK(larger.error().message().starts_with("read " + path + ": it is larger than 1 MiB"));
    ::close(fd);
}
