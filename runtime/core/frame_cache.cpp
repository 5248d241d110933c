// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/detail/frame_cache.hpp"

#include <cstdlib>
#include <new>
#include <utility>

namespace fluxnet::detail {

constinit thread_local frame_cache frame_cache::here_{};

/// Its end is the thread's.
struct frame_cache::ending {
    ~ending() {
        here_.clear();
        for (shelf& each : here_.shelves_) { each.room = 0; }
    }
};

// Aligned operator new would round the size up. Sanitizers see it better: one that looks for races has its counting hook
// called for it only.
void* frame_cache::allocate(std::size_t size) {
    if constexpr (!keeps_frames) { return ::operator new(size, std::align_val_t(step)); }
    void* memory = nullptr;
    if (::posix_memalign(&memory, step, size) != 0) { throw std::bad_alloc(); }
    return memory;
}

void frame_cache::release(void* memory) noexcept {
    if constexpr (!keeps_frames) {
        ::operator delete(memory, std::align_val_t(step));
    } else {
        std::free(memory);
    }
}

// Makes room on all shelves, once; false afterwards.
bool frame_cache::open() noexcept {
    if (std::exchange(opened_, true)) { return false; }
    static thread_local ending at_end;
    static_cast<void>(at_end);
    for (std::size_t i = 0; i < shelves_.size(); ++i) {
        shelves_[i].room = static_cast<std::uint32_t>(kept_bytes / ((i + 1) * step));
    }
    return true;
}

void frame_cache::clear() noexcept {
    for (shelf& each : shelves_) {
        while (frame* const first = each.first) {
            each.first = first->next;
            ++each.room;
            release(first);
        }
    }
}

}  // namespace fluxnet::detail
