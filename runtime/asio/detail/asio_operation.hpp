// SPDX-License-Identifier: BSD-3-Clause
// `asio_operation`: what `use_task` makes of an operation of Asio's: an awaiter that begins it and waits for its handler.
//
// Lies in the coroutine's frame. What it shares with its handler is on the heap, because the frame may be destroyed first:
// then the awaiter takes itself out of there. Threads: the handler and everything else happen in the driver's strand, or
// while the driver's mutex is held.
#pragma once

#include "fluxnet/runtime/asio/detail/codes.hpp"
#include "fluxnet/runtime/asio/detail/driver.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/recycling_allocator.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace fluxnet::asio::detail {

/// The driver of the executor that the calling thread drives. Throws std::system_error: no_executor, wrong_executor.
[[nodiscard]] inline driver& driver_here() {
    executor* const here = executor::current();
    if (here == nullptr) { fluxnet::detail::throw_no_executor(); }
    driver* const by = here->use_service<driver_link>().by;
    if (by == nullptr) {
        throw std::system_error(make_error_code(errc::wrong_executor),
                                "await an operation of Boost.Asio on an executor that no fluxnet::asio::execution drives");
    }
    return *by;
}

/// Told that the handler was called.
class ended_listener {
public:
    virtual void on_end() noexcept = 0;

protected:
    ~ended_listener() = default;
};

/// What an awaiter and the handler share. When the awaiter goes first the driver lists it until the operation has ended.
template <class... Args>
struct shared_end final : unawaited_operation {
    shared_end(std::shared_ptr<driver> of, ended_listener* listener) noexcept : by(std::move(of)), waiter(listener) {}
    shared_end(const shared_end&) = delete;
    shared_end& operator=(const shared_end&) = delete;
    ~shared_end() { unlist(); }

    /// What is in the cancellation slot belongs to the operation while that goes on, and may own the handler, and so this.
    void let_go() noexcept override { signal.slot().clear(); }

    void unlist() noexcept {
        if (is_linked()) { by->remove(*this); }
    }

    const std::shared_ptr<driver> by;
    ended_listener* waiter;  // null once it was told, or is gone
    net::cancellation_signal signal;
    std::optional<std::tuple<Args...>> told;
};

/// The handler.
template <class... Args>
class task_handler {
public:
    using executor_type = driver::strand_type;
    using cancellation_slot_type = net::cancellation_slot;

    explicit task_handler(std::shared_ptr<shared_end<Args...>> end) noexcept : end_(std::move(end)) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return end_->by->strand(); }
    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return end_->signal.slot(); }

    void operator()(Args... args) {
        driver& by = *end_->by;
        by.exclusively([&] {
            if (end_->waiter == nullptr) {
                end_->unlist();
                end_->let_go();
                return;
            }
            end_->told.emplace(std::move(args)...);
            std::exchange(end_->waiter, nullptr)->on_end();
            by.schedule();
        });
    }

private:
    std::shared_ptr<shared_end<Args...>> end_;
};

/// What an await gives for what a handler was told.
template <class... Args>
struct told_to_task {
    static auto of(std::tuple<Args...>&& told) {
        if constexpr (sizeof...(Args) == 1) {
            return std::get<0>(std::move(told));
        } else if constexpr (sizeof...(Args) > 1) {
            return std::move(told);
        }
    }
};

template <class... Rest>
struct told_to_task<boost::system::error_code, Rest...> {
    static auto of(std::tuple<boost::system::error_code, Rest...>&& told) {
        return std::apply(
            [](const boost::system::error_code& code, Rest&... rest) {
                if constexpr (sizeof...(Rest) == 0) {
                    return wait_result(code_from_asio(code));
                } else if constexpr (std::is_same_v<std::tuple<Rest...>, std::tuple<std::size_t>>) {
                    return io_result{code_from_asio(code), rest...};
                } else {
                    return std::tuple<std::error_code, Rest...>(code_from_asio(code), std::move(rest)...);
                }
            },
            told);
    }
};

template <class... Rest>
struct told_to_task<std::exception_ptr, Rest...> {
    static auto of(std::tuple<std::exception_ptr, Rest...>&& told) {
        if (std::get<0>(told)) { std::rethrow_exception(std::get<0>(std::move(told))); }
        return std::apply([](const std::exception_ptr&,
                             Rest&... rest) { return told_to_task<Rest...>::of(std::tuple<Rest...>(std::move(rest)...)); },
                          told);
    }
};

template <class Signature, class Initiation, class... InitArgs>
class asio_operation;

template <class T>
inline constexpr bool is_asio_operation = false;
template <class Signature, class Initiation, class... InitArgs>
inline constexpr bool is_asio_operation<asio_operation<Signature, Initiation, InitArgs...>> = true;

/// An initiation of whatever type, with its arguments: on the heap.
template <class Handler>
class any_initiation {
public:
    template <class Initiation, class... InitArgs>
    any_initiation(Initiation&& initiation, std::tuple<InitArgs...>&& args)
        : held_(std::make_unique<held<Initiation, InitArgs...>>(std::move(initiation), std::move(args))) {}

    void operator()(Handler&& handler) { held_->begin(std::move(handler)); }

private:
    struct any_held {
        virtual ~any_held() = default;
        virtual void begin(Handler&& handler) = 0;
    };

    template <class Initiation, class... InitArgs>
    struct held final : any_held {
        held(Initiation&& what, std::tuple<InitArgs...>&& with) : initiation(std::move(what)), args(std::move(with)) {}
        void begin(Handler&& handler) override {
            std::apply([&](InitArgs&... each) { std::move(initiation)(std::move(handler), std::move(each)...); }, args);
        }
        Initiation initiation;
        std::tuple<InitArgs...> args;
    };

    std::unique_ptr<any_held> held_;
};

/// The operation of a signature, whatever begins it: for tokens of Asio's that have to name a type.
template <class Signature>
struct any_asio_operation;

template <class R, class... Args>
struct any_asio_operation<R(Args...)> {
    using type = asio_operation<R(Args...), any_initiation<task_handler<std::decay_t<Args>...>>>;
};

template <class R, class... Args, class Initiation, class... InitArgs>
class [[nodiscard]] asio_operation<R(Args...), Initiation, InitArgs...> final : private fluxnet::detail::operation,
                                                                                private ended_listener {
public:
    // An initiation may be made of anything, as that of co_spawn() is: of an operation it is not.
    template <class I, class... A>
    requires(!is_asio_operation<std::remove_cvref_t<I>> && sizeof...(A) == sizeof...(InitArgs) &&
             std::constructible_from<Initiation, I>) explicit asio_operation(I&& initiation, A&&... args)
        : initiation_(std::forward<I>(initiation)), args_(std::forward<A>(args)...) {}

    /// Takes what another one was to begin, which that does not any more. One that waits is not moved.
    asio_operation(asio_operation&& other)
        : operation(), ended_listener(), initiation_(std::move(other.initiation_)), args_(std::move(other.args_)),
          spent_(std::exchange(other.spent_, true)) {}

    template <class I, class... A>
    requires(std::same_as<asio_operation, typename any_asio_operation<R(Args...)>::type>)
        asio_operation(asio_operation<R(Args...), I, A...>&& other)
        : initiation_(std::move(other.initiation_), std::move(other.args_)), spent_(std::exchange(other.spent_, true)) {}

    asio_operation& operator=(const asio_operation&) = delete;
    ~asio_operation() { abandon(); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        if (spent_) { fluxnet::detail::throw_not_awaitable(); }
        driver& by = driver_here();
        end_ = std::allocate_shared<end_type>(net::recycling_allocator<end_type>(), by.shared_from_this(),
                                              static_cast<ended_listener*>(this));
        spent_ = true;
        // Begun even when the task was asked to stop, and cancelled at once then: so its end is told as others are.
        return begin(waiting, [this] { start(); });
    }

    auto await_resume() {
        static_cast<void>(finish());
        return told_to_task<std::decay_t<Args>...>::of(std::move(*end_->told));
    }

private:
    template <class, class, class...>
    friend class asio_operation;

    using end_type = shared_end<std::decay_t<Args>...>;

    [[nodiscard]] const char* name() const noexcept override { return "an operation of Boost.Asio"; }

    void start() {
        std::apply(
            [this](InitArgs&... args) {
                std::move(initiation_)(task_handler<std::decay_t<Args>...>(end_), std::move(args)...);
            },
            args_);
    }

    void on_end() noexcept override { complete(no_error); }

    // Its handler is called all the same, soon.
    void cancel() noexcept override {
        if (end_->waiter != nullptr) { end_->signal.emit(net::cancellation_type::all); }
    }

    void abandon() noexcept {
        if (end_ == nullptr || std::exchange(end_->waiter, nullptr) == nullptr) { return; }
        driver& by = *end_->by;
        if (by.context_ends()) {
            end_->let_go();  // nothing of Asio's is called any more
            return;
        }
        by.add(*end_);
        // When everything is destroyed the operation's object may have gone before.
        if (!by.closed()) { end_->signal.emit(net::cancellation_type::all); }
    }

    Initiation initiation_;
    std::tuple<InitArgs...> args_;
    bool spent_ = false;  // it was awaited, or moved from
    std::shared_ptr<end_type> end_;
};

}  // namespace fluxnet::asio::detail
