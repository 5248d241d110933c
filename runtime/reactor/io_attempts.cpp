// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/io_attempts.hpp"

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace fluxnet {

void io_operation::on_ready(int result) noexcept {
    attempts_->ready(*this, result);
}

namespace detail {
namespace {

constexpr int shots_at_once = 16;
constexpr std::size_t most_sent_at_once = 4096;  // more waits for the end of the turn, for others wait meanwhile

short events_of(const io_request& request) noexcept {
    switch (request.what) {
        case io_request::call::write:
        case io_request::call::connect:
        case io_request::call::send:
        case io_request::call::send_message: return POLLOUT;
        default: return POLLIN;
    }
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

int accept(const io_request& request) noexcept {
    if (!is_ready(request)) { return why_not_ready(request.fd); }
    const int accepted = ::accept4(request.fd, nullptr, nullptr, SOCK_CLOEXEC);
    return accepted >= 0 ? accepted : -errno;
}

/// Makes a transfer without blocking: EAGAIN when the descriptor is not ready.
int try_transfer(const io_request& request, bool told) noexcept {
    const int result = transfer(request, RWF_NOWAIT);
    // A file that knows no such flag is asked first. One on a disk is always ready, and may have to wait all the same.
    if (result == -EOPNOTSUPP) { return is_ready(request) ? transfer(request, 0) : -EAGAIN; }
    if (result == -EAGAIN && told && is_on_disk(request.fd)) { return transfer(request, 0); }
    return result;
}

/// Begins to connect, and looks how that went when the socket is `told` to be ready; EINPROGRESS until then. The socket is
/// one of the program's, so nobody else sees that it does not block for the length of the call.
int connect(const io_request& request, bool told) noexcept {
    int failure = 0;
    if (told) {
        socklen_t size = sizeof failure;
        return ::getsockopt(request.fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 ? -failure : -errno;
    }
    const int flags = ::fcntl(request.fd, F_GETFL);
    if (flags < 0 || ::fcntl(request.fd, F_SETFL, flags | O_NONBLOCK) != 0) { return -errno; }
    const auto* const address = reinterpret_cast<const sockaddr*>(request.data);
    if (::connect(request.fd, address, static_cast<socklen_t>(request.size)) != 0) { failure = errno; }
    static_cast<void>(::fcntl(request.fd, F_SETFL, flags));
    return -failure;
}

/// Sends or receives without blocking.
int exchange(const io_request& request) noexcept {
    auto* const message = reinterpret_cast<msghdr*>(request.data);
    ssize_t count = 0;
    switch (request.what) {
        case io_request::call::send:
            count = ::send(request.fd, request.data, request.size, MSG_NOSIGNAL | MSG_DONTWAIT);
            break;
        case io_request::call::send_message: count = ::sendmsg(request.fd, message, MSG_NOSIGNAL | MSG_DONTWAIT); break;
        case io_request::call::receive_message:
            count = ::recvmsg(request.fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | request.flags);
            break;
        default: count = ::recv(request.fd, request.data, request.size, MSG_DONTWAIT); break;
    }
    return count >= 0 ? static_cast<int>(count) : -errno;
}

/// Tells whether the call has to be made again when the descriptor is ready.
bool has_to_wait(const io_request& request, int result) noexcept {
    if ((request.flags & MSG_DONTWAIT) != 0) { return false; }
    return result == (request.what == io_request::call::connect ? -EINPROGRESS : -EAGAIN);
}

bool is_stream(int fd) noexcept {
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/// Tells whether a multi-shot request goes on after a call that returned `result`.
bool goes_on(const io_request& request, int result) noexcept {
    if (!request.multishot) { return false; }
    return request.what == io_request::call::receive ? result > 0 : result >= 0;
}

}  // namespace

io_attempts::outcome io_attempts::make_call(const io_request& request, bool told) noexcept {
    switch (request.what) {
        case io_request::call::read:
        case io_request::call::write: return {try_transfer(request, told), 0};
        case io_request::call::accept: return {accept(request), 0};
        case io_request::call::connect: return {connect(request, told), 0};
        default: break;
    }
    if (request.pool == nullptr) { return {exchange(request), 0}; }
    // The buffer first, as io_uring does: a receive that has none ends, be there something to receive or not.
    const std::optional<std::uint32_t> buffer = request.pool->take();
    if (!buffer) { return {-ENOBUFS, 0}; }
    const ssize_t count = ::recv(request.fd, request.pool->at(*buffer), request.pool->buffer_size(), MSG_DONTWAIT);
    if (count > 0) { return {static_cast<int>(count), with_buffer(*buffer)}; }
    const int result = count == 0 ? 0 : -errno;
    request.pool->untake(*buffer);
    return {result, 0};
}

// What arrives after a receive that filled less than it was given, and the end of the stream, is found when the socket is
// watched. Source: epoll(7), "Questions and answers".
bool io_attempts::has_emptied(io_operation& operation, int result) noexcept {
    using kind = io_operation::socket_kind;
    const io_request& request = operation.request_;
    if (request.pool == nullptr || static_cast<std::size_t>(result) >= request.pool->buffer_size()) { return false; }
    kind& socket = operation.socket_;
    if (socket == kind::unknown) { socket = is_stream(request.fd) ? kind::stream : kind::messages; }
    return socket == kind::stream;
}

void io_attempts::add(io_operation& operation) {
    next_.push_back(&operation);
    operation.attempts_ = this;
    operation.socket_ = io_operation::socket_kind::unknown;
}

void io_attempts::try_now(io_operation& operation) noexcept {
    only_watches_ = true;
    operation.attempts_ = this;
    operation.socket_ = io_operation::socket_kind::unknown;
    attempt(operation, 0);
}

void io_attempts::watch(io_operation& operation) noexcept {
    owner_.arm(operation, operation.request_.fd, static_cast<unsigned>(events_of(operation.request_)));
}

// The end of the stream, or an error, may have been told of and lie behind what was received: it has to be told again then.
// So do bytes behind urgent ones, at which a receive stops (POLLPRI). Source: tcp(7).
void io_attempts::watch_emptied(io_operation& operation, int told) noexcept {
    if (told != POLLIN || operation.request_.pool == nullptr) {
        watch(operation);
    } else {
        owner_.arm_again(operation, operation.request_.fd, POLLIN | POLLPRI);
    }
}

std::optional<int> io_attempts::send_now(const io_request& request) noexcept {
    assert(request.what == io_request::call::send);
    if (request.size > most_sent_at_once) { return std::nullopt; }
    const int result = exchange(request);
    if (result == -EAGAIN || result == -EINTR) { return std::nullopt; }
    return result;
}

void io_attempts::remove(io_operation& operation) noexcept {
    std::replace(next_.begin(), next_.end(), &operation, static_cast<io_operation*>(nullptr));
    if (operation.armed()) { owner_.disarm_now(operation); }
}

void io_attempts::end_all() noexcept {
    auto& held = completions_.held();
    for (auto next = held.begin(); next != held.end();) {
        io_operation& operation = *next++;
        if (has(operation)) { completions_.add(operation, -ECANCELED, false); }
    }
}

void io_attempts::try_all() noexcept {
    const std::size_t count = next_.size();
    for (std::size_t i = 0; i < count; ++i) {
        if (next_[i] != nullptr) { attempt(*next_[i], 0); }
    }
    next_.erase(next_.begin(), next_.begin() + static_cast<std::ptrdiff_t>(count));
}

void io_attempts::attempt(io_operation& operation, int told) noexcept {
    const io_request& request = operation.request_;
    for (int calls = 1;; ++calls) {
        const auto [result, buffer] = make_call(request, told != 0);
        if (result == -EINTR) { continue; }
        if (result == -ECONNABORTED && request.what == io_request::call::accept) { continue; }
        if (has_to_wait(request, result)) {
            watch_emptied(operation, told);
            return;
        }
        const bool more = goes_on(request, result);
        completions_.add(operation, result, more, buffer);
        if (!more) { return; }
        if (has_emptied(operation, result)) {
            watch_emptied(operation, told);
            return;
        }
        if (calls == shots_at_once && only_watches_) {
            watch(operation);
            return;
        }
        if (calls == shots_at_once) {
            next_.push_back(&operation);
            return;
        }
    }
}

void io_attempts::ready(io_operation& operation, int result) noexcept {
    if (result < 0) {
        completions_.add(operation, result, false);
    } else {
        attempt(operation, result);
    }
}

}  // namespace detail
}  // namespace fluxnet
