// SPDX-License-Identifier: BSD-3-Clause
// `owned_handle`: a handle bound to an execution's executor, which an object of Asio's style owns and operations use.
//
// Shared by that object and the operations that it has started. The object ends the handle; operations that begin later find
// none. Threads: the handle is used in the driver's turns and ended while no thread makes one: after the turn under way,
// where a turn of another driver ends it.
#pragma once

#include "fluxnet/runtime/asio/detail/driver.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace fluxnet::asio::detail {

template <class Handle>
struct owned_handle {
    owned_handle(std::shared_ptr<driver> of, Handle&& owned) : by(std::move(of)), handle(std::move(owned)) {}

    /// The handle; throws std::system_error (closed) once it has gone.
    [[nodiscard]] Handle& get() {
        if (!is_open()) { throw std::system_error(make_error_code(errc::closed)); }
        return *handle;
    }

    [[nodiscard]] bool is_open() const noexcept { return !ending.load(std::memory_order_relaxed) && handle.has_value(); }

    const std::shared_ptr<driver> by;
    std::optional<Handle> handle;
    std::atomic<bool> ending = false;  // it has gone, or goes when the turn under way is over
};

/// What an object of Asio's style has of a handle: it ends with the object. Move-only.
template <class Handle>
class handle_owner {
public:
    using shared = std::shared_ptr<owned_handle<Handle>>;

    /// Without a driver, that of an execution which was moved from, the handle ends at once.
    handle_owner(std::shared_ptr<driver> by, Handle&& handle) : by_(std::move(by)) {
        if (by_ != nullptr) {
            owned_ = std::make_shared<owned_handle<Handle>>(by_, std::move(handle));
        } else {
            const Handle ends(std::move(handle));
        }
    }
    /// One that was moved from is as one that was closed.
    handle_owner(handle_owner&& other) noexcept : by_(other.by_), owned_(std::move(other.owned_)) {}
    handle_owner& operator=(handle_owner&& other) noexcept {
        if (this != &other) {
            close();
            by_ = other.by_;
            owned_ = std::move(other.owned_);
        }
        return *this;
    }
    ~handle_owner() { close(); }

    /// Ends the handle; what waits for it is told so. Waits for a turn under way on another thread; inside a turn of another
    /// driver it leaves the handle to the end of that turn.
    void close() noexcept {
        if (owned_ == nullptr) { return; }
        owned_->ending.store(true, std::memory_order_relaxed);
        by_->exclusively_or_later([closing = owned_] {
            if (!closing->handle) { return; }
            closing->handle.reset();
            closing->by->schedule();  // for what waited for it
        });
    }

    /// For operations: see handle_of().
    [[nodiscard]] const shared& get() const noexcept { return owned_; }
    [[nodiscard]] const std::shared_ptr<driver>& by() const noexcept { return by_; }
    [[nodiscard]] bool is_open() const noexcept { return owned_ != nullptr && owned_->is_open() && !by_->closed(); }

private:
    std::shared_ptr<driver> by_;
    shared owned_;  // null when it was moved from
};

/// The handle that an operation is to use; throws std::system_error (closed) once it has gone, or was moved away before.
template <class Handle>
[[nodiscard]] Handle& handle_of(const std::shared_ptr<owned_handle<Handle>>& owned) {
    if (owned == nullptr) { throw std::system_error(make_error_code(errc::closed)); }
    return owned->get();
}

/// The same for what is not an operation, which would be given up: throws also once the execution has gone.
template <class Handle>
[[nodiscard]] Handle& open_handle_of(const std::shared_ptr<owned_handle<Handle>>& owned) {
    if (owned != nullptr && owned->by->closed()) { throw std::system_error(make_error_code(errc::closed)); }
    return handle_of(owned);
}

}  // namespace fluxnet::asio::detail
