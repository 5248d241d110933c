// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/signal_set.hpp"

#include <cerrno>
#include <memory>
#include <system_error>

#include <sys/signalfd.h>
#include <unistd.h>

namespace fluxnet {

signal_set::signal_set(std::initializer_list<int> signals) {
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int number : signals) { ::sigaddset(&wanted, number); }
    sigset_t former;
    ::pthread_sigmask(SIG_BLOCK, &wanted, &former);
    ::sigemptyset(&ours_);
    for (const int number : signals) {
        if (::sigismember(&former, number) == 0) { ::sigaddset(&ours_, number); }
    }
    fd_ = ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) {
        const int number = errno;
        ::pthread_sigmask(SIG_UNBLOCK, &ours_, nullptr);
        throw std::system_error(number, std::generic_category(), "make a signalfd");
    }
}

signal_set::~signal_set() {
    ::close(fd_);
    ::pthread_sigmask(SIG_UNBLOCK, &ours_, nullptr);
}

int signal_set::take() noexcept {
    signalfd_siginfo info{};
    return ::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info) ? static_cast<int>(info.ssi_signo) : 0;
}

task<int> signal_set::next() {
    for (;;) {
        if (const int number = take(); number != 0) { co_return number; }
        const std::error_code ec = co_await readable(fd_);
        if (ec == errc::operation_canceled) { co_return 0; }
        if (ec) { throw std::system_error(ec, "await a signal"); }
    }
}

namespace {

task<void> stop_at(std::unique_ptr<signal_set> signals) {
    const int number = co_await signals->next();
    signals.reset();
    if (number != 0) { executor::current()->request_stop(); }
}

}  // namespace

task<void> stop_on(std::initializer_list<int> signals) {
    return stop_at(std::make_unique<signal_set>(signals));
}

}  // namespace fluxnet
