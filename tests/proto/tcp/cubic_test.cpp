// SPDX-License-Identifier: BSD-3-Clause
// CUBIC against a model of RFC 9438 in floating point.
#include "fluxnet/proto/tcp/congestion_control.hpp"

#include "fluxnet/proto/tcp/detail/cube_root.hpp"
#include "tests/proto/tcp/driven_path.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::congestion_algorithm;
using fluxnet::proto::tcp::congestion_control;
using fluxnet::proto::tcp::detail::cube_root;
using fluxnet::proto::tcp::test::driven_path;
using std::chrono::nanoseconds;

static_assert(cube_root(0) == 0);
static_assert(cube_root(1) == 1);
static_assert(cube_root(7) == 1);
static_assert(cube_root(8) == 2);
static_assert(cube_root(~std::uint64_t{0}) == 2'642'245);

namespace {

double seconds_of(nanoseconds length) {
    return std::chrono::duration<double>(length).count();
}

/// RFC 9438 sections 4.2 to 4.7 as they are written: windows in segments, times in seconds, every step at every ACK.
struct cubic_model {
    static constexpr double c = 0.4;
    static constexpr double beta = 0.7;

    double cwnd = 0;
    double w_max = 0;
    double prior = 0;
    double w_est = 0;
    double k = 0;
    congestion_control::time_point epoch_start{};
    bool in_epoch = false;

    [[nodiscard]] double window_at(double t) const { return c * std::pow(t - k, 3) + w_max; }

    void begin(congestion_control::time_point now) {
        in_epoch = true;
        epoch_start = now;
        if (w_max <= cwnd) {
            w_max = cwnd;
            k = 0;
        } else {
            k = std::cbrt((w_max - cwnd) / c);
        }
        w_est = cwnd;
    }
    void ack(double segments, congestion_control::time_point now, nanoseconds rtt) {
        if (!in_epoch) { begin(now); }
        const double t = seconds_of(now - epoch_start);
        const double alpha = w_est >= prior ? 1 : 3 * (1 - beta) / (1 + beta);
        w_est += alpha * segments / cwnd;
        if (window_at(t) < w_est) {
            cwnd = std::max(cwnd, w_est);
            return;
        }
        const double target = std::clamp(window_at(t + seconds_of(rtt)), cwnd, 1.5 * cwnd);
        cwnd += (target - cwnd) / cwnd * segments;
    }
    void lose(double flight) {
        prior = cwnd;
        w_max = cwnd < w_max ? cwnd * (1 + beta) / 2 : cwnd;
        cwnd = std::max(std::min(flight, cwnd) * beta, 2.0);
        in_epoch = false;
    }
};

/// A path in congestion avoidance at a window of about `segments`, after its first loss.
driven_path cubic_after_loss(std::uint32_t mss, nanoseconds rtt, std::uint32_t segments) {
    driven_path driven(congestion_algorithm::cubic, mss, rtt, false);
    while (driven.path.window() < segments * mss) { driven.ack(2 * mss); }
    driven.lose();
    return driven;
}

double segments_of(const driven_path& driven) {
    return static_cast<double>(driven.path.window()) / driven.path.mss();
}

}  // namespace

TEST_CASE("the integer cube root is the greatest number whose cube fits") {
    std::mt19937_64 random(1);
    for (int i = 0; i != 100000; ++i) {
        const std::uint64_t value = random() >> (random() % 64);
        const std::uint64_t root = cube_root(value);
        REQUIRE(root * root * root <= value);
        if (root < 2'642'245) { REQUIRE((root + 1) * (root + 1) * (root + 1) > value); }
    }
    for (std::uint64_t root = 1; root <= 2'642'245; root += 997) {
        REQUIRE(cube_root(root * root * root) == root);
        REQUIRE(cube_root(root * root * root - 1) == root - 1);
    }
}

TEST_CASE(
    "CUBIC's window follows W_cubic and W_est through losses at any time, any path and any segment (RFC 9438 section 4)") {
    for (unsigned seed = 0; seed != 40; ++seed) {
        std::mt19937 random(seed);
        const std::uint32_t mss = std::uniform_int_distribution<std::uint32_t>(48, 9000)(random);
        const auto rtt = nanoseconds(static_cast<std::int64_t>(
            std::exp(std::uniform_real_distribution<double>(std::log(0.2e6), std::log(300e6))(random))));
        const auto segments = std::uniform_int_distribution<std::uint32_t>(20, 3000)(random);
        CAPTURE(seed);
        CAPTURE(mss);
        CAPTURE(rtt.count());
        driven_path driven(congestion_algorithm::cubic, mss, rtt, false);
        while (driven.path.window() < segments * mss) { driven.ack(2 * mss); }
        cubic_model model;
        model.cwnd = segments_of(driven);
        for (int loss = 0; loss != 4; ++loss) {
            model.lose(static_cast<double>(driven.flight()) / mss);
            driven.lose();
            REQUIRE(segments_of(driven) == doctest::Approx(model.cwnd).epsilon(0.02));
            const int acks = std::uniform_int_distribution<int>(500, 5000)(random);
            for (int i = 0; i != acks; ++i) {
                driven.ack(2 * mss);
                model.ack(2, driven.now, rtt);
                CAPTURE(loss);
                CAPTURE(i);
                // A step of W_est at each whole window, and a look at the curve every eighth of a round trip.
                REQUIRE(std::abs(segments_of(driven) - model.cwnd) <= 1.5 + 0.01 * model.cwnd);
            }
        }
    }
}

TEST_CASE("CUBIC is back at the window of the loss after K seconds, slowly before and after it (RFC 9438 section 4.2)") {
    driven_path driven = cubic_after_loss(1000, 100ms, 2000);
    const double prior = segments_of(driven) / 0.7;
    const double k = std::cbrt(0.3 * prior / 0.4);
    driven.ack(1000);
    const auto begin = driven.now;
    while (seconds_of(driven.now - begin) < k) { driven.ack(2000); }
    CHECK(segments_of(driven) == doctest::Approx(prior).epsilon(0.002));
    while (seconds_of(driven.now - begin) < 2 * k) { driven.ack(2000); }
    CHECK(segments_of(driven) == doctest::Approx(1.3 * prior).epsilon(0.03));
}

TEST_CASE("a loss below the last W_max makes room for others: W_max is 0.85 of the window then (RFC 9438 section 4.7)") {
    driven_path driven = cubic_after_loss(1000, 100ms, 1000);
    driven.round();
    const double second = segments_of(driven);
    driven.lose();
    driven.ack(1000);
    const auto begin = driven.now;
    const double k = std::cbrt((0.85 - 0.7) * second / 0.4);
    while (seconds_of(driven.now - begin) < k) { driven.ack(2000); }
    CHECK(segments_of(driven) == doctest::Approx(0.85 * second).epsilon(0.01));
}

TEST_CASE(
    "on a short path CUBIC grows as Reno does on average: 9/17 of a segment a round trip, then a whole one (RFC 9438 4.3)") {
    driven_path driven = cubic_after_loss(1000, 1ms, 100);
    const double begin = segments_of(driven);
    CHECK(begin == doctest::Approx(70).epsilon(0.05));
    for (int i = 0; i != 40; ++i) { driven.round(); }
    CHECK(segments_of(driven) - begin == doctest::Approx(40 * 9.0 / 17).epsilon(0.06));
    while (segments_of(driven) < begin / 0.7 + 2) { driven.round(); }
    const double at_prior = segments_of(driven);
    for (int i = 0; i != 40; ++i) { driven.round(); }
    CHECK(segments_of(driven) - at_prior == doctest::Approx(40).epsilon(0.06));
}

TEST_CASE("the window grows by at most half a round trip, however long ago the loss was (RFC 9438 section 4.2)") {
    driven_path driven = cubic_after_loss(1000, 200ms, 100);
    driven.ack(1000);
    driven.now += 1000s;
    for (int i = 0; i != 5; ++i) {
        const double before = segments_of(driven);
        driven.round();
        CHECK(segments_of(driven) > 1.3 * before);
        CHECK(segments_of(driven) < 1.66 * before);  // eight steps, each for a window that has grown already
    }
}

TEST_CASE("after a timeout CUBIC's curve begins flat where slow start has ended: K is 0 (RFC 9438 section 4.8)") {
    driven_path driven = cubic_after_loss(1000, 100ms, 1000);
    driven.time_out();
    const std::uint32_t threshold = driven.path.slow_start_threshold();
    while (driven.path.in_slow_start()) { driven.ack(1000); }
    CHECK(segments_of(driven) == doctest::Approx(threshold / 1000.0).epsilon(0.01));
    const double base = segments_of(driven);
    driven.ack(1000);
    const auto begin = driven.now;
    while (seconds_of(driven.now - begin) < 5) { driven.ack(2000); }
    const double on_curve = base + 0.4 * 125;
    CHECK(segments_of(driven) >= 0.99 * on_curve);
    CHECK(segments_of(driven) <= 1.05 * on_curve);
}

TEST_CASE("CUBIC's time stands still while something else limits the sender (RFC 9438 section 4.2, 5.8)") {
    driven_path driven = cubic_after_loss(1000, 100ms, 1000);
    driven_path other = driven;
    for (int i = 0; i != 2000; ++i) { driven.ack(2000); }
    for (int i = 0; i != 1000; ++i) { other.ack(2000); }
    const std::uint32_t before = other.path.window();
    for (int i = 0; i != 500; ++i) {
        other.now += i == 0 ? 0ms : 200ms;  // the time stands still from the first such acknowledgement on
        other.ack_at_once(1000, false);
        other.next += 1000;
        REQUIRE(other.path.window() == before);
    }
    for (int i = 0; i != 1000; ++i) { other.ack(2000); }
    CHECK(segments_of(other) == doctest::Approx(segments_of(driven)).epsilon(0.01));
}

TEST_CASE("with one acknowledgement in several round trips CUBIC grows still") {
    driven_path driven = cubic_after_loss(1000, 1ms, 1000);
    const std::uint32_t before = driven.path.window();
    for (int i = 0; i != 2000; ++i) {
        driven.now += 20ms;
        driven.ack_at_once(driven.flight());
    }
    CHECK(driven.path.window() > before + before / 2);
}
