// SPDX-License-Identifier: BSD-3-Clause
#include "examples/udp_kv/client_table.hpp"

#include <iterator>
#include <utility>

namespace kv_example {

client& client_table::seen(const fluxnet::proto::ip_endpoint& at, time_point now) {
    const auto found = by_endpoint_.find(at);
    const auto known = found == by_endpoint_.end() ? add(at) : found->second;
    order_.splice(order_.end(), order_, known);
    known->last_seen = now;
    ++known->requests;
    return *known;
}

/// Adds a client, in the nodes of the oldest one when there is no room.
client_table::order::iterator client_table::add(const fluxnet::proto::ip_endpoint& at) {
    if (by_endpoint_.size() >= most_) {
        const auto oldest = order_.begin();
        auto node = by_endpoint_.extract(oldest->at);
        node.key() = at;
        by_endpoint_.insert(std::move(node));
        std::string answer = std::move(oldest->answer);  // for its memory
        answer.clear();
        *oldest = client{.at = at, .answer = std::move(answer)};
        ++displaced_;
        return oldest;
    }
    order_.push_back(client{.at = at});
    const auto added = std::prev(order_.end());
    try {
        by_endpoint_.emplace(at, added);
    } catch (...) {
        order_.erase(added);
        throw;
    }
    return added;
}

const client* client_table::find(const fluxnet::proto::ip_endpoint& at) const {
    const auto found = by_endpoint_.find(at);
    return found == by_endpoint_.end() ? nullptr : &*found->second;
}

std::size_t client_table::expire(time_point now) {
    std::size_t count = 0;
    while (!order_.empty() && order_.front().last_seen + idle_ <= now) {
        by_endpoint_.erase(order_.front().at);
        order_.pop_front();
        ++count;
    }
    return count;
}

std::optional<client_table::time_point> client_table::next_expiry() const {
    if (order_.empty()) { return std::nullopt; }
    return order_.front().last_seen + idle_;
}

}  // namespace kv_example
