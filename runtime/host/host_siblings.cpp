// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/host_siblings.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace fluxnet::host {

host_queues::host_queues(unsigned count) : shared_(std::make_shared<detail::host_siblings>(count)) {}

unsigned host_queues::count() const noexcept {
    return shared_->count();
}

namespace detail {
namespace {

bool are_same(const host_address& one, const host_address& other) noexcept {
    return one.address == other.address && one.prefix_length == other.prefix_length;
}

constexpr std::uint32_t in_one_word(std::uint16_t upper, std::uint16_t lower) noexcept {
    return std::uint32_t{upper} << 16 | lower;
}

constexpr sibling_set without(sibling_set all, sibling_set some) noexcept {
    return static_cast<sibling_set>(all & ~some);
}

}  // namespace

host_siblings::host_siblings(unsigned count) : count_(count) {
    if (count == 0 || count > host_queues::most) { throw std::invalid_argument("host_queues: 1 to 16 hosts"); }
    for (unsigned i = 0; i != count; ++i) { inboxes_.push_back(std::make_unique<channel<handed_on>>(inbox_size)); }
    in_order_.reserve(count);
}

/// Calls `tell` with the number of each host that is open, but for one.
template <class Tell>
void host_siblings::each_other(unsigned number, Tell tell) noexcept {
    sibling_set left = without(open_.load(std::memory_order_relaxed), only_sibling(number));
    for (; left != 0; left = static_cast<sibling_set>(left & (left - 1))) {
        tell(static_cast<unsigned>(std::countr_zero(left)));
    }
}

host_siblings::refusal host_siblings::join(const host_options& options, std::uint32_t interface, std::uint32_t most_lent,
                                           unsigned& number) {
    const std::lock_guard lock(mutex_);
    const given_ports given(options);
    const std::uint32_t chosen_from = given.are_all() ? in_one_word(options.tcp.ports.first, options.tcp.ports.last)
                                                      : in_one_word(given.chosen().first, given.chosen().last);
    if (in_order_.empty()) {
        addresses_ = options.addresses;
        interface_ = interface;
        hardware_ = options.hardware;
        only_ports_ = options.only_ports;
        held_.reset();  // what a host that has ended may still hold
        chosen_from_.store(chosen_from, std::memory_order_relaxed);
        addresses_now_.store(0, std::memory_order_relaxed);
    }
    if (!std::ranges::equal(addresses_, options.addresses, are_same)) { return refusal::other_addresses; }
    if (interface_ != interface || hardware_ != options.hardware) { return refusal::other_interface; }
    if (chosen_from_.load(std::memory_order_relaxed) != chosen_from || only_ports_ != options.only_ports) {
        return refusal::other_ports;
    }
    const sibling_set open = open_.load(std::memory_order_relaxed);
    number = static_cast<unsigned>(std::countr_one(open));
    if (number >= count_) { return refusal::too_many; }
    in_order_.push_back(number);
    leader_.store(in_order_.front(), std::memory_order_release);
    most_lent_[number].store(most_lent, std::memory_order_relaxed);
    open_.fetch_or(only_sibling(number), std::memory_order_seq_cst);
    return refusal::none;
}

result<std::shared_ptr<held_ports>> host_siblings::hold_ports(const std::string& step, const host_options& options) {
    const std::lock_guard lock(mutex_);
    if (auto held = held_.lock()) { return held; }
    auto made = held_ports::hold(step, options, static_cast<int>(interface_));
    if (made) { held_ = *made; }
    return made;
}

void host_siblings::leave(unsigned number) noexcept {
    {
        const std::lock_guard lock(mutex_);
        open_.fetch_and(without(0xffff, only_sibling(number)), std::memory_order_seq_cst);
        std::erase(in_order_, number);
        if (!in_order_.empty()) { leader_.store(in_order_.front(), std::memory_order_release); }
        for (const port_use use : {port_use::udp, port_use::tcp_listener, port_use::tcp_connection}) {
            for (std::size_t port = 0; port != ports; ++port) { cease(use, static_cast<std::uint16_t>(port), number); }
        }
        std::atomic_thread_fence(std::memory_order_seq_cst);  // see the header
        empty(number);
    }
    wake_others(number);  // one of them may lead now
}

shared_addresses host_siblings::addresses() const noexcept {
    const std::uint32_t word = addresses_now_.load(std::memory_order_acquire);
    return {.in_use = static_cast<std::uint16_t>(word >> 16), .lost = static_cast<std::uint16_t>(word)};
}

void host_siblings::publish(unsigned number, shared_addresses now) noexcept {
    addresses_now_.store(in_one_word(now.in_use, now.lost), std::memory_order_release);
    wake_others(number);
}

std::atomic<sibling_set>& host_siblings::served(port_use use, std::uint16_t port) const noexcept {
    switch (use) {
        case port_use::udp: return udp_[port];
        case port_use::tcp_connection: return connections_[port];
        case port_use::tcp:
        case port_use::tcp_listener: break;
    }
    return listeners_[port];
}

void host_siblings::serve(port_use use, std::uint16_t port, unsigned number) noexcept {
    served(use, port).fetch_or(only_sibling(number), std::memory_order_relaxed);
}

void host_siblings::cease(port_use use, std::uint16_t port, unsigned number) noexcept {
    auto& all = served(use, port);
    if ((all.load(std::memory_order_relaxed) & only_sibling(number)) == 0) { return; }  // leaves the line with others
    all.fetch_and(without(0xffff, only_sibling(number)), std::memory_order_relaxed);
}

std::optional<unsigned> host_siblings::server_of(port_use use, std::uint16_t port, sibling_set but) const noexcept {
    sibling_set candidates = served(use, port).load(std::memory_order_relaxed);
    if (use == port_use::tcp || use == port_use::tcp_connection) {
        const std::uint32_t chosen_from = chosen_from_.load(std::memory_order_relaxed);
        const bool may_be_chosen = port >= chosen_from >> 16 && port <= (chosen_from & 0xffff);
        candidates = static_cast<sibling_set>(candidates | connections_[port].load(std::memory_order_relaxed) |
                                              (may_be_chosen ? only_sibling(port % count_) : 0));
    }
    candidates = without(static_cast<sibling_set>(candidates & open_.load(std::memory_order_relaxed)), but);
    if (candidates == 0) { return std::nullopt; }
    return static_cast<unsigned>(std::countr_zero(candidates));
}

bool host_siblings::hand_on(unsigned from, unsigned to, handed_on&& what) noexcept {
    if ((open_.load(std::memory_order_relaxed) & only_sibling(to)) == 0) { return false; }
    channel<handed_on>& other = inbox(to);
    if (what.holds_packet()) {
        if (other.size() >= inbox_size - places_for_news) { return false; }
        if (!what.lent) {  // else it has been handed on before, and is another one's
            auto& count = what.frame ? lent_[from] : octets_[from];
            const std::uint32_t most = what.frame ? most_lent_[from].load(std::memory_order_relaxed) : most_octets;
            if (count.load(std::memory_order_relaxed) >= most) { return false; }
            what.lent = loan(count, what.frame ? 1 : static_cast<std::uint32_t>(what.whole_size));
        }
    }
    if (other.try_send(std::span(&what, 1)) == 0) { return false; }
    std::atomic_thread_fence(std::memory_order_seq_cst);  // see the header
    if ((open_.load(std::memory_order_relaxed) & only_sibling(to)) == 0) [[unlikely]] { empty(to); }
    return true;
}

unsigned host_siblings::tell_others(unsigned from, std::span<const std::byte> frame) noexcept {
    unsigned lost = 0;
    each_other(from, [&](unsigned to) {
        handed_on one;
        const bool fits = frame.size() <= one.copy.size();
        if (fits) {
            std::ranges::copy(frame, one.copy.begin());
            one.copied = frame.size();
        }
        if (!fits || !hand_on(from, to, std::move(one))) { ++lost; }
    });
    return lost;
}

void host_siblings::wake_others(unsigned number) noexcept {
    // A full inbox has its host look as well.
    each_other(number, [&](unsigned to) { static_cast<void>(hand_on(number, to, handed_on())); });
}

void host_siblings::empty(unsigned number) noexcept {
    handed_on one;
    while (inbox(number).try_recv(std::span(&one, 1)) != 0) { one = handed_on(); }
}

}  // namespace detail
}  // namespace fluxnet::host
