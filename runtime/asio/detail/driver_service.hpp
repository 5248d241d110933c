// SPDX-License-Identifier: BSD-3-Clause
// `driver_service`: the drivers of one execution_context, and the order in which they end.
//
// Owned by the context. When the context is destroyed it shuts its services down, the youngest first. A driver makes its
// timer, its descriptor and its strand before this service, so all of these still work while the service shuts the drivers
// down. Threads: add() and remove() on any; the context is destroyed while no thread uses it.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"

#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fluxnet::asio::detail {

/// Something that ends with its context.
class context_member {
public:
    /// Keeps the member alive; null when it is being destroyed.
    [[nodiscard]] virtual std::shared_ptr<context_member> keep() noexcept = 0;

    /// The context goes. Nothing that is suspended goes on, no handler is called.
    virtual void end_with_context() noexcept = 0;

protected:
    ~context_member() = default;
};

class driver_service final : public net::execution_context::service {
public:
    using key_type = driver_service;

    explicit driver_service(net::execution_context& of) : service(of) {}

    void add(context_member& member) {
        const std::lock_guard lock(mutex_);
        members_.push_back(&member);
    }

    void remove(context_member& member) noexcept {
        const std::lock_guard lock(mutex_);
        std::erase(members_, &member);
    }

private:
    // A handler that is destroyed by one may own another.
    void shutdown() noexcept override {
        while (context_member* const last = take_last()) {
            if (const auto kept = last->keep()) { kept->end_with_context(); }
        }
    }

    [[nodiscard]] context_member* take_last() noexcept {
        const std::lock_guard lock(mutex_);
        if (members_.empty()) { return nullptr; }
        context_member* const last = members_.back();
        members_.pop_back();
        return last;
    }

    std::mutex mutex_;  // guards:
    std::vector<context_member*> members_;
};

}  // namespace fluxnet::asio::detail
