// SPDX-License-Identifier: BSD-3-Clause
// `strand`: the frame at the bottom of everything that was spawned: it runs a task to its end and tells its owner.
//
// The owner (an executor, a scope) keeps the strands in a list and owns their frames. A strand starts on its home executor
// and may go elsewhere; its end is told on its home executor, where its frame is destroyed first.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"

#include <boost/intrusive/list.hpp>

#include <coroutine>
#include <exception>
#include <source_location>
#include <stop_token>
#include <utility>

namespace fluxnet::detail {

class strand_promise;

/// Told when a strand of its has ended, with the exception that ended it, if any.
class strand_owner {
public:
    virtual void strand_ended(std::exception_ptr failure) noexcept = 0;

protected:
    ~strand_owner() = default;
};

/// What the promise of a strand is told: together, for a frame has room for each parameter besides.
struct strand_start {
    strand_owner& owner;
    executor& home;
    std::stop_token stop;
    const std::source_location& where;
};

struct strand {
    using promise_type = strand_promise;
    std::coroutine_handle<strand_promise> coroutine;
};

class strand_promise final
    : public cached_frame,
      public task_context,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<strand_promise>,
                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    strand_promise(strand_start& about, task<void>&)
        : task_context(&about.home, std::move(about.stop), about.where), owner_(about.owner) {
        inside(about.home).add_context(*this);
    }

    strand get_return_object() noexcept { return {std::coroutine_handle<strand_promise>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() noexcept {
        struct end_awaiter {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<strand_promise> ended) const noexcept { ended.promise().end(); }
            void await_resume() const noexcept {}
        };
        return end_awaiter{};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { failure_ = std::current_exception(); }

    [[nodiscard]] task_context* context() noexcept { return this; }
    [[nodiscard]] executor& home() const noexcept { return *began_on; }

    void run() noexcept override {
        const auto body = std::coroutine_handle<strand_promise>::from_promise(*this);
        if (body.done()) {
            end();
        } else if (listen()) {  // it begins
            body.resume();
        } else {
            task_context::run();
        }
    }

private:
    /// Destroys the frame, this object with it.
    void end() noexcept {
        if (executor::current() != &home()) {
            stop_listening();
            inside(home()).post(*this);
            return;
        }
        strand_owner& owner = owner_;
        std::exception_ptr failure = std::move(failure_);
        std::coroutine_handle<strand_promise>::from_promise(*this).destroy();
        owner.strand_ended(std::move(failure));
    }

    strand_owner& owner_;
    std::exception_ptr failure_;
};

/// The body of every strand.
inline strand run_strand(strand_start&, task<void> work) {
    task<void> body = std::move(work);  // a local, for it has to go before the promise, which is its context
    co_await body;
}

/// The strands of one owner that have not ended. Destroying it destroys their frames, and with them all that they await.
class FLUXNET_EXPORT strand_list {
public:
    strand_list() = default;
    strand_list(const strand_list&) = delete;
    strand_list& operator=(const strand_list&) = delete;
    ~strand_list() { clear(); }

    /// Makes a strand that resumes in a later turn of `home`, whose thread this is, unless nobody runs it.
    void start(strand_owner& owner, executor& home, std::stop_token stop, const std::source_location& where,
               task<void> work) {
        strand_start about{owner, home, std::move(stop), where};
        const strand made = run_strand(about, std::move(work));
        strands_.push_back(made.coroutine.promise());
        inside(home).make_ready(made.coroutine.promise());
    }

    /// Destroys the frames of all strands, while no thread runs an executor that one of them went to. Also takes what a
    /// dying frame spawns.
    void clear() noexcept {
        while (!strands_.empty()) { destroy(strands_.front()); }
    }

    /// The same while other threads run: a strand that is on another executor is cancelled by `stop`, and waited for until
    /// it has ended or come back. Meanwhile the calling thread makes turns of its executor, for such a strand may need what
    /// goes on there. The other executor has to run.
    void clear_running(std::stop_source& stop) noexcept;

    [[nodiscard]] bool empty() const noexcept { return strands_.empty(); }

private:
    static void destroy(strand_promise& one) noexcept {
        const auto body = std::coroutine_handle<strand_promise>::from_promise(one);
        if (body.done()) { inside(one.home()).take_inbox(); }  // it may be in there, having ended elsewhere
        body.destroy();
    }

    /// Destroys the strands that no other thread can be running now. Returns whether none is left.
    bool destroy_settled(executor& here) noexcept;

    using hook = boost::intrusive::base_hook<boost::intrusive::list_base_hook<
        boost::intrusive::tag<strand_promise>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>;
    boost::intrusive::list<strand_promise, hook, boost::intrusive::constant_time_size<false>> strands_;
};

}  // namespace fluxnet::detail
