// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/detail/memory_hub.hpp"

#include "fluxnet/runtime/simulation/detail/memory_door.hpp"
#include "fluxnet/runtime/simulation/detail/memory_mailbox.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace fluxnet::detail {
namespace {

constexpr std::uint16_t first_port = 49'152;  // of those that are given out; the last is 65,535

}  // namespace

bool is_reached(const proto::ip_endpoint& bound, const proto::ip_endpoint& to) noexcept {
    return bound.port == to.port && (bound.address == to.address || bound.address.is_unspecified());
}

void memory_datagram::on_time() noexcept {
    --hub.counts.in_transit;
    hub.deliver(*this);
}

memory_hub::memory_hub(executor& loop, const memory_options& options)
    : loop_(loop), options_(options),
      takes_time_(options.latency.count() > 0 || options.jitter.count() > 0 || options.bits_per_second != 0),
      random_(options.seed) {}

memory_hub::~memory_hub() {
    while (free_blocks_ != nullptr) { delete std::exchange(free_blocks_, free_blocks_->next); }
}

memory_hub::time_point memory_hub::arrival(memory_pace& pace, std::size_t bytes) noexcept {
    pace.free = std::max(pace.free, loop_.now());
    if (options_.bits_per_second != 0) {
        pace.free += std::chrono::nanoseconds(bytes * 8'000'000'000U / options_.bits_per_second);
    }
    time_point at = time_after(pace.free, options_.latency);
    if (options_.jitter.count() > 0) {
        at = time_after(at, std::chrono::nanoseconds(below(static_cast<std::uint64_t>(options_.jitter.count()) + 1)));
    }
    pace.arrival = std::max(pace.arrival, at);
    return pace.arrival;
}

memory_block* memory_hub::take_block() noexcept {
    memory_block* block = free_blocks_;
    if (block == nullptr) {
        block = new (std::nothrow) memory_block;
        if (block == nullptr) { return nullptr; }
    } else {
        free_blocks_ = block->next;
    }
    block->next = nullptr;
    block->begin = 0;
    block->end = 0;
    block->users = 1;
    return block;
}

void memory_hub::release(memory_block& block) noexcept {
    if (--block.users != 0) { return; }
    block.next = free_blocks_;
    free_blocks_ = &block;
}

memory_datagram* memory_hub::take_datagram() noexcept {
    if (free_datagrams_ == nullptr) {
        try {
            datagrams_.push_back(std::make_unique<memory_datagram>(*this));
        } catch (const std::bad_alloc&) { return nullptr; }
        return datagrams_.back().get();
    }
    return std::exchange(free_datagrams_, free_datagrams_->next);
}

void memory_hub::keep(memory_datagram& datagram) noexcept {
    datagram.next = free_datagrams_;
    free_datagrams_ = &datagram;
}

memory_door* memory_hub::door_at(const proto::ip_endpoint& endpoint) const noexcept {
    const auto found = std::find_if(doors_.begin(), doors_.end(),
                                    [&](const memory_door* each) { return is_reached(each->endpoint(), endpoint); });
    return found == doors_.end() ? nullptr : *found;
}

memory_mailbox* memory_hub::mailbox_at(const proto::ip_endpoint& endpoint) const noexcept {
    const auto found = std::find_if(mailboxes_.begin(), mailboxes_.end(),
                                    [&](const memory_mailbox* each) { return is_reached(each->endpoint(), endpoint); });
    return found == mailboxes_.end() ? nullptr : *found;
}

std::uint16_t memory_hub::next_port() noexcept {
    port_ = port_ < first_port || port_ == 65'535 ? first_port : static_cast<std::uint16_t>(port_ + 1);
    return port_;
}

std::error_code memory_hub::send(std::span<const std::byte> bytes, const proto::ip_endpoint& from,
                                 const proto::ip_endpoint& to, memory_pace& pace) noexcept {
    if (bytes.size() > options_.datagram_bytes) { return system_error_code(EMSGSIZE); }
    ++counts.sent;
    if (happens(options_.loss)) {
        ++counts.lost;
        note(1);
        return no_error;
    }
    const bool twice = happens(options_.duplication);
    if (twice) { ++counts.duplicated; }
    for (int copy = 0; copy != (twice ? 2 : 1); ++copy) {
        const bool late = happens(options_.reordering);
        const bool waits = takes_time_ || late;
        if (waits && counts.in_transit >= options_.datagrams_in_transit) {
            ++counts.transit_full;
            continue;
        }
        memory_datagram* const datagram = take_datagram();
        try {
            if (datagram == nullptr) { throw std::bad_alloc(); }
            datagram->bytes.assign(bytes.begin(), bytes.end());
        } catch (const std::bad_alloc&) {
            if (datagram != nullptr) { keep(*datagram); }
            ++counts.transit_full;
            continue;
        }
        datagram->from = from;
        datagram->to = to;
        if (!waits) {
            deliver(*datagram);
            continue;
        }
        if (late) { ++counts.reordered; }
        ++counts.in_transit;
        set_timer(*datagram,
                  time_after(arrival(pace, bytes.size()), late ? options_.reordering_delay : std::chrono::nanoseconds(0)));
    }
    return no_error;
}

void memory_hub::deliver(memory_datagram& datagram) noexcept {
    memory_mailbox* const box = mailbox_at(datagram.to);
    note(box == nullptr ? 2 : 3 + datagram.bytes.size());
    if (box == nullptr) {
        ++counts.unreachable;
    } else if (box->is_full()) {
        ++counts.queue_full;
    } else {
        ++counts.delivered;
        box->push(datagram);
        return;
    }
    keep(datagram);
}

void memory_hub::note(std::uint64_t what) noexcept {
    digest_ = (std::rotl(digest_, 23) ^ what) * 0x9e3779b97f4a7c15ULL;
}

}  // namespace fluxnet::detail
