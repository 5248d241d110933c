// SPDX-License-Identifier: BSD-3-Clause
// Takes a system call away from a process, as a container's filter does, and tells what the code under test says then.
//
// A filter cannot be undone, so it is set in a child that ends with the function it runs. Source: seccomp(2).
#pragma once

#include <doctest/doctest.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace fluxnet::test {

/// A system call, of which only those with a certain first argument when one is given, and the errno that it is to answer.
struct forbidden_call {
    long number = 0;
    int answer = 0;
    std::optional<std::uint32_t> first_argument = {};
};

/// Forbids the call in the calling process from now on; ends the process when that cannot be done.
inline void forbid(const forbidden_call& call) {
    const auto refuse = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(call.answer);
    const std::uint32_t argument = call.first_argument.value_or(0);
    const std::uint8_t skip = call.first_argument ? 0 : 2;  // over the look at the argument
    std::array code{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call.number), skip, 3),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, refuse),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        ::_exit(2);
    }
}

/// Returns what `function`, which returns a string, says where `call` is forbidden.
template <class F>
std::string said_without(const forbidden_call& call, F&& function) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        forbid(call);
        const std::string text = function();
        const ssize_t written = ::write(ends[1], text.data(), text.size());
        ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 3);
    }
    ::close(ends[1]);
    std::array<char, 4096> text{};
    const ssize_t length = ::read(ends[0], text.data(), text.size());
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(length >= 0);
    return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace fluxnet::test
