// SPDX-License-Identifier: BSD-3-Clause
// `saturated`, `later`, `time_after`, `any_duration`: durations of every type and length, without overflow.
//
// std::chrono converts hours to nanoseconds by a multiplication that wraps. A wait that wraps ends at once, or never. What
// is too long for a std::chrono::nanoseconds becomes its longest value here, which means "never by itself".
#pragma once

#include <chrono>
#include <compare>
#include <limits>

namespace fluxnet::detail {

/// Converts to nanoseconds: what is too long or too short becomes the longest or the shortest value; not a number is 0.
template <class Rep, class Period>
[[nodiscard]] constexpr std::chrono::nanoseconds saturated(std::chrono::duration<Rep, Period> duration) noexcept {
    using std::chrono::nanoseconds;
    const long double ns = std::chrono::duration<long double, std::nano>(duration).count();
    if (ns != ns) { return nanoseconds::zero(); }
    if (ns >= static_cast<long double>(std::numeric_limits<nanoseconds::rep>::max())) { return nanoseconds::max(); }
    if (ns <= static_cast<long double>(std::numeric_limits<nanoseconds::rep>::min())) { return nanoseconds::min(); }
    return std::chrono::duration_cast<nanoseconds>(duration);
}

template <>
[[nodiscard]] constexpr std::chrono::nanoseconds saturated(std::chrono::nanoseconds duration) noexcept {
    return duration;
}

/// The time `duration` after `now`, both counted from a beginning of the user's; the longest value when that is later.
[[nodiscard]] constexpr std::chrono::nanoseconds later(std::chrono::nanoseconds now,
                                                       std::chrono::nanoseconds duration) noexcept {
    using std::chrono::nanoseconds;
    if (duration <= nanoseconds::zero()) {
        return now > nanoseconds::min() - duration ? now + duration : nanoseconds::min();
    }
    return now < nanoseconds::max() - duration ? now + duration : nanoseconds::max();
}

/// The time `duration` after `now`, which lies after the clock's epoch; the end of time when the clock does not reach that
/// far.
[[nodiscard]] constexpr std::chrono::steady_clock::time_point time_after(std::chrono::steady_clock::time_point now,
                                                                         std::chrono::nanoseconds duration) noexcept {
    using time_point = std::chrono::steady_clock::time_point;
    return duration < time_point::max() - now ? now + duration : time_point::max();
}

/// Converts a time of whatever resolution; what the clock does not reach becomes its first or last time.
template <class Duration>
[[nodiscard]] constexpr std::chrono::steady_clock::time_point saturated(
    std::chrono::time_point<std::chrono::steady_clock, Duration> time) noexcept {
    return std::chrono::steady_clock::time_point(saturated(time.time_since_epoch()));
}

/// What an option is that takes a duration of any type: it is made of one and keeps it saturated.
class any_duration {
public:
    template <class Rep, class Period>
    constexpr any_duration(std::chrono::duration<Rep, Period> duration) noexcept : value_(saturated(duration)) {}

    [[nodiscard]] constexpr operator std::chrono::nanoseconds() const noexcept { return value_; }

    /// Compares with a duration of any type, too.
    friend constexpr auto operator<=>(const any_duration&, const any_duration&) = default;

private:
    std::chrono::nanoseconds value_;
};

}  // namespace fluxnet::detail
