// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/subprocess.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/sockets/detail/launch.hpp"
#include "fluxnet/runtime/sockets/detail/pidfd.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <memory>

namespace fluxnet {
namespace {

constexpr std::chrono::milliseconds longest_end{1000};

bool in_virtual_time() noexcept {
    executor* const here = executor::current();
    return here != nullptr && detail::inside(*here).clock() != nullptr;
}

/// Leaves the child behind if nobody has reaped it.
struct detached_child {
    descriptor process;

    explicit detached_child(descriptor of) noexcept : process(std::move(of)) {}
    detached_child(const detached_child&) = delete;
    detached_child& operator=(const detached_child&) = delete;
    ~detached_child() {
        if (process) { detail::leave_behind(std::move(process)); }
    }
};

task<void> reap_at_end(std::shared_ptr<detached_child> child) {
    const std::error_code ec = co_await readable(child->process.get());
    if (!ec && detail::reap(child->process.get())) { child->process.reset(); }
}

}  // namespace

result<subprocess> subprocess::start(const process_options& options) {
    if (in_virtual_time()) {
        return make_error(errc::not_in_virtual_time, "start a program", "programs do not go by the executor's virtual clock",
                          "start it on an executor in real time");
    }
    detail::reap_left_behind();
    detail::launch starting(options);
    if (const result<void> started = starting.run(); !started) { return started.error(); }
    return subprocess(starting.pid, std::move(starting.process), std::move(starting.streams), options.own_group);
}

subprocess::subprocess(subprocess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), process_(std::move(other.process_)), streams_(std::move(other.streams_)),
      ended_(std::exchange(other.ended_, std::nullopt)), leads_group_(other.leads_group_) {}

subprocess& subprocess::operator=(subprocess&& other) noexcept {
    if (this != &other) {
        end_now();
        pid_ = std::exchange(other.pid_, 0);
        process_ = std::move(other.process_);
        streams_ = std::move(other.streams_);
        ended_ = std::exchange(other.ended_, std::nullopt);
        leads_group_ = other.leads_group_;
    }
    return *this;
}

subprocess::~subprocess() {
    end_now();
}

void subprocess::end_now() noexcept {
    streams_ = {};
    if (!process_ || (!leads_group_ && ended())) { return; }  // a group may go on though the program has ended
    const bool killed = !kill(SIGKILL);
    if (ended()) { return; }
    if (killed) { detail::wait_for_end(process_.get(), longest_end); }
    detail::leave_behind(std::move(process_));
}

task<exit_result> subprocess::wait() {
    if (in_virtual_time()) { co_return exit_result{errc::not_in_virtual_time, {}}; }
    for (;;) {
        if (const std::optional<exit_result> end = ended()) { co_return *end; }
        const std::error_code ec = co_await readable(process_.get());
        if (ec) { co_return exit_result{ec, {}}; }
    }
}

std::optional<exit_result> subprocess::ended() noexcept {
    if (!process_) { return exit_result{errc::closed, {}}; }
    if (!ended_) { ended_ = detail::reap(process_.get()); }
    return ended_;
}

std::error_code subprocess::kill(int signal) noexcept {
    if (!process_) { return errc::closed; }
    if (ended_) { return {ESRCH, std::system_category()}; }
    if (!leads_group_) { return detail::signal_process(process_.get(), signal); }
    // Nobody has reaped the program, so that the number of its group is still its own.
    if (const std::error_code gone = detail::signal_process(process_.get(), 0)) { return gone; }
    return ::kill(-pid_, signal) == 0 ? std::error_code() : std::error_code(errno, std::system_category());
}

void subprocess::detach() noexcept {
    streams_ = {};
    pid_ = 0;
    descriptor process = std::move(process_);
    if (!process || std::exchange(ended_, std::nullopt)) { return; }
    try {
        const auto child = std::make_shared<detached_child>(descriptor());
        child->process = std::move(process);
        if (executor* const here = executor::current(); here != nullptr && !in_virtual_time()) {
            here->spawn_background(reap_at_end(child));
        }
    } catch (const std::exception&) {  // out of memory: no task reaps it
        if (process) { detail::leave_behind(std::move(process)); }
    }
}

}  // namespace fluxnet
