// SPDX-License-Identifier: BSD-3-Clause
// Looks an interface up by an alternative name, which may be longer than the 15 characters that an ioctl takes.
#pragma once

namespace fluxnet::detail {

/// Asks rtnetlink (RTM_GETLINK with IFLA_ALT_IFNAME, Linux 5.5) for the interface of the calling thread's network namespace
/// that has this alternative name. Returns its index, or a negated errno: -ENODEV when there is none.
[[nodiscard]] int find_by_alternative_name(const char* name) noexcept;

}  // namespace fluxnet::detail
