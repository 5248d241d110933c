// SPDX-License-Identifier: BSD-3-Clause
// What to grant when the kernel has answered EPERM. Function without state; reads the calling thread's capabilities.
#pragma once

#include <initializer_list>
#include <string>

namespace fluxnet::detail {

/// Names those of the capabilities (numbers of <linux/capability.h>: CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF, CAP_IPC_LOCK) that
/// the calling thread lacks: "grant CAP_BPF, or run as root". When it has all of them, says what else may refuse.
[[nodiscard]] std::string remedy_for_permission(std::initializer_list<int> needed);

/// The same of all that an AF_XDP socket takes, with an XDP program or (`attaches` is false) without.
[[nodiscard]] std::string remedy_for_xdp_permission(bool attaches);

}  // namespace fluxnet::detail
