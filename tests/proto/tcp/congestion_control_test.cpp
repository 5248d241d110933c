// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/congestion_control.hpp"

#include "tests/proto/tcp/driven_path.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <random>
#include <type_traits>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::ack_sample;
using fluxnet::proto::tcp::congestion_algorithm;
using fluxnet::proto::tcp::congestion_control;
using fluxnet::proto::tcp::sequence_number;
using fluxnet::proto::tcp::test::driven_path;

static_assert(std::is_trivially_copyable_v<congestion_control>);
static_assert(sizeof(congestion_control) <= 176);
static_assert(congestion_control::initial_window(1460) == 14600);
static_assert(congestion_control::initial_window(536) == 5360);
static_assert(congestion_control::initial_window(2190) == 14600);
static_assert(congestion_control::initial_window(9000) == 18000);
static_assert(congestion_control::initial_window(48) == 480);
static_assert(congestion_control::initial_window(65495) == 130990);

namespace {

const std::array both_algorithms = {congestion_algorithm::new_reno, congestion_algorithm::cubic};

}  // namespace

TEST_CASE("a connection begins with the initial window of its segment's length, and in slow start (RFC 6928 section 2)") {
    for (const auto algorithm : both_algorithms) {
        congestion_control path(algorithm, 536);
        CHECK(path.window() == 5360);
        path.set_mss(1460);
        CHECK(path.window() == 14600);
        CHECK(path.in_slow_start());
        CHECK_FALSE(path.in_recovery());
        CHECK(path.slow_start_threshold() == congestion_control::max_window);
    }
}

TEST_CASE("after a lost SYN the first window is one segment, whatever its length becomes (RFC 5681 section 3.1)") {
    for (const auto algorithm : both_algorithms) {
        congestion_control path(algorithm, 536);
        path.on_lost_syn();
        CHECK(path.window() == 536);
        path.set_mss(1460);
        CHECK(path.window() == 1460);
        CHECK(path.in_slow_start());
    }
}

TEST_CASE("a new segment length leaves a window that is in use as it is, but for one segment (RFC 1191, RFC 8899)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1460, 50ms);
        driven.round();
        const std::uint32_t window = driven.path.window();
        driven.path.set_mss(500);
        CHECK(driven.path.window() == window);
        driven.path.set_mss(65'495);
        CHECK(driven.path.window() == 65'495);
    }
}

TEST_CASE(
    "in slow start every octet acknowledged is an octet of growth: the window doubles in a round trip (RFC 5681 3.1)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (std::uint32_t segments = 10; segments != 1280; segments *= 2) {
            CHECK(driven.path.window() == segments * 1000);
            driven.round();
        }
    }
}

TEST_CASE(
    "NewReno's window grows by one segment a round trip in congestion avoidance (RFC 5681 section 3.1, RFC 3465 2.1)") {
    for (const std::uint32_t mss : {48U, 536U, 1460U, 8960U, 65'495U}) {
        CAPTURE(mss);
        driven_path driven(congestion_algorithm::new_reno, mss, 50ms, false);
        while (driven.path.window() < 40 * mss) { driven.round(); }
        driven.lose();
        const std::uint32_t begin = driven.path.window();
        for (std::uint32_t i = 0; i != 100; ++i) {
            driven.round();
            REQUIRE(driven.path.window() <= begin + (i + 1) * mss);
            REQUIRE(driven.path.window() + 2 * mss >= begin + (i + 1) * mss);
        }
    }
}

TEST_CASE(
    "octets are counted, not acknowledgements: many small ones grow NewReno's window no faster (RFC 3465 section 3.1)") {
    driven_path whole(congestion_algorithm::new_reno, 1000, 50ms, false);
    while (whole.path.window() < 40'000) { whole.round(); }
    whole.lose();
    driven_path split = whole;
    for (int i = 0; i != 200; ++i) { whole.ack(2000); }
    for (int i = 0; i != 40'000; ++i) { split.ack(10); }
    CHECK(whole.path.window() == split.path.window());
}

TEST_CASE("a timeout leaves one segment, and a threshold by the flight (RFC 5681 section 3.1, RFC 9438 section 4.8)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms, false);
        while (driven.path.window() < 100'000) { driven.round(); }
        const std::uint32_t flight = driven.flight();
        driven.time_out();
        CHECK(driven.path.window() == 1000);
        CHECK(driven.path.in_slow_start());
        CHECK(driven.path.slow_start_threshold() ==
              (algorithm == congestion_algorithm::cubic ? flight / 10 * 7 : flight / 2));
    }
}

TEST_CASE("the threshold is held when the timer expires again for the same octet (RFC 5681 section 3.1)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        driven.time_out();
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        for (int i = 0; i != 10; ++i) { driven.time_out(); }
        CHECK(driven.path.slow_start_threshold() == threshold);
        driven.ack(1000);  // now it is another octet that is lost
        driven.time_out();
        CHECK(driven.path.slow_start_threshold() < threshold);
        CHECK(driven.path.slow_start_threshold() >= 2000);
    }
}

TEST_CASE("a SACK alone does not make a second expiry that of another octet") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        driven.time_out();
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        driven.path.on_acked({.delivered = 1000,
                              .in_flight = 1000,
                              .window_limited = true,
                              .now = driven.now,
                              .unacknowledged = driven.una,
                              .next = driven.next});
        driven.time_out();
        CHECK(driven.path.slow_start_threshold() == threshold);
        CHECK(driven.path.window() == 1000);
    }
}

TEST_CASE("in slow start after a timeout one acknowledgement adds at most one segment (RFC 3465 section 2.3)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        driven.time_out();
        driven.ack(30'000);
        CHECK(driven.path.window() == 2000);
        driven.ack(500);
        CHECK(driven.path.window() == 2500);
        while (driven.path.in_slow_start()) { driven.ack(1000); }
        CHECK(driven.path.window() >= driven.path.slow_start_threshold());
        CHECK(driven.path.window() < driven.path.slow_start_threshold() + 1000);
    }
}

TEST_CASE("a timeout ends fast recovery") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        driven.time_out();
        CHECK_FALSE(driven.path.in_recovery());
        CHECK(driven.path.window() == 1000);
        driven.path.on_recovered();
        CHECK(driven.path.window() == 1000);
    }
}

TEST_CASE("marks reduce the window once for each window of data, however many come (RFC 3168 section 6.1.2)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        const std::uint32_t window = driven.path.window();
        const sequence_number end = driven.next;
        CHECK(driven.path.on_ecn(driven.una, driven.next));
        const std::uint32_t reduced = driven.path.window();
        CHECK(reduced == (algorithm == congestion_algorithm::cubic ? window / 10 * 7 : window / 2));
        CHECK_FALSE(driven.path.in_slow_start());
        while (driven.una < end) {
            CHECK_FALSE(driven.path.on_ecn(driven.una, driven.next));
            driven.ack(1000);
        }
        CHECK(driven.path.window() >= reduced);
        CHECK(driven.path.on_ecn(driven.una, driven.next));
        CHECK(driven.path.window() < reduced);
    }
}

TEST_CASE("a mark is heeded however much was acknowledged since the last one, 2^31 octets and more") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        for (std::uint64_t octets = 0; octets < (std::uint64_t{5} << 30); octets += 100'000'000) {
            CHECK(driven.path.on_ecn(driven.una, driven.next));
            driven.una = driven.next;
            driven.ack_at_once(1000);
            for (int i = 0; i != 1 + static_cast<int>(octets >> 30); ++i) {
                driven.una += 499'999'000;
                driven.next = driven.una;
                driven.ack_at_once(1000);
            }
        }
    }
}

TEST_CASE(
    "a loss within a window that a mark has reduced begins recovery without a second reduction (RFC 3168 section 6.1.2)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        CHECK(driven.path.on_ecn(driven.una, driven.next));
        const std::uint32_t threshold = driven.path.slow_start_threshold();
        driven.path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
        CHECK(driven.path.in_recovery());
        CHECK(driven.path.slow_start_threshold() == threshold);
        CHECK_FALSE(driven.path.on_ecn(driven.una, driven.next));
        driven.path.on_recovered();
        CHECK(driven.path.window() == threshold);
    }
}

TEST_CASE("a window that is not what limits the sender does not grow (RFC 9438 section 5.8, RFC 7661)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1000, 50ms);
        for (int i = 0; i != 3; ++i) { driven.round(); }
        for (const bool in_avoidance : {false, true}) {
            if (in_avoidance) { driven.lose(); }
            const std::uint32_t window = driven.path.window();
            for (int i = 0; i != 1000; ++i) {
                driven.next = driven.una + 5000;
                driven.now += 1ms;
                driven.ack_at_once(1000, false);
            }
            CHECK(driven.path.window() == window);
            CHECK(driven.path.in_slow_start() == !in_avoidance);
            driven.fill();
        }
    }
}

TEST_CASE("slow start goes on while more than half of the window is in use") {
    driven_path driven(congestion_algorithm::cubic, 1000, 50ms);
    driven.next = driven.una + 6000;
    driven.ack_at_once(1000, false);
    CHECK(driven.path.window() == 11'000);
}

TEST_CASE("after an idle time longer than the timeout the window is the initial one again (RFC 5681 section 4.1)") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1460, 50ms, false);
        while (driven.path.window() < 200'000) { driven.round(); }
        driven.lose();
        for (int i = 0; i != 10; ++i) { driven.round(); }
        const std::uint32_t window = driven.path.window();
        driven.path.on_idle(200ms, 300ms);
        CHECK(driven.path.window() == window);
        driven.path.on_idle(301ms, 300ms);
        CHECK(driven.path.window() == 14'600);
        CHECK(driven.path.in_slow_start());
        CHECK(driven.path.slow_start_threshold() >= window / 4 * 3);
        driven.una = driven.next;
        driven.fill();
        driven.round();
        CHECK(driven.path.window() == 29'200);
    }
}

TEST_CASE("an idle time makes no small window larger") {
    for (const auto algorithm : both_algorithms) {
        driven_path driven(algorithm, 1460, 50ms);
        driven.time_out();
        driven.path.on_idle(10s, 300ms);
        CHECK(driven.path.window() == 1460);
    }
}

TEST_CASE("whatever happens in whatever order, the window is between one segment and 1 GiB, and grows by ACKs only") {
    for (unsigned seed = 0; seed != 300; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random()) % bound; };
        const std::uint32_t mss = seed % 5 == 0 ? 48 : seed % 5 == 1 ? 65'495 : 48 + below(65'448);
        driven_path driven(both_algorithms[seed % 2], mss, std::chrono::microseconds(10 + below(400'000)), seed % 3 != 0);
        auto& path = driven.path;
        for (int step = 0; step != 3000; ++step) {
            const std::uint32_t before = path.window();
            const std::uint32_t threshold = path.slow_start_threshold();
            const unsigned what = below(1000);
            if (what < 900) {
                const std::uint32_t octets = std::min(driven.flight(), below(3) == 0 ? driven.flight() : below(4 * mss));
                if (path.in_recovery()) {
                    driven.una += octets;
                    path.on_recovery_ack(octets, driven.flight(), below(2) == 0);
                    if (below(50) == 0) { path.on_recovered(); }
                } else {
                    if (below(64) == 0) { driven.now += std::chrono::milliseconds(below(10'000'000)); }
                    driven.ack(octets, below(8) != 0);
                    REQUIRE(path.window() >= before);
                    REQUIRE(path.window() - before <= std::max(before, 8 * mss));
                    if (before >= threshold) { REQUIRE(path.window() - before <= before / 2 + mss); }
                }
                path.on_sent(mss);
                driven.fill();
            } else if (what < 903) {
                path.on_loss(driven.flight(), driven.now, driven.una, driven.next);
                REQUIRE(path.slow_start_threshold() >= 2 * mss);
            } else if (what < 904) {
                driven.time_out();
                REQUIRE(path.window() == mss);
            } else if (what < 905) {
                (void)path.on_ecn(driven.una, driven.next);
                REQUIRE(path.window() <= before);
            } else if (what < 906) {
                path.undo();
                REQUIRE(path.window() >= before);
            } else if (what < 907) {
                path.on_idle(1s, 300ms);
                REQUIRE(path.window() <= before);
            }
            REQUIRE(path.window() >= mss);
            REQUIRE(path.window() <= congestion_control::max_window);
            REQUIRE(path.slow_start_threshold() <= congestion_control::max_window);
        }
    }
}

TEST_CASE("a window of 1 GiB is reached, kept, and overflows nothing, with the smallest and the largest segments") {
    for (const auto algorithm : both_algorithms) {
        for (const std::uint32_t mss : {48U, 65'495U}) {
            CAPTURE(mss);
            driven_path driven(algorithm, mss, 100ms);
            while (driven.path.window() < congestion_control::max_window) { driven.ack(8 * mss); }
            CHECK_FALSE(driven.path.in_slow_start());
            for (int i = 0; i != 100; ++i) { driven.ack(driven.flight()); }
            CHECK(driven.path.window() == congestion_control::max_window);
            driven.lose();
            CHECK(driven.path.window() < congestion_control::max_window / 4 * 3);
            std::uint32_t last = driven.path.window();
            for (int i = 0; i != 20'000; ++i) {
                driven.ack(driven.flight());
                REQUIRE(driven.path.window() >= last);
                REQUIRE(driven.path.window() <= congestion_control::max_window);
                last = driven.path.window();
            }
            if (algorithm == congestion_algorithm::cubic) { CHECK(last == congestion_control::max_window); }
        }
    }
}
