// SPDX-License-Identifier: BSD-3-Clause
// `reactor`: what an executor asks of the kernel: tell me when a descriptor is ready, wake me at a time or from afar.
//
// Owned by one executor. The seam is small on purpose: a backend is these functions.
//
// Threads: that of the executor; wake() on any.
//
// A poll operation is one-shot: it is armed, it fires once, it may be armed again. The operation stays in place, and its
// descriptor open, from arm() until it has fired or disarm_now() has returned. Several operations may be armed on one
// descriptor. Readiness is a level: if the descriptor is ready already, the operation fires at the next poll() or wait().
//
// A poll operation is idle, held or fired. arm() makes it held: the backend waits for its events. It is fired while its
// result is known and on_ready() has not been called yet. Both of these count as armed, and an armed operation is in a list
// of the reactor's. It is armed again in on_ready() at the earliest, which finds it idle and in no list.
//
// Another loop may do the waiting. In place of wait() its thread calls prepare_wait(), waits until the descriptor that it
// was given is readable, and calls finish_wait().
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/reactor/detail/io_completions.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"
#include "fluxnet/xsk/base/detail/counter.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace fluxnet {

/// Which backend an executor is to have.
enum class reactor_kind : std::uint8_t {
    automatic,  ///< io_uring, or epoll where the kernel refuses io_uring.
    io_uring,
    epoll,
};

/// Which threads drive a reactor from attach() on.
enum class reactor_threads : std::uint8_t {
    one,       ///< The one that attached it. io_uring is faster that way.
    changing,  ///< Any thread, one at a time, as in a thread pool.
};

/// What prepare_wait() answers.
struct prepared_wait {
    int fd = -1;         ///< Readable as soon as finish_wait() has something to do; -1 in virtual time. The reactor's.
    bool ready = false;  ///< There is something to do already: call finish_wait() without waiting.
};

class FLUXNET_EXPORT reactor {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using operation_list = boost::intrusive::list<poll_operation, boost::intrusive::constant_time_size<false>>;

    virtual ~reactor() = default;

    /// Called by the thread that is going to use the reactor, before anything else; later calls do nothing. Throws
    /// std::system_error when the kernel refuses, and then has changed nothing: another reactor may be taken instead.
    virtual void attach() = 0;

    /// Has each wait busy-poll, for so long, the network devices from which its sockets have received, before it sleeps.
    /// Called before attach(). Where the kernel does not grant it, nothing changes but name(), which says why.
    virtual void poll_devices(std::chrono::microseconds) {}

    /// Asks to be told once when `fd` has one of `events` (POLLIN, ...), an error or a hang-up (POLLERR, POLLHUP,
    /// POLLRDHUP). A file that is not pollable is ready at once; what else the kernel refuses fires with its errno. No
    /// system call before the next turn.
    virtual void arm(poll_operation& operation, int fd, unsigned events) = 0;

    /// The same for an operation that has fired, with nothing but POLLIN, and whose descriptor, open ever since, has
    /// been read until it had nothing more: only what comes from then on need be told. Cheaper on epoll, which goes on
    /// watching.
    virtual void arm_again(poll_operation& operation, int fd, unsigned events) { arm(operation, fd, events); }

    /// Asks that a held operation fire soon, with ECANCELED. One that has fired keeps its result.
    virtual void disarm(poll_operation& operation) = 0;

    /// Returns when the kernel holds nothing of the operation any more; it does not fire.
    virtual void disarm_now(poll_operation& operation) noexcept = 0;

    /// Begins what `request` says; the operation's on_result() is told how it went, at the next turn at the earliest. What
    /// the kernel refuses is told the same way.
    virtual void submit(io_operation& operation, const io_request& request) = 0;

    /// Makes the call of a send() at once, for a caller that would submit the request otherwise, if it does not have to wait
    /// and if that is no dearer. Returns its result, or nothing: submit it. `alone`: nothing else is about to be submitted
    /// in this turn; otherwise several requests may share one system call. At most one system call.
    [[nodiscard]] virtual std::optional<int> try_now(const io_request&, bool /*alone*/) noexcept { return std::nullopt; }

    /// Tells whether requests to read and write files on a disk are carried out beside the thread that drives the reactor.
    /// Elsewhere they hold it up while the disk works.
    [[nodiscard]] virtual bool serves_files() const noexcept { return false; }

    /// Asks that a held operation end soon: with ECANCELED, or with its result if that is faster.
    virtual void cancel(io_operation& operation) = 0;

    /// Returns when the kernel holds nothing of the operation any more. on_result() is not called, a descriptor among its
    /// results is closed. Waits for a call that the kernel has begun and cannot interrupt: reading a file from a disk.
    virtual void cancel_now(io_operation& operation) noexcept = 0;

    /// Takes an operation whose awaiter is gone, and destroys it after its last completion. on_result() is not called any
    /// more. For buffers that the kernel may use for longer than anybody waits; does not cancel.
    void adopt(std::unique_ptr<io_operation> operation) noexcept { io_.adopt(std::move(operation)); }

    /// Hands over what was armed and fires what is ready, without waiting; no system call when nothing is armed.
    virtual void poll() = 0;

    /// The same, but waits until something fires, wake() is called, a signal is handled, or `deadline` has passed.
    virtual void wait(std::optional<time_point> deadline) = 0;

    /// Hands over what was armed, without waiting, for a loop that waits elsewhere. The descriptor stays the same for the
    /// reactor's life. Followed by finish_wait(); nothing is armed in between. At most one system call, none when nothing
    /// was armed; the first call of all makes one more. Throws std::system_error when the kernel refuses that.
    [[nodiscard]] virtual prepared_wait prepare_wait() = 0;

    /// Ends what prepare_wait() began, and fires what is ready, without waiting. Makes the descriptor unreadable.
    virtual void finish_wait() = 0;

    /// Makes a wait() under way, or the next one, return; or makes the descriptor of prepare_wait() readable. Any thread.
    /// One system call.
    virtual void wake() noexcept = 0;

    /// Forgets all operations without firing them, when the kernel holds none any more; nothing else may be called
    /// afterwards.
    virtual void shut_down() noexcept = 0;

    /// "io_uring", with the set-up flags that the kernel granted, and "receive bundles" if one completion may tell of
    /// several buffers (Linux 6.17); or "epoll", with the refusal that led to it. Behind that what poll_devices() was
    /// answered, if it was called.
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    /// Operations that have fired. Any thread.
    [[nodiscard]] std::uint64_t completions() const noexcept { return completions_.get(); }

    /// Says why this backend was taken: what the kernel answered to the other one, or that it was asked for.
    [[nodiscard]] std::string_view reason() const noexcept { return reason_; }

protected:
    /// For backends, which move operations from state to state: see above.
    static bool is_held(const poll_operation& operation) noexcept { return operation.state_ == poll_operation::state::held; }
    static void mark_held(poll_operation& operation) noexcept { operation.state_ = poll_operation::state::held; }
    static void mark_fired(poll_operation& operation, int result) noexcept {
        operation.state_ = poll_operation::state::fired;
        operation.result_ = result;
    }

    /// Takes the operation out of the list that it is in, if it is in one.
    static void mark_idle(poll_operation& operation) noexcept {
        if (operation.is_linked()) { operation.unlink(); }
        operation.state_ = poll_operation::state::idle;
    }
    /// What arm() was asked for.
    static void set_watch(poll_operation& operation, int fd, unsigned events) noexcept {
        operation.fd_ = fd;
        operation.events_ = events;
    }
    static int fd_of(const poll_operation& operation) noexcept { return operation.fd_; }
    static unsigned events_of(const poll_operation& operation) noexcept { return operation.events_; }

    /// Calls on_ready() of the operations in `fired`, then on_result() of those that have results, up to the number of calls
    /// that one turn may make. The rest, and what fires meanwhile, is left for the next turn.
    void fire(operation_list& fired) noexcept;

    /// The operations of submit(), and those of them that have results.
    [[nodiscard]] detail::io_completions& io() noexcept { return io_; }
    [[nodiscard]] bool nothing_fired(const operation_list& fired) const noexcept {
        return fired.empty() && io_.none_queued();
    }

    /// Makes all operations of a list idle, at the reactor's end.
    static void forget(operation_list& operations) noexcept;

private:
    friend std::unique_ptr<reactor> make_reactor(reactor_kind kind, reactor_threads threads);

    static constexpr std::size_t completions_per_turn = 512;

    detail::io_completions io_;
    std::string reason_ = "asked for";
    detail::counter completions_;
};

/// Makes the io_uring backend. Throws std::system_error when the kernel refuses a ring or its use; the text says why.
[[nodiscard]] FLUXNET_EXPORT std::unique_ptr<reactor> make_io_uring_reactor(reactor_threads threads = reactor_threads::one);

/// Makes the epoll backend, which any thread may drive; its name tells why io_uring was `refused`, if it was. Throws
/// std::system_error when the kernel gives no descriptors.
[[nodiscard]] FLUXNET_EXPORT std::unique_ptr<reactor> make_epoll_reactor(std::string_view refused = {});

/// Makes the one that is asked for. Throws std::system_error as these do; reactor_kind::automatic only when epoll fails too.
[[nodiscard]] FLUXNET_EXPORT std::unique_ptr<reactor> make_reactor(reactor_kind kind,
                                                                   reactor_threads threads = reactor_threads::one);

}  // namespace fluxnet
