// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/syn_cookie.hpp"

#include "fluxnet/proto/tcp/detail/tuple_input.hpp"

#include <cassert>

namespace fluxnet::proto::tcp {
namespace {

constexpr std::uint32_t mss_class_mask = 7;
constexpr std::uint32_t unscaled = 15;  // in the four bits of the window scale, whose greatest value is 14
constexpr std::uint32_t sack_bit = 16;
constexpr std::uint32_t ecn_bit = 32;
constexpr std::uint32_t options_mask = (1U << syn_cookie::timestamp_bits) - 1;

static_assert(syn_cookie::mss_classes.size() == mss_class_mask + 1);

std::uint32_t class_of_mss(std::uint16_t mss) noexcept {
    std::uint32_t found = 0;
    while (found != mss_class_mask && syn_cookie::mss_classes[found + 1] <= mss) { ++found; }
    return found;
}

std::int64_t cookie_counter(syn_cookie::time_point now) noexcept {
    return now.time_since_epoch() / syn_cookie::counter_length;
}

}  // namespace

std::uint32_t syn_cookie::cookie(const four_tuple& name, sequence_number client, std::uint32_t mss_class,
                                 std::int64_t counter) const noexcept {
    const std::uint64_t numbers = std::uint64_t{mss_class} << 32 | client.value();
    const std::uint64_t mark =
        detail::sip_hash_of(key_, detail::hash_use::cookie, name, {numbers, static_cast<std::uint64_t>(counter)});
    return (static_cast<std::uint32_t>(mark) & ~mss_class_mask) | mss_class;
}

sequence_number syn_cookie::make(const four_tuple& name, sequence_number client, std::uint16_t mss,
                                 time_point now) const noexcept {
    return sequence_number(cookie(name, client, class_of_mss(mss), cookie_counter(now)));
}

std::optional<std::uint16_t> syn_cookie::check(const four_tuple& name, sequence_number sequence,
                                               sequence_number acknowledgment, time_point now) const noexcept {
    // Both ends have sent a SYN, which takes one number.
    const std::uint32_t shown = (acknowledgment - 1U).value();
    const sequence_number client = sequence - 1U;
    const std::uint32_t mss_class = shown & mss_class_mask;
    const std::int64_t counter = cookie_counter(now);
    for (const std::int64_t made : {counter, counter - 1}) {
        if (cookie(name, client, mss_class, made) == shown) { return mss_classes[mss_class]; }
    }
    return std::nullopt;
}

std::uint32_t syn_cookie::with_options(std::uint32_t timestamp, const options& offered) noexcept {
    assert(offered.window_scale <= 14 || offered.window_scale == options::no_scale);
    std::uint32_t bits = offered.window_scale == options::no_scale ? unscaled : offered.window_scale;
    if (offered.sack_permitted) { bits |= sack_bit; }
    if (offered.ecn) { bits |= ecn_bit; }
    const std::uint32_t late = (timestamp - bits) & options_mask;
    return timestamp - late;
}

syn_cookie::options syn_cookie::options_of(std::uint32_t timestamp_echo) noexcept {
    const std::uint32_t scale = timestamp_echo & unscaled;
    return {.window_scale = scale == unscaled ? options::no_scale : static_cast<std::uint8_t>(scale),
            .sack_permitted = (timestamp_echo & sack_bit) != 0,
            .ecn = (timestamp_echo & ecn_bit) != 0};
}

}  // namespace fluxnet::proto::tcp
