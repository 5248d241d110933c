// SPDX-License-Identifier: BSD-3-Clause
// `answer_limiter`: how many answers a stack gives in a second to what belongs to none of its connections.
//
//     answer_limiter resets(1000, key, 1);          // at most 1,000 a second, at least 500
//     if (resets.take(now)) { answer(); }
//
// All of a stack's peers share it, so each could find out by its own answers whether a segment that it has sent in the name of
// another host was answered: whether that host has a connection from such a port (RFC 5961 section 7, and Cao et al.,
// "Off-Path TCP Exploits", 2016). So how many there are is chosen anew for each second, by a keyed hash: one more or less
// tells nothing.
//
// A value. Threads: one at a time.
#pragma once

#include "fluxnet/proto/detail/keyed_hash.hpp"

#include <array>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <span>

namespace fluxnet::proto::tcp::detail {

class answer_limiter {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// `most` is above 0. Limiters of one key have different labels.
    answer_limiter(std::uint32_t most, const proto::detail::hash_key& key, std::uint64_t label) noexcept
        : key_(key), label_(label), most_(most) {
        assert(most != 0);
    }

    /// Counts an answer, and tells whether it may be given.
    [[nodiscard]] bool take(time_point now) noexcept {
        if (now >= ends_) { begin(now); }
        if (left_ == 0) { return false; }
        --left_;
        return true;
    }

private:
    void begin(time_point now) noexcept {
        const std::array<std::uint64_t, 2> words{label_, ++seconds_};
        const std::uint64_t number = proto::detail::sip_hash<2, 4>(key_, std::span<const std::uint64_t>(words));
        left_ = most_ - static_cast<std::uint32_t>(number % (most_ / 2 + 1));
        ends_ = now + std::chrono::seconds(1);
    }

    proto::detail::hash_key key_;
    std::uint64_t label_;
    std::uint64_t seconds_ = 0;               // that have begun
    time_point ends_ = time_point::min();     // of the second
    std::uint32_t most_;
    std::uint32_t left_ = 0;
};

}  // namespace fluxnet::proto::tcp::detail
