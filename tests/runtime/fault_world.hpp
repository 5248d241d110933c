// SPDX-License-Identifier: BSD-3-Clause
// `fault_world`: one awaiter of the library with all that it needs, for the matrix of ways in which an await can end.
//
// A world is one cell's: made before its executor runs, outlives that executor, used on its thread except where stated. It
// tells how to await once, how to make that await complete from outside, and what must be true of the world afterwards.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "tests/runtime/temper.hpp"

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>

namespace fluxnet::test {

/// How an await ended. `none`: it did not, and its frame was destroyed.
enum class ending { none, completed, canceled, not_in_virtual_time, failed };

[[nodiscard]] inline ending ending_of(std::error_code ec) noexcept {
    if (!ec) { return ending::completed; }
    if (ec == errc::operation_canceled) { return ending::canceled; }
    return ec == errc::not_in_virtual_time ? ending::not_in_virtual_time : ending::failed;
}

/// Two things that happen in one turn.
enum class race_order { stop_first, completion_first };

/// What a cell has done to its world.
struct fault_tally {
    int completions = 0;     ///< Calls of complete().
    int completed = 0;       ///< Awaits that ended well.
    bool destroyed = false;  ///< The executor went while an await was suspended.
};

class fault_world {
public:
    fault_world() = default;
    fault_world(const fault_world&) = delete;
    fault_world& operator=(const fault_world&) = delete;
    virtual ~fault_world() = default;

    /// Awaits once, and undoes what that gave it when it has ended well.
    virtual task<ending> await_once() = 0;

    /// Makes the await under way, or the next one, complete. On the executor's thread.
    virtual void complete() = 0;

    /// Tells whether the await under way has got to where it stays until complete(); asked in real time only.
    [[nodiscard]] virtual bool is_under_way() const { return true; }

    /// Tells before an await whether it is to complete, for those that do so by themselves when their time has come.
    virtual void let_complete(bool) {}

    /// Requests a stop and completes within one turn. For those that complete in the executor's own time, arranges it.
    virtual void race(race_order order, std::stop_source& stop) {
        if (order == race_order::stop_first) { stop.request_stop(); }
        complete();
        if (order == race_order::completion_first) { stop.request_stop(); }
    }

    /// Checks the handles that are bound to the executor, while it is there and no await is under way.
    virtual void check_handles(const fault_tally&) {}

    /// Destroys them: the executor is about to go.
    virtual void let_go() noexcept {}

    /// Checks the rest when the executor has gone.
    virtual void check(const fault_tally&) {}
};

/// A fault_entry::make for worlds that need no more than the place.
template <class World>
std::unique_ptr<fault_world> make_world(fault_place& place) {
    return std::make_unique<World>(place);
}

/// Waits for `what` in a task of its own.
inline task<std::error_code> wait_for(event& what) {
    const std::error_code ec = co_await what.wait();
    co_return ec;
}

/// One row of the matrix.
struct fault_entry {
    std::string file;     ///< Header in runtime/ that has the awaiter,
    std::string awaiter;  ///< and its name as it is written there; or the function, where a task is what is awaited.
    std::string what;     ///< Is awaited here.
    std::unique_ptr<fault_world> (*make)(fault_place& place);
    bool cancellable = true;                ///< While it is suspended.
    bool completes_by_itself = false;       ///< Soon, without complete(), if it may complete at all.
    bool has_own_time = false;              ///< Completes at a time of its own, which a busy machine may be late for.
    bool needs_descriptor = false;          ///< Is refused in virtual time.
    bool never_suspends = false;            ///< And so completes though a stop was requested before.
    std::string why_not_in_virtual_time{};  ///< Why there is no such row there; empty when there is.
};

/// All of them. Every awaiter of the library has one at least.
[[nodiscard]] std::span<const fault_entry> fault_registry();

// Its parts:
[[nodiscard]] std::span<const fault_entry> waiting_faults();         ///< Descriptors, timers, executors, tasks.
[[nodiscard]] std::span<const fault_entry> structured_faults();      ///< Scopes and what is made of them.
[[nodiscard]] std::span<const fault_entry> sync_faults();            ///< Channels, mutexes and the like.
[[nodiscard]] std::span<const fault_entry> memory_faults();          ///< The in-memory network.
[[nodiscard]] std::span<const fault_entry> socket_faults();          ///< Sockets over a model of the kernel.
[[nodiscard]] std::span<const fault_entry> kernel_stream_faults();   ///< Streams of the kernel's, and their connections.
[[nodiscard]] std::span<const fault_entry> kernel_message_faults();  ///< Datagrams and messages of the kernel's.
[[nodiscard]] std::span<const fault_entry> file_faults();            ///< Files and pipes.
[[nodiscard]] std::span<const fault_entry> transport_faults();       ///< Datagrams by whatever means.
[[nodiscard]] std::span<const fault_entry> host_faults();            ///< Endpoints of a host in user space.
[[nodiscard]] std::span<const fault_entry> host_stream_faults();     ///< TCP of a host in user space.
[[nodiscard]] std::span<const fault_entry> tls_faults();             ///< TLS, where it is built.

}  // namespace fluxnet::test
