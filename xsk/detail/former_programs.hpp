// SPDX-License-Identifier: BSD-3-Clause
// The XDP programs that this process has taken off an interface, told apart from those of others.
//
// A program stays on its interface for as long as anybody has its bpf_link open. Whoever lists links opens each of them for
// a moment. So a socket that is closed and opened again at that moment finds its own former program in the way. Threads:
// any.
#pragma once

#include <cstdint>

namespace fluxnet::detail {

/// Notes that this process has closed the link of a program, by the kernel's number of that.
void note_former_program(std::uint32_t id) noexcept;

enum class program_there : std::uint8_t {
    none,    ///< No program is on the interface.
    former,  ///< One that this process has closed.
    other,   ///< Another one, or it cannot be told.
};

/// Looks which program is on an interface of the calling thread's network namespace.
[[nodiscard]] program_there look_at_program(int interface_index) noexcept;

}  // namespace fluxnet::detail
