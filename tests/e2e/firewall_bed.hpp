// SPDX-License-Identifier: BSD-3-Clause
// Two hosts with a firewall between them: three network namespaces in a row, joined by two veth pairs, and
// examples/firewall_engine in the middle one.
//
// Owned by one test case. The hosts are kernels in one subnet, which compute their own checksums and segment their own
// packets; the firewall's two interfaces have no addresses. Nothing has a name outside, and everything ends with the test.
// One thread at a time. Throws std::system_error or std::runtime_error when something is refused; ask
// testbed::why_not_available() first. Uses the programs ip, ethtool and sh.
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/route_socket.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/process.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace fluxnet::test {

class firewall_bed {
public:
    static constexpr const char* client_ip = "10.78.1.1";
    static constexpr const char* server_ip = "10.78.1.2";
    static constexpr const char* other_server_ip = "10.78.1.3";  ///< The same server.
    static constexpr const char* host_interface = "eth0";        ///< Of client and server.
    static constexpr const char* left = "left0";                 ///< Of the firewall, towards the client.
    static constexpr const char* right = "right0";               ///< Towards the server.

    firewall_bed();
    firewall_bed(const firewall_bed&) = delete;
    firewall_bed& operator=(const firewall_bed&) = delete;

    [[nodiscard]] const network_namespace& client() const noexcept { return client_; }
    [[nodiscard]] const network_namespace& server() const noexcept { return server_; }
    [[nodiscard]] static detail::mac_address client_mac() noexcept { return {0x02, 0, 0, 0x78, 1, 1}; }
    [[nodiscard]] static detail::mac_address server_mac() noexcept { return {0x02, 0, 0, 0x78, 1, 2}; }

    /// Runs a program where the client is. Kills it at the deadline.
    [[nodiscard]] finished run_client(const std::vector<std::string>& argv, deadline limit) const;
    [[nodiscard]] process spawn_client(const std::vector<std::string>& argv) const;

    /// Starts firewall_engine between the hosts, with the arguments behind the interfaces', and waits until it filters.
    [[nodiscard]] process start(const std::vector<std::string>& arguments) const;

    /// Runs firewall_engine with those arguments, which should end by itself.
    [[nodiscard]] finished run_wall(const std::vector<std::string>& arguments) const;

    /// The id of the XDP program on one of the firewall's interfaces; 0 when there is none.
    [[nodiscard]] std::uint32_t program_on(const char* interface) { return wall_route_.link(interface)->xdp_program_id; }

    /// Sets one of the firewall's interfaces up or down, or deletes it.
    void set_link(const char* interface, bool up);
    void delete_link(const char* interface) { wall_route_.delete_link(wall_route_.link(interface).value().index); }

    /// Tries to open a TCP connection from the client; false when nobody answers within `limit`.
    [[nodiscard]] bool client_connects(const char* address, std::uint16_t port, deadline limit) const;

private:
    void join(const char* wall_interface, const network_namespace& host, const detail::mac_address& mac, unsigned number);

    network_namespace client_;
    network_namespace wall_;
    network_namespace server_;
    detail::route_socket wall_route_{wall_};
};

/// Stops firewall_engine as a user would and returns what it printed. Throws when it does not end well, which it does only
/// when every packet and every frame is accounted for.
[[nodiscard]] std::string stop_firewall(process& child, int signal);

/// Tells whether the figures printed at the end say that every packet and every frame is accounted for.
[[nodiscard]] bool accounts_balance(const std::string& output);

}  // namespace fluxnet::test
