// SPDX-License-Identifier: BSD-3-Clause
// `connecting`: the await of one attempt to connect a socket.
//
// Lies in the coroutine's frame; used on the executor's thread. The socket and the address outlive it.
#pragma once

#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"
#include "fluxnet/runtime/sockets/unix_address.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>

namespace fluxnet::detail {

class [[nodiscard]] connecting final : private transfer {
public:
    connecting(int fd, const socket_address& address, const char* name) noexcept : fd_(fd), address_(address), name_(name) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { submit(io_request::connect(fd_, address_.get(), address_.size())); });
    }

    [[nodiscard]] wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return name_; }
    void on_result(int result, unsigned) noexcept override { complete(result < 0 ? failure_of(result) : no_error); }

    const int fd_;
    const socket_address& address_;
    const char* const name_;
};

/// Makes a Unix socket of `type` and connects it. Where the listener's backlog is full it tries again, after one millisecond
/// at first and every 32 at last: the kernel does not tell when there is room.
[[nodiscard]] task<result<descriptor>> connect_unix(int type, unix_address peer, const char* name);

/// Makes a Unix socket of `type`, bound to `at` unless that is empty.
[[nodiscard]] result<descriptor> bind_unix(int type, const unix_address& at, const std::string& purpose);

}  // namespace fluxnet::detail
