// SPDX-License-Identifier: BSD-3-Clause
// `async_tx`: a tx bound to an executor, so that coroutines there can await room to send.
//
// Owns the tx. Used and destroyed on the executor's thread, or while no thread runs it. Queued packets are handed to the
// kernel after a turn in which nothing else became ready, so that a sleep is never in their way; while the executor is busy
// they wait, as far as the flush_policy allows, so that one kick serves many. Completions are reaped after every turn.
// When the kernel makes no progress the handle tries again after a back-off that doubles from 50 us to 10 ms; it does not
// wait for POLLOUT, which says nothing about credit. Several coroutines may wait; they are served in the order in which they
// asked.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/xsk/tx.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>

namespace fluxnet {

namespace detail {
class tx_service;

/// By which a waiting send stands in line.
using send_line_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<tx_service>,
                                                        boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
}  // namespace detail

/// How long queued packets may wait for company while the executor has other things to run. Looked at after every turn.
struct flush_policy {
    std::uint32_t packets = 64;                                      ///< So many are kicked at once.
    std::chrono::nanoseconds delay = std::chrono::microseconds(50);  ///< So old, too. 0: after every turn.
};

class async_tx {
public:
    class [[nodiscard]] send_awaiter;

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
    /// Errors: operation_canceled, foreign_packet, packet_too_small, packet_too_large (of packets[n]), interface_gone,
    /// ring_corruption, closed.
    [[nodiscard]] send_awaiter send(std::span<packet> packets) noexcept;

    /// Queues one packet; on an error it stays in `one`.
    [[nodiscard]] send_awaiter send(packet& one) noexcept;

    /// Fills `into` with empty packets, as tx::allocate() does; fewer when frames are short.
    std::uint32_t allocate(std::span<packet> into) noexcept;

    /// Changes when packets are kicked, from the end of the turn under way.
    void set_flush_policy(const flush_policy& policy) noexcept;

    /// The sending half itself, for its observers.
    [[nodiscard]] tx& socket() noexcept;
    [[nodiscard]] const tx& socket() const noexcept;

private:
    std::unique_ptr<detail::tx_service> service_;
};

class [[nodiscard]] async_tx::send_awaiter final : private detail::operation, public detail::send_line_hook {
public:
    send_awaiter(detail::tx_service& service, std::span<packet> packets) noexcept : service_(service), packets_(packets) {}

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

    detail::tx_service& service_;
    std::span<packet> packets_;
    std::size_t sent_ = 0;
    std::error_code failure_;
};

}  // namespace fluxnet
