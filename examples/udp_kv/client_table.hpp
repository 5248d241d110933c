// SPDX-License-Identifier: BSD-3-Clause
// `client_table`: what udp_kv knows of those that have asked: how often, and the answer to the last request, which a client
// whose answer was lost asks for again. No I/O, no clock.
//
// Has so many clients at most: the one that was silent for longest makes room for a new one. It is forgotten, too, when it
// was silent for a time. Allocates nothing for a new client once it is full. A source address proves nothing: whoever can
// forge many has all clients forgotten, after which a repeated request is done twice.
//
// Owns all. One thread at a time.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>

namespace kv_example {

struct client {
    fluxnet::proto::ip_endpoint at;
    std::chrono::steady_clock::time_point last_seen{};
    std::uint64_t requests = 0;                 ///< With those that were repeated.
    std::optional<std::uint64_t> last_id = {};  ///< Of the request that `answer` is to.
    std::string answer = {};
};

class client_table {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// `most`: at least 1.
    client_table(std::size_t most, std::chrono::nanoseconds idle) : most_(most), idle_(idle) {}
    client_table(const client_table&) = delete;
    client_table& operator=(const client_table&) = delete;

    /// Notes a datagram of a client. What it returns stays in place until the client is forgotten. Throws std::bad_alloc.
    [[nodiscard]] client& seen(const fluxnet::proto::ip_endpoint& at, time_point now);

    /// What is known of a client; null when it was not seen, or is forgotten.
    [[nodiscard]] const client* find(const fluxnet::proto::ip_endpoint& at) const;

    /// Forgets those that have been silent for the idle time. Returns how many.
    std::size_t expire(time_point now);

    /// When the next one will have been silent for so long, if nothing comes; nothing: there are none.
    [[nodiscard]] std::optional<time_point> next_expiry() const;

    [[nodiscard]] std::chrono::nanoseconds idle() const noexcept { return idle_; }
    [[nodiscard]] std::size_t size() const noexcept { return by_endpoint_.size(); }
    /// Those that made room for others.
    [[nodiscard]] std::uint64_t displaced() const noexcept { return displaced_; }

private:
    using order = std::list<client>;
    [[nodiscard]] order::iterator add(const fluxnet::proto::ip_endpoint& at);

    const std::size_t most_;
    const std::chrono::nanoseconds idle_;
    order order_;                                                         // the one that was silent for longest is in front
    std::map<fluxnet::proto::ip_endpoint, order::iterator> by_endpoint_;  // a tree: strangers choose the keys
    std::uint64_t displaced_ = 0;
};

}  // namespace kv_example
