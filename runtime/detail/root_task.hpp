// SPDX-License-Identifier: BSD-3-Clause
// The frame at the bottom of everything that was spawned: it awaits the user's task, reports its exception and ends itself.
// Owned by the executor's list of roots; holds the stop token that flows down from it.
#pragma once

#include "runtime/executor.hpp"
#include "runtime/ready_node.hpp"
#include "runtime/task.hpp"

#include <boost/intrusive/list.hpp>

#include <coroutine>
#include <stop_token>

namespace fluxnet::detail {

class root_promise;

struct root_task {
    using promise_type = root_promise;
    std::coroutine_handle<root_promise> coroutine;
};

class root_promise : public ready_node,
                     public boost::intrusive::list_base_hook<boost::intrusive::tag<root_promise>,
                                                             boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    root_promise(executor& owner, task<void>&) noexcept : owner_(owner), token_(owner.stop_token()) {}

    root_task get_return_object() noexcept { return {std::coroutine_handle<root_promise>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() noexcept {
        --owner_.live_roots_;
        return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { owner_.keep_failure(std::current_exception()); }

    [[nodiscard]] const std::stop_token* stop_token() const noexcept { return &token_; }

    void run() noexcept override { std::coroutine_handle<root_promise>::from_promise(*this).resume(); }

private:
    executor& owner_;
    const std::stop_token token_;
};

/// The roots that have not ended. Destroying it destroys their frames, and with them all that they await.
class root_list {
public:
    root_list() = default;
    root_list(const root_list&) = delete;
    root_list& operator=(const root_list&) = delete;
    ~root_list() { clear(); }

    /// Also takes what a dying frame spawns.
    void clear() noexcept {
        while (!roots_.empty()) { std::coroutine_handle<root_promise>::from_promise(roots_.front()).destroy(); }
    }

    void add(root_promise& root) noexcept { roots_.push_back(root); }

private:
    using hook = boost::intrusive::base_hook<boost::intrusive::list_base_hook<
        boost::intrusive::tag<root_promise>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>>;
    boost::intrusive::list<root_promise, hook, boost::intrusive::constant_time_size<false>> roots_;
};

}  // namespace fluxnet::detail
