// SPDX-License-Identifier: BSD-3-Clause
// `sequence_number`: a place in the octets of a TCP connection, counted modulo 2^32.
//
//     sequence_number next(0xffff'fff0);
//     next += 32;                                      // 0x10: past the wrap
//     if (next > unacknowledged) { in_flight = static_cast<std::uint32_t>(next - unacknowledged); }
//
// A value of four octets. Threads: any.
#pragma once

#include <cstdint>

namespace fluxnet::proto::tcp {

/// A sequence number (RFC 9293 section 3.4). Host order.
///
/// Comparisons ask which of two numbers lies ahead of the other on the circle, so they are right while the two are less than
/// 2^31 apart, and no order of all numbers: with three numbers spread over the circle, each can lie behind the next. For two
/// numbers exactly 2^31 apart each is less than the other. It is no key of an ordered container.
class sequence_number {
public:
    constexpr sequence_number() noexcept = default;
    /// Makes the number that stands in a header, in host order.
    explicit constexpr sequence_number(std::uint32_t value) noexcept : value_(value) {}

    constexpr sequence_number& operator+=(std::uint32_t octets) noexcept {
        value_ += octets;
        return *this;
    }
    constexpr sequence_number& operator-=(std::uint32_t octets) noexcept {
        value_ -= octets;
        return *this;
    }

    /// The number as it stands in a header, in host order.
    [[nodiscard]] constexpr std::uint32_t value() const noexcept { return value_; }

    /// The place `octets` further on, or before. Modulo 2^32.
    friend constexpr sequence_number operator+(sequence_number from, std::uint32_t octets) noexcept {
        return from += octets;
    }
    friend constexpr sequence_number operator-(sequence_number from, std::uint32_t octets) noexcept {
        return from -= octets;
    }

    /// How far `to` lies ahead of `from`, in octets: negative when it lies behind. Between -2^31 and 2^31 - 1.
    friend constexpr std::int32_t operator-(sequence_number to, sequence_number from) noexcept {
        return static_cast<std::int32_t>(to.value_ - from.value_);
    }

    friend constexpr bool operator==(sequence_number, sequence_number) noexcept = default;
    friend constexpr bool operator<(sequence_number left, sequence_number right) noexcept { return left - right < 0; }
    friend constexpr bool operator>(sequence_number left, sequence_number right) noexcept { return right - left < 0; }
    friend constexpr bool operator<=(sequence_number left, sequence_number right) noexcept { return left - right <= 0; }
    friend constexpr bool operator>=(sequence_number left, sequence_number right) noexcept { return right - left <= 0; }

private:
    std::uint32_t value_ = 0;
};

}  // namespace fluxnet::proto::tcp
