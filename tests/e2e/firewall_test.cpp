// SPDX-License-Identifier: BSD-3-Clause
// firewall_engine between two kernels: what its rules allow passes, what they deny does not, and rules change under load.
#include "tests/e2e/firewall_bed.hpp"
#include "tests/e2e/kernel_server.hpp"
#include "tests/e2e/number_in.hpp"
#include "tests/e2e/numbered_stream.hpp"
#include "tests/e2e/text_file.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

finished ping(const firewall_bed& bed, const char* address, const std::vector<std::string>& more) {
    std::vector<std::string> argv{"ping", "-n", "-q"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.emplace_back(address);
    return bed.run_client(argv, 20s);
}

finished curl(const firewall_bed& bed, const char* address, const char* connect_timeout) {
    return bed.run_client({"curl", "--silent", "--noproxy", "*", "--connect-timeout", connect_timeout, "--max-time", "30",
                           std::string("http://") + address + "/"},
                          40s);
}

constexpr const char* web_rules =
    "allow icmp from 10.78.1.0/24 to 10.78.1.2\n"
    "allow icmp from 10.78.1.2 to 10.78.1.1\n"
    "deny  icmp to 10.78.1.3\n"
    "allow tcp from 10.78.1.1 port 1024-65535 to 10.78.1.2 port 80\n"
    "allow tcp from 10.78.1.2 port 80 to 10.78.1.1\n"
    "deny  tcp to any port 7\n"
    "default deny\n";

void let_pass_what_is_allowed(const char* mode) {
    firewall_bed bed;
    const kernel_server server(bed.server(), "server", 8'000'000);
    text_file rules(web_rules);
    process wall = bed.start({"--rules", rules.path(), "--mode", mode});
    CHECK_MESSAGE(contains(wall.output(), std::string(mode) + " and " + mode + " XDP"), wall.output());

    const finished pinged = ping(bed, firewall_bed::server_ip, {"-c", "20", "-i", "0.01", "-W", "5"});
    CHECK_MESSAGE(contains(pinged.output, " 0% packet loss"), pinged.output);
    const auto before = std::chrono::steady_clock::now();
    const finished fetched = curl(bed, firewall_bed::server_ip, "5");
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - before;
    CHECK(fetched.exit_code == 0);
    CHECK(fetched.output == server.document());
    std::printf("%s: curl fetched %zu octets in %.2f s\n", mode, fetched.output.size(), taken.count());

    CHECK_MESSAGE(
        contains(ping(bed, firewall_bed::other_server_ip, {"-c", "5", "-i", "0.01", "-W", "1"}).output, " 100% packet loss"),
        "a denied ping was answered");
    const finished refused = curl(bed, firewall_bed::other_server_ip, "1");
    CHECK(refused.exit_code == 28);  // timed out
    CHECK_FALSE(bed.client_connects(firewall_bed::server_ip, kernel_server::echo_port, 500ms));
    CHECK(server.requests() == 1);
    CHECK(server.echo_connections() == 0);

    wall.signal(SIGUSR1);
    REQUIRE(wall.read_until("summary: ", 5s));
    const std::string live = wall.output();
    CHECK(number_in(live, "rule 1:", "hits") == 20);
    CHECK(number_in(live, "rule 2:", "hits") == 20);
    CHECK(number_in(live, "rule 3:", "hits") == 5);
    CHECK(number_in(live, "rule 4:", "hits") > 100);
    CHECK(number_in(live, "rule 5:", "hits") > 8'000'000 / 1500);
    CHECK(number_in(live, "rule 6:", "hits") >= 1);
    CHECK(number_in(live, "rule 7:", "hits") >= 1);
    CHECK(number_in(live, "summary:", "arp") >= 2);

    rules.write("default allow\n");  // what was denied works, so it was the rules that stood in its way
    wall.signal(SIGHUP);
    REQUIRE(wall.read_until("reloaded: 1 rules", 5s));
    CHECK(bed.client_connects(firewall_bed::server_ip, kernel_server::echo_port, 5s));
    CHECK(curl(bed, firewall_bed::other_server_ip, "5").output == server.document());
    CHECK(ping(bed, firewall_bed::other_server_ip, {"-c", "5", "-i", "0.01", "-W", "5"}).success());
    const std::string output = stop_firewall(wall, SIGTERM);
    CHECK(number_in(output, "summary:", "no_room") == 0);
    CHECK(number_in(output, "summary:", "refused") == 0);
    CHECK_MESSAGE(accounts_balance(output), output);
}

/// Rules that allow ping and datagrams to port 7000, in one of several forms; those to port 7001 are denied in odd rounds.
std::string changing_rules(unsigned round) {
    std::string text = "# round " + std::to_string(round) + "\n";
    const unsigned strangers = round % 3 == 0 ? 400 : round % 7;  // rules that match nothing here
    for (unsigned i = 0; i < strangers; ++i) {
        text += "deny udp from 192.0.2." + std::to_string(i % 256) + " to any port " + std::to_string(i) + "\n";
    }
    if (round % 2 == 1) { text += "deny udp to any port 7001\n"; }
    text += round % 4 < 2 ? "allow icmp\nallow udp from 10.78.1.1 to 10.78.1.2 port 7000-7001\n"
                          : "allow udp to 10.78.1.0/24\nallow any from 10.78.1.0/30\n";
    return text + "default deny\n";
}

/// Puts the rules of one round in force, or a file with a mistake, after which the old ones must stay.
void reload(process& wall, text_file& rules, unsigned round) {
    if (round % 5 == 4) {
        rules.write("allow icmp\nallow udb\ndefault deny\n");
        wall.signal(SIGHUP);
        REQUIRE_MESSAGE(wall.read_until(rules.path() + ":2:7: found 'udb'; expected 'tcp', 'udp', 'icmp' or 'any'", 5s),
                        wall.output());
        REQUIRE_MESSAGE(wall.read_until("; keeping the ", 5s), wall.output());
        return;
    }
    rules.write(changing_rules(round));
    wall.signal(SIGHUP);
    REQUIRE_MESSAGE(wall.read_until("reloaded: ", 5s), wall.output());
}

void change_rules_under_load(const char* mode) {
    constexpr unsigned pings = 1500;
    firewall_bed bed;
    text_file rules(changing_rules(0));
    process wall = bed.start({"--rules", rules.path(), "--mode", mode, "--quiet"});
    REQUIRE(ping(bed, firewall_bed::server_ip, {"-c", "1", "-W", "5"}).success());  // neighbours know each other
    process pinging = bed.spawn_client(
        {"ping", "-n", "-q", "-i", "0.002", "-c", std::to_string(pings), "-W", "5", firewall_bed::server_ip});
    numbered_stream allowed(bed.client(), bed.server(), firewall_bed::server_ip, 7000, 4);
    numbered_stream changing(bed.client(), bed.server(), firewall_bed::server_ip, 7001, 1);

    unsigned round = 0;
    while (pinging.running() || round < 200) {
        reload(wall, rules, ++round);
        changing.give_up_missing();
        REQUIRE(round < 10'000);
        std::this_thread::sleep_for(5ms);
    }
    REQUIRE(pinging.wait(20s).has_value());
    const numbered_stream::outcome passed = allowed.stop();
    const numbered_stream::outcome partly = changing.stop();
    const std::string output = stop_firewall(wall, SIGINT);

    std::printf("%s: %u reloads; allowed: %u sent, %u lost; sometimes denied: %u sent, %u lost\n", mode, round, passed.sent,
                passed.sent - passed.received, partly.sent, partly.sent - partly.received);
    CHECK_MESSAGE(contains(pinging.output(), " 0% packet loss"), pinging.output());
    CHECK(passed.sent > 2000);
    CHECK(passed.received == passed.sent);
    CHECK(passed.wrong == 0);
    CHECK(partly.received > 0);
    CHECK(partly.received < partly.sent);
    CHECK(partly.wrong == 0);
    // Nothing else was under way, so the firewall's own figures are known to the last packet.
    CHECK(number_in(output, "summary:", "denied") == partly.sent - partly.received);
    CHECK(number_in(output, "summary:", "allowed") == passed.sent + partly.received + 2 * (pings + 1));
    CHECK(number_in(output, "summary:", "malformed") == 0);
    CHECK_MESSAGE(accounts_balance(output), output);
}

}  // namespace

TEST_CASE("allowed flows pass and denied ones do not in native mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    let_pass_what_is_allowed("native");
}

TEST_CASE("allowed flows pass and denied ones do not in generic mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    let_pass_what_is_allowed("generic");
}

TEST_CASE("rules change under load without a lost allowed packet in native mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    change_rules_under_load("native");
}

TEST_CASE("rules change under load without a lost allowed packet in generic mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    change_rules_under_load("generic");
}
