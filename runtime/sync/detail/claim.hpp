// SPDX-License-Identifier: BSD-3-Clause
// `claim`: keeps something, such as one direction of a stream, for one coroutine.
//
// Refers to what it was made with, which outlives it. Threads: one at a time.
#pragma once

#include "fluxnet/runtime/sync/event.hpp"

#include <utility>

namespace fluxnet::detail {

/// Keeps what `busy` stands for, unless another has it; gives it back, which sets `given_back`, also when the coroutine is
/// destroyed.
class claim {
public:
    explicit claim(bool& busy, event* given_back = nullptr) noexcept
        : busy_(busy), given_back_(given_back), is_mine_(!std::exchange(busy, true)) {}
    claim(const claim&) = delete;
    claim& operator=(const claim&) = delete;
    ~claim() {
        if (!is_mine_) { return; }
        busy_ = false;
        if (given_back_ != nullptr && !given_back_->is_set()) { given_back_->set(); }
    }
    [[nodiscard]] bool is_mine() const noexcept { return is_mine_; }

private:
    bool& busy_;
    event* const given_back_;
    const bool is_mine_;
};

}  // namespace fluxnet::detail
