// SPDX-License-Identifier: BSD-3-Clause
// `wait_list`: operations that wait for something that happens on any thread, first come, first served.
//
// Owned by the object that they wait for, which outlives them and every call of it. Its mutex is taken only where somebody
// has to wait or is woken; the object's fast path looks at waiting() instead.
//
// Protocol. A waiter takes the lock, announces itself by a read-modify-write on the number of waiters, looks again whether
// it still has to wait, and only then joins the list. Who makes something available does so first, and then asks any() by a
// read-modify-write on the same number. Both are acquire-release and hence ordered: either the announcement comes first, and
// the waiter is seen, or the other does, and the waiter sees what was made available. Under the lock a waiter is either
// granted or taken off the list, never both.
#pragma once

#include "runtime/operation.hpp"

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace fluxnet::detail {

class wait_list;

/// An operation that a wait_list can hold. Its destructor, and that of what derives from it, run on its executor's thread.
class waiter : public operation,
               public boost::intrusive::list_base_hook<boost::intrusive::tag<wait_list>,
                                                       boost::intrusive::link_mode<boost::intrusive::safe_link>> {
public:
    using hook = boost::intrusive::list_base_hook<boost::intrusive::tag<wait_list>,
                                                  boost::intrusive::link_mode<boost::intrusive::safe_link>>;

    [[nodiscard]] bool listed() const noexcept { return hook::is_linked(); }

protected:
    ~waiter() = default;
};

class wait_list {
public:
    wait_list() = default;
    wait_list(const wait_list&) = delete;
    wait_list& operator=(const wait_list&) = delete;
    ~wait_list() { assert(list_.empty() && "destroyed while somebody waits for it"); }

    /// Tells whether somebody waits, for who has just made something available. Any thread.
    [[nodiscard]] bool any() noexcept { return count_.fetch_add(0, std::memory_order_acq_rel) != 0; }

    /// The same as a hint.
    [[nodiscard]] bool any_hint() const noexcept { return count_.load(std::memory_order_relaxed) != 0; }

    // Under the object's lock:

    void announce() noexcept { count_.fetch_add(1, std::memory_order_acq_rel); }
    void withdraw() noexcept { count_.fetch_sub(1, std::memory_order_acq_rel); }
    void push_back(waiter& last) noexcept { list_.push_back(last); }
    [[nodiscard]] waiter* front() noexcept { return list_.empty() ? nullptr : &list_.front(); }

    /// Takes a waiter off the list.
    void remove(waiter& gone) noexcept {
        list_.erase(list_.iterator_to(gone));
        withdraw();
    }

private:
    boost::intrusive::list<waiter, boost::intrusive::base_hook<waiter::hook>, boost::intrusive::constant_time_size<false>>
        list_;
    std::atomic<std::uint32_t> count_ = 0;  // announced and not withdrawn: at least those on the list
};

}  // namespace fluxnet::detail
