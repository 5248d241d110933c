// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/allocation_counter.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

// g++ tells by macros, clang by features.
#ifdef __has_feature
#define FLUXNET_HAS_FEATURE(name) __has_feature(name)
#else
#define FLUXNET_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || FLUXNET_HAS_FEATURE(address_sanitizer)
#define FLUXNET_SANITIZER_OWNS_MALLOC 1
#define FLUXNET_HOOK_SEES_ALIGNED_ALLOC 1
#elif defined(__SANITIZE_THREAD__) || FLUXNET_HAS_FEATURE(thread_sanitizer) || FLUXNET_HAS_FEATURE(memory_sanitizer)
#define FLUXNET_SANITIZER_OWNS_MALLOC 1
#define FLUXNET_HOOK_SEES_ALIGNED_ALLOC 0
#else
#define FLUXNET_SANITIZER_OWNS_MALLOC 0
#define FLUXNET_HOOK_SEES_ALIGNED_ALLOC 1  // no hook at all
#endif

namespace {

// Constant-initialised, because malloc is called before any constructor runs. Relaxed: the counts order nothing, and a test
// that counts another thread's work has joined or awaited it.
constinit std::atomic<std::uint64_t> allocation_count{0};
constinit std::atomic<std::uint64_t> map_count{0};
constinit std::atomic<std::int64_t> outstanding_count{0};

}  // namespace

#if FLUXNET_SANITIZER_OWNS_MALLOC

// Declared here because g++ 12 installs no header for it. Returns 0 when the table of hooks is full.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));

namespace {

void count_allocation(const volatile void* memory, std::size_t) {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
    if (memory != nullptr) { outstanding_count.fetch_add(1, std::memory_order_relaxed); }
}
void count_free(const volatile void* memory) {
    if (memory != nullptr) { outstanding_count.fetch_sub(1, std::memory_order_relaxed); }
}

[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(count_allocation, count_free);

}  // namespace

#else

// The functions of glibc behind malloc and its relatives; exported by the C library for replacements like these.
extern "C" {
void* __libc_malloc(std::size_t size) noexcept;
void* __libc_calloc(std::size_t count, std::size_t size) noexcept;
void* __libc_realloc(void* old, std::size_t size) noexcept;
void* __libc_memalign(std::size_t alignment, std::size_t size) noexcept;
void* __libc_valloc(std::size_t size) noexcept;
void* __libc_pvalloc(std::size_t size) noexcept;
void __libc_free(void* memory) noexcept;
}

namespace {

void count_allocation() noexcept {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
}

void* count_block(void* memory) noexcept {
    if (memory != nullptr) { outstanding_count.fetch_add(1, std::memory_order_relaxed); }
    return memory;
}

/// A block that is moved or resized stays one block; a size of 0 frees it.
void* resize(void* old, std::size_t size) noexcept {
    void* const memory = __libc_realloc(old, size);
    if (old == nullptr) { return count_block(memory); }
    if (memory == nullptr && size == 0) { outstanding_count.fetch_sub(1, std::memory_order_relaxed); }
    return memory;
}

bool power_of_two(std::size_t value) noexcept {
    return value != 0 && (value & (value - 1)) == 0;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_malloc(size));
}

void* calloc(std::size_t count, std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_calloc(count, size));
}

void* realloc(void* old, std::size_t size) noexcept {
    count_allocation();
    return resize(old, size);
}

void* reallocarray(void* old, std::size_t count, std::size_t size) noexcept {
    count_allocation();
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return nullptr;
    }
    return resize(old, bytes);
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_memalign(alignment, size));
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_memalign(alignment, size));
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    if (alignment % sizeof(void*) != 0 || !power_of_two(alignment)) return EINVAL;
    const int kept = errno;  // posix_memalign returns its error and leaves errno alone
    void* const memory = count_block(__libc_memalign(alignment, size));
    errno = kept;
    if (memory == nullptr) return ENOMEM;
    *result = memory;
    return 0;
}

void* valloc(std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_valloc(size));
}

void* pvalloc(std::size_t size) noexcept {
    count_allocation();
    return count_block(__libc_pvalloc(size));
}

void free(void* memory) noexcept {
    if (memory == nullptr) { return; }
    outstanding_count.fetch_sub(1, std::memory_order_relaxed);
    __libc_free(memory);
}

void* mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset) noexcept {
    map_count.fetch_add(1, std::memory_order_relaxed);
    // The system call itself: looking glibc's function up by name would allocate.
    const long result = ::syscall(SYS_mmap, address, length, protection, flags, fd, offset);
    return reinterpret_cast<void*>(result);
}

void* mmap64(void* address, std::size_t length, int protection, int flags, int fd, off64_t offset) noexcept {
    return mmap(address, length, protection, flags, fd, offset);
}

}  // extern "C"

#endif

namespace fluxnet::test {

allocation_watch::allocation_watch() noexcept
    : allocations_before_(allocation_count.load(std::memory_order_relaxed)),
      maps_before_(map_count.load(std::memory_order_relaxed)),
      outstanding_before_(outstanding_count.load(std::memory_order_relaxed)) {}

std::uint64_t allocation_watch::allocations() const noexcept {
    return allocation_count.load(std::memory_order_relaxed) - allocations_before_;
}

std::uint64_t allocation_watch::maps() const noexcept {
    return map_count.load(std::memory_order_relaxed) - maps_before_;
}

std::int64_t allocation_watch::outstanding() const noexcept {
    return outstanding_count.load(std::memory_order_relaxed) - outstanding_before_;
}

bool allocation_watch::counts_maps() noexcept {
    return FLUXNET_SANITIZER_OWNS_MALLOC == 0;
}

bool allocation_watch::counts_aligned_alloc() noexcept {
    return FLUXNET_HOOK_SEES_ALIGNED_ALLOC != 0;
}

}  // namespace fluxnet::test
