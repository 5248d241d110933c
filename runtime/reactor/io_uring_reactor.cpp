// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <array>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// The ring is created disabled, and enabled by the thread that attaches: with SINGLE_ISSUER that thread becomes its only
// submitter. With DEFER_TASKRUN completions are posted only inside io_uring_enter with GETEVENTS; the TASKRUN flag in the
// ring tells when such work waits, so that a busy turn enters only for a reason.
// A wake-up from another thread is a write to an eventfd on which a READ is always in flight.

namespace fluxnet {
namespace {

constexpr unsigned sq_entries = 256;
constexpr std::uint64_t tag_ignored = 0;  // user_data of requests whose completion means nothing
constexpr std::uint64_t tag_wake = 1;

struct flag_set {
    unsigned flags;
    const char* name;
};

constexpr std::array flag_sets{
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
             "io_uring (SINGLE_ISSUER, DEFER_TASKRUN)"},
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG,
             "io_uring (COOP_TASKRUN)"},
    flag_set{IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP, "io_uring (no flags)"},
};

/// What the administrator has set: 0 allows io_uring, 1 reserves it for the privileged and one group, 2 forbids it. Source:
/// Documentation/admin-guide/sysctl/kernel.rst.
std::string io_uring_sysctl() {
    std::string value;
    std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
    return value.empty() ? "sysctl kernel.io_uring_disabled cannot be read" : "sysctl kernel.io_uring_disabled is " + value;
}

std::string why_refused(int number) {
    const char* const name = ::strerrorname_np(number);
    const std::string answer = std::string("io_uring_setup answered ") + (name != nullptr ? name : "an error");
    switch (number) {
        case EPERM:
            return answer + ": io_uring is forbidden here by sysctl, seccomp or a security module (" + io_uring_sysctl() +
                   ')';
        case ENOSYS: return answer + ": the kernel has no io_uring, or seccomp hides it";
        case ENOMEM: return answer + ": no memory for the ring, or RLIMIT_MEMLOCK is too small for it";
        default: return answer;
    }
}

class io_uring_reactor final : public reactor {
public:
    io_uring_reactor() {
        int refused = -EINVAL;
        for (const flag_set& set : flag_sets) {
            io_uring_params parameters{};
            parameters.flags = set.flags;
            refused = io_uring_queue_init_params(sq_entries, &ring_, &parameters);
            if (refused == 0) {
                name_ = set.name;
                break;
            }
            if (refused != -EINVAL) { break; }
        }
        if (refused != 0) { throw std::system_error(-refused, std::generic_category(), why_refused(-refused)); }
        wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
        if (wake_fd_ < 0) {
            const int number = errno;
            io_uring_queue_exit(&ring_);
            throw std::system_error(number, std::generic_category(), "make an eventfd");
        }
    }

    ~io_uring_reactor() override {
        shut_down();
        ::close(wake_fd_);
    }

    void attach() override {
        if (attached_) { return; }
        // Debian 12's liburing declares io_uring_enable_rings() without exporting it.
        if (::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) != 0) {
            throw std::system_error(errno, std::generic_category(), "enable the io_uring");
        }
        attached_ = true;
        read_wake();
    }

    void arm(poll_operation& operation, int fd, unsigned events) override {
        assert(attached_ && !operation.armed());
        io_uring_sqe* entry = next_entry();
        if (entry == nullptr) {
            set_result(operation, -ENOBUFS);
            fired_.push_back(operation);
            return;
        }
        io_uring_prep_poll_add(entry, fd, events);
        entry->user_data = reinterpret_cast<std::uintptr_t>(&operation);
        mark_armed(operation, true);
        armed_.push_back(operation);
    }

    void disarm(poll_operation& operation) override {
        if (!operation.armed()) { return; }
        io_uring_sqe* entry = next_entry();
        if (entry == nullptr) { return; }  // the ring is broken, which the next wait() reports
        io_uring_prep_poll_remove(entry, reinterpret_cast<std::uintptr_t>(&operation));
        entry->user_data = tag_ignored;
    }

    void disarm_now(poll_operation& operation) noexcept override {
        if (operation.armed()) { disarm(operation); }
        while (operation.armed()) {
            const int r = io_uring_submit_and_wait(&ring_, 1);
            if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY) {
                // The ring is not ours to drive (another thread attached it) or gone. Everything is given up, so that no
                // completion, should one come, is taken for an operation that no longer exists.
                shut_down();
                return;
            }
            reap();
        }
        if (operation.is_linked()) { operation.unlink(); }
    }

    void poll() override {
        if (!wake_read_) { read_wake(); }
        const bool pending = io_uring_sq_ready(&ring_) != 0;
        const bool deferred =
            (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
        if (pending || deferred) { check(io_uring_submit_and_get_events(&ring_)); }
        if (io_uring_cq_ready(&ring_) != 0) { reap(); }
        if (!fired_.empty()) { fire(fired_); }
    }

    void wait(std::optional<time_point> deadline) override {
        read_wake();
        // What disarm_now() reaped beside its own completion has not fired yet: that is no time to sleep.
        if (fired_.empty() && !woken_ && io_uring_cq_ready(&ring_) == 0) {
            io_uring_cqe* first = nullptr;
            if (deadline) {
                // Compared before they are subtracted: the earliest time there is lies further back than a duration reaches.
                const time_point now = std::chrono::steady_clock::now();
                const auto left = *deadline > now ? *deadline - now : time_point::duration::zero();
                const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
                __kernel_timespec timeout{seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
                check(io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr));
            } else {
                check(io_uring_submit_and_wait(&ring_, 1));
            }
        }
        reap();
        woken_ = false;
        fire(fired_);
    }

    void wake() noexcept override {
        const std::uint64_t one = 1;
        // Fails only when the counter would overflow, and then the reader is awake anyway.
        [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
    }

    void shut_down() noexcept override {
        if (closed_) { return; }
        closed_ = true;
        cancel_everything();
        forget(armed_);
        forget(fired_);
        io_uring_queue_exit(&ring_);
    }

    std::string_view name() const noexcept override { return name_; }

private:
    /// Returns a free entry of the submission queue, handing a full one over early; null when the kernel takes nothing.
    io_uring_sqe* next_entry() noexcept {
        for (int attempt = 0; attempt < 16; ++attempt) {
            if (io_uring_sqe* entry = io_uring_get_sqe(&ring_)) { return entry; }
            const int r = io_uring_submit(&ring_);
            if (r == -EAGAIN || r == -EBUSY) { reap(); }  // it wants its completions taken first
        }
        return nullptr;
    }

    void read_wake() noexcept {
        if (wake_read_ || closed_) { return; }
        io_uring_sqe* entry = next_entry();
        if (entry == nullptr) { return; }  // tried again before the next wait
        io_uring_prep_read(entry, wake_fd_, &wake_value_, sizeof wake_value_, 0);
        entry->user_data = tag_wake;
        wake_read_ = true;
    }

    static void check(int answer) {
        // ETIME: the deadline; EINTR: a signal; EAGAIN and EBUSY: the kernel wants completions reaped first.
        if (answer >= 0 || answer == -ETIME || answer == -EINTR || answer == -EAGAIN || answer == -EBUSY) { return; }
        throw std::system_error(-answer, std::generic_category(), "io_uring_enter");
    }

    /// Moves all completions to the list of fired operations.
    void reap() noexcept {
        io_uring_cqe* completion = nullptr;
        unsigned head = 0;
        unsigned count = 0;
        io_uring_for_each_cqe(&ring_, head, completion) {
            ++count;
            if (completion->user_data == tag_ignored) { continue; }
            if (completion->user_data == tag_wake) {
                woken_ = true;
                wake_read_ = false;
                continue;
            }
            auto& operation = *reinterpret_cast<poll_operation*>(static_cast<std::uintptr_t>(completion->user_data));
            mark_armed(operation, false);
            set_result(operation, completion->res);
            operation.unlink();
            fired_.push_back(operation);
        }
        if (count != 0) { io_uring_cq_advance(&ring_, count); }
    }

    /// Cancels what the kernel still holds and waits for it, so that no descriptor stays referenced by the dying ring.
    void cancel_everything() noexcept {
        io_uring_sqe* entry = attached_ ? next_entry() : nullptr;
        if (entry == nullptr) { return; }
        io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        entry->user_data = tag_ignored;
        // Each polled request completes inside the enter that cancels it; a ring that another thread drove answers EEXIST.
        for (int round = 0; wake_read_ && round < 16; ++round) {
            if (io_uring_submit_and_wait(&ring_, 1) < 0) { return; }
            reap();
        }
    }

    io_uring ring_{};
    std::string_view name_;
    int wake_fd_ = -1;
    std::uint64_t wake_value_ = 0;  // the kernel writes here while wake_read_
    bool wake_read_ = false;
    bool woken_ = false;  // since the last wait()
    bool attached_ = false;
    bool closed_ = false;
    operation_list armed_;  // the kernel holds these
    operation_list fired_;  // completed, not yet dispatched
};

}  // namespace

std::unique_ptr<reactor> make_io_uring_reactor() {
    return std::make_unique<io_uring_reactor>();
}

}  // namespace fluxnet
