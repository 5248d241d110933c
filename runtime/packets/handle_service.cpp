// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/detail/handle_service.hpp"

#include "fluxnet/runtime/packets/move_awaiter.hpp"
#include "fluxnet/xsk/base/detail/probe.hpp"

#include <cassert>
#include <utility>

namespace fluxnet {
namespace detail {

handle_service::handle_service(executor& on, const interface_info& interface, bool announced, std::uint32_t program)
    : executor_(&on), interface_name_(interface.name), announced_(announced) {
    interface_index = interface.index;
    interface_name = interface_name_;
    program_id = program;
    if (announced_) {
        links_ = &on.use_service<link_monitors>().here();
        namespace_ = links_->cookie();
        links_->add(*this);
    }
    inside(on).add_handler(*this);
}

handle_service::~handle_service() {
    if (mover_ != nullptr) { mover_->handle_ = nullptr; }
}

std::error_code handle_service::leave(const executor& here, move_awaiter& by) noexcept {
    if (executor_ != nullptr && executor_ != &here) { return errc::wrong_executor; }
    if (mover_ != nullptr || in_use()) {
        assert(false && "a handle is moved while another coroutine awaits it");
        return errc::handle_in_use;
    }
    mover_ = &by;
    if (executor_ == nullptr) { return {}; }
    end_run();
    turn_handler::unlink();
    if (std::exchange(links_, nullptr) != nullptr) { link_listener::unlink(); }
    executor_ = nullptr;
    after_leaving();
    return {};
}

result<void> handle_service::arrive(executor& here) {
    mover_ = nullptr;
    if (announced_) {
        link_monitor* links = nullptr;
        try {
            links = here.use_service<link_monitors>().of(namespace_);
        } catch (const std::system_error& refused) {
            const bool in_virtual_time = refused.code() == errc::not_in_virtual_time;
            return make_error(
                in_virtual_time ? errc::not_in_virtual_time : errc::system_failure, what_is_moved(), refused.what(),
                in_virtual_time ? "move it to an executor in real time" : "allow rtnetlink sockets (socket(AF_NETLINK))");
        }
        if (links == nullptr) {
            return make_error(
                errc::interface_not_found, what_is_moved(),
                "the executor's thread is in another network namespace, where nothing is heard of the interface",
                "run that executor on a thread in the interface's namespace (setns(2)), or move the handle back");
        }
        links_ = links;
        links_->add(*this);
    }
    executor_ = &here;
    inside(here).add_handler(*this);
    after_arriving();
    return {};
}

}  // namespace detail

move_awaiter::~move_awaiter() {
    if (left_ && handle_ != nullptr) {
        detail::probe<"move_awaiter: destroyed on the way">();
        handle_->forget_mover();
    }
}

bool move_awaiter::await_ready() const noexcept {
    if (handle_ == nullptr) [[unlikely]] { return true; }
    return executor::current() == &target_ && handle_->is_on(target_) && detail::draw_here();
}

bool move_awaiter::begin(bool stopped) {
    executor* const here = executor::current();
    if (here == nullptr) [[unlikely]] { detail::throw_no_executor(); }
    step_ = handle_->what_is_moved();
    if (stopped) { return true; }
    refusal_ = handle_->leave(*here, *this);
    left_ = !refusal_;
    return left_;
}

result<void> move_awaiter::await_resume() {
    const std::error_code ended = finish();
    if (handle_ == nullptr) {
        return make_error(errc::closed, "move a handle to another executor", "it was moved from, or destroyed meanwhile",
                          "keep it until move_to() completes");
    }
    if (std::exchange(left_, false)) {
        if (auto arrived = handle_->arrive(*executor::current()); !arrived) { return arrived; }
    }
    if (refusal_ == errc::wrong_executor) {
        return make_error(errc::wrong_executor, step_, "it is bound to another executor than this one",
                          "await move_to() on the executor that the handle is bound to");
    }
    if (refusal_) {
        return make_error(errc::handle_in_use, step_, "another coroutine awaits it",
                          "cancel that coroutine and let it end first");
    }
    if (ended) { return make_error(errc::operation_canceled, step_, "the task was asked to stop", ""); }
    return {};
}

}  // namespace fluxnet
