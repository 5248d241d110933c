// SPDX-License-Identifier: BSD-3-Clause
// The holders of what a socket needs: the processes that have AF_XDP rings, or the bpf_link of an XDP program.
//
// Read from /proc, for error messages: what the caller may not see is left out. The sockets of this process are known apart,
// by a list that any thread may use.
#pragma once

#include "fluxnet/xsk/interface.hpp"

#include <cstdint>
#include <string>

namespace fluxnet::detail {

/// Enters a bound socket of this process into the list, and takes it out again.
void note_bound(int fd, const interface_info& interface, std::uint32_t queue);
void forget_bound(int fd) noexcept;

/// Names the processes of this network namespace that may hold the queue, since they have AF_XDP rings mapped; empty when
/// none is visible. This process is named only for another socket than `attempt`: one that is bound to the queue by this
/// library, or one that this library has not made.
[[nodiscard]] std::string describe_ring_holders(int attempt, const interface_info& interface, std::uint32_t queue);

/// The bpf_link by which an XDP program is attached.
struct link_holder {
    std::uint32_t link_id = 0;  ///< 0: no bpf_link was found.
    std::string processes;      ///< That have it open: "name pid 12, ..."; empty when none is visible.
};
[[nodiscard]] link_holder find_link_holder(std::uint32_t program_id);

}  // namespace fluxnet::detail
