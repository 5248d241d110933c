// SPDX-License-Identifier: BSD-3-Clause
// Takes rights away from the calling thread, to test what happens without them.
//
// Functions without state. They act on the calling thread alone, cannot be undone, and make plain system calls only: meant
// for `process_options::in_child`. What is dropped is dropped from every set, the bounding set included, so that a program
// started afterwards does not get it back by being root. Source: capabilities(7), getrlimit(2).
#pragma once

#include <cstdint>

namespace fluxnet::test {

/// Drops one capability, such as CAP_NET_RAW of <linux/capability.h>. Throws std::system_error; CAP_SETPCAP is needed and
/// must therefore be dropped last.
void drop_capability(int capability);

/// Drops every capability.
void drop_all_capabilities();

/// Sets the limit of locked memory, soft and hard. It does not bind a process with CAP_IPC_LOCK. Raising the hard limit
/// needs CAP_SYS_RESOURCE. Throws std::system_error.
void set_memlock_limit(std::uint64_t bytes);

/// Tells whether the calling thread has a capability in its effective set.
[[nodiscard]] bool has_capability(int capability);

}  // namespace fluxnet::test
