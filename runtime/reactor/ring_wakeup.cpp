// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/ring_wakeup.hpp"

#include "fluxnet/runtime/reactor/detail/ring_enter.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

/// A blocking one, as a READ of it needs.
int make_eventfd() {
    const int made = above_streams(::eventfd(0, EFD_CLOEXEC));
    if (made < 0) { throw std::system_error(errno, std::generic_category(), "make an eventfd"); }
    return made;
}

}  // namespace

ring_wakeup::ring_wakeup(reactor_threads threads) : fd_(make_eventfd()), multishot_(threads == reactor_threads::one) {}

ring_wakeup::~ring_wakeup() {
    ::close(fd_);
}

void ring_wakeup::wake() const noexcept {
    const std::uint64_t one = 1;
    // Fails only when the counter would overflow, and then the thread is awake anyway.
    [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

void ring_wakeup::arm(io_uring_sqe& entry) noexcept {
    if (multishot_) {
        io_uring_prep_poll_multishot(&entry, fd_, POLLIN);
    } else {
        io_uring_prep_read(&entry, fd_, &value_, sizeof value_, 0);
    }
    entry.user_data = tag;
    armed_ = true;
}

void ring_wakeup::take(const io_uring_cqe& completion) noexcept {
    woken_ = true;
    armed_ = (completion.flags & IORING_CQE_F_MORE) != 0;
    if (completion.res == -EINVAL) { multishot_ = false; }
}

void ring_wakeup::count_completions(io_uring& ring) {
    if (counts_ && !counted_) { return; }
    if (std::exchange(counts_, false)) { io_uring_unregister_eventfd(&ring); }
    register_eventfd(ring, fd_);
    counts_ = true;
    counted_ = false;
}

void ring_wakeup::empty() noexcept {
    std::uint64_t count = 0;
    const iovec into{&count, sizeof count};
    counted_ = ::preadv2(fd_, &into, 1, -1, RWF_NOWAIT) > 0;
}

}  // namespace fluxnet::detail
