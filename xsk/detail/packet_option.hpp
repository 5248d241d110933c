// SPDX-License-Identifier: BSD-3-Clause
// What both halves of a packet ring ask of an AF_PACKET socket. Source: packet(7).
#pragma once

#include <cerrno>
#include <cstdint>

#include <sys/socket.h>

namespace fluxnet::detail {

constexpr std::uint32_t vlan_tag_bytes = 4;

/// Sets an option of an AF_PACKET socket. Returns 0 or a negative errno.
int set_packet_option(int fd, int name, const auto& value) noexcept {
    return ::setsockopt(fd, SOL_PACKET, name, &value, sizeof value) < 0 ? -errno : 0;
}

}  // namespace fluxnet::detail
