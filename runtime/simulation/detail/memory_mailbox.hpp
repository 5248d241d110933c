// SPDX-License-Identifier: BSD-3-Clause
// `memory_mailbox`: an endpoint where datagrams arrive, and those that wait to be received.
//
// Owned by a memory_datagram_socket; known to the hub while it lives. Used on the thread of the hub's executor.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/simulation/detail/memory_hub.hpp"

#include <cstddef>
#include <memory>
#include <utility>

namespace fluxnet::detail {

class memory_mailbox {
public:
    memory_mailbox(std::shared_ptr<memory_hub> hub, const proto::ip_endpoint& endpoint)
        : hub_(std::move(hub)), endpoint_(endpoint) {
        hub_->add(*this);
    }
    memory_mailbox(const memory_mailbox&) = delete;
    memory_mailbox& operator=(const memory_mailbox&) = delete;
    ~memory_mailbox() {
        hub_->remove(*this);
        if (receiver != nullptr) { std::exchange(receiver, nullptr)->abandon(); }
        while (has_datagram()) { hub_->keep(pop()); }
    }

    [[nodiscard]] memory_hub& hub() const noexcept { return *hub_; }
    [[nodiscard]] const proto::ip_endpoint& endpoint() const noexcept { return endpoint_; }
    [[nodiscard]] bool is_full() const noexcept { return count_ >= hub_->options().datagram_queue; }
    [[nodiscard]] bool has_datagram() const noexcept { return first_ != nullptr; }

    void push(memory_datagram& arrived) noexcept {
        arrived.next = nullptr;
        (first_ == nullptr ? first_ : last_->next) = &arrived;
        last_ = &arrived;
        ++count_;
        if (receiver != nullptr) { receiver->look(); }
    }

    /// The next one, which the caller gives back to the hub.
    [[nodiscard]] memory_datagram& pop() noexcept {
        memory_datagram& next = *first_;
        first_ = next.next;
        --count_;
        return next;
    }

    placed_operation* receiver = nullptr;
    memory_pace pace;  // of what is sent from here

private:
    const std::shared_ptr<memory_hub> hub_;
    const proto::ip_endpoint endpoint_;
    memory_datagram* first_ = nullptr;
    memory_datagram* last_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace fluxnet::detail
