// SPDX-License-Identifier: BSD-3-Clause
// What the tests of fluxnet::asio share: an allocator that counts, handlers that can only be moved, and ways to run a
// context.
#pragma once

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace fluxnet::test {

namespace net = boost::asio;

/// Counts the bytes that are alive.
template <class T>
class counting_allocator {
public:
    using value_type = T;

    explicit counting_allocator(std::atomic<std::ptrdiff_t>& alive, std::atomic<std::ptrdiff_t>& asked) noexcept
        : alive_(&alive), asked_(&asked) {}
    template <class Other>
    counting_allocator(const counting_allocator<Other>& other) noexcept : alive_(other.alive_), asked_(other.asked_) {}

    [[nodiscard]] T* allocate(std::size_t count) const {
        *alive_ += static_cast<std::ptrdiff_t>(count * sizeof(T));
        ++*asked_;
        return std::allocator<T>().allocate(count);
    }
    void deallocate(T* memory, std::size_t count) const noexcept {
        *alive_ -= static_cast<std::ptrdiff_t>(count * sizeof(T));
        std::allocator<T>().deallocate(memory, count);
    }

    template <class Other>
    bool operator==(const counting_allocator<Other>& other) const noexcept {
        return alive_ == other.alive_;
    }

private:
    template <class>
    friend class counting_allocator;

    std::atomic<std::ptrdiff_t>* alive_;
    std::atomic<std::ptrdiff_t>* asked_;  // how often
};

/// A handler that can be moved only, and called as an rvalue only, once.
template <class F>
class move_only {
public:
    explicit move_only(F function) : function_(std::make_unique<F>(std::move(function))) {}

    template <class... Args>
    void operator()(Args&&... args) && {
        const auto called = std::move(function_);
        (*called)(std::forward<Args>(args)...);
    }

private:
    std::unique_ptr<F> function_;
};

/// Runs what is ready, and no more.
inline void run_ready(net::io_context& context) {
    context.restart();
    context.poll();
}

/// Runs until nothing is left to do.
inline void run_all(net::io_context& context) {
    context.restart();
    context.run();
}

}  // namespace fluxnet::test
