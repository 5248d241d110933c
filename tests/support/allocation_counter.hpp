// SPDX-License-Identifier: BSD-3-Clause
// Counts the memory allocations of the whole process, all threads, over a stretch of code.
//
// Linking this file replaces malloc and its relatives, free, and mmap, in the whole program by ones that count and then do
// what glibc's do. It is therefore a library of its own: link it only into tests that count. The counters belong to the
// process; an `allocation_watch` is a plain value that remembers where they stood. Watches may nest and be used on any
// thread.
//
// With the address, thread or memory sanitizer, which own malloc, the sanitizer's hook counts instead, and mmap is not
// counted.
#pragma once

#include <cstdint>

namespace fluxnet::test {

class allocation_watch {
public:
    /// Starts counting. Does not allocate.
    allocation_watch() noexcept;

    /// Returns how often memory was asked for since construction: malloc, calloc, realloc, reallocarray, aligned_alloc,
    /// posix_memalign, memalign, valloc, pvalloc, and so every form of operator new and every coroutine frame that the
    /// compiler did not elide. A realloc counts once, whether or not it moved; failures count; free does not.
    [[nodiscard]] std::uint64_t allocations() const noexcept;

    /// Returns how many blocks more there are than at construction: those asked for and got, without those freed. 0 over a
    /// stretch of code that leaves nothing behind; negative when it freed older ones. Under the thread or memory sanitizer
    /// freed blocks of aligned_alloc and the like count as older ones.
    [[nodiscard]] std::int64_t outstanding() const noexcept;

    /// Returns how often mmap(2) was called through the C library's function since construction. Not counted: mappings that
    /// malloc or pthread_create make inside the C library, and libraries that make the system call themselves (liburing
    /// does); a `syscall_counter` sees those. 0 when `counts_maps()` is false.
    [[nodiscard]] std::uint64_t maps() const noexcept;

    /// Tells whether this build counts mmap: not with a sanitizer.
    [[nodiscard]] static bool counts_maps() noexcept;

    /// Tells whether this build counts aligned_alloc, posix_memalign and memalign: not with the thread or memory sanitizer,
    /// whose hook does not see them. Aligned operator new is counted everywhere.
    [[nodiscard]] static bool counts_aligned_alloc() noexcept;

private:
    std::uint64_t allocations_before_;
    std::uint64_t maps_before_;
    std::int64_t outstanding_before_;
};

}  // namespace fluxnet::test
