// SPDX-License-Identifier: BSD-3-Clause
// `handle_service`: what an executor and its link monitor hold of a handle, and how that goes from one executor to another.
//
// Owned by the handle, at an address that stays while the handle moves. Threads: used on the executor's thread, or while no
// thread runs the executor. Between leave() and arrive() it belongs to no executor: it is in no list of one, has no poll
// armed and owns no home, and `executor_` is null.
#pragma once

#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/detail/link_monitor.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"

#include <cstdint>
#include <string>
#include <system_error>

namespace fluxnet {

class move_awaiter;

namespace detail {

class handle_service : protected turn_handler, protected link_listener {
public:
    handle_service(const handle_service&) = delete;
    handle_service& operator=(const handle_service&) = delete;

    [[nodiscard]] bool is_on(const executor& here) const noexcept { return &here == executor_; }

    /// Lets go of `here`, whose turn is under way; nothing is touched on an error. Errors: wrong_executor; handle_in_use,
    /// which is a contract violation and asserted.
    [[nodiscard]] std::error_code leave(const executor& here, move_awaiter& by) noexcept;

    /// Belongs to `here` from now on. It still belongs to none on an error: interface_not_found, when the calling thread is
    /// in another network namespace than the interface; not_in_virtual_time; system_failure.
    [[nodiscard]] result<void> arrive(executor& here);

    /// Whoever moved it is gone, and it has not arrived.
    void forget_mover() noexcept { mover_ = nullptr; }

    /// Names the interface, for an error.
    [[nodiscard]] std::string what_is_moved() const { return "move the handle of interface " + interface_name_; }

protected:
    /// `announced`: rtnetlink knows the interface. Throws std::system_error when no rtnetlink socket can be had.
    handle_service(executor& on, const interface_info& interface, bool announced, std::uint32_t program);
    ~handle_service();

    /// Asks what has become of the interface.
    void query_link() noexcept {
        if (links_ != nullptr) { links_->query(interface_index); }
    }

    /// Wakes the executor when a frame comes back to a home that is hungry.
    [[nodiscard]] frame_waker waker() const noexcept {
        return {[](void* of) noexcept { static_cast<executor*>(of)->wake(); }, executor_};
    }

    executor* executor_;  // null: it belongs to none

private:
    /// Tells whether a coroutine waits, or has not yet resumed.
    [[nodiscard]] virtual bool in_use() const noexcept = 0;
    /// It has left its executor, after end_run().
    virtual void after_leaving() noexcept = 0;
    /// It has arrived at executor_.
    virtual void after_arriving() noexcept = 0;

    const std::string interface_name_;
    link_monitor* links_ = nullptr;  // null for an interface that rtnetlink does not know, and without an executor
    const bool announced_;           // rtnetlink knows it
    std::uint64_t namespace_ = 0;    // cookie of the network namespace that tells of it
    move_awaiter* mover_ = nullptr;  // from leave() to arrive()
};

}  // namespace detail
}  // namespace fluxnet
