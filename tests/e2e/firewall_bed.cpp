// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/firewall_bed.hpp"

#include "tests/e2e/number_in.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

process_options in(const network_namespace& place) {
    process_options options;
    options.netns_fd = place.fd();
    return options;
}

void shell_in(const network_namespace& place, const std::string& line) {
    const finished done = run({"sh", "-e", "-c", line}, in(place), 10s);
    if (!done.success()) { throw std::runtime_error("'" + line + "' failed: " + done.output); }
}

// An interface that is quiet, and sends packets as they are on a wire.
std::string as_on_a_wire(const std::string& interface) {
    const std::string file = "/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6";
    return "[ ! -e " + file + " ] || echo 1 >" + file + "; ethtool -K " + interface +
           " tx off tso off gso off gro off >/dev/null 2>&1; ip link set " + interface + " up; ";
}

}  // namespace

firewall_bed::firewall_bed() {
    join(left, client_, client_mac(), 1);
    join(right, server_, server_mac(), 2);
    const std::string interface = host_interface;
    shell_in(client_, "ip address add " + std::string(client_ip) + "/24 dev " + interface);
    for (const char* address : {server_ip, other_server_ip}) {
        shell_in(server_, "ip address add " + std::string(address) + "/24 dev " + interface);
    }
}

void firewall_bed::join(const char* wall_interface, const network_namespace& host, const detail::mac_address& mac,
                        unsigned number) {
    const detail::mac_address wall_mac{0x02, 0, 0, 0x78, 2, static_cast<std::uint8_t>(number)};
    // Different indexes everywhere, so that a program that takes one for another fails.
    wall_route_.create_veth({wall_, wall_interface, wall_mac, 100 + number}, {host, host_interface, mac, 10 + number}, 1,
                            1500);
    shell_in(wall_, as_on_a_wire(wall_interface));
    shell_in(host, as_on_a_wire(host_interface));
    const deadline limit = 5s;
    while (!wall_route_.link(wall_interface).value().operational) {
        if (limit.passed()) { throw std::runtime_error(std::string(wall_interface) + " has no carrier"); }
        std::this_thread::sleep_for(1ms);
    }
}

finished firewall_bed::run_client(const std::vector<std::string>& argv, deadline limit) const {
    return run(argv, in(client_), limit);
}

process firewall_bed::spawn_client(const std::vector<std::string>& argv) const {
    return process(argv, in(client_));
}

process firewall_bed::start(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv{FLUXNET_FIREWALL, "--interface", left, "--interface", right};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    process child(argv, in(wall_));
    if (!child.read_until("filtering between ", 10s)) {
        throw std::runtime_error("firewall_engine did not start: " + child.output());
    }
    return child;
}

finished firewall_bed::run_wall(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv{FLUXNET_FIREWALL};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run(argv, in(wall_), 10s);
}

void firewall_bed::set_link(const char* interface, bool up) {
    wall_route_.set_up(wall_route_.link(interface).value().index, up);
}

bool firewall_bed::client_connects(const char* address, std::uint16_t port, deadline limit) const {
    return client_.call([&] {
        const auto fd =
            detail::file_descriptor::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        if (::inet_pton(AF_INET, address, &to.sin_addr) != 1) { throw std::runtime_error("no address"); }
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) { return true; }
        if (errno != EINPROGRESS) { return false; }
        pollfd connecting{fd.get(), POLLOUT, 0};
        if (::poll(&connecting, 1, limit.left_ms()) != 1) { return false; }
        int failure = 0;
        socklen_t size = sizeof failure;
        return ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0;
    });
}

std::string stop_firewall(process& child, int signal) {
    child.signal(signal);
    const auto ended = child.wait(10s);
    if (!ended || !ended->success()) { throw std::runtime_error("firewall_engine did not end well: " + child.output()); }
    return child.output();
}

bool accounts_balance(const std::string& output) {
    const auto count = [&](const char* name) { return number_in(output, "summary:", name); };
    const auto frames = [&](const char* name) { return number_in(output, "census:", name); };
    return count("rx") == count("allowed") + count("arp") + count("denied") + count("malformed") + count("non_ip") &&
           count("allowed") + count("arp") == count("sent") + count("no_room") + count("refused") &&
           output.find(" exact\n", output.rfind("census:")) != std::string::npos && frames("frames") > 0 &&
           frames("sum") == frames("frames") && frames("user") == 0 && frames("tx") == 0;
}

}  // namespace fluxnet::test
