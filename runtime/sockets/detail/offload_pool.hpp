// SPDX-License-Identifier: BSD-3-Clause
// `offload_pool`: the threads on which an executor's offloaded functions run.
//
// A service of the executor: made when something is offloaded first, gone with the executor, whose end waits for the
// functions that are running. So nothing of the process's is left behind, no function runs after main(), and executors do
// not slow each other down. Four threads at most, each started when a function would have to wait otherwise; they block all
// signals.
//
// Protocol. A job is queued, then running, then finished; the pool's mutex guards that. The awaiter is the job's waiter
// until it is granted or leaves, under the mutex too: so no thread grants an awaiter that has left. The job is held by the
// awaiter and, until it has finished, by the pool. The pool lets go of it before the awaiter is granted, so the function and
// its value are destroyed where the coroutine is; only an abandoned job is destroyed on the pool's thread.
//
// Threads: submit() and leave() on the executor's thread, or while no thread runs it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/services.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace fluxnet::detail {

/// A function that is to run on the pool, and how far it is.
class offload_job {
public:
    offload_job() = default;
    offload_job(const offload_job&) = delete;
    offload_job& operator=(const offload_job&) = delete;
    virtual ~offload_job() = default;

    /// Runs the function and keeps its value. An exception is kept too.
    virtual void run() noexcept = 0;

    std::exception_ptr failure;  ///< What left the function. Read once the job has finished.

private:
    friend class offload_pool;
    enum class phase : unsigned char { queued, running, finished };

    // Guarded by the pool's mutex:
    phase phase_ = phase::queued;
    bool abandoned_ = false;
    operation* waiter_ = nullptr;
};

class FLUXNET_EXPORT offload_pool final : public service {
public:
    static constexpr std::size_t most_threads = 4;

    explicit offload_pool(executor&) {}
    ~offload_pool() override;

    /// Queues a job, whose end grants `waiter`. Throws std::system_error when there is no thread and none can be started,
    /// and std::bad_alloc: nothing is queued then.
    void submit(const std::shared_ptr<offload_job>& job, operation& waiter);

    /// Takes back a job that has not begun. Returns false when it has.
    [[nodiscard]] bool withdraw(offload_job& job) noexcept;

    /// Leaves a job that has begun to itself: nobody is granted. Returns false when it has finished.
    [[nodiscard]] bool abandon(offload_job& job) noexcept;

    /// Makes sure that the job grants nobody and does not run: withdraws it, or waits until it has finished.
    void wait_for(offload_job& job) noexcept;

private:
    void start_thread();
    void work() noexcept;

    std::mutex mutex_;
    std::condition_variable work_;      // a job was queued, or the end has come
    std::condition_variable finished_;  // a job has finished
    std::deque<std::shared_ptr<offload_job>> queue_;
    std::size_t idle_ = 0;  // threads that wait for a job
    bool ending_ = false;
    std::vector<std::thread> threads_;  // the executor's thread only
};

}  // namespace fluxnet::detail
