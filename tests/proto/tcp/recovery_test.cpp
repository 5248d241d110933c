// SPDX-License-Identifier: BSD-3-Clause
// Fast recovery of `congestion_control` against the pseudocode of RFC 6937.
#include "fluxnet/proto/tcp/congestion_control.hpp"

#include "tests/proto/tcp/driven_path.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::congestion_algorithm;
using fluxnet::proto::tcp::congestion_control;
using fluxnet::proto::tcp::test::driven_path;

namespace {

const std::array recovery_algorithms = {congestion_algorithm::new_reno, congestion_algorithm::cubic};

/// The pseudocode of RFC 6937 section 3, line by line.
struct prr_model {
    std::int64_t mss = 0;
    std::int64_t ssthresh = 0;
    std::int64_t RecoverFS = 0;
    std::int64_t prr_delivered = 0;
    std::int64_t prr_out = 0;

    std::int64_t on_ack(std::int64_t DeliveredData, std::int64_t pipe, bool conservative) {
        prr_delivered += DeliveredData;
        std::int64_t sndcnt = 0;
        if (pipe > ssthresh) {
            const std::int64_t product = prr_delivered * ssthresh;
            const std::int64_t ceiling = product / RecoverFS + (product % RecoverFS != 0 ? 1 : 0);
            sndcnt = ceiling - prr_out;
        } else {
            std::int64_t limit = 0;
            if (conservative) {
                limit = prr_delivered - prr_out;
            } else {
                limit = std::max(prr_delivered - prr_out, DeliveredData) + mss;
            }
            sndcnt = std::min(ssthresh - pipe, limit);
        }
        return sndcnt;
    }
};

/// A path with full windows in flight, of about `segments`.
driven_path full_path(congestion_algorithm algorithm, std::uint32_t mss, std::uint32_t segments) {
    driven_path driven(algorithm, mss, 50ms, false);
    while (driven.path.window() < segments * mss) { driven.ack(2 * mss); }
    return driven;
}

std::uint32_t quota(const congestion_control& path, std::uint32_t in_flight) {
    return path.window() > in_flight ? path.window() - in_flight : 0;
}

}  // namespace

TEST_CASE("in recovery exactly as much may be sent as RFC 6937's pseudocode says, after any ACK (section 3)") {
    for (unsigned seed = 0; seed != 400; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
        const std::uint32_t mss = std::uniform_int_distribution<std::uint32_t>(48, 9000)(random);
        driven_path driven = full_path(recovery_algorithms[seed % 2], mss, 10 + seed % 90);
        auto& path = driven.path;
        path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        prr_model model{.mss = mss, .ssthresh = path.slow_start_threshold(), .RecoverFS = driven.flight()};
        REQUIRE(path.in_recovery());
        std::uint32_t in_flight = driven.flight();
        const unsigned lost_percent = seed % 3 == 0 ? 60 : 5;
        for (int i = 0; i != 300; ++i) {
            const std::uint32_t delivered = std::min(in_flight, chance(10) ? 0 : mss * (1 + (chance(30) ? 1U : 0U)));
            in_flight -= delivered;
            const std::uint32_t lost = std::min(in_flight, chance(lost_percent) ? mss : 0U);
            in_flight -= lost;
            const bool good = lost == 0 && chance(70);
            path.on_recovery_ack(delivered, in_flight, good);
            std::int64_t expected = model.on_ack(delivered, in_flight, !good);
            if (model.prr_out == 0) { expected = std::max<std::int64_t>(expected, mss); }  // the first retransmission leaves
            expected = std::max<std::int64_t>({expected, 0, std::int64_t{mss} - in_flight});
            CAPTURE(i);
            REQUIRE(quota(path, in_flight) == expected);
            while (quota(path, in_flight) >= mss && !chance(5)) {
                path.on_sent(mss);
                model.prr_out += mss;
                in_flight += mss;
            }
        }
        path.on_recovered();
        CHECK(path.window() == path.slow_start_threshold());
        CHECK_FALSE(path.in_recovery());
    }
}

TEST_CASE("one loss in a full window: the sendings are spread over the round trip, and the window ends at the threshold") {
    for (const auto algorithm : recovery_algorithms) {
        constexpr std::uint32_t mss = 1000;
        driven_path driven = full_path(algorithm, mss, 100);
        auto& path = driven.path;
        const std::uint32_t window = driven.flight();
        const double beta = algorithm == congestion_algorithm::cubic ? 0.7 : 0.5;
        path.on_loss(window, driven.now, driven.una, driven.next);
        CHECK(path.slow_start_threshold() == doctest::Approx(beta * window).epsilon(0.001));
        std::uint32_t in_flight = window - mss;  // one is lost
        int sent = 0;
        int silent = 0;
        int longest_silence = 0;
        for (std::uint32_t acked = 0; acked != window / mss - 1; ++acked) {
            in_flight -= mss;
            path.on_recovery_ack(mss, in_flight, false);
            const auto now = static_cast<int>(quota(path, in_flight) / mss);
            CHECK(now <= 1);
            sent += now;
            silent = now == 0 ? silent + 1 : 0;
            longest_silence = std::max(silent, longest_silence);
            for (int i = 0; i != now; ++i) { path.on_sent(mss); }
            in_flight += static_cast<std::uint32_t>(now) * mss;
        }
        CHECK(sent == doctest::Approx(beta * window / mss).epsilon(0.03));
        CHECK(longest_silence <= 2);
        CHECK(in_flight <= path.slow_start_threshold() + mss);
        CHECK(in_flight + 2 * mss >= path.slow_start_threshold());
    }
}

TEST_CASE("a second loss in recovery reduces nothing further (RFC 6582 section 3.2, RFC 6937)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 100);
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        driven.path.on_loss(driven.flight() / 2, driven.now, driven.una, driven.next);
        CHECK(driven.path.slow_start_threshold() == threshold);
    }
}

TEST_CASE(
    "a loss reduces by the flight, not by a window that was never filled (RFC 5681 equation 4, RFC 9438 section 4.6)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 100);
        driven.path.on_loss(40'000, driven.now, driven.una, driven.una + 40'000);
        CHECK(driven.path.slow_start_threshold() == (algorithm == congestion_algorithm::cubic ? 28'000 : 20'000));
    }
}

TEST_CASE("a flight above the window does not spare the reduction (RFC 5681 section 3.2, limited transmit)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 100);
        const std::uint32_t window = driven.path.window();
        driven.path.on_loss(3 * window, driven.now, driven.una, driven.una + 3 * window);
        CHECK(driven.path.slow_start_threshold() <= 0.7 * window);
    }
}

TEST_CASE("the threshold is never below two segments, nor the window in recovery below one (RFC 5681 equation 4)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        driven.path.on_loss(1000, driven.now, driven.una, driven.una + 1000);
        CHECK(driven.path.slow_start_threshold() == 2000);
        driven.path.on_recovery_ack(0, 0, false);
        CHECK(driven.path.window() >= 1000);
    }
}

TEST_CASE("a spurious recovery is taken back: window, threshold and CUBIC's curve are as before (RFC 9438 section 4.9)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 200);
        driven.lose();
        for (int i = 0; i != 20; ++i) { driven.round(); }
        driven_path undisturbed = driven;
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        driven.path.on_recovery_ack(2000, driven.flight() - 2000, true);
        driven.path.undo();
        CHECK_FALSE(driven.path.in_recovery());
        CHECK(driven.path.window() == undisturbed.path.window());
        CHECK(driven.path.slow_start_threshold() == undisturbed.path.slow_start_threshold());
        for (int i = 0; i != 30; ++i) {
            driven.round();
            undisturbed.round();
        }
        CHECK(driven.path.window() == doctest::Approx(undisturbed.path.window()).epsilon(0.005));
        const std::uint32_t window = driven.path.window();
        driven.path.undo();
        CHECK(driven.path.window() == window);
    }
}

TEST_CASE(
    "a spurious timeout is taken back, after a second expiry for the same octet too (RFC 4015, RFC 9438 section 4.9)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 200);
        driven.lose();
        for (int i = 0; i != 20; ++i) { driven.round(); }
        const std::uint32_t window = driven.path.window();
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        driven.time_out();
        driven.time_out();
        CHECK(driven.path.window() == 1000);
        driven.path.undo();
        CHECK(driven.path.window() == window);
        CHECK(driven.path.slow_start_threshold() == threshold);
        CHECK_FALSE(driven.path.in_slow_start());
    }
}

TEST_CASE(
    "a spurious timeout during recovery is taken back to the window after that recovery, whose loss was none of its doing") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 200);
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        driven.path.on_recovery_ack(1000, driven.flight() - 1000, true);
        driven.time_out();
        driven.path.undo();
        CHECK_FALSE(driven.path.in_recovery());
        CHECK(driven.path.window() == threshold);
        CHECK(driven.path.slow_start_threshold() == threshold);
    }
}

TEST_CASE("a recovery that a timer began sends its first segment without any acknowledgement (RFC 6937 section 3)") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven = full_path(algorithm, 1000, 200);
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        const std::uint32_t in_flight = driven.flight() - 1000;
        driven.path.on_recovery_ack(0, in_flight, false);
        CHECK(quota(driven.path, in_flight) == 1000);
        driven.path.on_sent(1000);
        driven.path.on_recovery_ack(0, in_flight + 1000, false);
        CHECK(quota(driven.path, in_flight + 1000) == 0);
    }
}

TEST_CASE("a spurious loss in the first slow start leads back into it") {
    for (const auto algorithm : recovery_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        driven.round();
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        driven.path.undo();
        CHECK(driven.path.in_slow_start());
        const std::uint32_t window = driven.path.window();
        driven.round();
        CHECK(driven.path.window() == 2 * window);
    }
}
