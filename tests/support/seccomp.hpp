// SPDX-License-Identifier: BSD-3-Clause
// Takes a system call away from a process, as a container's filter does.
//
// A function without state. A filter cannot be undone, and programs that the process starts inherit it. Source: seccomp(2).
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace fluxnet::test {

/// A system call, of which only those with a certain argument when one is given, and the errno that it is to answer.
struct forbidden_call {
    long number = 0;
    int answer = 0;
    std::optional<std::uint32_t> first_argument = {};
    std::optional<std::uint32_t> second_argument = {};  // where no first one is given
};

/// Forbids the call in the calling process from now on; ends the process when that cannot be done.
inline void forbid(const forbidden_call& call) {
    const auto refuse = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(call.answer);
    const std::uint32_t argument = call.first_argument ? *call.first_argument : call.second_argument.value_or(0);
    const bool looks = call.first_argument || call.second_argument;
    const std::uint8_t skip = looks ? 0 : 2;  // over the look at the argument
    const auto place =
        static_cast<std::uint32_t>(offsetof(seccomp_data, args) + (call.first_argument ? 0 : sizeof(std::uint64_t)));
    std::array code{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call.number), skip, 3),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, refuse),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        ::_exit(2);
    }
}

}  // namespace fluxnet::test
