// SPDX-License-Identifier: BSD-3-Clause
// `umem`: the memory that packets live in, shared with the kernel and divided into frames (the kernel's chunks).
//
// A builder makes one for its socket. Two sockets over one umem send each other's packets without copying a byte:
//
//     const umem memory = umem::create({.frame_count = 4096}).value();
//     auto left = builder("eth0").over(memory).build_system().value();
//     auto right = builder("eth1").over(memory).build_system().value();
//     const std::uint32_t count = left.rx.try_recv(burst);
//     right.tx.try_send(std::span(burst).first(count));
//
// A umem is a counted handle: copies name the same memory, and each socket holds one. When the last handle is gone, the
// memory stays for as long as somebody holds packets of it; the drop of the last packet unmaps it. After fork() both
// processes have the same memory, which ends with the last of them. A socket registers the memory with the kernel
// (XDP_UMEM_REG); the umem does not.
// Threads: any thread may copy and drop handles; each handle is used by one thread at a time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/memory/detail/outstanding_count.hpp"
#include "fluxnet/xsk/memory/frame_pool.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace fluxnet {

/// How a UMEM is made. See builder, which sets it.
struct umem_config {
    std::uint32_t frame_count = 2048;
    std::uint32_t frame_size = 2048;       ///< Bytes; 2048 or 4096 (a power of two, at most a page).
    std::uint32_t headroom = 256;          ///< Bytes kept free before a packet, besides the kernel's own 256.
    std::uint32_t fill_ring = 2048;        ///< Entries; a power of two.
    std::uint32_t completion_ring = 2048;  ///< Entries; a power of two. Also bounds what may be in transmission.
    bool huge_pages = false;               ///< Try 2 MiB pages (vm.nr_hugepages), fall back to ordinary ones.
    bool lock_memory = false;              ///< MAP_LOCKED: keep the memory out of swap; counts against RLIMIT_MEMLOCK.

    /// Bytes of packet that a received frame can hold: frame_size - 256 (XDP_PACKET_HEADROOM) - headroom.
    [[nodiscard]] constexpr std::uint32_t packet_capacity() const noexcept {
        return frame_size > 256 && headroom < frame_size - 256 ? frame_size - 256 - headroom : 0;
    }
};

namespace detail {

/// The memory itself. Ends with its last handle and its last packet, whichever is later.
class FLUXNET_EXPORT umem_area {
public:
    umem_area(std::byte* base, std::size_t length, const umem_config& config, bool huge);
    umem_area(const umem_area&) = delete;
    umem_area& operator=(const umem_area&) = delete;

    void add_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
    void drop_handle() noexcept;
    void outlived(std::uint32_t frames) noexcept;

    std::byte* const base;
    const std::size_t length;
    const umem_config config;
    const bool huge;
    frame_pool pool;

private:
    ~umem_area();

    std::atomic<std::uint32_t> handles_ = 1;
    outstanding_count outstanding_;  // packets that outlive the handles
};

}  // namespace detail

class FLUXNET_EXPORT umem {
public:
    /// Maps the memory (mmap with MAP_POPULATE, so that no page fault is left for later).
    /// Errors: invalid_option, out_of_memory, memlock_exceeded.
    [[nodiscard]] static result<umem> create(const umem_config& config);

    /// Makes a handle that names no memory.
    umem() = default;
    umem(const umem& other) noexcept : area_(other.area_) {
        if (area_ != nullptr) { area_->add_handle(); }
    }
    umem(umem&& other) noexcept : area_(std::exchange(other.area_, nullptr)) {}
    umem& operator=(umem other) noexcept {
        std::swap(area_, other.area_);
        return *this;
    }
    ~umem() {
        if (area_ != nullptr) { area_->drop_handle(); }
    }

    /// Tells whether the handle has memory.
    [[nodiscard]] explicit operator bool() const noexcept { return area_ != nullptr; }
    friend bool operator==(const umem& a, const umem& b) noexcept { return a.area_ == b.area_; }

    /// What a handle with memory has: the frames, how they were made, and where the memory lies.
    [[nodiscard]] frame_pool& pool() const noexcept { return area_->pool; }
    [[nodiscard]] const umem_config& config() const noexcept { return area_->config; }
    [[nodiscard]] std::byte* base() const noexcept { return area_->base; }
    [[nodiscard]] std::size_t length() const noexcept { return area_->length; }

    /// Tells whether the memory lies in huge pages.
    [[nodiscard]] bool huge() const noexcept { return area_->huge; }

    /// Tells whether a home belongs to this memory.
    [[nodiscard]] bool owns(const frame_home& home) const noexcept { return &home.area() == area_; }

    /// Returns a frame's bytes. The number is asserted to be one.
    [[nodiscard]] std::span<std::byte> frame(frame_index index) const noexcept {
        assert(index.value < area_->config.frame_count);
        return {area_->base + std::size_t{index.value} * area_->config.frame_size, area_->config.frame_size};
    }

    /// Returns `length` bytes at `addr`, which must lie inside one frame: asserted.
    [[nodiscard]] std::span<std::byte> bytes(frame_addr addr, std::uint32_t length) const noexcept {
        assert(contains(addr, length) && "a descriptor that does not lie inside one frame");
        return bytes_unchecked(addr, length);
    }

    /// Returns `length` bytes at `addr`, unchecked: the caller has seen the descriptor come from the kernel.
    [[nodiscard]] std::span<std::byte> bytes_unchecked(frame_addr addr, std::uint32_t length) const noexcept {
        return {area_->base + addr.value, length};
    }

    /// Tells which frame an address points into, be it the frame's first byte or any other. The address is asserted to be
    /// one.
    [[nodiscard]] frame_index index_of(frame_addr addr) const noexcept {
        assert(contains(addr, 0) && "an address outside the frames");
        return {static_cast<std::uint32_t>(addr.value / area_->config.frame_size)};
    }

    /// Returns the address of a frame's first byte, as the fill ring takes it.
    [[nodiscard]] frame_addr addr_of(frame_index index) const noexcept {
        assert(index.value < area_->config.frame_count);
        return {std::uint64_t{index.value} * area_->config.frame_size};
    }

    /// Tells whether [addr, addr + length) lies inside one of the frames. Huge pages may end behind the last one.
    [[nodiscard]] bool contains(frame_addr addr, std::uint32_t length) const noexcept {
        const umem_config& config = area_->config;
        const std::uint64_t offset = addr.value & (config.frame_size - 1);
        return addr.value < std::uint64_t{config.frame_count} * config.frame_size && offset + length <= config.frame_size;
    }

private:
    explicit umem(detail::umem_area* area) noexcept : area_(area) {}

    detail::umem_area* area_ = nullptr;
};

/// Checks a configuration; the error names the value and the rule it breaks.
[[nodiscard]] FLUXNET_EXPORT result<void> validate(const umem_config& config);

}  // namespace fluxnet
