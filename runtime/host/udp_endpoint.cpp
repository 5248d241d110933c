// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/udp_endpoint.hpp"

#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>

namespace fluxnet::host {

static_assert(datagram_socket<udp_endpoint>);

result<void> udp_endpoint::connect(const proto::ip_endpoint& peer) {
    const std::string step = "connect a UDP endpoint to " + peer.to_string();
    if (port_ == nullptr) { return make_error(errc::closed, step, "the handle was moved from", "open another one"); }
    const auto refuse = [&](const char* cause, const char* remedy) {
        return make_error(errc::invalid_option, step, cause, remedy);
    };
    if (peer.port == 0 || peer.address.is_unspecified()) {
        return refuse("no host has that address and port", "name the peer's address and port");
    }
    const proto::ip_address& local = port_->local().address;
    const bool both = local.is_v6() && local.is_unspecified();
    if (local.is_v4() != peer.address.is_v4() && !both) {
        return refuse("the endpoint's own address is of the other version", "open it at [::] for both versions");
    }
    if (port_->receiver != nullptr) {
        return make_error(errc::handle_in_use, step, "a coroutine waits there for what anybody sends", "connect it first");
    }
    const auto source = port_->core().source_for(peer.address);
    if (!source) { return refuse("the host has no address of that version", "give it one"); }
    port_->connect(peer, *source);
    return {};
}

datagram_result udp_endpoint::recv_from_awaiter::await_resume() noexcept {
    datagram_result got;
    got.ec = end_wait();
    if (got.ec || into_.empty()) { return got; }
    const received_datagram next = port().pop();
    got.size = next.bytes().size();
    got.n = std::min(got.size, into_.size());
    got.from = next.from();
    if (got.n != 0) { std::memcpy(into_.data(), next.bytes().data(), got.n); }
    if (got.n != got.size) { got.ec = std::make_error_code(std::errc::message_size); }
    return got;
}

borrowed_result<received_datagram> udp_endpoint::recv_awaiter::await_resume() noexcept {
    borrowed_result<received_datagram> got;
    got.ec = end_wait();
    if (!got.ec) { got.buffer = port().pop(); }
    return got;
}

}  // namespace fluxnet::host
