// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/signal_set.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <sys/signalfd.h>
#include <unistd.h>

namespace fluxnet {
namespace {

// How many sets have blocked each signal. Lock-free, so that a child of fork() may look at it, whatever the other threads of
// its parent were doing.
std::array<std::atomic<unsigned>, _NSIG> sets_blocking;
static_assert(std::atomic<unsigned>::is_always_lock_free);

template <class Change>
void for_each_of(const sigset_t& signals, Change change) noexcept {
    for (int number = 1; number < _NSIG; ++number) {
        if (::sigismember(&signals, number) == 1) { change(sets_blocking[static_cast<std::size_t>(number)]); }
    }
}

void unblock(const sigset_t& signals) noexcept {
    for_each_of(signals, [](auto& sets) { sets.fetch_sub(1, std::memory_order_relaxed); });
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

[[noreturn]] void refuse(std::string cause, std::string remedy) {
    const error refusal = make_error(errc::invalid_option, "await signals", std::move(cause), std::move(remedy));
    throw std::system_error(refusal.code, refusal.message());
}

/// Signals that can be blocked and read from a signalfd. sigaddset() refuses numbers that are none, and those that the C
/// library keeps for its threads.
sigset_t set_of(std::initializer_list<int> signals) {
    if (signals.size() == 0) { refuse("no signal is named", "name at least one"); }
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int number : signals) {
        const std::string name = "signal " + std::to_string(number);
        if (number == SIGKILL || number == SIGSTOP) {
            refuse(name + (number == SIGKILL ? " (SIGKILL)" : " (SIGSTOP)") + " cannot be blocked",
                   "name another, such as SIGTERM");
        }
        if (::sigaddset(&wanted, number) != 0) {
            refuse("there is no " + name + " for programs", "name one that signal(7) lists, such as SIGTERM");
        }
    }
    return wanted;
}

}  // namespace

signal_set::signal_set(std::initializer_list<int> signals) {
    const sigset_t wanted = set_of(signals);
    sigset_t former;
    ::pthread_sigmask(SIG_BLOCK, &wanted, &former);
    ::sigemptyset(&ours_);
    for (const int number : signals) {
        if (::sigismember(&former, number) == 0) { ::sigaddset(&ours_, number); }
    }
    for_each_of(ours_, [](auto& sets) { sets.fetch_add(1, std::memory_order_relaxed); });
    fd_ = detail::above_streams(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (fd_ < 0) {
        const int number = errno;
        unblock(ours_);
        throw std::system_error(number, std::generic_category(), "make a signalfd");
    }
}

signal_set::~signal_set() {
    ::close(fd_);
    unblock(ours_);
}

sigset_t signal_set::child_mask() noexcept {
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    for (int number = 1; number < _NSIG; ++number) {
        const unsigned sets = sets_blocking[static_cast<std::size_t>(number)].load(std::memory_order_relaxed);
        if (sets != 0) { ::sigdelset(&mask, number); }
    }
    return mask;
}

void signal_set::restore_in_child() noexcept {
    const sigset_t mask = child_mask();
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
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
