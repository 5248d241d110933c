// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/offload_pool.hpp"

#include "fluxnet/xsk/base/detail/tell.hpp"

#include <algorithm>
#include <csignal>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <signal.h>

namespace fluxnet::detail {
namespace {

/// Blocks all signals of the calling thread while it lives: a thread that is started meanwhile blocks them for good.
class all_signals_blocked {
public:
    all_signals_blocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &former_);
    }
    all_signals_blocked(const all_signals_blocked&) = delete;
    all_signals_blocked& operator=(const all_signals_blocked&) = delete;
    ~all_signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }

private:
    sigset_t former_;
};

}  // namespace

offload_pool::~offload_pool() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        queue_.clear();  // the awaiters of an executor go before its services do, and have withdrawn theirs
    }
    work_.notify_all();
    for (std::thread& thread : threads_) { thread.join(); }
}

void offload_pool::submit(const std::shared_ptr<offload_job>& job, operation& waiter) {
    {
        const std::lock_guard lock(mutex_);
        job->waiter_ = &waiter;
        queue_.push_back(job);
        if (queue_.size() <= idle_ || threads_.size() == most_threads) {
            work_.notify_one();
            return;
        }
    }
    try {
        start_thread();
    } catch (...) {
        // The threads that there are will come to it.
        if (!threads_.empty() || !withdraw(*job)) { return; }
        throw;
    }
}

bool offload_pool::withdraw(offload_job& job) noexcept {
    const std::lock_guard lock(mutex_);
    if (job.phase_ != offload_job::phase::queued) { return false; }
    job.waiter_ = nullptr;
    std::erase_if(queue_, [&job](const std::shared_ptr<offload_job>& each) { return each.get() == &job; });
    return true;
}

bool offload_pool::abandon(offload_job& job) noexcept {
    const std::lock_guard lock(mutex_);
    if (job.phase_ == offload_job::phase::finished) { return false; }
    job.waiter_ = nullptr;
    job.abandoned_ = true;
    return true;
}

void offload_pool::wait_for(offload_job& job) noexcept {
    if (withdraw(job)) { return; }
    std::unique_lock lock(mutex_);
    job.waiter_ = nullptr;
    finished_.wait(lock, [&job] { return job.phase_ == offload_job::phase::finished; });
}

void offload_pool::start_thread() {
    threads_.reserve(most_threads);
    const all_signals_blocked blocked;
    threads_.emplace_back([this] { work(); });
}

void offload_pool::work() noexcept {
    ::pthread_setname_np(::pthread_self(), "fluxnet-offload");
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        work_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        --idle_;
        if (queue_.empty()) { return; }
        std::shared_ptr<offload_job> job = std::move(queue_.front());
        queue_.pop_front();
        job->phase_ = offload_job::phase::running;
        lock.unlock();
        job->run();
        lock.lock();
        job->phase_ = offload_job::phase::finished;
        operation* const waiter = std::exchange(job->waiter_, nullptr);
        if (job->abandoned_) {
            lock.unlock();
            if (job->failure) { tell_exception(job->failure, "a function of offload(), after its task had left it"); }
            job.reset();
            lock.lock();
            continue;
        }
        job.reset();  // the awaiter holds it too: it needs the mutex to go
        if (waiter != nullptr) { waiter->grant(); }
        finished_.notify_all();
    }
}

}  // namespace fluxnet::detail
