// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/ring_setup.hpp"

#include "fluxnet/runtime/reactor/detail/ring_uapi.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <system_error>

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

struct flag_set {
    unsigned flags;
    const char* name;
    bool one_thread;
};

// COOP_TASKRUN leaves a completion to the submitting thread's next system call. It is not for changing threads: while the
// submitting thread computes, the thread that waits now would not hear of it.
constexpr std::array flag_sets{
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
             "io_uring (SINGLE_ISSUER, DEFER_TASKRUN)", true},
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG,
             "io_uring (COOP_TASKRUN)", true},
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL, "io_uring (SUBMIT_ALL)", false},
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP, "io_uring (no flags)", false},
};

/// What the administrator has set: 0 allows io_uring, 1 reserves it for the privileged and one group, 2 forbids it. Source:
/// Documentation/admin-guide/sysctl/kernel.rst.
std::string io_uring_sysctl() {
    std::string value;
    std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
    return value.empty() ? "sysctl kernel.io_uring_disabled cannot be read" : "sysctl kernel.io_uring_disabled is " + value;
}

std::string why_refused(const char* call, int number) {
    const char* const name = ::strerrorname_np(number);
    const std::string answer = std::string(call) + " answered " + (name != nullptr ? name : "an error");
    switch (number) {
        case EPERM:
            return answer + ": io_uring is forbidden here by sysctl, seccomp or a security module (" + io_uring_sysctl() +
                   ')';
        case ENOSYS: return answer + ": the kernel has no io_uring, or seccomp hides it";
        case ENOMEM: return answer + ": no memory for the ring, or RLIMIT_MEMLOCK is too small for it";
        default: return answer;
    }
}

[[noreturn]] void refuse(io_uring& ring, const char* call, int number) {
    const std::string why = why_refused(call, number);
    io_uring_queue_exit(&ring);
    throw std::system_error(number, std::generic_category(), why);
}

int try_enable(const io_uring& ring, unsigned arguments) noexcept {
    // Debian 12's liburing declares io_uring_enable_rings() without exporting it.
    const long answer = ::syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, arguments);
    return answer == 0 ? 0 : errno;
}

/// Moves the ring's descriptor away from those of the standard streams.
void move_above_streams(io_uring& ring) {
    ring.ring_fd = above_streams(ring.ring_fd);
    const int number = errno;
    ring.enter_ring_fd = ring.ring_fd;
    if (ring.ring_fd < 0) { refuse(ring, "fcntl(F_DUPFD_CLOEXEC)", number); }
}

/// Makes the calls that the ring will need in a form in which the kernel does nothing but answer that the form is wrong.
/// Another answer comes from a filter in front of the kernel.
void try_calls(io_uring& ring) {
    const int of_register = try_enable(ring, 1);  // it takes no argument
    if (of_register != EINVAL) { refuse(ring, "io_uring_register", of_register); }
    const int of_enter = -io_uring_enter(static_cast<unsigned>(ring.ring_fd), 0, 0, 0, nullptr);
    if (of_enter != EBADFD) { refuse(ring, "io_uring_enter", of_enter); }  // the ring is disabled
}

/// Tells whether this is Linux 6.17 or later.
bool has_ordered_bundles() noexcept {
    utsname about{};
    unsigned major = 0;
    unsigned minor = 0;
    if (::uname(&about) != 0 || std::sscanf(about.release, "%u.%u", &major, &minor) != 2) { return false; }
    return major > 6 || (major == 6 && minor >= 17);
}

/// Tells whether the kernel takes a receive of bundles with a limit. It looks at the request before it looks at the
/// descriptor, which is none.
bool takes_bundles() noexcept {
    io_uring ring{};
    if (!has_ordered_bundles() || io_uring_queue_init(1, &ring, 0) != 0) { return false; }
    io_uring_sqe* const entry = io_uring_get_sqe(&ring);
    io_uring_prep_recv_multishot(entry, -1, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->ioprio = static_cast<std::uint16_t>(entry->ioprio | uapi::receive_bundle);
    entry->len = 4096;
    io_uring_cqe* told = nullptr;
    const bool taken =
        io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_peek_cqe(&ring, &told) == 0 && told->res == -EBADF;
    io_uring_queue_exit(&ring);
    return taken;
}

}  // namespace

std::string_view set_up_ring(io_uring& ring, unsigned entries, reactor_threads threads) {
    int refused = EINVAL;
    for (const flag_set& set : flag_sets) {
        if (set.one_thread && threads == reactor_threads::changing) { continue; }
        io_uring_params parameters{};
        parameters.flags = set.flags;
        refused = -io_uring_queue_init_params(entries, &ring, &parameters);
        if (refused == 0) {
            move_above_streams(ring);
            try_calls(ring);
            return set.name;
        }
        if (refused != EINVAL) { break; }
    }
    throw std::system_error(refused, std::generic_category(), why_refused("io_uring_setup", refused));
}

void enable_ring(io_uring& ring) {
    if (const int number = try_enable(ring, 0)) {
        throw std::system_error(number, std::generic_category(), why_refused("io_uring_register", number));
    }
}

bool has_bundles(const io_uring& ring) noexcept {
    static const bool taken = takes_bundles();
    return taken && (ring.features & uapi::feature_bundle) != 0;
}

std::string poll_devices(const io_uring& ring, std::chrono::microseconds how_long) {
    constexpr auto most = std::chrono::microseconds(std::numeric_limits<std::uint32_t>::max());
    uapi::napi asked;
    asked.busy_poll_us = static_cast<std::uint32_t>(std::min(how_long, most).count());
    if (::syscall(__NR_io_uring_register, ring.ring_fd, uapi::register_napi, &asked, 1) == 0) {
        return ", NAPI busy poll for " + std::to_string(how_long.count()) + " us";
    }
    const int number = errno;
    const std::string refusal = ", no NAPI busy poll: ";
    switch (number) {
        case EINVAL: return refusal + "io_uring_register answered EINVAL: the kernel is older than Linux 6.9";
        case EOPNOTSUPP:
            return refusal + "io_uring_register answered EOPNOTSUPP: the kernel is built without CONFIG_NET_RX_BUSY_POLL";
        default: return refusal + why_refused("io_uring_register", number);
    }
}

}  // namespace fluxnet::detail
