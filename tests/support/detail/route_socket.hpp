// SPDX-License-Identifier: BSD-3-Clause
// A route netlink socket of one network namespace: makes, inspects, changes and deletes links without any program.
//
// Owned by the testbed, lives as long as it; belongs to one thread at a time. The socket stays in the namespace it was
// opened in, whichever namespace the thread that uses it is in. Every function makes one request and waits for the kernel's
// answer (the kernel answers before sendto(2) returns), and throws std::system_error with the kernel's own words if refused.
// Source: rtnetlink(7), linux/if_link.h, linux/veth.h.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fluxnet::test::detail {

using mac_address = std::array<std::uint8_t, 6>;

/// One end of a veth pair to be made.
struct veth_end {
    const network_namespace& place;
    std::string name;
    mac_address mac{};
    unsigned index = 0;  ///< The interface index to have; 0 lets the kernel choose.
};

/// What the kernel says about a link.
struct link_state {
    unsigned index = 0;
    mac_address mac{};
    unsigned mtu = 0;
    bool up = false;                   ///< Administratively up.
    bool operational = false;          ///< Up, and packets pass: both ends of a veth pair are up.
    std::uint32_t xdp_program_id = 0;  ///< 0 when no XDP program is attached.
};

class route_socket {
public:
    explicit route_socket(const network_namespace& place);

    /// Makes a veth pair, down, each end with `queues` queues per direction. `here.place` must be this socket's namespace.
    void create_veth(const veth_end& here, const veth_end& there, unsigned queues, unsigned mtu);
    void set_up(unsigned index, bool up);

    /// Deletes a link, with the other end if it is a veth pair. Nothing happens when it is gone already.
    void delete_link(unsigned index);

    /// Adds an IPv4 address in the form "10.77.0.2/24".
    void add_address(unsigned index, const std::string& address_and_prefix);

    /// Returns nothing when the link does not exist.
    std::optional<link_state> link(unsigned index);
    std::optional<link_state> link(const std::string& name);

private:
    class message;

    std::optional<link_state> query_link(message& request);

    // Sends one request and returns the kernel's answer without its header: empty when it was a plain acknowledgement.
    // Returns the errno, or 0, in `error`, and the kernel's explanation in `words`.
    struct answer {
        int error = 0;
        std::string words;
        std::vector<std::byte> payload;
    };
    answer exchange(message& request);
    void must(message& request, const std::string& step);

    file_descriptor socket_;
    std::uint32_t sequence_ = 0;  // of the last request
};

}  // namespace fluxnet::test::detail
