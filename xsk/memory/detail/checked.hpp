// SPDX-License-Identifier: BSD-3-Clause
// The checked build: one state byte per frame, exchanged against the state it must have come from.
//
// With FLUXNET_CHECKED (presets dev, asan, tsan) a frame that is returned twice, submitted twice or used by two sides fails
// an assertion where it happens, one that the kernel hands over without having it is reported to the caller, and under the
// address sanitizer the bytes of a frame that is not the user's are poisoned, so that a read after submit is reported.
// Without it every function here is empty.
#pragma once

#include "fluxnet/xsk/memory/descriptor.hpp"

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#define FLUXNET_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FLUXNET_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(FLUXNET_ADDRESS_SANITIZER) && defined(FLUXNET_CHECKED)
#include <sanitizer/asan_interface.h>
#endif

namespace fluxnet::detail {

/// Where a frame is. `free` includes frames on a return stack.
enum class frame_state : std::uint8_t { free, fill, tx, user };

#if defined(FLUXNET_CHECKED)
inline constexpr bool checked_build = true;
#else
inline constexpr bool checked_build = false;
#endif

/// The state bytes of one UMEM. Any thread may move a frame that it holds.
class frame_checker {
public:
    frame_checker(std::byte* base, std::uint32_t chunk_shift, std::uint32_t frames)
        : base_(base), chunk_shift_(chunk_shift), frames_(frames) {
        if constexpr (checked_build) {
            states_ = std::make_unique<std::atomic<frame_state>[]>(frames);
            for (std::uint32_t i = 0; i < frames; ++i) { poison({i}); }
        }
    }

    /// Moves `frame` from one state to another; asserts that it was in the first.
    void move([[maybe_unused]] frame_index frame, [[maybe_unused]] frame_state from,
              [[maybe_unused]] frame_state to) noexcept {
        if constexpr (checked_build) {
            assert(frame.value < frames_ && "frame outside the UMEM");
            if (to != frame_state::user) { poison(frame); }
            [[maybe_unused]] const frame_state was = states_[frame.value].exchange(to, std::memory_order_acq_rel);
            assert(was == from && "frame returned, submitted or received twice");
            if (to == frame_state::user) { unpoison(frame); }
        }
    }

    /// Moves a frame that the kernel hands over. Returns false, changing nothing, when it was not in the first state: then
    /// the kernel never had it.
    [[nodiscard]] bool arrive([[maybe_unused]] frame_index frame, [[maybe_unused]] frame_state from,
                              [[maybe_unused]] frame_state to) noexcept {
        if constexpr (checked_build) {
            if (frame.value >= frames_ ||
                !states_[frame.value].compare_exchange_strong(from, to, std::memory_order_acq_rel)) {
                return false;
            }
            if (to == frame_state::user) { unpoison(frame); }
        }
        return true;
    }

    /// Counts the frames in `state`; 0 in a build without checks.
    [[nodiscard]] std::uint32_t count([[maybe_unused]] frame_state state) const noexcept {
        std::uint32_t found = 0;
        if constexpr (checked_build) {
            for (std::uint32_t i = 0; i < frames_; ++i) {
                found += states_[i].load(std::memory_order_acquire) == state ? 1U : 0U;
            }
        }
        return found;
    }

    /// Lifts every poison: before the memory is unmapped, or when frames go to code that keeps no states of them.
    void forget() noexcept {
        if constexpr (checked_build) {
            for (std::uint32_t i = 0; i < frames_; ++i) { unpoison({i}); }
        }
    }

private:
    void poison([[maybe_unused]] frame_index frame) noexcept {
#if defined(FLUXNET_ADDRESS_SANITIZER) && defined(FLUXNET_CHECKED)
        ASAN_POISON_MEMORY_REGION(base_ + (std::size_t{frame.value} << chunk_shift_), std::size_t{1} << chunk_shift_);
#endif
    }

    void unpoison([[maybe_unused]] frame_index frame) noexcept {
#if defined(FLUXNET_ADDRESS_SANITIZER) && defined(FLUXNET_CHECKED)
        ASAN_UNPOISON_MEMORY_REGION(base_ + (std::size_t{frame.value} << chunk_shift_), std::size_t{1} << chunk_shift_);
#endif
    }

    [[maybe_unused]] std::byte* base_;
    [[maybe_unused]] std::uint32_t chunk_shift_;
    [[maybe_unused]] std::uint32_t frames_;
    std::unique_ptr<std::atomic<frame_state>[]> states_;  // null in a build without checks
};

}  // namespace fluxnet::detail
