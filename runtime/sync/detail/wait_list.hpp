// SPDX-License-Identifier: BSD-3-Clause
// `wait_list`: operations that wait for something that happens on any thread, first come, first served.
//
// Owned by the object that the operations wait for, which outlives them and every call of it. Several lists of one object
// may share a mutex. It is taken only where a coroutine has to wait or is woken.
//
// Protocol. A giving thread makes available what is waited for by a read-modify-write on a word of the object. A bit of that
// word says that the list is not empty. A waiter takes the lock, joins the list, which sets the bit by another
// read-modify-write, and then looks again. The two read-modify-writes are on one word, hence ordered:
//   the waiter's first   the giving thread sees the bit; it takes the lock and grants waiters of the list.
//   the giver's first    the waiter sees what was made available, when it looks again.
// A waiter leaves the list under the lock, for one reason only: it is granted, or it is cancelled.
#pragma once

#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <cassert>
#include <cstdint>
#include <mutex>

namespace fluxnet::detail {

class wait_list;

/// An operation that waits in a wait_list. Used and destroyed on its executor's thread, but for what the list's lock guards.
class waiter : public operation,
               public boost::intrusive::list_base_hook<boost::intrusive::tag<wait_list>,
                                                       boost::intrusive::link_mode<boost::intrusive::safe_link>> {
public:
    using hook = boost::intrusive::list_base_hook<boost::intrusive::tag<wait_list>,
                                                  boost::intrusive::link_mode<boost::intrusive::safe_link>>;

protected:
    explicit waiter(wait_list& line) noexcept : line_(line) {}
    ~waiter() { assert(!hook::is_linked() && "a waiter calls abandon() first in its destructor"); }

    /// Joins the list, and calls `serve` under its lock. `serve` grants the waiters that can be granted.
    template <class Serve>
    void line_up(Serve serve) noexcept;

    /// Gives up a wait that is under way, for the destructor of the derived class. Returns whether there was one. No thread
    /// grants the waiter from then on.
    bool abandon() noexcept;

    /// Leaves the list and completes with operation_canceled, unless it is too late.
    void cancel() noexcept override;

    /// Under the lock.
    [[nodiscard]] bool first_in_line() const noexcept;

private:
    /// Returns false when it has been granted.
    bool leave_line() noexcept;

    wait_list& line_;
};

class wait_list {
public:
    /// `bit` of `word` is set while a waiter is on the list.
    wait_list(std::mutex& mutex, std::atomic<std::uint64_t>& word, std::uint64_t bit) noexcept
        : mutex_(mutex), word_(word), bit_(bit) {}
    wait_list(const wait_list&) = delete;
    wait_list& operator=(const wait_list&) = delete;
    ~wait_list() { assert(list_.empty() && "destroyed while somebody waits for it"); }

    /// Tells whether a waiter is on the list; a snapshot.
    [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_relaxed); }

    // Under the lock:

    [[nodiscard]] waiter* front() noexcept { return list_.empty() ? nullptr : &list_.front(); }

    /// Takes a waiter off the list.
    void remove(waiter& gone) noexcept {
        list_.erase(list_.iterator_to(gone));
        if (!list_.empty()) { return; }
        any_.store(false, std::memory_order_relaxed);
        word_.fetch_and(~bit_, std::memory_order_acq_rel);
    }

private:
    friend waiter;

    void push_back(waiter& last) noexcept {
        list_.push_back(last);
        if (any()) { return; }
        any_.store(true, std::memory_order_relaxed);
        word_.fetch_or(bit_, std::memory_order_acq_rel);
    }

    std::mutex& mutex_;
    std::atomic<std::uint64_t>& word_;
    const std::uint64_t bit_;
    std::atomic<bool> any_ = false;  // changed under the lock
    boost::intrusive::list<waiter, boost::intrusive::base_hook<waiter::hook>, boost::intrusive::constant_time_size<false>>
        list_;
};

template <class Serve>
void waiter::line_up(Serve serve) noexcept {
    const std::lock_guard lock(line_.mutex_);
    line_.push_back(*this);
    serve();
}

inline bool waiter::leave_line() noexcept {
    const std::lock_guard lock(line_.mutex_);
    if (!hook::is_linked()) { return false; }
    line_.remove(*this);
    return true;
}

inline bool waiter::first_in_line() const noexcept {
    return line_.front() == this;
}

inline bool waiter::abandon() noexcept {
    if (idle()) { return false; }
    leave_line();
    end();
    return true;
}

inline void waiter::cancel() noexcept {
    if (leave_line()) { complete(errc::operation_canceled); }
}

}  // namespace fluxnet::detail
