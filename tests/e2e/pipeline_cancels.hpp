// SPDX-License-Identifier: BSD-3-Clause
// `random_cancels`: cancels what one coroutine awaits at random moments: after a few microseconds by timeout(), or by a stop
// that comes later in the same turn, before any handle has tidied up.
//
// Owned beside the coroutine, used on its thread; the switch and the counters may be used on any. An await that is left
// alone is awaited directly and allocates nothing; one that may be cancelled allocates at most three times: two frames and a
// stop state. What is cancelled is an operation with an io_result, which tells what was moved all the same.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/ready_node.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "tests/runtime/coroutines.hpp"

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

namespace fluxnet::test {

class random_cancels {
public:
    static constexpr std::uint64_t allocations_each = 3;

    template <class Make>
    class [[nodiscard]] awaitable;

    explicit random_cancels(std::uint32_t seed) : dice_(seed) {}

    /// Awaits the operation that `make` returns, perhaps under a threat. `make` is called when it is awaited.
    template <class Make>
    [[nodiscard]] awaitable<Make> around(Make make) noexcept {
        return {*this, std::move(make)};
    }

    /// Any thread. Once switched off, no await is under a threat any more when it returns. Throws when one stays so for ten
    /// seconds.
    void set(bool on) {
        on_.store(on, std::memory_order_seq_cst);
        const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!on && threatened_.load(std::memory_order_seq_cst)) {
            if (std::chrono::steady_clock::now() > patience) { throw std::runtime_error("a cancelled await does not end"); }
            std::this_thread::yield();
        }
    }

    // Any thread:
    [[nodiscard]] std::uint64_t threats() const noexcept { return threats_.get(); }
    [[nodiscard]] std::uint64_t canceled() const noexcept { return canceled_.get(); }  // ended with operation_canceled
    [[nodiscard]] std::uint64_t partial() const noexcept { return partial_.get(); }    // of these: had moved something

private:
    enum class threat : std::uint8_t { none, timeout, same_turn };

    /// Store and load are sequentially consistent like those in set(): one of the two sees what the other has stored.
    threat roll() noexcept {
        if (!on_.load(std::memory_order_relaxed)) { return threat::none; }
        const auto dice = dice_() >> 8;
        if (dice % 8 != 0) { return threat::none; }
        threatened_.store(true, std::memory_order_seq_cst);
        if (!on_.load(std::memory_order_seq_cst)) {
            threatened_.store(false, std::memory_order_relaxed);
            return threat::none;
        }
        threats_.add(1);
        return dice % 16 == 0 ? threat::timeout : threat::same_turn;
    }

    std::chrono::nanoseconds moment() noexcept { return std::chrono::nanoseconds(dice_() % 40'000); }

    std::minstd_rand dice_;
    std::atomic<bool> on_ = false;
    std::atomic<bool> threatened_ = false;
    fluxnet::detail::counter threats_;
    fluxnet::detail::counter canceled_;
    fluxnet::detail::counter partial_;
};

template <class Make>
class [[nodiscard]] random_cancels::awaitable final : private ready_node {
public:
    awaitable(random_cancels& from, Make make) : from_(from), make_(std::move(make)) {}

    bool await_ready() {
        threat_ = from_.roll();
        if (threat_ != threat::none) { return false; }
        plain_.emplace(make_);
        return plain_->operation.await_ready();
    }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> waiting) {
        if (threat_ == threat::none) {
            plain_->operation.await_suspend(waiting);
            return std::noop_coroutine();
        }
        if (threat_ == threat::timeout) {
            timed_.emplace(fluxnet::detail::time_limit{{}, from_.moment()}, value_of(make_));
            return timed_->await_suspend(waiting);
        }
        stop_.emplace();
        fluxnet::detail::inside(*executor::current()).make_ready(*this);
        stoppable_.emplace(run_under(stop_->get_token(), keep_value(make_, result_)));
        return stoppable_->await_suspend(waiting);
    }

    io_result await_resume() {
        if (threat_ == threat::none) {
            result_ = plain_->operation.await_resume();
        } else if (threat_ == threat::timeout) {
            result_ = timed_->await_resume().value;
        } else {
            stoppable_->await_resume();
            if (is_linked()) { unlink(); }
        }
        if (threat_ != threat::none) { from_.threatened_.store(false, std::memory_order_release); }
        if (result_.ec == errc::operation_canceled) {
            from_.canceled_.add(1);
            from_.partial_.add(result_.n != 0 ? 1 : 0);
        }
        return result_;
    }

private:
    /// An operation cannot be moved, so it is made in place.
    struct made {
        explicit made(Make& make) : operation(make()) {}
        std::invoke_result_t<Make&> operation;
    };

    static task<io_result> value_of(Make& make) {
        auto operation = make();
        const io_result result = co_await operation;
        co_return result;
    }
    static task<void> keep_value(Make& make, io_result& into) {
        auto operation = make();
        into = co_await operation;
    }

    void run() noexcept override { stop_->request_stop(); }

    random_cancels& from_;
    Make make_;
    threat threat_ = threat::none;
    io_result result_;
    std::optional<made> plain_;
    std::optional<timeout_awaiter<io_result>> timed_;
    std::optional<std::stop_source> stop_;
    std::optional<stoppable> stoppable_;
};

}  // namespace fluxnet::test
