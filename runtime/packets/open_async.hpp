// SPDX-License-Identifier: BSD-3-Clause
// `open_async`: opens a socket from a builder's options and binds both halves to an executor.
//
//     executor loop;
//     auto sockets = open_async(loop, builder("eth0"));
//     if (!sockets) { return fail(sockets.error().message()); }
//     loop.spawn(serve(sockets->rx, sockets->tx));
//     loop.run();
//
// Threads: the thread that drives the executor, or any thread while none drives it.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <string>
#include <vector>

namespace fluxnet {

/// The two halves of a socket on one executor.
struct async_sockets {
    async_rx rx;
    async_tx tx;
    std::vector<error> refusals;     ///< Rungs of the bind ladder that were refused, with the reasons.
    std::vector<std::string> notes;  ///< What is no failure and yet may surprise: queues that nothing serves, for one.
};

/// Builds the socket and binds it to `on`, in the network namespace of the interface. Blocks the thread: for milliseconds,
/// and up to the builder's busy_deadline while another socket on the queue is still closing.
/// Errors: those of builder::build_system(); system_failure when no rtnetlink socket can be had.
[[nodiscard]] FLUXNET_EXPORT result<async_sockets> open_async(executor& on, const builder& options);

}  // namespace fluxnet
