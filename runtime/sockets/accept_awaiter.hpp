// SPDX-License-Identifier: BSD-3-Clause
// `accept_awaiter`: an await of the next connection of a listener. See tcp_listener::accept() and unix_listener::accept().
//
// Lies in the coroutine's frame; used on the executor's thread.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/acceptor.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <utility>

namespace fluxnet {

template <class Stream>
class [[nodiscard]] accept_awaiter final : private detail::accept_operation {
public:
    /// `of`: null for a listener that was moved from. `name`: a literal, which task dumps show.
    accept_awaiter(detail::acceptor* of, const char* name) noexcept : accept_operation(of), name_(name) {}

    [[nodiscard]] bool await_ready() noexcept { return ready(); }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    [[nodiscard]] result<Stream> await_resume() {
        result<descriptor> taken = take();
        if (!taken) { return std::move(taken).error(); }
        return Stream(std::move(*taken));
    }

private:
    [[nodiscard]] const char* name() const noexcept override { return name_; }

    const char* const name_;
};

}  // namespace fluxnet
