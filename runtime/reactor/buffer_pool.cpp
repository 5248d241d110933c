// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::size_t ring_entry_bytes = 16;  // sizeof(io_uring_buf)

std::size_t whole_pages(std::size_t bytes) noexcept {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}

}  // namespace

void give_back(buffer_pool& pool, std::uint32_t number) noexcept {
    pool.give_back(number);
}

buffer_pool::buffer_pool(std::uint32_t count, std::uint32_t size)
    : count_(count), size_(size), ring_entries_(std::bit_ceil(count)),
      ring_bytes_(whole_pages(ring_entries_ * ring_entry_bytes)),
      mapped_bytes_(ring_bytes_ + whole_pages(std::size_t{count} * size)), links_(std::make_unique<std::uint32_t[]>(count)),
      free_(std::make_unique<std::uint32_t[]>(count)) {
    void* const mapped =
        ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapped == MAP_FAILED) {
        const int number = errno;
        const std::string step = "map " + std::to_string(mapped_bytes_) + " bytes of receive buffers";
        throw std::system_error(number, std::generic_category(), step + ": use fewer or smaller ones");
    }
    memory_ = static_cast<std::byte*>(mapped);
    // The lowest lies on top.
    for (std::uint32_t i = 0; i < count; ++i) { free_[i] = count - 1 - i; }
    free_count_ = count;
}

buffer_pool::buffer_pool(std::uint32_t size)
    : count_(1), size_(size), ring_entries_(0), ring_bytes_(0), mapped_bytes_(0),
      links_(std::make_unique<std::uint32_t[]>(1)), free_(std::make_unique<std::uint32_t[]>(1)),
      memory_(static_cast<std::byte*>(::operator new(size))), free_count_(1), chooser_(choice::reactor) {}

buffer_pool::~buffer_pool() {
    if (mapped_bytes_ != 0) {
        ::munmap(memory_, mapped_bytes_);
    } else {
        ::operator delete(memory_);
    }
}

void buffer_pool::close() noexcept {
    if (provider_ != nullptr) { std::exchange(provider_, nullptr)->withdraw(*this); }
    returned_ += returns_.close();
    const auto lent = static_cast<std::int64_t>(chosen_ + taken_ - returned_);
    if (outstanding_.close(lent)) { delete this; }
}

std::optional<std::uint32_t> buffer_pool::take() noexcept {
    if (free_count_ == 0) { drain(); }
    if (free_count_ == 0) { return std::nullopt; }
    ++taken_;
    return free_[--free_count_];
}

void buffer_pool::untake(std::uint32_t number) noexcept {
    --taken_;
    free_[free_count_++] = number;
}

void buffer_pool::give_back(std::uint32_t number) noexcept {
    if (!returns_.push({number, number, 1}) && outstanding_.returned(1)) { delete this; }
}

void buffer_pool::drain() noexcept {
    if (returns_.idle() || returns_.hungry()) { return; }  // hunger stays: the reactor looks here before it sleeps
    returned_ += returns_.take_all([this](std::uint32_t number) { free_[free_count_++] = number; });
}

buffer_pool::census buffer_pool::count() noexcept {
    drain();
    return {free_count_, static_cast<std::uint32_t>(given_ - chosen_),
            static_cast<std::uint32_t>(taken_ + chosen_ - returned_)};
}

void buffer_pool::let_kernel_choose(buffer_provider& provider, std::uint16_t group) {
    places_ = std::make_unique<std::uint16_t[]>(count_);
    provider_ = &provider;
    group_ = group;
    chooser_ = choice::kernel;
}

void buffer_pool::let_reactor_choose(const char* refused, int number) noexcept {
    chooser_ = choice::reactor;
    refused_ = refused;
    refusal_ = number;
}

std::string buffer_pool::name() const {
    if (chooser_ == choice::open) { return "not used yet"; }
    if (chooser_ == choice::kernel) { return "io_uring buffer ring"; }
    std::string text = "recv(2) when the descriptor is readable";
    if (refused_ != nullptr) {
        const char* const answer = ::strerrorname_np(refusal_);
        text += std::string(" (") + refused_ + " answered " + (answer != nullptr ? answer : "an error") + ')';
    }
    return text;
}

}  // namespace fluxnet::detail
