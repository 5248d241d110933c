// SPDX-License-Identifier: BSD-3-Clause
// `placed_operation`: an await at a handle that has places for coroutines, each for one of them at a time: one that reads,
// one that writes.
//
//     placed_operation* reader = nullptr;                     // a place of the handle's
//     refusal_ = occupy(reader);                              // the await: handle_in_use while another one is there
//     if (reader != nullptr) { reader->look(); }              // the handle: something has come
//     if (reader != nullptr) { std::exchange(reader, nullptr)->abandon(); }   // and at its end
//
// Lies in the coroutine's frame. Threads: that of the handle's executor.
#pragma once

#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <system_error>

namespace fluxnet::detail {

class placed_operation : public operation {
public:
    /// Looks whether what is awaited is there, and completes then. Does nothing once it has completed.
    virtual void look() noexcept = 0;

    /// The handle is going away.
    void abandon() noexcept {
        place_ = nullptr;
        complete(errc::closed);
    }

protected:
    placed_operation() = default;
    ~placed_operation() { leave(); }

    /// Takes a place; says why not.
    [[nodiscard]] std::error_code occupy(placed_operation*& place) noexcept {
        if (place != nullptr) { return errc::handle_in_use; }
        place = this;
        place_ = &place;
        return no_error;
    }

    /// Gives the place back. Returns false when there is none: the handle has gone.
    bool leave() noexcept {
        if (place_ == nullptr) { return false; }
        *place_ = nullptr;
        place_ = nullptr;
        return true;
    }

    [[nodiscard]] bool holds_place() const noexcept { return place_ != nullptr; }

    void cancel() noexcept override { complete(errc::operation_canceled); }

private:
    placed_operation** place_ = nullptr;
};

}  // namespace fluxnet::detail
