// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_network.hpp"

#include <new>
#include <string>

namespace fluxnet {
namespace {

constexpr unsigned ports = 16'384;  // that can be given out

void check(bool holds, const char* what) {
    if (!holds) { throw std::system_error(make_error_code(errc::invalid_option), what); }
}

void check(const memory_options& options) {
    check(options.latency.count() >= 0 && options.jitter.count() >= 0 && options.reordering_delay.count() >= 0,
          "memory_options: latency, jitter and reordering_delay must not be negative");
    check(options.buffer_bytes != 0, "memory_options: buffer_bytes must be at least 1");
    for (const double each : {options.fragmentation, options.loss, options.duplication, options.reordering}) {
        check(each >= 0 && each <= 1, "memory_options: a probability must be between 0 and 1");
    }
}

/// Finds a free port for an endpoint that names none; says why there is none.
template <class IsTaken>
result<proto::ip_endpoint> choose(detail::memory_hub& hub, proto::ip_endpoint endpoint, const char* step, IsTaken is_taken) {
    const std::string what = step + (' ' + endpoint.to_string());
    if (endpoint.port != 0) {
        if (!is_taken(endpoint)) { return endpoint; }
        return error{detail::system_error_code(EADDRINUSE), what, "another handle of this network has the endpoint",
                     "destroy that one first, or choose another port; 0 takes a free one"};
    }
    for (unsigned tries = 0; tries != ports; ++tries) {
        const proto::ip_endpoint next{endpoint.address, hub.next_port()};
        if (!is_taken(next)) { return next; }
    }
    return error{detail::system_error_code(EADDRNOTAVAIL), what, "every port that can be given out is in use",
                 "destroy handles, or name a port below 49152"};
}

}  // namespace

memory_network::memory_network(executor& loop, const memory_options& options)
    : hub_((check(options), std::make_shared<detail::memory_hub>(loop, options))) {}

result<memory_listener> memory_network::listen(const proto::ip_endpoint& endpoint, std::size_t backlog) {
    if (backlog == 0) {
        return make_error(errc::invalid_option, "listen at " + endpoint.to_string(), "the backlog is 0",
                          "let one connection wait at least");
    }
    const auto found =
        choose(*hub_, endpoint, "listen at", [&](const proto::ip_endpoint& at) { return hub_->door_at(at) != nullptr; });
    if (!found) { return found.error(); }
    return memory_listener(std::make_unique<detail::memory_door>(hub_, *found, backlog));
}

result<memory_datagram_socket> memory_network::bind(const proto::ip_endpoint& endpoint) {
    const auto found = choose(*hub_, endpoint, "bind a datagram socket to",
                              [&](const proto::ip_endpoint& at) { return hub_->mailbox_at(at) != nullptr; });
    if (!found) { return found.error(); }
    return memory_datagram_socket(std::make_unique<detail::memory_mailbox>(hub_, *found));
}

std::pair<memory_stream, memory_stream> memory_network::pair() {
    const proto::ip_endpoint near{proto::ipv4_address(127, 0, 0, 1), hub_->next_port()};
    const proto::ip_endpoint far{proto::ipv4_address(127, 0, 0, 1), hub_->next_port()};
    const auto made = std::make_shared<detail::memory_connection>(hub_, std::array{near, far});
    ++hub_->counts.connections;
    return {memory_stream(made, 0), memory_stream(made, 1)};
}

bool memory_network::connect_awaiter::await_ready() noexcept {
    failure_ = hub_->check_executor();
    cause_ = "the network belongs to another executor";
    return failure_ && detail::draw_here();
}

void memory_network::connect_awaiter::start() noexcept {
    if (failure_) {
        complete(no_error);
    } else if (hub_->takes_time()) {
        hub_->set_timer(*this, hub_->arrival(pace_, 0));
    } else {
        arrive();
        complete(no_error);
    }
}

void memory_network::connect_awaiter::arrive() noexcept {
    has_arrived_ = true;
    detail::memory_door* const door = hub_->door_at(to_);
    if (door == nullptr || door->is_full()) {
        ++hub_->counts.refused;
        failure_ = detail::system_error_code(ECONNREFUSED);
        cause_ = door == nullptr ? "nobody listens there" : "too many connections wait to be accepted there";
        return;
    }
    try {
        const proto::ip_endpoint from{to_.address, hub_->next_port()};
        auto made = std::make_shared<detail::memory_connection>(hub_, std::array{from, to_});
        made_.emplace(made, 0);
        door->push(std::move(made));
        ++hub_->counts.connections;
    } catch (const std::bad_alloc&) {
        made_.reset();
        failure_ = errc::out_of_memory;
        cause_ = "there is no memory for another connection";
    }
}

void memory_network::connect_awaiter::on_time() noexcept {
    if (has_arrived_) {
        complete(no_error);
    } else {
        arrive();
        hub_->set_timer(*this, hub_->arrival(pace_, 0));
    }
}

result<memory_stream> memory_network::connect_awaiter::await_resume() {
    const std::error_code ended = finish();
    if (!ended && !failure_) { return std::move(*made_); }
    made_.reset();
    if (ended) { return error{ended, "connect to " + to_.to_string(), "the task was asked to stop", ""}; }
    return error{failure_, "connect to " + to_.to_string(), cause_,
                 failure_ == errc::wrong_executor ? "await it on the network's executor" : "listen there first, and accept"};
}

}  // namespace fluxnet
