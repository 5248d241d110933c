// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/executor_group.hpp"

#include "fluxnet/xsk/base/detail/tell.hpp"

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace fluxnet {
namespace {

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(), "ask for the CPUs that the process may use");
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &set)) { cpus.push_back(cpu); }
    }
    return cpus;
}

void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (const int refused = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set); refused != 0) {
        throw std::system_error(refused, std::generic_category(), "pin a thread to CPU " + std::to_string(cpu));
    }
}

}  // namespace

executor_group::executor_group(const group_options& options) : pinned_(options.pinned), cpus_(allowed_cpus()) {
    const std::size_t size = options.size != 0 ? options.size : cpus_.size();
    for (std::size_t i = 0; i < size; ++i) { executors_.emplace_back(options.idle); }
}

executor_group::~executor_group() {
    // All frames go while all executors are there: one may have to leave another's inbox.
    for (executor& one : executors_) { one.discard_tasks(); }
}

void executor_group::spawn(std::size_t i, task<void> work, const std::source_location& where) {
    if (i >= executors_.size()) {
        throw std::out_of_range("spawn a task on executor " + std::to_string(i) + " of a group of " +
                                std::to_string(executors_.size()) +
                                ": there is no such executor; the first is 0, and size() tells how many there are");
    }
    tasks_.fetch_add(1, std::memory_order_relaxed);
    const auto counted = [](executor_group& group, task<void> inner) -> task<void> {
        struct ending {
            executor_group& group;
            ~ending() { group.task_ended(); }
        };
        const ending at_the_end{group};
        co_await inner;
    };
    executor& on = executors_[i];
    const auto held = std::make_shared<task<void>>(std::move(work));  // what is posted has to be copyable
    on.post([this, &on, counted, held, where] { on.spawn(counted(*this, std::move(*held)), where); });
}

void executor_group::task_ended() noexcept {
    if (tasks_.fetch_sub(1, std::memory_order_acq_rel) == 1) { release_guards(); }
}

void executor_group::release_guards() noexcept {
    const std::lock_guard lock(mutex_);
    released_ = true;
    guards_.clear();
}

void executor_group::take_guards() {
    const std::lock_guard lock(mutex_);
    if (released_) { return; }
    for (executor& one : executors_) { guards_.emplace_back(one); }
}

void executor_group::run() {
    if (std::exchange(ran_, true)) {
        throw std::logic_error(
            "run an executor group: it has run before, and its executors belong to threads that have ended; make another "
            "group");
    }
    if (tasks_.load(std::memory_order_acquire) != 0) { take_guards(); }
    std::vector<std::thread> threads;
    threads.reserve(executors_.size());
    try {
        for (std::size_t i = 0; i < executors_.size(); ++i) {
            threads.emplace_back([this, i] { run_one(i); });
        }
    } catch (...) {
        keep_failure(std::current_exception());
        release_guards();  // what is on an executor without a thread does not end
    }
    for (std::thread& thread : threads) { thread.join(); }
    if (failure_) { std::rethrow_exception(std::exchange(failure_, nullptr)); }
}

/// The body of a thread. An executor with nothing of its own to do stays, for others may send tasks here.
void executor_group::run_one(std::size_t i) {
    executor& mine = executors_[i];
    try {
        if (pinned_) { pin_to(cpus_[i % cpus_.size()]); }
    } catch (...) { keep_failure(std::current_exception()); }
    // After a failure the other tasks are run to their end, as long as each failure leaves fewer of them.
    for (std::size_t left = ~std::size_t{0};;) {
        try {
            mine.run();
            return;
        } catch (...) { keep_failure(std::current_exception()); }
        const std::size_t now = mine.tasks().size();
        if (now >= left) {
            release_guards();
            return;
        }
        left = now;
    }
}

void executor_group::keep_failure(std::exception_ptr failure) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (!failure_) { failure_ = std::exchange(failure, nullptr); }
    }
    if (failure) { detail::tell_exception(failure, "a task of an executor_group, after another that failed"); }
    request_stop();
}

void executor_group::request_stop() {
    // The guards stay until the cancelled tasks have ended: one may be on its way between two executors.
    for (executor& one : executors_) { one.request_stop(); }
}

}  // namespace fluxnet
