// SPDX-License-Identifier: BSD-3-Clause
// `connection_table`: finds a connection by its addresses and ports.
//
//     connection_table table(10'000, secret);      // 16 random octets; for the places 0 to 9'999
//     const auto name_of = [&](std::uint32_t place) -> const four_tuple& { return connections[place].name; };
//     if (const auto found = table.find(name, name_of)) { connections[*found].receive(segment); }
//     table.insert(name, place);
//     table.erase(name, place);
//
// The table keeps numbers of places, and not what lies there: who has the places has the names, too. All memory is allocated
// when it is made. Threads: one at a time uses a table.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/detail/tuple_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fluxnet::proto::tcp {

/// A hash table of a fixed number of places, in chains by index.
///
/// Its size is fixed because that of a stack is: connections take far more memory than their entries here, and no segment
/// ever waits for a table to grow. There are at least two buckets to a place, so a chain that is followed has 1.25 entries
/// on average with the table full, whichever names there are: see tuple_hash about strangers who choose them. To find a
/// place is to read one bucket, eight octets for each entry on the way, and the name of a place with the same hash. Erasing
/// an entry leaves nothing behind.
class connection_table {
public:
    /// Makes a table for `capacity` places, 1 to 2^30, under a secret of 16 random octets. Allocates.
    connection_table(std::size_t capacity, std::span<const std::byte, 16> secret)
        : hash_(proto::detail::hash_key(secret)), buckets_(std::bit_ceil(capacity) * 2, none), entries_(capacity),
          shift_(32 - static_cast<unsigned>(std::countr_zero(buckets_.size()))) {
        assert(capacity >= 1 && capacity <= std::size_t{1} << 30);
    }

    /// Finds the place of a name; nothing when it has none. `name_of(place)` tells the name that a place was inserted with.
    template <class NameOf>
    [[nodiscard]] std::optional<std::uint32_t> find(const four_tuple& name, NameOf&& name_of) const noexcept {
        const std::uint32_t hash = hash_(name);
        for (std::uint32_t at = buckets_[hash >> shift_]; at != none; at = entries_[at].next) {
            if (entries_[at].hash == hash && name_of(at) == name) { return at; }
        }
        return std::nullopt;
    }

    /// Gives a name a place. The table has neither.
    void insert(const four_tuple& name, std::uint32_t place) noexcept {
        assert(place < entries_.size());
        const std::uint32_t hash = hash_(name);
        std::uint32_t& head = buckets_[hash >> shift_];
        entries_[place] = {hash, head};
        head = place;
        ++size_;
    }

    /// Takes the place of a name back; tells whether it had that.
    bool erase(const four_tuple& name, std::uint32_t place) noexcept {
        for (std::uint32_t* link = &buckets_[hash_(name) >> shift_]; *link != none; link = &entries_[*link].next) {
            if (*link != place) { continue; }
            *link = entries_[place].next;
            --size_;
            return true;
        }
        return false;
    }

    /// How many names are in the table.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// How many places there are.
    [[nodiscard]] std::size_t capacity() const noexcept { return entries_.size(); }

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

    struct entry {
        std::uint32_t hash = 0;
        std::uint32_t next = none;  // in its chain
    };

    detail::tuple_hash hash_;
    std::vector<std::uint32_t> buckets_;  // each chain's first entry; a power of 2 of them
    std::vector<entry> entries_;
    unsigned shift_;  // takes a hash to its bucket
    std::size_t size_ = 0;
};

}  // namespace fluxnet::proto::tcp
