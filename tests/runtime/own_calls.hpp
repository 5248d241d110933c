// SPDX-License-Identifier: BSD-3-Clause
// The system calls that a thread makes because the code under test asks for them.
//
// A function without state. Normally these are all calls but one: libstdc++ wakes a semaphore (futex) after every stop
// callback, whether somebody waits for it or not. The thread sanitizer makes calls of its own at any time; with it only
// those that the runtime has a use for are counted.
#pragma once

#include "tests/support/syscall_counter.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define FLUXNET_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FLUXNET_THREAD_SANITIZER 1
#endif
#endif
#ifndef FLUXNET_THREAD_SANITIZER
#define FLUXNET_THREAD_SANITIZER 0
#endif

namespace fluxnet::test {

inline std::uint64_t own_calls(const syscall_counter& counter) {
    if constexpr (FLUXNET_THREAD_SANITIZER == 0) { return counter.total() - counter.of(SYS_futex); }
    std::uint64_t sum = 0;
    for (const long number : {SYS_io_uring_enter, SYS_io_uring_register, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait,
                              SYS_epoll_pwait2, SYS_read, SYS_preadv2, SYS_write, SYS_sendto, SYS_recvfrom, SYS_sendmsg,
                              SYS_recvmsg, SYS_getsockopt, SYS_setsockopt, SYS_poll, SYS_clock_gettime}) {
        sum += counter.of(number);
    }
    return sum;
}

/// The calls in which a reactor sleeps, or looks whether something is ready.
constexpr std::array reactor_entries{SYS_io_uring_enter, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2};

inline bool is_reactor_entry(long number) {
    return std::find(reactor_entries.begin(), reactor_entries.end(), number) != reactor_entries.end();
}

inline std::uint64_t reactor_calls(const syscall_counter& counter) {
    std::uint64_t sum = 0;
    for (const long number : reactor_entries) { sum += counter.of(number); }
    return sum;
}

}  // namespace fluxnet::test
