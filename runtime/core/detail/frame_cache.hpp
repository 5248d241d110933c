// SPDX-License-Identifier: BSD-3-Clause
// `frame_cache`: the memory of coroutine frames that have ended, kept by their thread for the next ones.
//
// So coroutines that await others for every packet allocate nothing once they run. One per thread, without a lock: a frame
// that ends on another thread than it began on is kept there. Sizes are rounded up to 8 bytes less than a multiple of 64:
// the heap puts a word in front of each block, and frames that begin at multiples of 64 lie side by side then. Of each size
// up to 2 KiB at most 8 KiB are kept, larger frames never. What is kept goes with its thread. Sanitizers see every frame
// come and go, for nothing is kept in what is built with them. Frames begin at a multiple of 64 bytes, for objects in them
// that want a cache line of their own; compilers do not ask for that.
#pragma once

#include "fluxnet/export.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

namespace fluxnet::detail {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool keeps_frames = false;
#elif defined(__has_feature)
inline constexpr bool keeps_frames = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
inline constexpr bool keeps_frames = true;
#endif

class FLUXNET_EXPORT frame_cache {
public:
    static constexpr std::size_t step = 64;
    static constexpr std::size_t before = sizeof(void*);  // what the heap has in front of a block
    static constexpr std::size_t largest = 2048 - before;
    static constexpr std::size_t kept_bytes = 8192;  // of each size

    /// The calling thread's.
    [[nodiscard]] static frame_cache& here() noexcept { return here_; }

    /// Gives memory for a frame; throws std::bad_alloc.
    [[nodiscard]] void* take(std::size_t size) {
        if (size > largest) { return allocate(size); }
        shelf& of = shelves_[index_of(size)];
        frame* const first = of.first;
        if (first == nullptr) { return allocate((index_of(size) + 1) * step - before); }
        of.first = first->next;
        ++of.room;
        return first;
    }

    /// Takes memory back that a take() of any thread gave for that size.
    void give(void* memory, std::size_t size) noexcept {
        if (!keeps_frames || size > largest) {
            release(memory);
            return;
        }
        shelf& of = shelves_[index_of(size)];
        if (of.room == 0 && !open()) {
            release(memory);
            return;
        }
        --of.room;
        of.first = new (memory) frame{of.first};
    }

    /// Gives back what is kept.
    void clear() noexcept;

private:
    struct frame {
        frame* next;
    };
    struct shelf {
        frame* first;
        std::uint32_t room;  // frames this shelf may still keep; 0 before the thread's first use and after its end
    };
    struct ending;

    [[nodiscard]] static constexpr std::size_t index_of(std::size_t size) noexcept { return (size + before - 1) / step; }
    [[nodiscard]] static void* allocate(std::size_t size);
    static void release(void* memory) noexcept;
    bool open() noexcept;

    std::array<shelf, (largest + before) / step> shelves_;
    bool opened_;  // stays so when the thread ends

    static constinit thread_local frame_cache here_;
};

/// A base of promises whose frames come from the cache, and of what else comes and goes with each connection or transfer.
struct cached_frame {
    [[nodiscard]] static void* operator new(std::size_t size) { return frame_cache::here().take(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { frame_cache::here().give(frame, size); }
};

}  // namespace fluxnet::detail
