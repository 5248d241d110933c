// SPDX-License-Identifier: BSD-3-Clause
// Several hosts on one Ethernet switch: each host a network namespace with one interface, the switch a kernel bridge in a
// namespace of its own.
//
// Owned by one test case. Like a testbed it has no name outside, and ends with the test by whatever means the test ends.
// IPv6 is off and every host computes its own checksums and segments its own packets. One thread at a time may call the
// non-const functions. Throws std::system_error or std::runtime_error when something is refused; ask
// testbed::why_not_available() first. Uses the programs ip, ethtool and sh.
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/route_socket.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/process.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fluxnet::test {

class lan {
public:
    using mac_address = std::array<std::uint8_t, 6>;

    /// The name of every host's interface, in its own namespace.
    static constexpr const char* interface = "eth0";

    /// Makes the switch, without hosts.
    lan();
    lan(const lan&) = delete;
    lan& operator=(const lan&) = delete;

    /// Plugs a host in and waits until its link is up. `address` has the form "10.78.0.2/24"; the kernel of a host without
    /// one stays silent. At most 200 hosts.
    void add_host(const std::string& name, const std::string& address = "");

    /// Runs a line of shell inside a host's namespace; throws, with what it wrote, when it fails.
    void configure(const std::string& host, const std::string& shell) const;

    /// Runs a program inside a host's namespace and returns how it ended. Kills it at the deadline.
    [[nodiscard]] finished run(const std::string& host, const std::vector<std::string>& argv, deadline limit) const;

    /// Starts a program inside a host's namespace.
    [[nodiscard]] process spawn(const std::string& host, const std::vector<std::string>& argv) const;

    [[nodiscard]] const network_namespace& place(const std::string& host) const { return hosts_.at(host).place; }
    [[nodiscard]] mac_address mac(const std::string& host) const { return hosts_.at(host).mac; }

    /// The MAC address of a host as "02:00:00:78:00:01".
    [[nodiscard]] std::string mac_text(const std::string& host) const;

private:
    struct host {
        network_namespace place;
        mac_address mac{};
    };

    network_namespace switch_;
    detail::route_socket switch_route_{switch_};
    std::map<std::string, host> hosts_;
};

}  // namespace fluxnet::test
