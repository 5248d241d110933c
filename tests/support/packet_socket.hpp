// SPDX-License-Identifier: BSD-3-Clause
// Sends and receives whole Ethernet frames on one interface, as the kernel sees them (packet(7)).
//
// Owned by a test; stays bound to its interface until destroyed. One thread may send while another one receives. Frames
// that the interface itself sends are not received, so at one end of a veth pair only the other end is heard. An XDP program
// on the interface sees arriving frames first, and hides those that it does not pass on. Needs CAP_NET_RAW.
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fluxnet::test {

class packet_socket {
public:
    static constexpr std::uint64_t without_end = std::numeric_limits<std::uint64_t>::max();

    /// Opens a socket inside `place`, bound to one interface and every protocol. Receives from this moment on.
    packet_socket(const network_namespace& place, const std::string& interface_name);

    /// Sends one frame, Ethernet header first, no checksum at the end. The kernel pads nothing: a frame of 14 bytes is sent
    /// as it is. With several queues, the transmit queue follows from a hash of the frame's addresses and ports. Throws
    /// std::system_error when the kernel refuses it: EMSGSIZE above the MTU, ENETDOWN while the link is down.
    void send(std::span<const std::byte> frame);

    /// Sends `count` copies of a frame as fast as sendmmsg(2) can, bypassing the queueing discipline, until done or until
    /// `stop` is set. Returns how many the kernel accepted: those it refused for want of room are sent again and count once.
    /// The bypass remains for later sends of this socket. Frames leave by the transmit queue whose number is that of the
    /// CPU they are sent on, modulo the number of queues, and arrive on the same receive queue of a veth's other end.
    std::uint64_t flood(std::span<const std::byte> frame, std::uint64_t count, const std::atomic<bool>* stop = nullptr);

    /// Waits for a frame and returns it whole, with the VLAN tag that the kernel had moved aside put back into its place.
    /// Returns nothing when none came before the deadline. Throws std::system_error when the link is down (ENETDOWN, once).
    std::optional<std::vector<std::byte>> recv(deadline limit);

    /// Throws away all frames that have arrived by now and returns how many there were.
    std::size_t drain();

    /// Returns how many frames arrived but found the socket's buffer full, since the last call.
    std::uint64_t dropped();

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

private:
    std::optional<std::vector<std::byte>> take();

    detail::file_descriptor socket_;
    std::vector<std::byte> buffer_;  // for the receiving thread; as large as the largest frame
};

}  // namespace fluxnet::test
