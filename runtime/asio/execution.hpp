// SPDX-License-Identifier: BSD-3-Clause
// `execution`: a fluxnet executor inside a program of Boost.Asio's: the threads that run the io_context drive it.
//
//     boost::asio::io_context context;
//     fluxnet::asio::execution packets(context);
//     fluxnet::asio::async_run(packets, serve(), boost::asio::detached);  // serve() is a task
//     context.run();                                                      // both Asio's work and ours
//
// It owns an executor and no thread. A turn of the executor is a handler of the context's, and when the executor has nothing
// to do the context waits for it as for a socket. It keeps the context from ending exactly while the executor has work: a
// task that has not ended, an operation of async_run(), a port or a stream, a work_guard; and without any of these while the
// kernel has not taken all packets that were sent, or a host in user space (ip_host) waits for peers to acknowledge what was
// written to its streams. Tasks in the background go on as long as something else is work. Without work the executor rests:
// nothing of it is in the context then, and nothing goes on in the background, whatever else the context does. So a host
// answers nobody while no accept, no read and no other task is under way: hold an executor::work_guard for as long as it is to
// be there. A post, a spawn or a work_guard ends the rest, from wherever it comes; it is as a post to the context: one that
// has returned from run() has to be run again. What leaves a task that was spawned leaves the context's run(), as a handler's
// exception does; so does std::system_error when there is no descriptor left to wait by, and the next run() tries again.
//
// Several of them on one context are independent of each other, and so are those of several threads: each makes its turns in
// a strand of its own, which strand() names for handlers that share something with the tasks. Handlers are called between
// turns, but often while the strand is held: one that blocks its thread holds the tasks up. Up to eight turns, if they are
// short, follow each other before other handlers of the context; none after the io_context was stopped. All of them are one
// handler to the context: one run_one() or poll_one(), and one of those that run() counts, may call many handlers of the
// user's.
//
// Its end, and what becomes of handlers. The destructor destroys the frames of tasks that have not ended, and calls no
// handler. Each handler that waits for one of ours is called once, as if its operation had ended then: by the context when
// that is run next, on the handler's own executor, and the context does not run out of work before. It is told `closed` of
// async_run(), and operation_aborted of a stream or a port; so are those of operations that these begin afterwards. A
// context that is destroyed instead destroys handlers without a call, as it does Asio's own; with them goes what they own,
// an execution too.
//
// Threads: as Asio's own objects, distinct ones anywhere, one by one thread at a time; operations may be started on any
// thread. Destroy it before its context. Its destructor waits for a turn under way on another thread. When a task of its own
// destroys it, the frames go when the turn ends. Turns of two executions never wait for each other: when a task of one
// destroys the other, or closes one of its objects, while a turn of that other is under way, the frames or the handle go
// when this turn ends; see port::allocate() and port::open() too. It does not cancel the operations of Asio's that its
// tasks await, because their objects may have gone before. Such an operation may use a buffer in a frame: end these tasks
// first (request_stop()), or destroy the objects of their operations first.
//
// fork(): not supported, with notify_fork() or without. The rings and descriptors stay the parent's; a child that goes on with
// an io_context makes an execution of its own, and neither runs nor destroys the one that it has inherited.
#pragma once

#include "fluxnet/runtime/asio/detail/driver.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include <concepts>
#include <memory>
#include <utility>

namespace fluxnet::asio {

namespace detail {
struct access;

/// The executor of an io_context itself where `on` is only a name for it, with a default completion token for example.
template <class Executor>
[[nodiscard]] net::any_io_executor any_executor_of(const Executor& on) {
    if constexpr (std::convertible_to<const Executor&, net::io_context::executor_type>) {
        return net::any_io_executor(static_cast<const net::io_context::executor_type&>(on));
    } else {
        return net::any_io_executor(on);
    }
}

}  // namespace detail

/// `Executor`: where handlers are called that name no executor of their own, and by whose context all of it is driven.
template <class Executor = net::any_io_executor>
class basic_execution {
public:
    using executor_type = Executor;

    /// The type of such an object with another type of executor; for Asio.
    template <class Other>
    struct rebind_executor {
        using other = basic_execution<Other>;
    };

    /// Throws std::system_error when the kernel gives no descriptors.
    explicit basic_execution(const Executor& on, reactor_kind kind = reactor_kind::automatic)
        : on_(on), driver_(detail::driver::make(detail::any_executor_of(on), kind)) {}

    /// The same on the executor of a context.
    template <class Context>
    requires std::convertible_to<Context&, net::execution_context&>
    explicit basic_execution(Context& context, reactor_kind kind = reactor_kind::automatic)
        : basic_execution(Executor(context.get_executor()), kind) {}

    /// One that was moved from is closed: what is started on it ends as after the end of an execution.
    basic_execution(basic_execution&& other) noexcept : on_(other.on_), driver_(std::move(other.driver_)) {}

    /// Takes what an execution with another type of executor owns: one with a default completion token, for example.
    template <class Other>
    requires(!std::same_as<Other, Executor> && std::convertible_to<Other, Executor>)
        basic_execution(basic_execution<Other>&& other)
    noexcept : on_(other.on_), driver_(std::move(other.driver_)) {}

    basic_execution& operator=(basic_execution&& other) noexcept {
        if (this != &other) {
            close();
            on_ = other.on_;
            driver_ = std::move(other.driver_);
        }
        return *this;
    }

    ~basic_execution() { close(); }

    /// Where handlers are called that name no executor of their own.
    [[nodiscard]] executor_type get_executor() const noexcept { return on_; }

    /// The executor: for handles and for what is spawned; in strand(), in a task, or while no thread runs the context. What
    /// is spawned on it directly begins with the next turn. It is driven already: its run() is not for the user.
    ///
    /// Its stop() holds it up: no turn is made until its restart(), and operations that wait meanwhile keep waiting, and the
    /// context from ending. Its request_stop() cancels what goes on, and what begins later, until its restart(). Operations in
    /// Asio's style end with operation_aborted then, also those that would not have to wait, so that a loop of handlers ends; a
    /// task of async_run() begins, and what it awaits is cancelled. To leave the context's run() there is io_context::stop().
    [[nodiscard]] executor& loop() noexcept { return driver_->loop(); }

    /// Where turns are made. As loop(), not of one that was moved from.
    [[nodiscard]] net::strand<net::any_io_executor> strand() const noexcept { return driver_->strand(); }

    /// Has a turn made, for what was changed by other ways than an operation, a post or a spawn. Any thread.
    void wake() {
        if (driver_ != nullptr) { driver_->schedule(); }
    }

private:
    template <class>
    friend class basic_execution;
    friend struct detail::access;

    void close() noexcept {
        if (const auto closing = std::move(driver_)) { closing->close(); }
    }

    Executor on_;
    std::shared_ptr<detail::driver> driver_;  // null when it was moved from
};

/// With any executor of Asio's.
using execution = basic_execution<>;

namespace detail {

/// By which our other objects get at an execution's driver.
struct access {
    template <class Executor>
    [[nodiscard]] static const std::shared_ptr<driver>& driver_of(const basic_execution<Executor>& of) noexcept {
        return of.driver_;
    }
};

}  // namespace detail
}  // namespace fluxnet::asio
