// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/rack.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::rack_state;
using fluxnet::proto::tcp::sequence_number;
using std::chrono::nanoseconds;

static_assert(std::is_trivially_copyable_v<rack_state> && sizeof(rack_state) <= 48);

namespace {

const std::array rack_origins = {0U, 0x7fff'fff0U, 0xffff'fff0U};

rack_state::time_point rack_moment(nanoseconds after) {
    return rack_state::time_point(100s + after);
}

rack_state::ack_facts quiet_ack(sequence_number una, sequence_number next) {
    return {.unacknowledged = una, .next = next, .minimum_rtt = 40ms, .srtt = 60ms};
}

}  // namespace

TEST_CASE("nothing is lost before anything was delivered (RFC 8985 section 6.2 step 5)") {
    for (const std::uint32_t origin : rack_origins) {
        const rack_state rack{sequence_number(origin)};
        CHECK(rack.remaining(rack_moment(0s), sequence_number(origin + 100), rack_moment(1h)) == rack_state::not_overtaken);
        CHECK_FALSE(rack.is_lost(rack_moment(0s), sequence_number(origin + 100), rack_moment(1h)));
    }
}

TEST_CASE(
    "a segment is lost once a later one was delivered and the reordering window is over (RFC 8985 section 6.2 step 5)") {
    for (const std::uint32_t origin : rack_origins) {
        const sequence_number start(origin);
        rack_state rack(start);
        rack.on_delivered({.sent_at = rack_moment(10ms), .end = start + 300}, 40ms, rack_moment(60ms));
        rack.update_window(quiet_ack(start, start + 500));
        CHECK(rack.rtt() == 50ms);
        CHECK(rack.reordering_window() == 10ms);
        CHECK(rack.remaining(rack_moment(8ms), start + 100, rack_moment(60ms)) == 8ms);
        CHECK(rack.remaining(rack_moment(8ms), start + 100, rack_moment(68ms) - 1ns) == 1ns);
        CHECK(rack.is_lost(rack_moment(8ms), start + 100, rack_moment(68ms)));
        CHECK(rack.is_lost(rack_moment(8ms), start + 100, rack_moment(1h)));
        CHECK(rack.remaining(rack_moment(11ms), start + 400, rack_moment(1h)) == rack_state::not_overtaken);
    }
}

TEST_CASE("of segments sent at the same moment the higher number is the later one (RFC 8985 section 6.2 step 2)") {
    for (const std::uint32_t origin : rack_origins) {
        const sequence_number start(origin);
        rack_state rack(start);
        rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 200}, 40ms, rack_moment(50ms));
        auto facts = quiet_ack(start, start + 500);
        facts.sacked_segments = 3;
        rack.update_window(facts);
        CHECK(rack.is_lost(rack_moment(0s), start + 100, rack_moment(50ms)));
        CHECK(rack.remaining(rack_moment(0s), start + 300, rack_moment(50ms)) == rack_state::not_overtaken);
    }
}

TEST_CASE("a lost retransmission is found by what was sent after it (RFC 8985 section 3.1)") {
    const sequence_number start(0xffff'ff00);
    rack_state rack(start);
    rack.on_delivered({.sent_at = rack_moment(1ms), .end = start + 500}, 40ms, rack_moment(50ms));
    // Octets 0 to 100 are sent again at 50 ms; a segment of new data at 51 ms is SACKed.
    CHECK(rack.remaining(rack_moment(50ms), start + 100, rack_moment(51ms)) == rack_state::not_overtaken);
    rack.on_delivered({.sent_at = rack_moment(51ms), .end = start + 600}, 40ms, rack_moment(101ms));
    auto facts = quiet_ack(start, start + 600);
    facts.in_recovery = true;
    rack.update_window(facts);
    CHECK(rack.is_lost(rack_moment(50ms), start + 100, rack_moment(101ms)));
}

TEST_CASE(
    "an acknowledgement of a retransmission that may be of the first sending is not used (RFC 8985 section 6.2 step 2)") {
    const sequence_number start(1000);
    rack_state rack(start);
    rack.on_delivered({.sent_at = rack_moment(0ms), .end = start + 100}, 40ms, rack_moment(50ms));
    rack.on_delivered({.sent_at = rack_moment(60ms), .end = start + 200, .retransmitted = true}, 40ms, rack_moment(61ms));
    CHECK(rack.rtt() == 50ms);
    rack.on_delivered({.sent_at = rack_moment(60ms), .end = start + 300, .retransmitted = true, .answers_earlier = true},
                      40ms, rack_moment(160ms));
    CHECK(rack.rtt() == 50ms);
    CHECK(rack.remaining(rack_moment(1ms), start + 400, rack_moment(1s)) == rack_state::not_overtaken);
    rack.on_delivered({.sent_at = rack_moment(60ms), .end = start + 300, .retransmitted = true}, 40ms, rack_moment(120ms));
    CHECK(rack.rtt() == 60ms);
    CHECK(rack.is_lost(rack_moment(1ms), start + 400, rack_moment(1s)));
}

TEST_CASE("data sent once and delivered below what was delivered shows reordering, sent again it does not (step 3)") {
    for (const std::uint32_t origin : rack_origins) {
        const sequence_number start(origin);
        rack_state rack(start);
        rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 300}, 40ms, rack_moment(50ms));
        rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 300}, 40ms, rack_moment(50ms));
        rack.on_delivered({.sent_at = rack_moment(1ms), .end = start + 100, .retransmitted = true}, 40ms, rack_moment(60ms));
        CHECK_FALSE(rack.reordering_seen());
        rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 200}, 40ms, rack_moment(60ms));
        CHECK(rack.reordering_seen());
    }
}

TEST_CASE("without reordering there is no wait in recovery, nor when three segments were SACKed (step 4)") {
    const sequence_number start(0);
    rack_state rack(start);
    auto facts = quiet_ack(start, start + 1000);
    facts.sacked_segments = 2;
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 10ms);
    facts.sacked_segments = 3;
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 0ms);
    facts.sacked_segments = 0;
    facts.in_recovery = true;
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 0ms);
    rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 300}, 40ms, rack_moment(50ms));
    rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 200}, 40ms, rack_moment(50ms));
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 10ms);
}

TEST_CASE("each round with a DSACK widens the window by a quarter of the least round trip, up to SRTT (step 4)") {
    for (const std::uint32_t origin : rack_origins) {
        const sequence_number start(origin);
        rack_state rack(start);
        auto facts = quiet_ack(start, start + 1000);
        facts.duplicate_sack = true;
        rack.update_window(facts);
        CHECK(rack.reordering_window() == 20ms);
        CHECK(rack.in_dsack_round());
        facts.unacknowledged = start + 999;
        facts.next = start + 2000;
        rack.update_window(facts);
        CHECK(rack.reordering_window() == 20ms);  // the same round
        facts.unacknowledged = start + 1000;
        rack.update_window(facts);
        CHECK(rack.reordering_window() == 30ms);
        for (std::uint32_t i = 2; i != 1000; ++i) {
            facts.unacknowledged = start + i * 1000;
            facts.next = facts.unacknowledged + 1000;
            rack.update_window(facts);
            CHECK(rack.reordering_window() <= 60ms);
        }
        CHECK(rack.reordering_window() == 60ms);
    }
}

TEST_CASE("sixteen recoveries without a DSACK bring the window back to a quarter (step 4)") {
    const sequence_number start(0);
    rack_state rack(start);
    auto facts = quiet_ack(start, start + 1000);
    facts.duplicate_sack = true;
    rack.update_window(facts);
    facts = quiet_ack(start + 1000, start + 2000);
    facts.leaves_recovery = true;
    for (int i = 0; i != 15; ++i) {
        rack.update_window(facts);
        CHECK(rack.reordering_window() == 20ms);
    }
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 10ms);
    rack.update_window(facts);
    CHECK(rack.reordering_window() == 10ms);
}

TEST_CASE("when the retransmission timer expires, what was sent lately is not lost yet (RFC 8985 section 6.3)") {
    const sequence_number start(0);
    rack_state rack(start);
    rack.on_delivered({.sent_at = rack_moment(0s), .end = start + 100}, 40ms, rack_moment(50ms));
    CHECK(rack.is_lost_on_timeout(rack_moment(100ms), rack_moment(150ms)));
    CHECK_FALSE(rack.is_lost_on_timeout(rack_moment(100ms) + 1ns, rack_moment(150ms)));
}

TEST_CASE("through seeded losses and reordering the verdicts are those of the RFC's pseudocode (RFC 8985 section 6.2)") {
    for (unsigned seed = 0; seed != 60; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random()) % bound; };
        struct segment {
            rack_state::time_point xmit_ts;
            std::uint64_t end_seq;
            bool retransmitted;
            bool acked;
        };
        const sequence_number origin(rack_origins[seed % 3]);
        rack_state rack(origin);
        std::vector<segment> segments;
        // The model's variables have the RFC's names, and numbers that do not wrap.
        std::optional<rack_state::time_point> rack_xmit_ts;
        std::uint64_t rack_end_seq = 0;
        std::uint64_t fack = 0;
        nanoseconds rack_rtt{0};
        bool reordering_seen = false;
        std::uint64_t end = 0;
        nanoseconds clock{0};
        for (int step = 0; step != 1000; ++step) {
            clock += std::chrono::microseconds(below(3) == 0 ? 0 : below(4000));
            const auto now = rack_moment(clock);
            const auto place = [&](std::uint64_t number) { return origin + static_cast<std::uint32_t>(number); };
            if (segments.size() < 60 && below(2) == 0) {
                end += 1 + below(60'000);
                segments.push_back({now, end, false, false});
            } else if (!segments.empty()) {
                segment& chosen = segments[below(static_cast<std::uint32_t>(segments.size()))];
                if (below(6) == 0) {
                    chosen.xmit_ts = now;
                    chosen.retransmitted = true;
                    continue;
                }
                chosen.acked = true;
                const nanoseconds minimum = 1ms;
                rack.on_delivered(
                    {.sent_at = chosen.xmit_ts, .end = place(chosen.end_seq), .retransmitted = chosen.retransmitted},
                    minimum, now);
                if (chosen.end_seq > fack) {
                    fack = chosen.end_seq;
                } else if (chosen.end_seq < fack && !chosen.retransmitted) {
                    reordering_seen = true;
                }
                const nanoseconds rtt = now - chosen.xmit_ts;
                if (!chosen.retransmitted || rtt >= minimum) {
                    rack_rtt = rtt;
                    if (!rack_xmit_ts || chosen.xmit_ts > *rack_xmit_ts ||
                        (chosen.xmit_ts == *rack_xmit_ts && chosen.end_seq > rack_end_seq)) {
                        rack_xmit_ts = chosen.xmit_ts;
                        rack_end_seq = chosen.end_seq;
                    }
                }
                REQUIRE(rack.reordering_seen() == reordering_seen);
                REQUIRE(rack.rtt() == rack_rtt);
                std::erase_if(segments, [](const segment& s) { return s.acked; });
            }
            rack.update_window(quiet_ack(place(0), place(end)));
            for (const segment& s : segments) {
                nanoseconds expected = rack_state::not_overtaken;
                if (rack_xmit_ts &&
                    (*rack_xmit_ts > s.xmit_ts || (*rack_xmit_ts == s.xmit_ts && rack_end_seq > s.end_seq))) {
                    expected = std::max<nanoseconds>(0ns, s.xmit_ts + rack_rtt + 10ms - now);
                }
                REQUIRE(rack.remaining(s.xmit_ts, place(s.end_seq), now) == expected);
            }
        }
    }
}
