// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/pidfd.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cerrno>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

// P_PIDFD, which older C libraries do not name.
constexpr auto by_pidfd = static_cast<idtype_t>(3);

exit_result result_of(const siginfo_t& info) noexcept {
    exit_result end;
    if (info.si_code == CLD_EXITED) {
        end.status.code = info.si_status;
    } else {
        end.status.signal = info.si_status;
        end.status.core_dumped = info.si_code == CLD_DUMPED;
    }
    return end;
}

struct left_behind {
    std::mutex mutex;
    std::vector<descriptor> children;
};

// Never destroyed: handles may go after the statics of this file.
left_behind& all_left_behind() {
    static left_behind& all = *new left_behind;
    return all;
}

}  // namespace

descriptor open_process(pid_t pid) noexcept {
    return descriptor(above_streams(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
}

std::error_code signal_process(int pidfd, int signal) noexcept {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) { return {}; }
    return {errno, std::system_category()};
}

std::optional<exit_result> reap(int pidfd) noexcept {
    siginfo_t info{};
    if (::waitid(by_pidfd, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0) {
        return exit_result{{errno, std::system_category()}, {}};
    }
    if (info.si_pid == 0) { return std::nullopt; }
    return result_of(info);
}

void wait_for_end(int pidfd, std::chrono::milliseconds limit) noexcept {
    const auto end = std::chrono::steady_clock::now() + limit;
    pollfd waiting{pidfd, POLLIN, 0};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) { return; }
        if (::poll(&waiting, 1, static_cast<int>(left.count())) >= 0 || errno != EINTR) { return; }
    }
}

void leave_behind(descriptor pidfd) noexcept {
    if (reap(pidfd.get())) { return; }
    try {
        left_behind& all = all_left_behind();
        const std::lock_guard lock(all.mutex);
        all.children.push_back(std::move(pidfd));
    } catch (const std::bad_alloc&) {}  // a zombie is left then, until this process ends
}

void reap_left_behind() noexcept {
    left_behind& all = all_left_behind();
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.children, [](const descriptor& child) { return reap(child.get()).has_value(); });
}

}  // namespace fluxnet::detail
