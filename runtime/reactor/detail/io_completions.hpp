// SPDX-License-Identifier: BSD-3-Clause
// `io_completions`: the completion operations that a reactor has, and their results until on_result() has been told.
//
// Part of a reactor and used on its thread. Operations are in one of two lists: held by the backend, or fired with their
// last result queued here. Results wait in one queue for all operations, in the order in which they came. An adopted
// operation is destroyed after its last result; what it is told nobody hears, so a descriptor among its results is closed
// and a buffer returned.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"

#include <boost/intrusive/list.hpp>

#include <cassert>
#include <cstddef>
#include <memory>
#include <vector>

namespace fluxnet::detail {

class FLUXNET_EXPORT io_completions {
public:
    using list = boost::intrusive::list<io_operation, boost::intrusive::base_hook<io_operation::hook>,
                                        boost::intrusive::constant_time_size<false>>;

    io_completions() = default;
    io_completions(const io_completions&) = delete;
    io_completions& operator=(const io_completions&) = delete;

    /// The operation goes from idle to held.
    void hold(io_operation& operation, const io_request& request) {
        assert(!operation.pending());
        operation.request_ = request;
        operation.state_ = io_operation::state::held;
        operation.cancelled_ = operation.owed_ = false;
        if (request.pool != nullptr) { add_user(*request.pool); }
        held_.push_back(operation);
    }

    /// Queues a result of a held operation; without `more` it is the last one, and the operation is fired. `buffer`: 0, or
    /// with_buffer() of the one that it is in.
    void add(io_operation& operation, int result, bool more, unsigned buffer = 0) noexcept {
        assert(is_held(operation));
        ++operation.queued_;
        queue_.push_back({&operation, result, (more ? io_more : 0) | buffer});
        if (more) { return; }
        operation.state_ = io_operation::state::fired;
        operation.unlink();
        fired_.push_back(operation);
    }

    /// The operation, which the backend no longer holds, becomes idle; its results are dropped.
    void drop(io_operation& operation) noexcept;

    /// Takes the operation; it is destroyed when it becomes idle.
    void adopt(std::unique_ptr<io_operation> operation) noexcept;

    /// Tells the first results, `limit` at most and none that comes meanwhile; returns how many.
    std::size_t dispatch(std::size_t limit) noexcept;

    /// For the end: drops everything. What the kernel may still write to (`in_use`) is not destroyed if it was adopted.
    void forget(bool in_use) noexcept;

    [[nodiscard]] bool none_queued() const noexcept { return queue_.empty(); }
    /// Tells whether the backend should fetch more; otherwise let those that are queued be told first.
    [[nodiscard]] bool has_room() const noexcept { return queue_.size() - first_ < 1024; }

    [[nodiscard]] list& held() noexcept { return held_; }

    static const io_request& request_of(const io_operation& operation) noexcept { return operation.request_; }
    static bool is_held(const io_operation& operation) noexcept { return operation.state_ == io_operation::state::held; }
    static bool is_cancelled(const io_operation& operation) noexcept { return operation.cancelled_; }

    /// Notes that a held operation is to be cancelled, and whether the kernel has yet to be told.
    static void mark_cancelled(io_operation& operation, bool owed) noexcept {
        operation.cancelled_ = true;
        operation.owed_ = owed;
    }
    static bool is_owed(const io_operation& operation) noexcept { return operation.owed_; }

private:
    struct completion {
        io_operation* operation;  // null: it was dropped
        int result;
        unsigned flags;
    };

    static void add_user(buffer_pool& pool) noexcept;
    static void discard(const io_operation& operation, int result, unsigned flags) noexcept;
    static void make_idle(io_operation& operation) noexcept;

    list held_;
    list fired_;
    std::vector<completion> queue_;  // from first_ on
    std::size_t first_ = 0;
};

}  // namespace fluxnet::detail
