// SPDX-License-Identifier: BSD-3-Clause
// `memory_door`: an endpoint where connections arrive, and those that wait to be accepted.
//
// Owned by a memory_listener; known to the hub while it lives. Used on the thread of the hub's executor.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/simulation/detail/memory_connection.hpp"
#include "fluxnet/runtime/simulation/detail/memory_hub.hpp"

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace fluxnet::detail {

class memory_door {
public:
    memory_door(std::shared_ptr<memory_hub> hub, const proto::ip_endpoint& endpoint, std::size_t backlog)
        : hub_(std::move(hub)), endpoint_(endpoint), backlog_(backlog) {
        hub_->add(*this);
    }
    memory_door(const memory_door&) = delete;
    memory_door& operator=(const memory_door&) = delete;

    /// Resets the connections that wait.
    ~memory_door() {
        hub_->remove(*this);
        if (acceptor != nullptr) { std::exchange(acceptor, nullptr)->abandon(); }
        for (const auto& each : waiting_) { each->close(1, true); }
    }

    [[nodiscard]] memory_hub& hub() const noexcept { return *hub_; }
    [[nodiscard]] const proto::ip_endpoint& endpoint() const noexcept { return endpoint_; }
    [[nodiscard]] bool is_full() const noexcept { return waiting_.size() >= backlog_; }
    [[nodiscard]] bool has_waiting() const noexcept { return !waiting_.empty(); }

    /// End 1 of a connection is to be accepted here.
    void push(std::shared_ptr<memory_connection> arrived) {
        waiting_.push_back(std::move(arrived));
        if (acceptor != nullptr) { acceptor->look(); }
    }

    [[nodiscard]] std::shared_ptr<memory_connection> pop() noexcept {
        std::shared_ptr<memory_connection> next = std::move(waiting_.front());
        waiting_.pop_front();
        return next;
    }

    placed_operation* acceptor = nullptr;

private:
    const std::shared_ptr<memory_hub> hub_;
    const proto::ip_endpoint endpoint_;
    const std::size_t backlog_;
    std::deque<std::shared_ptr<memory_connection>> waiting_;
};

}  // namespace fluxnet::detail
