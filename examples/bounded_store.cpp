// SPDX-License-Identifier: BSD-3-Clause
#include "examples/bounded_store.hpp"

namespace store_example {

bounded_store::entries::iterator bounded_store::live(std::string_view key, time_point now) {
    const auto at = entries_.find(key);
    if (at == entries_.end() || !at->second.expiry || now < (*at->second.expiry)->first) { return at; }
    free(at);
    return entries_.end();
}

void bounded_store::free(entries::iterator at) noexcept {
    if (at->second.expiry) { by_expiry_.erase(*at->second.expiry); }
    octets_ -= cost_of(at->first, at->second.value);
    entries_.erase(at);
}

bool bounded_store::has_room(std::size_t more_keys, std::size_t less, std::size_t more) const noexcept {
    return entries_.size() + more_keys <= limits_.keys && more <= limits_.octets && octets_ - less <= limits_.octets - more;
}

const std::string* bounded_store::find(std::string_view key, time_point now) {
    const auto at = live(key, now);
    return at == entries_.end() ? nullptr : &at->second.value;
}

bool bounded_store::set(std::string_view key, std::string_view value, time_point until, time_point now) {
    const auto old = live(key, now);
    const bool is_new = old == entries_.end();
    const std::size_t less = is_new ? 0 : cost_of(key, old->second.value);
    const std::size_t more = cost_of(key, value);
    if (!has_room(is_new ? 1 : 0, less, more)) {
        static_cast<void>(expire(now));  // not the old value, which is alive
        if (!has_room(is_new ? 1 : 0, less, more)) { return false; }
    }
    std::string copy(value);
    const auto at = is_new ? entries_.try_emplace(std::string(key)).first : old;
    std::optional<expiries::iterator> expiry;
    try {
        if (until != never) { expiry = by_expiry_.emplace(until, at); }
    } catch (...) {
        if (is_new) { entries_.erase(at); }
        throw;
    }
    if (at->second.expiry) { by_expiry_.erase(*at->second.expiry); }
    at->second.expiry = expiry;
    at->second.value.swap(copy);  // an assignment of a short value would keep the memory of a long one
    octets_ = octets_ - less + more;
    return true;
}

bool bounded_store::erase(std::string_view key, time_point now) {
    const auto at = live(key, now);
    if (at == entries_.end()) { return false; }
    free(at);
    return true;
}

bounded_store::time_point bounded_store::expiry_of(std::string_view key) const {
    const auto at = entries_.find(key);
    return at == entries_.end() || !at->second.expiry ? never : (*at->second.expiry)->first;
}

std::size_t bounded_store::expire(time_point now, std::size_t most) {
    std::size_t freed = 0;
    while (freed != most && !by_expiry_.empty() && by_expiry_.begin()->first <= now) {
        free(by_expiry_.begin()->second);
        ++freed;
    }
    return freed;
}

std::optional<bounded_store::time_point> bounded_store::next_expiry() const {
    if (by_expiry_.empty()) { return std::nullopt; }
    return by_expiry_.begin()->first;
}

}  // namespace store_example
