// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/lan.hpp"

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

void shell_in(const network_namespace& place, const std::string& line) {
    process_options options;
    options.netns_fd = place.fd();
    const finished done = test::run({"sh", "-e", "-c", line}, options, 10s);
    if (!done.success()) { throw std::runtime_error("'" + line + "' failed: " + done.output); }
}

// The value of a file below /proc/sys/net that a kernel may lack.
std::string no_ipv6(const std::string& interface) {
    const std::string file = "/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6";
    return "[ ! -e " + file + " ] || echo 1 >" + file + "; ";
}

}  // namespace

lan::lan() {
    // A bridge that snoops on multicast joins a group of its own, and says so.
    shell_in(switch_, "ip link add bridge0 type bridge stp_state 0 mcast_snooping 0; " + no_ipv6("bridge0") +
                          "ip link set bridge0 up");
}

void lan::add_host(const std::string& name, const std::string& address) {
    const auto number = static_cast<std::uint8_t>(hosts_.size() + 1);
    host made{{}, {0x02, 0x00, 0x00, 0x78, 0x00, number}};
    const std::string port = "port" + std::to_string(number);
    // Different indexes at both ends, so that a program that takes one for the other fails.
    const detail::veth_end here{switch_, port, {0x02, 0x00, 0x00, 0x78, 0x01, number}, 100U + number};
    const detail::veth_end there{made.place, interface, made.mac, 10U + number};
    switch_route_.create_veth(here, there, 1, 1500);
    shell_in(switch_, no_ipv6(port) + "ip link set " + port + " master bridge0 up");
    const std::string device = interface;
    shell_in(made.place, no_ipv6(device) + "ethtool -K " + device + " tx off tso off gso off gro off >/dev/null 2>&1; " +
                             (address.empty() ? "" : "ip address add " + address + " dev " + device + "; ") +
                             "ip link set " + device + " up");
    const deadline limit = 5s;
    while (!switch_route_.link(100U + number).value().operational) {
        if (limit.passed()) { throw std::runtime_error("lan: " + name + " has no carrier"); }
        std::this_thread::sleep_for(1ms);
    }
    hosts_.emplace(name, std::move(made));
}

void lan::configure(const std::string& host, const std::string& shell) const {
    shell_in(place(host), shell);
}

finished lan::run(const std::string& host, const std::vector<std::string>& argv, deadline limit) const {
    process_options options;
    options.netns_fd = place(host).fd();
    return test::run(argv, options, limit);
}

process lan::spawn(const std::string& host, const std::vector<std::string>& argv) const {
    process_options options;
    options.netns_fd = place(host).fd();
    return process(argv, options);
}

std::string lan::mac_text(const std::string& host) const {
    const mac_address octets = mac(host);
    char text[18];
    std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3], octets[4],
                  octets[5]);
    return text;
}

}  // namespace fluxnet::test
