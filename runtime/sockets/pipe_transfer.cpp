// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/pipe_transfer.hpp"

#include "fluxnet/runtime/core/executor.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::size_t most_bytes = INT_MAX;  // of which an int tells

bool in_virtual_time() noexcept {
    executor* const here = executor::current();
    return here != nullptr && inside(*here).clock() != nullptr;
}

bool is_ready(int fd, short events) noexcept {
    pollfd asked{fd, events, 0};
    return ::poll(&asked, 1, 0) > 0;
}

/// Keeps a SIGPIPE that the calling thread raises while this lives from being delivered.
class no_sigpipe {
public:
    no_sigpipe() noexcept {
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &former_);
        sigset_t pending;
        // It can have been pending before only if it was blocked before.
        const bool blocked = ::sigismember(&former_, SIGPIPE) == 1;
        theirs_ = blocked && ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1;
    }
    no_sigpipe(const no_sigpipe&) = delete;
    no_sigpipe& operator=(const no_sigpipe&) = delete;
    ~no_sigpipe() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }

    /// Takes the signal back, after a call that has raised it.
    void take_back() const noexcept {
        const timespec at_once{};
        while (!theirs_ && ::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {}
    }

private:
    sigset_t pipe_;
    sigset_t former_;
    bool theirs_ = false;  // one of the program's is pending
};

/// Makes the call until no signal interrupts it.
template <class Call>
int repeat(Call call) noexcept {
    for (;;) {
        const ssize_t count = call();
        if (count >= 0) { return static_cast<int>(count); }
        if (errno != EINTR) { return -errno; }
    }
}

}  // namespace

bool pipe_transfer::over_at_once() noexcept {
    closed_ = fd() < 0;
    if (closed_) { return true; }
    if (empty_) { return draw_here(); }
    return !in_virtual_time() && ready_at_once();
}

void pipe_transfer::start(short events) {
    if (empty_) {
        complete(no_error);
    } else {
        begin_wait(events);
    }
}

io_result pipe_transfer::end_transfer() noexcept {
    if (closed_) { return {errc::closed, 0}; }
    return end_wait(n_);
}

int pipe_transfer::read_now(std::span<std::byte> into) const noexcept {
    const iovec part{into.data(), std::min(into.size(), most_bytes)};
    const int result = repeat([&] { return ::preadv2(fd(), &part, 1, -1, RWF_NOWAIT); });
    if (result != -EOPNOTSUPP) { return result; }
    // A terminal, or a pipe in a kernel before 6.4. Once it is ready, a read does not wait.
    if (!is_ready(fd(), POLLIN)) { return -EAGAIN; }
    return repeat([&] { return ::read(fd(), part.iov_base, part.iov_len); });
}

int pipe_transfer::write_now(std::span<const std::byte> from) const noexcept {
    const iovec part{const_cast<std::byte*>(from.data()), std::min(from.size(), most_bytes)};
    const no_sigpipe quiet;
    int result = repeat([&] { return ::pwritev2(fd(), &part, 1, -1, RWF_NOWAIT); });
    if (result == -EOPNOTSUPP) {
        // Once a pipe is ready it has room for this much; a terminal has O_NONBLOCK.
        const std::size_t size = std::min<std::size_t>(part.iov_len, PIPE_BUF);
        if (!is_ready(fd(), POLLOUT)) { return -EAGAIN; }
        result = repeat([&] { return ::write(fd(), part.iov_base, size); });
    }
    if (result == -EPIPE) { quiet.take_back(); }
    return result == 0 ? -EAGAIN : result;
}

}  // namespace fluxnet::detail
