// SPDX-License-Identifier: BSD-3-Clause
// What the bounded tables of this folder are made of: `slot_index` finds an entry by its hash, `slot_list` keeps entries in
// an order. Both know entries by their number ("slot") in an array of fixed size, which the table has itself.
//
//     slot_index index(capacity);                      // allocates; nothing below does
//     std::vector<entry> entries(capacity);
//     std::vector<slot_link> links(capacity);
//     slot_list oldest_first;
//     const slot_number slot = index.insert(hash);     // no_slot: full
//     entries[slot] = ...;
//     oldest_first.push_back(links, slot);
//
// Every operation is O(1); find() is that as long as the hash is keyed (see address_hash). One thread at a time.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fluxnet::proto::detail {

using slot_number = std::uint32_t;
inline constexpr slot_number no_slot = ~slot_number{0};

/// Chains of slots by hash, and the free slots.
class slot_index {
public:
    /// Makes an index of slots from 0 to capacity - 1, all free. Allocates.
    explicit slot_index(std::size_t capacity)
        : first_(std::bit_ceil(capacity), no_slot), next_(capacity, no_slot), free_(capacity == 0 ? no_slot : 0) {
        assert(capacity < no_slot);
        for (std::size_t i = 0; i + 1 < capacity; ++i) { next_[i] = static_cast<slot_number>(i + 1); }
    }

    /// Returns the slot of that hash for which `same(slot)` holds, or no_slot.
    template <class Same>
    [[nodiscard]] slot_number find(std::uint64_t hash, Same same) const noexcept {
        slot_number slot = first_[chain_of(hash)];
        while (slot != no_slot && !same(slot)) { slot = next_[slot]; }
        return slot;
    }

    /// Takes a free slot and puts it into the chain of the hash. Returns no_slot when none is free.
    [[nodiscard]] slot_number insert(std::uint64_t hash) noexcept {
        const slot_number slot = free_;
        if (slot == no_slot) { return no_slot; }
        free_ = next_[slot];
        slot_number& first = first_[chain_of(hash)];
        next_[slot] = first;
        first = slot;
        ++size_;
        return slot;
    }

    /// Frees a slot that insert() returned for the hash.
    void erase(std::uint64_t hash, slot_number slot) noexcept {
        slot_number* at = &first_[chain_of(hash)];
        while (*at != slot) { at = &next_[*at]; }
        *at = next_[slot];
        next_[slot] = free_;
        free_ = slot;
        --size_;
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return next_.size(); }
    [[nodiscard]] bool full() const noexcept { return free_ == no_slot; }
    [[nodiscard]] std::size_t memory_octets() const noexcept {
        return (first_.capacity() + next_.capacity()) * sizeof(slot_number);
    }

private:
    [[nodiscard]] std::size_t chain_of(std::uint64_t hash) const noexcept {
        return static_cast<std::size_t>(hash) & (first_.size() - 1);
    }

    std::vector<slot_number> first_;  // by the lowest bits of the hash
    std::vector<slot_number> next_;   // in the chain, or among the free
    slot_number free_;
    std::size_t size_ = 0;
};

/// Where a slot stands in its list.
struct slot_link {
    slot_number before = no_slot;
    slot_number after = no_slot;
};

/// A list of slots. A slot is in at most one of the lists that share an array of links.
class slot_list {
public:
    void push_back(std::span<slot_link> links, slot_number slot) noexcept {
        links[slot] = {last_, no_slot};
        (last_ == no_slot ? first_ : links[last_].after) = slot;
        last_ = slot;
        ++size_;
    }

    /// Takes out a slot that is in this list.
    void erase(std::span<slot_link> links, slot_number slot) noexcept {
        const slot_link link = links[slot];
        (link.before == no_slot ? first_ : links[link.before].after) = link.after;
        (link.after == no_slot ? last_ : links[link.after].before) = link.before;
        links[slot] = {};
        --size_;
    }

    /// The slot that has been in the list for longest, or no_slot.
    [[nodiscard]] slot_number front() const noexcept { return first_; }
    /// The slot that came last, or no_slot.
    [[nodiscard]] slot_number back() const noexcept { return last_; }
    [[nodiscard]] bool empty() const noexcept { return first_ == no_slot; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    slot_number first_ = no_slot;
    slot_number last_ = no_slot;
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::detail
