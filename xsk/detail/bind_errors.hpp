// SPDX-License-Identifier: BSD-3-Clause
// What the steps of the bind ladder answer when they fail: the value, the cause and what to do about it. Functions without a
// state; any thread.
#pragma once

#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/detail/socket_core.hpp"
#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "fluxnet/xsk/raw_socket.hpp"

#include <cstdint>
#include <string>

namespace fluxnet::detail {

/// `number`: the errno that looking the interface up gave.
[[nodiscard]] error explain_interface(const std::string& interface, int number);

[[nodiscard]] error queue_error(const interface_info& interface, std::uint32_t queue, std::string cause);

/// Why bind() answered `number` in a mode; `shares`: it was to share the registration of another socket.
[[nodiscard]] error explain_bind(const socket_core& core, const char* mode, bool zero_copy, bool shares, int number);

/// Why a packet ring could not be had on `interface`: setsockopt, mmap or bind answered `number`.
[[nodiscard]] error explain_packet_ring(const interface_info& interface, int number);

/// What fits the interface's packets into frames, from its MTU and the frames that were asked for.
[[nodiscard]] error mtu_error(const interface_info& interface, const umem_config& config);

/// Refuses a filter that is not valid, or that no XDP program of ours could apply.
[[nodiscard]] result<void> check_filter(const socket_options& options);

/// Refuses interfaces whose packets begin without an Ethernet header.
[[nodiscard]] result<void> check_link_type(const interface_info& interface);

}  // namespace fluxnet::detail
