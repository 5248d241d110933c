// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/io_attempts.hpp"

#include "fluxnet/runtime/reactor/reactor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace fluxnet {

void io_operation::readiness::on_ready(int result) noexcept {
    attempts->ready(of_, result);
}

namespace detail {
namespace {

constexpr int accepts_at_once = 16;

short events_of(const io_request& request) noexcept {
    return request.what == io_request::call::write ? POLLOUT : POLLIN;
}

bool is_ready(const io_request& request) noexcept {
    pollfd asked{request.fd, events_of(request), 0};
    return ::poll(&asked, 1, 0) != 0;
}

bool is_on_disk(int fd) noexcept {
    struct stat about {};
    return ::fstat(fd, &about) == 0 && (S_ISREG(about.st_mode) || S_ISBLK(about.st_mode));
}

/// Returns EAGAIN for a listening socket, and what accept(2) says to others: they never become ready.
int why_not_ready(int fd) noexcept {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) { return -errno; }
    return listening != 0 ? -EAGAIN : -EINVAL;
}

/// Returns what the call returned, or a negated errno.
int transfer(const io_request& request, int flags) noexcept {
    const iovec part{request.data, request.size};
    const auto offset = static_cast<off_t>(request.offset);  // -1 for the file's own position
    const ssize_t count = request.what == io_request::call::read ? ::preadv2(request.fd, &part, 1, offset, flags)
                                                                 : ::pwritev2(request.fd, &part, 1, offset, flags);
    return count >= 0 ? static_cast<int>(count) : -errno;
}

/// The same, without blocking: EAGAIN when the descriptor is not ready.
int make_call(const io_request& request, bool told) noexcept {
    if (request.what == io_request::call::accept) {
        if (!is_ready(request)) { return why_not_ready(request.fd); }
        const int accepted = ::accept4(request.fd, nullptr, nullptr, SOCK_CLOEXEC);
        return accepted >= 0 ? accepted : -errno;
    }
    const int result = transfer(request, RWF_NOWAIT);
    // A file that knows no such flag is asked first. One on a disk is always ready, and may have to wait all the same.
    if (result == -EOPNOTSUPP) { return is_ready(request) ? transfer(request, 0) : -EAGAIN; }
    if (result == -EAGAIN && told && is_on_disk(request.fd)) { return transfer(request, 0); }
    return result;
}

}  // namespace

void io_attempts::add(io_operation& operation) {
    next_.push_back(&operation);
    operation.readiness_.attempts = this;
}

void io_attempts::remove(io_operation& operation) noexcept {
    std::replace(next_.begin(), next_.end(), &operation, static_cast<io_operation*>(nullptr));
    if (operation.readiness_.armed()) { owner_.disarm_now(operation.readiness_); }
}

void io_attempts::try_all() noexcept {
    const std::size_t count = next_.size();
    for (std::size_t i = 0; i < count; ++i) {
        if (next_[i] != nullptr) { attempt(*next_[i], false); }
    }
    next_.erase(next_.begin(), next_.begin() + static_cast<std::ptrdiff_t>(count));
}

void io_attempts::attempt(io_operation& operation, bool told) noexcept {
    const io_request& request = operation.request_;
    for (int calls = 1;; ++calls) {
        const int result = make_call(request, told);
        if (result == -EINTR || result == -ECONNABORTED) { continue; }
        if (result == -EAGAIN) {
            owner_.arm(operation.readiness_, request.fd, static_cast<unsigned>(events_of(request)));
            return;
        }
        const bool more = request.multishot && result >= 0;
        completions_.add(operation, result, more);
        if (!more) { return; }
        if (calls == accepts_at_once) {
            next_.push_back(&operation);
            return;
        }
    }
}

void io_attempts::ready(io_operation& operation, int result) noexcept {
    if (result < 0) {
        completions_.add(operation, result, false);
    } else {
        attempt(operation, true);
    }
}

}  // namespace detail
}  // namespace fluxnet
