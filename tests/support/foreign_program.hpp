// SPDX-License-Identifier: BSD-3-Clause
// What somebody else can do to the XDP programs of an interface: attach one of theirs, detach or replace one of ours.
//
// Functions without state. Programs and links live in the descriptors that are returned, and go with them. Interfaces are
// those of the calling thread's network namespace. They throw std::system_error. Need CAP_BPF and CAP_NET_ADMIN.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"

#include <cstdint>

namespace fluxnet::test {

/// Loads a program "somebody" that lets every packet pass.
[[nodiscard]] detail::file_descriptor load_foreign_program();

/// Attaches a program to an interface by a bpf_link, in the driver or in generic mode.
[[nodiscard]] detail::file_descriptor link_program(int program_fd, unsigned interface_index, bool generic);

/// Returns another descriptor of the bpf_link that attaches the program of this number, as an administrator can get it.
/// Throws when there is none.
[[nodiscard]] detail::file_descriptor find_link_of(std::uint32_t program_id);

/// Takes the program of this number off its interface, by BPF_LINK_DETACH.
void detach_link_of(std::uint32_t program_id);

/// Lets a link run another program from now on, by BPF_LINK_UPDATE.
void update_link(int link_fd, int program_fd);

/// Returns the kernel's number of a loaded program.
[[nodiscard]] std::uint32_t program_id_of(int program_fd);

}  // namespace fluxnet::test
