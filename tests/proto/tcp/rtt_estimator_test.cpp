// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/rtt_estimator.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::rtt_estimator;
using fluxnet::proto::tcp::rtt_options;
using std::chrono::nanoseconds;

static_assert(std::is_trivially_copyable_v<rtt_estimator>);
static_assert(!std::is_constructible_v<rtt_estimator, rtt_options&&>, "options that end before the estimator are refused");
static_assert(rtt_estimator::gain_shift(0, 1460) == 0);
static_assert(rtt_estimator::gain_shift(2 * 1460, 1460) == 0);
static_assert(rtt_estimator::gain_shift(2 * 1460 + 1, 1460) == 1);
static_assert(rtt_estimator::gain_shift(4 * 1460, 1460) == 1);
static_assert(rtt_estimator::gain_shift(4 * 1460 + 1, 1460) == 2);

namespace {

const rtt_options usual_rtt_options;

rtt_estimator::time_point rtt_moment(nanoseconds after) {
    return rtt_estimator::time_point(1000s + after);
}

double in_ns(nanoseconds length) {
    return static_cast<double>(length.count());
}

/// RFC 6298 section 2 as it is written, in floating point.
struct rtt_model {
    double srtt = 0;
    double rttvar = 0;
    bool begun = false;

    void sample(double r, double parts) {
        if (!begun) {
            begun = true;
            srtt = r;
            rttvar = r / 2;
            return;
        }
        rttvar = (1 - 0.25 / parts) * rttvar + 0.25 / parts * std::abs(srtt - r);
        srtt = (1 - 0.125 / parts) * srtt + 0.125 / parts * r;
    }
    [[nodiscard]] double rto() const { return std::clamp(srtt + std::max({1e6, 4 * rttvar, std::min(srtt, 200e6)}), 200e6, 120e9); }
};

}  // namespace

TEST_CASE("before the first sample the timeout is 1 s, and there is no estimate (RFC 6298 section 2.1)") {
    const rtt_estimator rtt(usual_rtt_options);
    CHECK(rtt.rto() == 1s);
    CHECK_FALSE(rtt.has_sample());
    CHECK(rtt.srtt() == 0s);
    CHECK(rtt.minimum() == 0s);
}

TEST_CASE("the first sample sets SRTT to itself and RTTVAR to its half (RFC 6298 section 2.2)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(300ms, rtt_moment(0s));
    CHECK(rtt.has_sample());
    CHECK(rtt.srtt() == 300ms);
    CHECK(rtt.variation() == 150ms);
    CHECK(rtt.rto() == 900ms);
}

TEST_CASE("later samples move RTTVAR by a quarter, then SRTT by an eighth (RFC 6298 section 2.3)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(400ms, rtt_moment(0s));
    rtt.sample(800ms, rtt_moment(1s));
    CHECK(rtt.variation() == 250ms);  // 3/4 of 200 and 1/4 of 400
    CHECK(rtt.srtt() == 450ms);
    CHECK(rtt.rto() == 1450ms);
}

TEST_CASE("thousands of samples at every gain follow the formulas of RFC 6298 and RFC 7323 appendix G") {
    for (unsigned shift = 0; shift <= 13; ++shift) {
        CAPTURE(shift);
        std::mt19937 random(shift + 1);
        std::lognormal_distribution<double> length(std::log(20e6), 0.7);
        rtt_estimator rtt(usual_rtt_options);
        rtt_model model;
        for (int i = 0; i != 4000; ++i) {
            const auto measured = nanoseconds(static_cast<std::int64_t>(length(random)));
            rtt.sample(measured, rtt_moment(i * 1ms), shift);
            model.sample(in_ns(measured), static_cast<double>(1U << shift));
            REQUIRE(in_ns(rtt.srtt()) == doctest::Approx(model.srtt).epsilon(1e-4));
            REQUIRE(in_ns(rtt.variation()) == doctest::Approx(model.rttvar).epsilon(1e-4));
            REQUIRE(in_ns(rtt.rto()) == doctest::Approx(model.rto()).epsilon(1e-4));
        }
    }
}

TEST_CASE("the gain's shift is the least that reaches one over the samples of a round trip (RFC 7323 appendix G)") {
    std::mt19937 random(7);
    for (int i = 0; i != 20000; ++i) {
        const std::uint32_t mss = std::uniform_int_distribution<std::uint32_t>(48, 65495)(random);
        const std::uint32_t flight = static_cast<std::uint32_t>(random()) >> (random() % 31);
        const std::uint64_t samples = std::max<std::uint64_t>(1, (flight + 2ULL * mss - 1) / (2ULL * mss));
        unsigned expected = 0;
        while (expected < 13 && (std::uint64_t{1} << expected) < samples) { ++expected; }
        CAPTURE(mss);
        CAPTURE(flight);
        REQUIRE(rtt_estimator::gain_shift(flight, mss) == expected);
    }
}

TEST_CASE("a steady round trip leaves no variation, and yet time for an acknowledgement that is delayed (RFC 6298 section "
          "2.4)") {
    struct { nanoseconds trip; nanoseconds timeout; } const table[] = {{1ms, 200ms},   {40ms, 200ms},  {100ms, 200ms},
                                                                       {150ms, 300ms}, {200ms, 400ms}, {700ms, 900ms}};
    for (const auto& row : table) {
        CAPTURE(row.trip.count());
        rtt_estimator rtt(usual_rtt_options);
        for (int i = 0; i != 200; ++i) { rtt.sample(row.trip, rtt_moment(i * 1s)); }
        CHECK(rtt.srtt() == row.trip);
        CHECK(rtt.variation() < 1us);
        CHECK(rtt.rto() == row.timeout);
    }
}

TEST_CASE("the timeout is never below its least nor above its most value (RFC 6298 sections 2.4 and 2.5)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(50us, rtt_moment(0s));
    CHECK(rtt.rto() == 200ms);
    rtt.sample(-5s, rtt_moment(1s));
    CHECK(rtt.rto() == 200ms);
    CHECK(rtt.minimum() == 1ns);
    rtt.sample(nanoseconds::max(), rtt_moment(2s));
    CHECK(rtt.rto() == 120s);
    for (int i = 0; i != 300; ++i) { rtt.back_off(); }
    CHECK(rtt.rto() == 120s);
}

TEST_CASE("each expiry doubles the timeout until the greatest, and a sample or a reset ends that (RFC 6298 section 5.5)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(100ms, rtt_moment(0s));
    const nanoseconds base = rtt.rto();
    CHECK(base == 300ms);
    rtt.back_off();
    CHECK(rtt.rto() == 2 * base);
    rtt.back_off();
    CHECK(rtt.rto() == 4 * base);
    CHECK(rtt.back_offs() == 2);
    rtt.reset_back_off();
    CHECK(rtt.rto() == base);
    rtt.back_off();
    rtt.sample(100ms, rtt_moment(1s));
    CHECK(rtt.rto() < base);
    for (int i = 0; i != 20; ++i) {
        rtt.back_off();
        CHECK(rtt.rto() <= 120s);
    }
    CHECK(rtt.rto() == 120s);
}

TEST_CASE(
    "after four expiries in a row the next sample begins anew, the old SRTT is known until then (RFC 6298 section 5)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(10ms, rtt_moment(0s));
    for (int i = 0; i != 4; ++i) { rtt.back_off(); }
    CHECK(rtt.has_sample());
    CHECK(rtt.srtt() == 10ms);
    rtt.sample(2s, rtt_moment(9s));
    CHECK(rtt.srtt() == 2s);
    CHECK(rtt.variation() == 1s);
}

TEST_CASE("after a lost SYN the timeout for data is 3 s until data was measured (RFC 6298 section 5.7)") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.back_off();
    CHECK(rtt.rto() == 2s);
    rtt.after_lost_syn();
    CHECK(rtt.rto() == 3s);
    rtt.sample(20ms, rtt_moment(3s));
    CHECK(rtt.rto() == 200ms);
}

TEST_CASE("the minimum is exact over the last five seconds and forgets what is older than ten") {
    rtt_estimator rtt(usual_rtt_options);
    std::mt19937 random(3);
    struct entry {
        nanoseconds at;
        nanoseconds length;
    };
    std::vector<entry> entries;
    for (int i = 0; i != 6000; ++i) {
        const nanoseconds at = i * 10ms + (i > 4000 ? 30s : 0s);
        const nanoseconds length = nanoseconds(1'000'000 + random() % 1'000'000'000);
        rtt.sample(length, rtt_moment(at));
        entries.push_back({at, length});
        nanoseconds within_5 = nanoseconds::max();
        nanoseconds within_10 = nanoseconds::max();
        for (auto it = entries.rbegin(); it != entries.rend() && at - it->at <= 10s; ++it) {
            within_10 = std::min(within_10, it->length);
            if (at - it->at < 5s) { within_5 = std::min(within_5, it->length); }
        }
        REQUIRE(rtt.minimum() <= within_5);
        REQUIRE(rtt.minimum() >= within_10);
    }
}

TEST_CASE("a minimum outlives an idle time, until the next sample") {
    rtt_estimator rtt(usual_rtt_options);
    rtt.sample(3ms, rtt_moment(0s));
    CHECK(rtt.minimum() == 3ms);
    rtt.sample(8ms, rtt_moment(60s));
    CHECK(rtt.minimum() == 8ms);
}
