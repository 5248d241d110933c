// SPDX-License-Identifier: BSD-3-Clause
// `async_tx`: a tx bound to an executor, so that coroutines there can await room to send.
//
//     std::array<packet, 32> burst;
//     const io_result made = co_await tx.allocate(burst);             // waits until a frame is free
//     for (packet& one : std::span(burst).first(made.n)) { write_into(one); }
//     const io_result sent = co_await tx.send(std::span(burst).first(made.n));   // waits until there is room
//
// Threads: used and destroyed on the executor's thread, or while no thread runs it.
// Owns the tx. Queued packets are handed to the kernel after a turn in which nothing else became ready, so that a sleep is
// never in their way; while the executor is busy they wait, as far as the flush_policy allows, so that one kick serves many.
// Completions are reaped after every turn. When the kernel makes no progress the handle tries again after a back-off that
// doubles from 50 us to 10 ms; it does not wait for POLLOUT, which says nothing about credit. Several coroutines may wait to
// send, and several for frames; each of the two lines is served in the order in which the coroutines asked.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/packets/move_awaiter.hpp"
#include "fluxnet/xsk/base/detail/duration.hpp"
#include "fluxnet/xsk/tx.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>

namespace fluxnet {

namespace detail {
class tx_service;

/// By which a coroutine that waits at a tx stands in line.
using tx_line_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<tx_service>,
                                                      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
}  // namespace detail

/// How long queued packets may wait for company while the executor has other things to run. Looked at after every turn.
struct flush_policy {
    std::uint32_t packets = 64;  ///< So many are kicked at once.
    /// So old, too. 0 or less: after every turn. Any duration goes; one that nanoseconds cannot tell never passes.
    detail::any_duration delay = std::chrono::microseconds(50);
};

/// Every await on a handle that was moved from ends at once with `closed`; what is set there has no effect.
class FLUXNET_EXPORT async_tx {
public:
    class [[nodiscard]] send_awaiter;
    class [[nodiscard]] allocate_awaiter;

    /// What set_completion_limit() begins with: as long as Linux by default lets a transmit queue stand still before it
    /// resets the driver (dev_watchdog() in net/sched/sch_generic.c).
    static constexpr std::chrono::seconds default_completion_limit{5};

    /// Binds `socket`. Must be called in the network namespace of its interface. Throws std::system_error when no
    /// rtnetlink socket can be had.
    async_tx(executor& on, tx socket);
    async_tx(async_tx&&) noexcept;
    async_tx& operator=(async_tx&&) noexcept;

    /// Closes its half of the socket; packets that the kernel has not taken are not sent. Awaits under way end with
    /// `closed`.
    ~async_tx();

    /// Queues packets in order: completes when all are in the TX ring, and waits while there is no credit. n tells how
    /// many were taken; their handles are empty then, and those of the rest are untouched. `packets` must stay valid
    /// until it completes. Resumes on the bound executor. The kernel gets the packets after the turn or a little later (see
    /// flush_policy), and an error of that kick surfaces at the next send.
    /// A packet that has to be copied (see tx::copy_foreign()) also waits for a free frame of the tx's own home.
    /// No packets are sent at once. A coroutine whose sends all complete without waiting lets others run now and then.
    /// Errors: operation_canceled, foreign_packet (also for a packet that holds no frame), packet_too_small,
    /// packet_too_large (of packets[n]), interface_gone, ring_corruption, closed; wrong_executor, when it would have to wait
    /// on another executor than the bound one; completions_missing, when it has waited for the completion limit while the
    /// kernel sent nothing and gave no frame back: the frames that the kernel has stay its own, as the census shows, and a
    /// later send tries again.
    [[nodiscard]] send_awaiter send(std::span<packet> packets) noexcept;

    /// Queues one packet; on an error it stays in `one`.
    [[nodiscard]] send_awaiter send(packet& one) noexcept;

    /// Queues one packet that is given away, as `co_await tx.send(std::move(one))`. On an error it stays in `one`, which goes
    /// with the co_await expression when it is a temporary.
    template <std::same_as<packet> Packet>
    [[nodiscard]] send_awaiter send(Packet&& one) noexcept;

    /// Makes empty packets: completes with n >= 1 of them at the front of `into` as soon as one frame of the tx's home is
    /// free; waits until then for completions and for packets that are dropped, on whichever thread. Drops what `into` held
    /// before it looks, so that a coroutine cannot wait for frames that it holds there. `into` must stay valid until it
    /// completes; n is 0, at once, when it has no room. The packets are the caller's. Resumes on the bound executor.
    /// Allocates no memory; no system call. A coroutine that need not wait lets others run now and then.
    /// Errors: operation_canceled (nothing was taken), closed, invalid_option (the tx was built without frames: see
    /// builder::tx_frames()), wrong_executor (it is awaited on another executor than the bound one); interface_gone and
    /// ring_corruption when no frame is free, since the kernel gives none back then. Frames that the kernel keeps for
    /// another reason end it with no error: it waits, until it is cancelled.
    [[nodiscard]] allocate_awaiter allocate(std::span<packet> into) noexcept;

    /// Makes one empty packet.
    [[nodiscard]] allocate_awaiter allocate(packet& into) noexcept;

    /// Fills `into` with empty packets without waiting, as tx::allocate() does, and returns how many; fewer when frames are
    /// short, none while a coroutine waits for frames.
    std::uint32_t try_allocate(std::span<packet> into) noexcept;

    /// Changes when packets are kicked, from the end of the turn under way.
    void set_flush_policy(const flush_policy& policy) noexcept;

    /// Changes how long a send waits, at most, while the kernel sends nothing and completes nothing, also for sends that
    /// wait already. Then it ends with completions_missing: up to 10 ms later, when the handle looks next. Time during which
    /// the link is down does not count. Any duration goes; one that nanoseconds cannot tell is no limit.
    template <class Rep, class Period>
    void set_completion_limit(std::chrono::duration<Rep, Period> limit) noexcept {
        limit_completions(detail::saturated(limit));
    }

    /// That limit; 0 of a handle that was moved from.
    [[nodiscard]] std::chrono::nanoseconds completion_limit() const noexcept;

    /// Hands the handle over to `target` and goes on there, as async_rx::move_to() does, with the same errors. Queued
    /// packets are kicked before; completions are looked for on the target from then on.
    [[nodiscard]] move_awaiter move_to(executor& target) noexcept;

    /// The sending half itself, for its observers; not of a handle that was moved from.
    [[nodiscard]] tx& socket() noexcept;
    [[nodiscard]] const tx& socket() const noexcept;

private:
    void limit_completions(std::chrono::nanoseconds limit) noexcept;

    std::unique_ptr<detail::tx_service> service_;
};

class [[nodiscard]] async_tx::send_awaiter final : private detail::operation, public detail::tx_line_hook {
public:
    /// `service`: null for a handle that was moved from.
    send_awaiter(detail::tx_service* service, std::span<packet> packets) noexcept : service_(service), packets_(packets) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { wait(); });
    }

    io_result await_resume() noexcept;

private:
    friend detail::tx_service;

    [[nodiscard]] const char* name() const noexcept override { return "async_tx::send"; }
    void wait() noexcept;
    void cancel() noexcept override;

    detail::tx_service* const service_;
    std::span<packet> packets_;
    std::size_t sent_ = 0;
    std::error_code failure_;
    executor::time_point since_{};  // in line
};

class [[nodiscard]] async_tx::allocate_awaiter final : private detail::operation, public detail::tx_line_hook {
public:
    /// `service`: null for a handle that was moved from.
    allocate_awaiter(detail::tx_service* service, std::span<packet> into) noexcept : service_(service), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { wait(); });
    }

    io_result await_resume() noexcept;

private:
    friend detail::tx_service;

    [[nodiscard]] const char* name() const noexcept override { return "async_tx::allocate"; }
    void wait() noexcept;
    void cancel() noexcept override;

    detail::tx_service* const service_;
    std::span<packet> into_;
    std::size_t made_ = 0;
    std::error_code failure_;
};

template <std::same_as<packet> Packet>
async_tx::send_awaiter async_tx::send(Packet&& one) noexcept {
    return send(static_cast<packet&>(one));
}

inline async_tx::allocate_awaiter async_tx::allocate(packet& into) noexcept {
    return allocate(std::span(&into, 1));
}

}  // namespace fluxnet
