// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/hystart.hpp"

#include "tests/proto/tcp/driven_path.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <type_traits>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::congestion_algorithm;
using fluxnet::proto::tcp::hystart;
using fluxnet::proto::tcp::sequence_number;
using fluxnet::proto::tcp::test::driven_path;
using std::chrono::nanoseconds;

static_assert(std::is_trivially_copyable_v<hystart> && sizeof(hystart) <= 20);

namespace {

/// Rounds of a slow start near 2^32, each of `acks` acknowledgements.
struct hystart_rounds {
    hystart rounds;
    sequence_number una{0xffff'fff0};

    /// Returns whether slow start was over when it began: the first acknowledgement ends the round before.
    bool round(nanoseconds rtt, unsigned acks = 10) {
        bool over = false;
        for (sequence_number next = una + acks; acks != 0; --acks, next += 1) {
            una += 1;
            over = rounds.on_acked(una, next, rtt) || over;
        }
        return over;
    }
};

}  // namespace

TEST_CASE("while the round trips stay as they were, slow start goes on at full pace (RFC 9406 section 4.2)") {
    hystart_rounds path;
    for (int i = 0; i != 30; ++i) {
        CHECK_FALSE(path.round(100ms + (i % 2) * 11ms));
        CHECK_FALSE(path.rounds.conservative());
    }
}

TEST_CASE("a rise by an eighth, at least 4 ms and at most 16 ms, quarters the pace (RFC 9406 section 4.2)") {
    struct {
        nanoseconds before;
        nanoseconds rise;
    } const table[] = {{1ms, 4ms}, {32ms, 4ms}, {64ms, 8ms}, {128ms, 16ms}, {800ms, 16ms}, {4s, 16ms}};
    for (const auto& [before, rise] : table) {
        CAPTURE(before.count());
        hystart_rounds below;
        CHECK_FALSE(below.round(before));
        CHECK_FALSE(below.round(before + rise - 1ns));
        CHECK_FALSE(below.rounds.conservative());
        hystart_rounds path;
        CHECK_FALSE(path.round(before));
        CHECK(path.rounds.growth(4000, 1000) == 4000);
        CHECK_FALSE(path.round(before + rise));
        CHECK(path.rounds.conservative());
        CHECK(path.rounds.growth(4000, 1000) == 1000);
    }
}

TEST_CASE("fewer than eight samples of a round change nothing (RFC 9406 section 4.2)") {
    hystart_rounds path;
    CHECK_FALSE(path.round(20ms));
    CHECK_FALSE(path.round(90ms, 7));
    CHECK_FALSE(path.rounds.conservative());
}

TEST_CASE("slow start ends after five rounds at the lower pace, the partial one among them (RFC 9406 section 4.2)") {
    hystart_rounds path;
    CHECK_FALSE(path.round(20ms));
    for (int i = 0; i != 5; ++i) { CHECK_FALSE(path.round(40ms + i * 5ms)); }
    CHECK(path.rounds.conservative());
    CHECK(path.round(70ms));
}

TEST_CASE("a rise that was no queue's is found out, and slow start returns to its full pace (RFC 9406 section 4.2)") {
    hystart_rounds path;
    CHECK_FALSE(path.round(20ms));
    CHECK_FALSE(path.round(40ms));
    CHECK(path.rounds.conservative());
    CHECK_FALSE(path.round(39ms));
    CHECK_FALSE(path.rounds.conservative());
    for (int i = 0; i != 20; ++i) { CHECK_FALSE(path.round(39ms)); }
    CHECK_FALSE(path.round(60ms));
    CHECK(path.rounds.conservative());
}

TEST_CASE("rounds go on after any number of octets of which they were not told, 2^31 and more") {
    for (std::uint32_t octets = 0x4000'0000; octets != 0; octets += 0x1000'0000) {
        CAPTURE(octets);
        hystart_rounds path;
        CHECK_FALSE(path.round(20ms));
        CHECK_FALSE(path.round(20ms));
        path.una += octets;
        if (octets <= 0xb000'0000) {  // beyond it, what was the end of a round seems to be ahead by a window
            CHECK_FALSE(path.round(20ms));
            CHECK_FALSE(path.round(40ms));
            CHECK(path.rounds.conservative());
        }
    }
}

TEST_CASE("one acknowledgement adds at most eight segments (RFC 9406 section 4.3, L of a sender that does not pace)") {
    const hystart rounds;
    CHECK(rounds.growth(100'000, 1000) == 8000);
    CHECK(rounds.growth(3000, 1000) == 3000);
    CHECK(rounds.growth(0, 1000) == 0);
}

TEST_CASE("a sender that paces counts all that one acknowledgement covers (RFC 9406 section 4.3, L is infinite)") {
    const hystart rounds;
    CHECK(rounds.growth(100'000, 1000, true) == 100'000);
    for (const bool paced : {false, true}) {
        driven_path driven(congestion_algorithm::cubic, 1000, 20ms);
        driven.path.set_paced(paced);
        for (int i = 0; i != 3; ++i) { driven.round(); }
        driven.ack(driven.flight());
        CHECK(driven.path.window() == (paced ? 160'000 : 88'000));
    }
}

TEST_CASE("when the queue grows, the window's threshold is set before anything is lost, and the curve begins flat") {
    for (const auto algorithm : {congestion_algorithm::new_reno, congestion_algorithm::cubic}) {
        driven_path driven(algorithm, 1000, 20ms);
        for (int i = 0; i != 4; ++i) { driven.round(); }
        CHECK(driven.path.window() == 160'000);  // ten segments, doubled four times
        driven.rtt = 25ms;
        int rounds = 0;
        while (driven.path.in_slow_start() && rounds != 20) {
            driven.round();
            driven.rtt += 1ms;
            ++rounds;
        }
        CHECK(rounds >= 5);
        CHECK(rounds <= 6);
        CHECK(driven.path.window() < 6 * 160'000);  // at full pace it were 32 times or more
        CHECK(driven.path.slow_start_threshold() <= driven.path.window());
        const std::uint32_t at_exit = driven.path.window();
        driven.round();
        CHECK(driven.path.window() >= at_exit);
        CHECK(driven.path.window() <= at_exit + 2000);
    }
}

TEST_CASE("without HyStart++ slow start adds two segments an acknowledgement at most and has no end but a loss (RFC 3465)") {
    driven_path driven(congestion_algorithm::cubic, 1000, 20ms, false);
    driven.round();
    CHECK(driven.path.window() == 20'000);
    driven.ack(5000);
    CHECK(driven.path.window() == 22'000);
    for (int i = 0; i != 7; ++i) {
        driven.rtt *= 2;
        driven.round();
        CHECK(driven.path.in_slow_start());
    }
}
