// SPDX-License-Identifier: BSD-3-Clause
// An executor with both halves of a socket on the host side of a testbed, and a packet socket at the peer's end.
//
// Owned by one test case and used on its thread, which is inside the host's namespace for as long as the port lives. The
// packet socket, and the testbed, may be used by one other thread.
#pragma once

#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/testbed.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace fluxnet::test {

inline constexpr std::array both_modes{xdp_mode::native, xdp_mode::generic};

struct veth_port {
    static constexpr std::uint32_t receiving = 48;
    static constexpr std::uint32_t sending = 464;

    explicit veth_port(xdp_mode mode = xdp_mode::native)
        : inside(bed.host()), sockets(open_async(loop, options(mode)).value()), peer(bed.peer(), bed.name(side::peer)) {}

    builder options(xdp_mode mode) const {
        return builder(bed.name(side::host))
            .mode(mode)
            .frames(receiving + sending)
            .tx_frames(sending)
            .rx_ring(64)
            .tx_ring(64)
            .fill_ring(64)
            .completion_ring(64);
    }

    /// The numbers of the frames that arrive at the peer until `count` have, or two seconds pass.
    std::vector<std::uint32_t> take_sent(std::size_t count) {
        std::vector<std::uint32_t> numbers;
        const deadline limit = std::chrono::seconds(2);
        while (numbers.size() < count) {
            const auto frame = peer.recv(limit);
            if (!frame) { break; }
            numbers.push_back(number_of(*frame));
        }
        return numbers;
    }

    testbed bed;
    network_namespace::scoped_enter inside;
    executor loop;
    async_sockets sockets;
    packet_socket peer;
};

}  // namespace fluxnet::test
