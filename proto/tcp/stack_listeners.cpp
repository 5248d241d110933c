// SPDX-License-Identifier: BSD-3-Clause
// How a stack's listeners begin and end, and how the user takes their connections.
#include "fluxnet/proto/tcp/stack.hpp"

namespace fluxnet::proto::tcp {

stack_result<listener_handle> stack::listen(const listen_options& wanted) noexcept {
    if (wanted.port == 0 || wanted.backlog == 0) { return refusal::bad_address; }
    if (wanted.address && wanted.address->is_multicast()) { return refusal::bad_address; }
    if (listeners_.has(wanted)) { return refusal::address_in_use; }
    const listener* const made = listeners_.add(wanted);
    if (made == nullptr) { return refusal::no_listener_free; }
    return listeners_.handle_of(*made);
}

void stack::close_listener(listener_handle which, time_point now) noexcept {
    listener* const at = listeners_.of(which);
    if (at == nullptr) { return; }
    const std::uint32_t index = listeners_.index_of(*at);
    while (slot* const one = at->accepted.front()) {
        at->accepted.remove(*one);
        one->role = slot_role::orphan;
        abort(*one, now);
    }
    for (slot* one = embryonic_.front(); one != nullptr;) {
        slot* const later = embryonic_.after(*one);
        if (one->listener == index) {
            embryonic_.remove(*one);
            --at->embryonic;
            one->role = slot_role::orphan;
            abort(*one, now);
        }
        one = later;
    }
    if (acceptable_.holds(*at)) { acceptable_.remove(*at); }
    listeners_.remove(*at);
}

std::optional<connection_handle> stack::accept(listener_handle from) noexcept {
    listener* const at = listeners_.of(from);
    if (at == nullptr || at->accepted.empty()) { return std::nullopt; }
    slot& one = *at->accepted.front();
    at->accepted.remove(one);
    one.role = slot_role::held;
    ++counters_.accepted;
    if (one.pending.any()) { news_.push_back(one); }
    return handle_of(one);
}

bool stack::take_acceptable(listener_handle& at) noexcept {
    listener* const one = acceptable_.front();
    acceptable_.remove(*one);
    at = listeners_.handle_of(*one);
    return true;
}

}  // namespace fluxnet::proto::tcp
