// SPDX-License-Identifier: BSD-3-Clause
// load_balancer_system between a client and three backends that run the kernel's TCP, on one Ethernet.
#include "tests/e2e/kernel_server.hpp"
#include "tests/e2e/load_balancer_process.hpp"
#include "tests/e2e/slow_streams.hpp"
#include "tests/e2e/text_file.hpp"
#include "tests/support/lan.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/support/times_asleep.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <signal.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* virtual_address = "10.78.0.100";
constexpr std::array names{"alpha", "bravo", "gamma"};

/// A client, the balancer's host and three backends, which have the virtual address on their loopback interface and keep it
/// to themselves there.
struct rig {
    rig() {
        net.add_host("client", "10.78.0.1/24");
        // As many ports as there can be: the fewer there are, the more the accidents of one client's flows show.
        net.configure("client", "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range");
        net.add_host("balancer");
        int last = 11;
        for (const char* name : names) {
            net.add_host(name, "10.78.0." + std::to_string(last++) + "/24");
            net.configure(name, std::string("ip address add ") + virtual_address +
                                    "/32 dev lo; cd /proc/sys/net/ipv4/conf/all; echo 1 >arp_ignore; echo 2 >arp_announce");
            servers.emplace_back(net.place(name), name);
        }
    }

    [[nodiscard]] std::string line(const std::string& name) const { return name + "=" + net.mac_text(name) + "\n"; }

    [[nodiscard]] std::string all_lines() const {
        std::string text = "# the backends\n";
        for (const char* name : names) { text += line(name); }
        return text;
    }

    [[nodiscard]] process start(const std::vector<std::string>& more) const {
        std::vector<std::string> argv{FLUXNET_LOAD_BALANCER, "--interface", lan::interface, "--address", virtual_address};
        argv.insert(argv.end(), more.begin(), more.end());
        process child = net.spawn("balancer", argv);
        wait_until_balancing(child);
        return child;
    }

    [[nodiscard]] finished ab(unsigned requests, unsigned concurrent) const {
        const std::string url = std::string("http://") + virtual_address + "/";
        return net.run("client", {"ab", "-q", "-n", std::to_string(requests), "-c", std::to_string(concurrent), url}, 60s);
    }

    lan net;
    std::deque<kernel_server> servers;
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Ten thousand requests, all of which must succeed; returns whether each server had a third of them within 5 %.
bool ten_thousand_spread_evenly(const rig& bed, const char* mode) {
    std::array<std::uint64_t, names.size()> before{};
    for (std::size_t i = 0; i < names.size(); ++i) { before[i] = bed.servers[i].requests(); }
    const auto start = std::chrono::steady_clock::now();
    const finished ab = bed.ab(10'000, 50);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;

    CHECK_MESSAGE(ab.success(), ab.output);
    CHECK_MESSAGE(contains(ab.output, "Complete requests:      10000\n"), ab.output);
    CHECK_MESSAGE(contains(ab.output, "Failed requests:        0\n"), ab.output);
    CHECK_MESSAGE(!contains(ab.output, "Non-2xx"), ab.output);
    CHECK_MESSAGE(contains(ab.output, "Document Length:        4000 bytes\n"), ab.output);
    std::printf("%s: 10000 requests in %.1f s:", mode, taken.count());
    bool even = true;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::uint64_t requests = bed.servers[i].requests() - before[i];
        std::printf(" %s %llu", names[i], 0ULL + requests);
        even = even && requests >= 3333 - 166 && requests <= 3333 + 166;
        sum += requests;
    }
    std::printf("\n");
    CHECK(sum == 10'000);
    return even;
}

void serve_ten_thousand_requests(const char* mode) {
    rig bed;
    std::vector<std::string> arguments{"--mode", mode};
    for (const char* name : names) {
        arguments.emplace_back("--backend");
        arguments.push_back(std::string(name) + "=" + bed.net.mac_text(name));
    }
    process balancer = bed.start(arguments);
    CHECK_MESSAGE(contains(balancer.output(), std::string(mode) + " XDP"), balancer.output());
    // The kernel draws the ports, so the shares are those of 10,000 draws: 5 % is three and a half standard deviations,
    // which chance exceeds about once in 500 runs. A choice that is uneven fails the second time too.
    const bool even = ten_thousand_spread_evenly(bed, mode) || ten_thousand_spread_evenly(bed, mode);
    CHECK(even);
    const std::string output = stop_balancer(balancer, SIGTERM);
    std::printf("%s", output.substr(output.find("summary:")).c_str());
    for (const kernel_server& server : bed.servers) {
        // A SYN that is sent again counts twice.
        CHECK(number_in(output, "backend " + server.name() + ":", "connections") >=
              static_cast<long long>(server.requests()));
    }
    CHECK_MESSAGE(accounts_balance(output), output);
}

}  // namespace

TEST_CASE("ten thousand requests by ab all succeed and spread evenly in native mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    serve_ten_thousand_requests("native");
}

TEST_CASE("ten thousand requests by ab all succeed and spread evenly in generic mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    serve_ten_thousand_requests("generic");
}

// What the removed backend had goes to the others, which know nothing of those connections and reset them.
TEST_CASE("removing a backend ends exactly its own of 300 connections and the rest finish byte for byte") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    rig bed;
    text_file file(bed.all_lines());
    process balancer = bed.start({"--backends", file.path()});
    slow_streams streams(bed.net.place("client"), virtual_address, kernel_server::echo_port, 300, 10s);
    REQUIRE(streams.all_named());
    const std::string removed = "bravo";
    streams.run(
        60, 200, 50ms,
        [&](std::size_t round) {
            if (round == 15) {
                file.write(bed.line("alpha") + "bravo=02:00:00:78:00:zz\n" + bed.line("gamma"));
                balancer.signal(SIGHUP);
                REQUIRE_MESSAGE(balancer.read_until("keeping the 3 backends", 5s), balancer.output());
            }
            if (round == 30) {
                file.write(bed.line("gamma") + bed.line("alpha"));  // the order does not matter
                balancer.signal(SIGHUP);
                REQUIRE_MESSAGE(balancer.read_until("reloaded: 2 backends", 5s), balancer.output());
            }
        },
        15s);
    const finished ab = bed.ab(200, 10);
    const std::string output = stop_balancer(balancer, SIGTERM);

    CHECK_MESSAGE(contains(output, file.path() + ":2:7: '02:00:00:78:00:zz' is not a MAC address"), output);
    std::map<std::string, std::array<int, 2>> ended;  // by server: exact, reset
    for (const slow_streams::stream& one : streams.all()) {
        CAPTURE(one.number);
        CAPTURE(one.server);
        const bool ours = one.server == removed;
        CHECK(one.state == (ours ? slow_streams::outcome::reset : slow_streams::outcome::exact));
        if (!ours) { CHECK(one.echoed == 60 * 200); }
        if (one.state == slow_streams::outcome::exact) { ++ended[one.server][0]; }
        if (one.state == slow_streams::outcome::reset) { ++ended[one.server][1]; }
    }
    for (const auto& [name, count] : ended) { std::printf("%s: %d exact, %d reset\n", name.c_str(), count[0], count[1]); }
    CHECK(ended.size() == 3);
    for (const kernel_server& server : bed.servers) {
        CHECK(server.echo_connections() == static_cast<std::uint64_t>(ended[server.name()][0] + ended[server.name()][1]));
        if (server.name() == removed) { CHECK(server.requests() == 0); }
    }
    CHECK_MESSAGE(contains(ab.output, "Complete requests:      200\n"), ab.output);
    CHECK_MESSAGE(accounts_balance(output), output);
}

TEST_CASE("the balancer answers ping itself and prints its counters on SIGUSR1 and is idle when nothing comes") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    rig bed;
    text_file file(bed.all_lines());
    process balancer = bed.start({"--backends", file.path(), "--workers", "3"});
    const finished ping = bed.net.run("client", {"ping", "-n", "-c", "5", "-i", "0.01", "-w", "5", virtual_address}, 10s);
    CHECK_MESSAGE(ping.success(), ping.output);
    balancer.signal(SIGUSR1);
    CHECK(balancer.read_until("summary: rx", 5s));
    for (const char* name : names) {
        CHECK(number_in(balancer.output(), std::string("backend ") + name + ":", "packets") == 0);
    }
    CHECK(times_asleep(balancer.pid(), 100) > 50);
    const std::string output = stop_balancer(balancer, SIGINT);
    CHECK(number_in(output, "summary:", "answered") >= 6);  // ARP among them
    CHECK_MESSAGE(accounts_balance(output), output);
}
