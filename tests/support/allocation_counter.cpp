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

}  // namespace

#if FLUXNET_SANITIZER_OWNS_MALLOC

// Declared here because g++ 12 installs no header for it. Returns 0 when the table of hooks is full.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));

namespace {

void count_allocation(const volatile void*, std::size_t) {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
}
void ignore_free(const volatile void*) {}

[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(count_allocation, ignore_free);

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
}

namespace {

void count_allocation() noexcept {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
}

bool power_of_two(std::size_t value) noexcept {
    return value != 0 && (value & (value - 1)) == 0;
}

}  // namespace

// free stays glibc's own: what these return comes from glibc's heap.
extern "C" {

void* malloc(std::size_t size) noexcept {
    count_allocation();
    return __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) noexcept {
    count_allocation();
    return __libc_calloc(count, size);
}

void* realloc(void* old, std::size_t size) noexcept {
    count_allocation();
    return __libc_realloc(old, size);
}

void* reallocarray(void* old, std::size_t count, std::size_t size) noexcept {
    count_allocation();
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_realloc(old, bytes);
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    count_allocation();
    if (alignment % sizeof(void*) != 0 || !power_of_two(alignment)) return EINVAL;
    const int kept = errno;  // posix_memalign returns its error and leaves errno alone
    void* const memory = __libc_memalign(alignment, size);
    errno = kept;
    if (memory == nullptr) return ENOMEM;
    *result = memory;
    return 0;
}

void* valloc(std::size_t size) noexcept {
    count_allocation();
    return __libc_valloc(size);
}

void* pvalloc(std::size_t size) noexcept {
    count_allocation();
    return __libc_pvalloc(size);
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
      maps_before_(map_count.load(std::memory_order_relaxed)) {}

std::uint64_t allocation_watch::allocations() const noexcept {
    return allocation_count.load(std::memory_order_relaxed) - allocations_before_;
}

std::uint64_t allocation_watch::maps() const noexcept {
    return map_count.load(std::memory_order_relaxed) - maps_before_;
}

bool allocation_watch::counts_maps() noexcept {
    return FLUXNET_SANITIZER_OWNS_MALLOC == 0;
}

bool allocation_watch::counts_aligned_alloc() noexcept {
    return FLUXNET_HOOK_SEES_ALIGNED_ALLOC != 0;
}

}  // namespace fluxnet::test
