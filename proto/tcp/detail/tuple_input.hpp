// SPDX-License-Identifier: BSD-3-Clause
// `tuple_input`: what SipHash-2-4 takes of a connection's name, under a label that keeps one use of a key from another.
//
//     const std::uint64_t mark = sip_hash_of(key, label, name, {client_sequence, counter});
//
// Functions of values. Threads: any.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace fluxnet::proto::tcp::detail {

/// The uses of a secret: hashes of one use tell nothing of those of another, also under one key.
enum class hash_use : std::uint64_t { initial_sequence = 1, port_offset, port_counter, cookie, timestamp_offset };

/// Hashes the use, the name and some more words. The number of words is a part of what is hashed.
[[nodiscard]] inline std::uint64_t sip_hash_of(const proto::detail::hash_key& key, hash_use use, const four_tuple& name,
                                               std::initializer_list<std::uint64_t> more = {}) noexcept {
    proto::detail::sip_state<2, 4> state(key);
    state.add(static_cast<std::uint64_t>(use));
    for (std::size_t i = 0; i != name.word_count(); ++i) { state.add(name.words()[i]); }
    for (const std::uint64_t word : more) { state.add(word); }
    return state.finish(std::uint64_t{1 + name.word_count() + more.size()} * 8 << 56);
}

}  // namespace fluxnet::proto::tcp::detail
