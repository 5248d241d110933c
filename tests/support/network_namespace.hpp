// SPDX-License-Identifier: BSD-3-Clause
// A fresh network namespace that only a file descriptor holds.
//
// It has no name, no bind mount and no process of its own: it lives as long as this object, a thread inside it, or a socket
// opened in it. The kernel therefore removes it, with every interface in it, also when the test is killed by SIGKILL.
// The loopback interface is up. Needs CAP_SYS_ADMIN. Any thread may use the const functions at the same time.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"

#include <future>
#include <thread>
#include <type_traits>
#include <utility>

namespace fluxnet::test {

class network_namespace {
public:
    /// Moves the calling thread into a namespace for the lifetime of this object, then back to where it was. Must be
    /// destroyed on the thread that made it. Which namespace a thread is in matters only when it opens sockets, loads a
    /// program onto an interface, or reads /proc/net and /proc/sys/net: an open socket stays in its namespace.
    class [[nodiscard]] scoped_enter {
    public:
        explicit scoped_enter(const network_namespace& target);
        ~scoped_enter();
        scoped_enter(const scoped_enter&) = delete;
        scoped_enter& operator=(const scoped_enter&) = delete;

    private:
        detail::file_descriptor former_;
    };

    /// Makes a new namespace; the calling thread stays in its own. Throws std::system_error.
    network_namespace();
    network_namespace(network_namespace&&) noexcept = default;
    network_namespace& operator=(network_namespace&&) noexcept = default;

    /// Moves the calling thread into the namespace for good; see setns(2). Throws std::system_error.
    void enter() const;

    /// Runs `function` on a new thread inside the namespace and returns what it returns, or throws what it throws.
    /// Not for starting a `process`: it would die with that thread.
    template <class F>
    auto call(F&& function) const -> std::invoke_result_t<F&> {
        std::packaged_task<std::invoke_result_t<F&>()> inside([this, &function] {
            enter();
            return function();
        });
        auto outcome = inside.get_future();
        std::thread(std::move(inside)).join();
        return outcome.get();
    }

    /// The descriptor that holds the namespace; for setns(2) and IFLA_NET_NS_FD. Owned by this object.
    [[nodiscard]] int fd() const noexcept { return holder_.get(); }

private:
    detail::file_descriptor holder_;
};

}  // namespace fluxnet::test
