// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "fluxnet/xsk/base/detail/tell.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <system_error>

namespace fluxnet {

void reactor::fire(operation_list& fired) noexcept {
    std::size_t left = completions_per_turn;
    if (!fired.empty()) {
        operation_list now;
        now.swap(fired);
        for (; left != 0 && !now.empty(); --left) {
            poll_operation& operation = now.front();
            mark_idle(operation);
            completions_.add(1);
            operation.on_ready(operation.result_);
        }
        if (!now.empty()) { fired.splice(fired.begin(), now); }
    }
    if (!io_.none_queued()) { completions_.add(io_.dispatch(std::max(left, completions_per_turn / 4))); }
}

void reactor::forget(operation_list& operations) noexcept {
    while (!operations.empty()) {
        poll_operation& operation = operations.front();
        mark_idle(operation);
        set_watch(operation, -1, 0);
    }
}

std::unique_ptr<reactor> make_reactor(reactor_kind kind, reactor_threads threads) {
    if (kind == reactor_kind::io_uring) { return make_io_uring_reactor(threads); }
    if (kind == reactor_kind::epoll) { return make_epoll_reactor(); }
    std::unique_ptr<reactor> made;
    try {
        made = make_io_uring_reactor(threads);
        made->reason_ = "the kernel grants an io_uring";
    } catch (const std::system_error& refused) {
        made = make_epoll_reactor(refused.what());
        made->reason_ = refused.what();
        detail::tell_made(log_kind::fallback,
                          [&] { return std::string("an executor waits by epoll, without io_uring: ") + refused.what(); });
    }
    return made;
}

}  // namespace fluxnet
