// SPDX-License-Identifier: BSD-3-Clause
// `pending`: an asynchronous operation of ours that Asio's handlers wait for: a coroutine and the handler to be told of it.
//
// Lies in memory of the handler's associated allocator. Owned by what carries it: at first by the function in the strand
// that starts it, then by the coroutine in carry_out(). It is completed once, or given up: when its coroutine is destroyed
// before its end the handler is told so, and when the context goes the handler is destroyed without a call.
//
// What Asio asks of an operation, and where it is done:
//   The operation starts in the strand, and its handler is dispatched there after the turn in which it ended, or after the
//   handler that began it: never inside the initiating function, inside emit(), or inside a turn of the executor. A handler
//   that names no executor is called there, for the strand lies on the I/O object's.
//   Guards keep the contexts of the I/O object's executor and of the handler's from running out of work.
//   The operation's memory goes back before the handler is dispatched. The memory by which the handler travels comes from
//   the same allocator and goes back before the call. The cancellation slot is touched only in the initiating function. What
//   it keeps there is a stop_source, which any thread may use, and nothing of the operation: a late emit() finds that nobody
//   listens. The handler is moved, never copied.
#pragma once

#include "fluxnet/runtime/asio/detail/driver.hpp"
#include "fluxnet/runtime/asio/detail/stoppable.hpp"
#include "fluxnet/runtime/core/detail/there_and_back.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/executor.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace fluxnet::asio::detail {

/// Memory for what a handler needs: the handler's own, or what Asio keeps for the thread.
template <class Handler>
using handler_allocator = net::associated_allocator_t<Handler, net::recycling_allocator<void>>;

template <class Handler>
[[nodiscard]] handler_allocator<Handler> allocator_of(const Handler& handler) noexcept {
    return net::get_associated_allocator(handler, net::recycling_allocator<void>());
}

/// What keeps the context of an executor from running out of work. Asio's own guard fails with a strand of any executor.
template <class E>
[[nodiscard]] auto tracked(const E& executor) {
    if constexpr (net::execution::is_executor<E>::value) {
        return net::prefer(executor, net::execution::outstanding_work.tracked);
    } else {
        return net::executor_work_guard<E>(executor);
    }
}

template <class E>
using work_at = decltype(tracked(std::declval<const E&>()));

struct nowhere {};

/// Tells whether handlers of this type leave it to the I/O object on which executor they are called.
template <class Handler>
inline constexpr bool names_no_executor = std::is_same_v<net::associated_executor_t<Handler, nowhere>, nowhere>;

/// Where a handler is to be called that names an executor, whose context has work until then.
template <class Handler, class IoExecutor>
class destination {
public:
    destination(const Handler& handler, const IoExecutor& io)
        : on_(net::get_associated_executor(handler, io)), guard_(tracked(on_)) {}

    template <class Completion>
    void dispatch(Completion&& what) const {
        net::dispatch(on_, std::forward<Completion>(what));
    }

private:
    using executor = net::associated_executor_t<Handler, IoExecutor>;

    executor on_;
    work_at<executor> guard_;
};

/// Here, in the strand.
template <class Handler, class IoExecutor>
requires(names_no_executor<Handler>) class destination<Handler, IoExecutor> {
public:
    destination(const Handler&, const IoExecutor&) noexcept {}

    template <class Completion>
    void dispatch(Completion&& what) const {
        std::forward<Completion>(what)();
    }
};

/// A handler on its way, with what it is to be told.
template <class Handler, class Arguments>
class completion {
public:
    using allocator_type = handler_allocator<Handler>;

    completion(Handler&& handler, Arguments&& arguments) noexcept
        : handler_(std::move(handler)), arguments_(std::move(arguments)) {}

    [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_of(handler_); }

    void operator()() { std::apply(std::move(handler_), std::move(arguments_)); }

private:
    Handler handler_;
    Arguments arguments_;
};

/// What a cancellation slot keeps.
class canceller {
public:
    canceller(net::cancellation_type by, std::stop_source stop) noexcept : by_(by), stop_(std::move(stop)) {}

    void operator()(net::cancellation_type type) const noexcept {
        if ((type & by_) != net::cancellation_type::none) { stop_.request_stop(); }
    }

private:
    net::cancellation_type by_;
    std::stop_source stop_;
};

/// Of a function object that returns what is to be awaited: an awaiter that was asked once, and is not ready, may be dropped
/// and another one awaited instead; and it says whether it is worth to ask.
template <class Work>
concept ends_at_once_or_waits = requires(const Work& work) {
    { work.may_end_now() } noexcept -> std::same_as<bool>;
};

/// `Work`: a function object that returns what is to be awaited. `Told`: how its end is told (see told.hpp).
template <class Handler, class IoExecutor, class Told, class Work>
class pending final : public driven_operation {
public:
    using awaited = std::invoke_result_t<Work&>;
    using value_type = fluxnet::detail::awaited_value<awaited>;
    using arguments = typename Told::arguments;

    struct giving_up {
        void operator()(pending* one) const noexcept { one->give_up(); }
    };
    using owner = std::unique_ptr<pending, giving_up>;

    template <class H>
    [[nodiscard]] static owner make(const std::shared_ptr<driver>& by, const IoExecutor& on, H&& handler, Work&& work,
                                    const std::source_location& where) {
        memory from(allocator_of(handler));
        pending* const place = memory_traits::allocate(from, 1);
        try {
            return owner(::new (static_cast<void*>(place))
                             pending(by, on, std::forward<H>(handler), std::move(work), where));
        } catch (...) {
            memory_traits::deallocate(from, place, 1);
            throw;
        }
    }

    [[nodiscard]] const std::shared_ptr<driver>& by() const noexcept { return by_; }
    [[nodiscard]] const std::optional<std::stop_source>& stop() const noexcept { return stop_; }

    /// What is to be awaited.
    [[nodiscard]] awaited begin() { return work_(); }

    void keep_context() override {
        if (!io_guard_) { io_guard_.emplace(tracked(on_)); }
    }

    [[nodiscard]] bool may_end_now() noexcept override {
        if constexpr (ends_at_once_or_waits<Work>) {
            return work_.may_end_now();
        } else {
            return false;
        }
    }

    [[nodiscard]] bool ends_at_once() noexcept override {
        if constexpr (ends_at_once_or_waits<Work>) {
            if (stop_ && stop_->stop_requested()) { return false; }
            if (is_refused()) {
                ended_.emplace(Told::closed());
                return true;
            }
            try {
                auto work = work_();
                if (!work.await_ready()) { return false; }
                ended_.emplace(Told::of(std::optional<value_type>(work.await_resume()), nullptr));
                return true;
            } catch (...) { return false; }  // as its coroutine will say
        } else {
            return false;
        }
    }

    /// Has the handler told.
    static void complete(owner one, arguments&& how) {
        one->ended_.emplace(std::move(how));
        const std::shared_ptr<driver> by = one->by_;
        by->end(*one.release());
    }

private:
    using memory = typename std::allocator_traits<handler_allocator<Handler>>::template rebind_alloc<pending>;
    using memory_traits = std::allocator_traits<memory>;

    template <class H>
    pending(const std::shared_ptr<driver>& by, const IoExecutor& on, H&& handler, Work&& work,
            const std::source_location& where)
        : by_(by), handler_(std::forward<H>(handler)), on_(on), to_(handler_, on), work_(std::move(work)), where_(where) {
        auto slot = net::get_associated_cancellation_slot(handler_);
        if (slot.is_connected()) { slot.template emplace<canceller>(Told::cancelled_by, stop_.emplace()); }
    }

    void send_off() override {
        memory to(allocator_of(handler_));
        Handler handler(std::move(handler_));
        arguments ended(std::move(*ended_));
        const destination<Handler, IoExecutor> there(std::move(to_));
        const std::optional<work_at<IoExecutor>> io_guard(std::move(io_guard_));
        destroy(this, to);
        there.dispatch(completion<Handler, arguments>(std::move(handler), std::move(ended)));
    }

    [[nodiscard]] task<void> carry_out(std::source_location& where) override {
        where = where_;
        return carry_out_alone(owner(this));
    }

    /// Tells whether it is not to begin any more.
    [[nodiscard]] bool is_refused() const noexcept {
        return !Told::begins_when_stopped && by_->loop().stop_requested();
    }

    /// The coroutine of an operation.
    static task<void> carry_out_alone(owner one) {
        if (one->is_refused()) {
            complete(std::move(one), Told::closed());
            co_return;
        }
        std::optional<fluxnet::detail::value_of<value_type>> value;  // empty when there is a failure
        std::exception_ptr failure;
        try {
            auto work = one->begin();
            if (one->stop()) {
                stoppable_work<value_type> stoppable(*one->stop(), fluxnet::detail::there_and_back<decltype(work)&>(work));
                if constexpr (std::is_void_v<value_type>) {
                    co_await stoppable;
                    value.emplace();
                } else {
                    value.emplace(co_await stoppable);
                }
            } else if constexpr (std::is_void_v<value_type>) {
                co_await work;
                value.emplace();
            } else {
                value.emplace(co_await work);
            }
        } catch (...) { failure = std::current_exception(); }
        complete(std::move(one), Told::of(std::move(value), std::move(failure)));
    }

    void give_up() noexcept override {
        const std::shared_ptr<driver> by = by_;
        if (by->context_ends()) {
            drop();
            return;
        }
        try {
            ended_.emplace(Told::closed());
            by->end(*this);
        } catch (...) {}  // there is no memory to post by: a later turn sends it off
    }

    void drop() noexcept override {
        memory to(allocator_of(handler_));
        destroy(this, to);
    }

    static void destroy(pending* one, memory& to) noexcept {
        one->~pending();
        memory_traits::deallocate(to, one, 1);
    }

    const std::shared_ptr<driver> by_;
    Handler handler_;
    const IoExecutor on_;
    [[no_unique_address]] destination<Handler, IoExecutor> to_;
    std::optional<work_at<IoExecutor>> io_guard_;
    Work work_;
    const std::source_location where_;
    std::optional<arguments> ended_;
    std::optional<std::stop_source> stop_;  // when the handler has a cancellation slot
};

/// What an initiating function gives to boost::asio::async_initiate().
template <class Told, class Work, class IoExecutor>
class initiation {
public:
    using executor_type = IoExecutor;

    initiation(std::shared_ptr<driver> by, const IoExecutor& on, const std::source_location& where) noexcept
        : by_(std::move(by)), on_(on), where_(where) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return on_; }

    template <class Handler>
    void operator()(Handler&& handler, Work work) const {
        using operation = pending<std::decay_t<Handler>, IoExecutor, Told, Work>;
        if (by_ == nullptr) {  // the execution was moved from
            using ended = completion<std::decay_t<Handler>, typename Told::arguments>;
            std::decay_t<Handler> own(std::forward<Handler>(handler));
            const auto there = net::get_associated_executor(own, on_);
            net::post(there, ended(std::move(own), Told::closed()));
            return;
        }
        auto one = operation::make(by_, on_, std::forward<Handler>(handler), std::move(work), where_);
        if (by_->is_here()) {
            by_->begin(*one.release(), ends_at_once_or_waits<Work>);
            return;
        }
        one->keep_context();
        net::dispatch(by_->strand(), [one = std::move(one)]() mutable {
            const std::shared_ptr<driver> by = one->by();
            by->begin(*one.release(), ends_at_once_or_waits<Work>);
        });
    }

private:
    std::shared_ptr<driver> by_;
    IoExecutor on_;
    std::source_location where_;
};

}  // namespace fluxnet::asio::detail
