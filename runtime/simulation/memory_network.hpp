// SPDX-License-Identifier: BSD-3-Clause
// `memory_network`: a network inside the process: streams, listeners and datagram sockets for tests, without a kernel.
//
//     virtual_clock clock(seed);
//     executor loop(clock);
//     memory_network net(loop, {.seed = seed, .latency = 2ms});
//     memory_listener door = net.listen(endpoint).value();
//     result<memory_stream> peer = co_await net.connect(door.local_endpoint());
//
// Its handles are models of `stream`, `listener` and `datagram_socket` (fluxnet/runtime/core/stream.hpp), so that a program
// written against these runs on it unchanged. In virtual time a run takes no real time, and its seed replays it: when bytes
// arrive, how reads are cut into pieces, and which datagrams are lost. It works on an ordinary executor too; then it is as
// repeatable as real time is.
//
// Every address is an address of this network's. Ports of streams and of datagrams are apart. The network is a handle: its
// streams, listeners and sockets may outlive it. The executor must outlive all of them.
//
// Threads: that of the executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/simulation/detail/memory_hub.hpp"
#include "fluxnet/runtime/simulation/memory_datagram_socket.hpp"
#include "fluxnet/runtime/simulation/memory_listener.hpp"
#include "fluxnet/runtime/simulation/memory_options.hpp"
#include "fluxnet/runtime/simulation/memory_stream.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace fluxnet {

class FLUXNET_EXPORT memory_network {
public:
    class [[nodiscard]] connect_awaiter;

    /// Throws std::system_error (invalid_option) when an option can never work.
    explicit memory_network(executor& loop, const memory_options& options = {});

    /// Waits for connections at an endpoint; a port is chosen when it names none. `backlog`: connections that may wait to
    /// be accepted. Errors: address_in_use; address_not_available, when no port is left; invalid_option.
    [[nodiscard]] result<memory_listener> listen(const proto::ip_endpoint& endpoint, std::size_t backlog = 128);

    /// Completes with a stream when the listener at `endpoint` has the connection, whether or not it was accepted yet; that
    /// takes the latency twice. Errors: connection_refused, when nobody listens there or the backlog is full;
    /// operation_canceled; wrong_executor.
    [[nodiscard]] connect_awaiter connect(const proto::ip_endpoint& endpoint) noexcept;

    /// Makes a socket for datagrams to an endpoint; a port is chosen when it names none. Errors: as of listen().
    [[nodiscard]] result<memory_datagram_socket> bind(const proto::ip_endpoint& endpoint);

    /// Makes the two ends of a connection.
    [[nodiscard]] std::pair<memory_stream, memory_stream> pair();

    /// What became of connections and datagrams so far.
    [[nodiscard]] const memory_counts& counts() const noexcept { return hub_->counts; }

    /// A hash over everything that was read and that became of datagrams so far, in its order. With the clock's digest it
    /// tells whether two runs went the same way.
    [[nodiscard]] std::uint64_t digest() const noexcept { return hub_->digest(); }

private:
    const std::shared_ptr<detail::memory_hub> hub_;
};

class [[nodiscard]] memory_network::connect_awaiter final : private detail::operation, private detail::timer_node {
public:
    connect_awaiter(std::shared_ptr<detail::memory_hub> hub, const proto::ip_endpoint& to) noexcept
        : hub_(std::move(hub)), to_(to) {}
    ~connect_awaiter() override { clear_timer(); }

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    result<memory_stream> await_resume();

private:
    [[nodiscard]] const char* name() const noexcept override { return "memory_network::connect"; }
    void start() noexcept;
    /// The request reaches the endpoint.
    void arrive() noexcept;
    void on_time() noexcept override;
    void cancel() noexcept override {
        clear_timer();
        complete(errc::operation_canceled);
    }

    const std::shared_ptr<detail::memory_hub> hub_;
    const proto::ip_endpoint to_;
    detail::memory_pace pace_;
    std::optional<memory_stream> made_;
    std::error_code failure_ = no_error;
    const char* cause_ = "";
    bool has_arrived_ = false;
};

inline memory_network::connect_awaiter memory_network::connect(const proto::ip_endpoint& endpoint) noexcept {
    return {hub_, endpoint};
}

/// The two ends of a connection.
[[nodiscard]] inline std::pair<memory_stream, memory_stream> memory_pair(memory_network& net) {
    return net.pair();
}

}  // namespace fluxnet
