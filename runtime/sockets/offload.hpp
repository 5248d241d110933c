// SPDX-License-Identifier: BSD-3-Clause
// `offload`: runs a function that blocks on another thread, and gives its value.
//
//     const auto read = [&path] { return read_whole_file(path); };
//     const result<std::string> text = co_await offload(read);
//     if (!text) { co_return; }  // cancelled before it began
//
// The functions of one executor run on four threads at most, in the order in which they were offloaded; the others wait. The
// threads start when they are needed and block all signals. The executor's end waits for the functions that are running.
//
// A thread cannot be interrupted. A function that has not begun is withdrawn when the task is cancelled; once it has begun,
// the await waits for it, because the function may refer to the coroutine's variables. A function that owns all that it uses
// may be abandoned: with when_canceled::abandons the await ends at once, and what the function returns is dropped.
//
// Threads: awaited on an executor, which resumes the coroutine. The function runs on another thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/detail/offload_pool.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <boost/system/result.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace fluxnet {

/// What becomes of a function that is running when the task that awaits it is cancelled, or the coroutine is destroyed.
enum class when_canceled {
    waits,     ///< It is waited for.
    abandons,  ///< It goes on by itself, and may be destroyed on its own thread. It must own all that it uses.
};

namespace detail {

template <class Function>
concept offloadable = std::invocable < std::decay_t<Function>
& > ;

/// A function, and its value once it has run.
template <class Function>
class offload_call final : public offload_job {
public:
    using value_type = std::invoke_result_t<Function&>;

    explicit offload_call(Function&& function) : function_(std::move(function)) {}

    void run() noexcept override {
        try {
            if constexpr (std::is_void_v<value_type>) {
                function_();
            } else {
                value.emplace(function_());
            }
        } catch (...) { failure = std::current_exception(); }
    }

    std::optional<value_of<value_type>> value;

private:
    Function function_;
};

/// The error for what kept an offloaded function from giving its value.
[[nodiscard]] FLUXNET_EXPORT error offload_error(std::error_code why);

}  // namespace detail

template <class Function>
class [[nodiscard]] offload_awaiter final : private detail::operation {
public:
    using value_type = std::invoke_result_t<Function&>;
    static_assert(!std::is_reference_v<value_type>, "the function returns a value, or nothing");

    offload_awaiter(Function&& function, when_canceled then)
        : job_(std::make_shared<detail::offload_call<Function>>(std::move(function))), then_(then) {}
    offload_awaiter(const offload_awaiter&) = delete;
    offload_awaiter& operator=(const offload_awaiter&) = delete;
    ~offload_awaiter() {
        if (idle() || pool_ == nullptr) { return; }
        if (then_ == when_canceled::waits) {
            pool_->wait_for(*job_);
        } else if (!pool_->withdraw(*job_)) {
            static_cast<void>(pool_->abandon(*job_));
        }
        end();
    }

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    [[nodiscard]] result<value_type> await_resume() {
        if (const std::error_code why = finish()) {
            return result<value_type>(boost::system::in_place_error, detail::offload_error(why));
        }
        if (job_->failure) { std::rethrow_exception(job_->failure); }
        if constexpr (std::is_void_v<value_type>) {
            return {};
        } else {
            return result<value_type>(boost::system::in_place_value, std::move(*job_->value));
        }
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return "offload"; }

    void start() {
        fluxnet::executor& home = home_executor();
        if (detail::inside(home).clock() != nullptr) {
            complete(errc::not_in_virtual_time);
            return;
        }
        auto& pool = home.use_service<detail::offload_pool>();
        pool.submit(job_, *this);
        pool_ = &pool;
    }

    void cancel() noexcept override {
        if (pool_ == nullptr) { return; }
        if (pool_->withdraw(*job_) || (then_ == when_canceled::abandons && pool_->abandon(*job_))) {
            complete(errc::operation_canceled);
        }
    }

    const std::shared_ptr<detail::offload_call<Function>> job_;
    detail::offload_pool* pool_ = nullptr;  // once the job was submitted
    const when_canceled then_;
};

/// Runs `function` on a thread of the executor's pool. Completes with its value; with operation_canceled when the task is
/// cancelled first; or with not_in_virtual_time, where no other thread takes part. Throws what left the function, and
/// std::system_error when no thread can be started. Allocates; a system call or two to wake the threads.
template <detail::offloadable Function>
[[nodiscard]] offload_awaiter<std::decay_t<Function>> offload(Function&& function,
                                                              when_canceled then = when_canceled::waits) {
    return {std::decay_t<Function>(std::forward<Function>(function)), then};
}

}  // namespace fluxnet
