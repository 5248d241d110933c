// SPDX-License-Identifier: BSD-3-Clause
// `connection_table`: finds a connection by its addresses and ports.
//
//     connection_table<connection*> table(10'000, secret);      // 16 random octets
//     if (connection** found = table.find(name)) { (*found)->receive(segment); }
//     else if (table.insert(name, made) == nullptr) { ... }      // full
//     table.erase(name);
//
// The table owns its entries, not what their values point to. All memory is allocated when it is made; an entry stays where
// it is until it is erased. Threads: one at a time uses a table.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/detail/tuple_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace fluxnet::proto::tcp {

/// A hash table of a fixed number of entries, in chains by index.
///
/// Its size is fixed because that of a stack is: connections take far more memory than their entries here, and no segment
/// ever waits for a table to grow. There are at least two buckets to an entry, so a chain that is followed has 1.25 entries
/// on average with the table full, whichever names there are: see tuple_hash about strangers who choose them. To find an
/// entry is to read one bucket and, for `Value` of eight octets, one cache line for each entry on the way. Erasing an entry
/// leaves nothing behind.
template <class Value>
requires std::is_trivially_copyable_v<Value>
class connection_table {
public:
    /// Makes a table for up to `capacity` connections, 1 to 2^30, under a secret of 16 random octets. Allocates.
    connection_table(std::size_t capacity, std::span<const std::byte, 16> secret)
        : hash_(proto::detail::hash_key(secret)), buckets_(std::bit_ceil(capacity) * 2, none), entries_(capacity),
          shift_(32 - static_cast<unsigned>(std::countr_zero(buckets_.size()))) {
        assert(capacity >= 1 && capacity <= std::size_t{1} << 30);
        for (std::size_t i = 0; i + 1 != capacity; ++i) { entries_[i].next = static_cast<std::uint32_t>(i + 1); }
        free_ = 0;
    }

    /// Finds the value of a name; nullptr when there is none. It stays there until it is erased.
    [[nodiscard]] Value* find(const four_tuple& name) noexcept {
        const std::uint32_t hash = hash_(name);
        for (std::uint32_t at = buckets_[hash >> shift_]; at != none; at = entries_[at].next) {
            entry& found = entries_[at];
            if (found.hash == hash && found.name == name) { return &found.value; }
        }
        return nullptr;
    }

    /// Adds a name that is not in the table; gives the place of its value, or nullptr when the table is full.
    Value* insert(const four_tuple& name, Value value) noexcept {
        assert(find(name) == nullptr);
        if (free_ == none) { return nullptr; }
        const std::uint32_t at = free_;
        entry& made = entries_[at];
        free_ = made.next;
        const std::uint32_t hash = hash_(name);
        std::uint32_t& head = buckets_[hash >> shift_];
        made = {name, value, hash, head};
        head = at;
        ++size_;
        return &made.value;
    }

    /// Removes a name; tells whether it was there.
    bool erase(const four_tuple& name) noexcept {
        const std::uint32_t hash = hash_(name);
        for (std::uint32_t* link = &buckets_[hash >> shift_]; *link != none; link = &entries_[*link].next) {
            const std::uint32_t at = *link;
            entry& found = entries_[at];
            if (found.hash != hash || found.name != name) { continue; }
            *link = found.next;
            found.next = free_;
            free_ = at;
            --size_;
            return true;
        }
        return false;
    }

    /// How many names are in the table.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// How many names there is room for.
    [[nodiscard]] std::size_t capacity() const noexcept { return entries_.size(); }
    /// Whether no other name has room.
    [[nodiscard]] bool is_full() const noexcept { return free_ == none; }

    /// What it has allocated, in octets.
    [[nodiscard]] std::size_t memory_bytes() const noexcept {
        return buckets_.size() * sizeof(std::uint32_t) + entries_.size() * sizeof(entry);
    }

    /// The length of the longest chain. Walks through all of the table: for tests, and to see that a table is well.
    [[nodiscard]] std::size_t longest_chain() const noexcept {
        std::size_t longest = 0;
        for (const std::uint32_t head : buckets_) {
            std::size_t length = 0;
            for (std::uint32_t at = head; at != none; at = entries_[at].next) { ++length; }
            longest = std::max(longest, length);
        }
        return longest;
    }

private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    struct alignas(64) entry {
        four_tuple name;
        Value value{};
        std::uint32_t hash = 0;
        std::uint32_t next = none;  // in its chain, or in that of free entries
    };

    detail::tuple_hash hash_;
    std::vector<std::uint32_t> buckets_;  // each chain's first entry; a power of 2 of them
    std::vector<entry> entries_;
    unsigned shift_;             // takes a hash to its bucket
    std::uint32_t free_ = none;  // the first free entry
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp
