// SPDX-License-Identifier: BSD-3-Clause
// `kv_service`: what udp_kv answers a datagram with. No I/O, no clock: datagrams and times come from the caller.
//
// A client numbers its requests upwards and has one under way at a time. The number of its last request once more means that
// the answer was lost: the answer is sent again, and nothing done. A lower number is of a datagram that the network has held
// back; doing it now would undo what came later, so it is refused. Both hold while the client is remembered (client_table).
//
// Owns all. One thread at a time.
#pragma once

#include "examples/bounded_store.hpp"
#include "examples/udp_kv/client_table.hpp"
#include "examples/udp_kv/protocol.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kv_example {

struct service_options {
    std::size_t clients = 1024;                               ///< Remembered at a time, at least 1.
    std::chrono::nanoseconds idle = std::chrono::minutes(1);  ///< After which a silent client is forgotten.
    store_example::store_limits store = {};
};

struct service_counts {
    std::uint64_t requests = 0;   ///< That were done, or were wrong.
    std::uint64_t repeated = 0;   ///< Answered again.
    std::uint64_t late = 0;       ///< Refused: older than the client's last one.
    std::uint64_t ignored = 0;    ///< Datagrams that were no requests.
    std::uint64_t unsent = 0;     ///< Answers that could not be sent.
    std::uint64_t forgotten = 0;  ///< Clients that were silent for too long.
};

class kv_service {
public:
    using time_point = std::chrono::steady_clock::time_point;

    explicit kv_service(const service_options& options = {})
        : clients_(options.clients, options.idle), store_(options.store) {}

    /// The answer to a datagram, valid until the next call; empty when there is to be none. Throws std::bad_alloc.
    [[nodiscard]] std::string_view answer(std::string_view datagram, const fluxnet::proto::ip_endpoint& from,
                                          time_point now);

    /// Forgets clients that have been silent for too long.
    void expire(time_point now) { counts_.forgotten += clients_.expire(now); }

    /// Notes a datagram that was too large to be received, or that there was no memory to answer.
    void note_ignored() noexcept { ++counts_.ignored; }
    void note_unsent() noexcept { ++counts_.unsent; }

    [[nodiscard]] const client_table& clients() const noexcept { return clients_; }
    [[nodiscard]] const store_example::bounded_store& store() const noexcept { return store_; }
    [[nodiscard]] const service_counts& counts() const noexcept { return counts_; }

private:
    [[nodiscard]] reply perform(const request& asked, time_point now);

    client_table clients_;
    store_example::bounded_store store_;
    service_counts counts_;
    std::string refusal_;
};

}  // namespace kv_example
