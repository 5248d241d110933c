// SPDX-License-Identifier: BSD-3-Clause
// Two network namespaces joined by a veth pair: `host`, where the program under test runs, and `peer`, the kernel's stack.
//
// Owned by one test case; while it lives, the machine's own interfaces are out of reach and untouched. Nothing has a name
// outside: when the test ends, by whatever means, the kernel removes namespaces and links. One thread at a time may call the
// non-const functions. Set-up throws std::system_error; ask `why_not_available()` first. Needs root (CAP_NET_ADMIN,
// CAP_SYS_ADMIN, CAP_NET_RAW). The interfaces have different indexes and MAC addresses, the same in every testbed.
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/route_socket.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/process.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fluxnet::test {

enum class side { host, peer };

struct testbed_options {
    unsigned queues = 1;  ///< Receive and transmit queues, at both ends.
    unsigned mtu = 1500;
    std::string host_name = "flux0";
    std::string peer_name = "peer0";
    /// The address that the program under test answers for: the kernel does not have it.
    std::string host_address = "10.77.0.1";
    std::string peer_address = "10.77.0.2/24";  ///< Configured on the peer's interface, with its prefix length.
};

class testbed {
public:
    using mac_address = std::array<std::uint8_t, 6>;

    /// Makes both namespaces and the links and waits until packets can pass. IPv6 is off at both ends, so the peer is quiet
    /// until spoken to; the peer computes its checksums and segments its packets itself, as a machine across a wire would.
    explicit testbed(const testbed_options& options = {});

    /// Lets the namespaces go; the kernel removes them, and the links, a few milliseconds later on its own time. A program
    /// still running or a socket still open inside a namespace keeps it alive; the links go as soon as one of the two has.
    ~testbed();
    testbed(const testbed&) = delete;
    testbed& operator=(const testbed&) = delete;

    /// Returns why this machine cannot run a testbed, and what would help; nothing when it can. Tried out once per process.
    static std::optional<std::string> why_not_available();

    /// Sets one end administratively up or down. The other end loses or gains its carrier by that, a moment later.
    void set_link(side end, bool up);

    /// Waits until both ends are up and have a carrier. Returns false when they had not by the deadline.
    bool wait_until_up(deadline limit);

    /// Deletes the veth pair, both ends, as if the device were unplugged.
    void delete_link();

    /// Returns the id of the XDP program on an interface, however attached; 0 when there is none or no interface.
    std::uint32_t xdp_program_id(side end);

    /// Tells whether an interface has no XDP program, at the latest by the deadline. A link is detached when its last
    /// descriptor is closed, and whoever lists the links of the system, another test or bpftool, has one of each for a
    /// moment.
    [[nodiscard]] bool is_free_of_xdp(side end, deadline limit = std::chrono::seconds(5));

    /// Runs a program inside a namespace and returns how it ended. Kills it at the deadline.
    finished run(side end, const std::vector<std::string>& argv, deadline limit);

    /// Starts a program inside a namespace; `options.netns_fd` is set here.
    process spawn(side end, const std::vector<std::string>& argv, process_options options = {});

    [[nodiscard]] const network_namespace& place(side end) const noexcept { return end == side::host ? host_ : peer_; }
    [[nodiscard]] const network_namespace& host() const noexcept { return host_; }
    [[nodiscard]] const network_namespace& peer() const noexcept { return peer_; }

    [[nodiscard]] const std::string& name(side end) const noexcept {
        return end == side::host ? options_.host_name : options_.peer_name;
    }
    [[nodiscard]] static mac_address mac(side end) noexcept;
    [[nodiscard]] static unsigned ifindex(side end) noexcept;
    [[nodiscard]] const testbed_options& options() const noexcept { return options_; }

    /// The peer's address without the prefix length.
    [[nodiscard]] std::string peer_ip() const;

private:
    detail::route_socket& route(side end) noexcept { return end == side::host ? host_route_ : peer_route_; }

    testbed_options options_;
    network_namespace host_;
    network_namespace peer_;
    detail::route_socket host_route_{host_};
    detail::route_socket peer_route_{peer_};
};

}  // namespace fluxnet::test
