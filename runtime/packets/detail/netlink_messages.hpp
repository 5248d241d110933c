// SPDX-License-Identifier: BSD-3-Clause
// `read_netlink()`: reads what the kernel has sent to a netlink socket, message by message.
//
// Function without state. Source: netlink(7).
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include <linux/netlink.h>
#include <sys/socket.h>

namespace fluxnet::detail {

/// Calls `tell(header, body)` for each message until the socket is empty. Only the kernel is believed. `body` begins at an
/// address that any struct of the kernel's may have. Returns whether messages were lost for want of room (ENOBUFS).
template <class Tell>
[[nodiscard]] bool read_netlink(int fd, Tell tell) noexcept {
    alignas(nlmsghdr) std::array<std::byte, 16384> buffer;
    bool lost = false;
    for (;;) {
        sockaddr_nl sender{};
        socklen_t sender_size = sizeof sender;
        const ssize_t length =
            ::recvfrom(fd, buffer.data(), buffer.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&sender), &sender_size);
        if (length < 0 && errno == ENOBUFS) {
            lost = true;
            continue;
        }
        if (length < 0 && errno == EINTR) { continue; }
        if (length <= 0) { return lost; }
        if (sender.nl_pid != 0) { continue; }
        auto messages = std::span<const std::byte>(buffer).first(static_cast<std::size_t>(length));
        while (messages.size() >= sizeof(nlmsghdr)) {
            nlmsghdr header;
            std::memcpy(&header, messages.data(), sizeof header);
            if (header.nlmsg_len < sizeof header || header.nlmsg_len > messages.size()) { break; }
            tell(header, messages.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN));
            messages = messages.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), messages.size()));
        }
    }
}

}  // namespace fluxnet::detail
