// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/umem.hpp"

#include <bit>
#include <cerrno>
#include <string>

#include <sys/mman.h>

namespace fluxnet {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

error bad_option(const char* name, std::uint32_t value, const char* rule, const char* remedy) {
    return make_error(errc::invalid_option, "check " + std::string(name) + " " + std::to_string(value), rule, remedy);
}

struct mapping {
    void* base = MAP_FAILED;
    std::size_t length = 0;
    bool huge = false;
    int failure = 0;
};

mapping map_memory(std::size_t bytes, bool huge, bool lock) {
    mapping result;
    result.huge = huge;
    result.length = huge ? (bytes + huge_page_bytes - 1) & ~(huge_page_bytes - 1) : bytes;
    // Shared: after a fork both processes see the frames that the kernel sees, where a private page would be copied.
    int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
    if (huge) { flags |= MAP_HUGETLB; }
    if (lock) { flags |= MAP_LOCKED; }
    result.base = ::mmap(nullptr, result.length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (result.base == MAP_FAILED) { result.failure = errno; }
    return result;
}

}  // namespace

result<void> validate(const umem_config& config) {
    if (!std::has_single_bit(config.frame_size) || config.frame_size < 2048 || config.frame_size > 4096) {
        return bad_option(
            "frame size", config.frame_size, "not a power of two between 2048 and 4096",
            "use 2048, or 4096 for packets of more than 1792 bytes less the headroom; those of more than 3840 bytes less "
            "the headroom fit no frame, and none spans several: lower the MTU then");
    }
    if (config.frame_count == 0) {
        return bad_option("frame count", config.frame_count, "a UMEM needs frames", "use 2048 or more");
    }
    if (config.packet_capacity() < 64) {
        return bad_option("headroom", config.headroom, "headroom plus the kernel's 256 bytes leave no room for a packet",
                          "lower the headroom or raise the frame size");
    }
    if (!std::has_single_bit(config.fill_ring)) {
        return bad_option("fill ring size", config.fill_ring, "not a power of two", "use 2048");
    }
    if (!std::has_single_bit(config.completion_ring)) {
        return bad_option("completion ring size", config.completion_ring, "not a power of two", "use 2048");
    }
    return {};
}

result<umem> umem::create(const umem_config& config) {
    if (auto valid = validate(config); !valid) { return valid.error(); }
    const std::size_t bytes = std::size_t{config.frame_count} * config.frame_size;
    mapping memory;
    if (config.huge_pages) { memory = map_memory(bytes, true, config.lock_memory); }
    if (memory.base == MAP_FAILED) { memory = map_memory(bytes, false, config.lock_memory); }
    if (memory.base == MAP_FAILED) {
        const std::string step = "map " + std::to_string(bytes) + " bytes of UMEM";
        const std::string cause = "mmap answered " + errno_text(memory.failure);
        if (config.lock_memory && (memory.failure == EAGAIN || memory.failure == EPERM)) {
            return make_error(errc::memlock_exceeded, step, cause,
                              "raise the locked-memory limit (ulimit -l), grant CAP_IPC_LOCK, or do not lock memory");
        }
        return make_error(errc::out_of_memory, step, cause, "use fewer or smaller frames");
    }
    try {
        return umem(new detail::umem_area(static_cast<std::byte*>(memory.base), memory.length, config, memory.huge));
    } catch (...) {
        ::munmap(memory.base, memory.length);
        throw;
    }
}

namespace detail {

umem_area::umem_area(std::byte* base_, std::size_t length_, const umem_config& config_, bool huge_)
    : base(base_), length(length_), config(config_), huge(huge_),
      pool(*this, base_, config_.frame_count, static_cast<std::uint32_t>(std::countr_zero(config_.frame_size)),
           config_.headroom) {}

umem_area::~umem_area() {
    pool.checker().forget();
    ::munmap(base, length);
}

void umem_area::drop_handle() noexcept {
    if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) { return; }
    if (outstanding_.close(pool.close())) { delete this; }
}

void umem_area::outlived(std::uint32_t frames) noexcept {
    if (outstanding_.returned(frames)) { delete this; }
}

void frames_outlived(umem_area& area, std::uint32_t frames) noexcept {
    area.outlived(frames);
}

}  // namespace detail
}  // namespace fluxnet
