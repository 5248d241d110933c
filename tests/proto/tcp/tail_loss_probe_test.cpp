// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/tail_loss_probe.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <type_traits>

using namespace std::chrono_literals;
using fluxnet::proto::tcp::sequence_number;
using fluxnet::proto::tcp::tail_loss_probe;

static_assert(std::is_trivially_copyable_v<tail_loss_probe> && sizeof(tail_loss_probe) <= 8);

namespace {

const std::array probe_places = {5U, 0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU, 0U};
constexpr tail_loss_probe::time_point probe_now{std::chrono::hours(1)};

}  // namespace

TEST_CASE(
    "a probe waits for two round trips, and for a delayed acknowledgement of a single segment (RFC 8985 section 7.2)") {
    CHECK(tail_loss_probe::timeout(30ms, false, 200ms, probe_now, probe_now + 10s) == 60ms);
    CHECK(tail_loss_probe::timeout(30ms, true, 200ms, probe_now, probe_now + 10s) == 260ms);
    CHECK(tail_loss_probe::timeout(50us, false, 200ms, probe_now, probe_now + 10s) == 100us);
    CHECK(tail_loss_probe::timeout(0ms, false, 200ms, probe_now, probe_now + 10s) == 1s);
    CHECK(tail_loss_probe::timeout(0ms, true, 200ms, probe_now, probe_now + 10s) == 1s);
}

TEST_CASE("a probe is not later than the retransmission timer, and not in the past (RFC 8985 section 7.2)") {
    CHECK(tail_loss_probe::timeout(300ms, false, 200ms, probe_now, probe_now + 500ms) == 500ms);
    CHECK(tail_loss_probe::timeout(300ms, false, 200ms, probe_now, probe_now) == 0ms);
    CHECK(tail_loss_probe::timeout(300ms, false, 200ms, probe_now, probe_now - 1s) == 0ms);
}

TEST_CASE(
    "a probe is scheduled with SACK only, with nothing SACKed or repaired and none outstanding (RFC 8985 section 7.2)") {
    tail_loss_probe probe;
    CHECK(probe.may_arm(true, false, false));
    CHECK_FALSE(probe.may_arm(false, false, false));
    CHECK_FALSE(probe.may_arm(true, true, false));
    CHECK_FALSE(probe.may_arm(true, false, true));
    probe.on_probe(sequence_number(100), true);
    CHECK_FALSE(probe.may_arm(true, false, false));
    probe.reset();
    CHECK(probe.may_arm(true, false, false));
}

TEST_CASE("an acknowledgement below the probe's end leaves it outstanding (RFC 8985 section 7.4.2)") {
    for (const std::uint32_t place : probe_places) {
        const sequence_number end(place);
        for (const bool again : {false, true}) {
            tail_loss_probe probe;
            probe.on_probe(end, again);
            CHECK_FALSE(probe.on_ack({.acknowledgment = end - 1, .duplicate_sack_of_probe = true, .plain_duplicate = true}));
            CHECK(probe.outstanding());
            CHECK(probe.end() == end);
        }
    }
}

TEST_CASE("a probe of new data is over when it is acknowledged, and has repaired nothing (RFC 8985 section 7.4.2)") {
    for (const std::uint32_t place : probe_places) {
        const sequence_number end(place);
        for (const std::uint32_t beyond : {0U, 1000U}) {
            tail_loss_probe probe;
            probe.on_probe(end, false);
            CHECK_FALSE(probe.on_ack({.acknowledgment = end + beyond}));
            CHECK_FALSE(probe.outstanding());
        }
    }
}

TEST_CASE(
    "a repeated segment has repaired a loss when later data is acknowledged and no DSACK came (RFC 8985 section 7.4.2)") {
    for (const std::uint32_t place : probe_places) {
        const sequence_number end(place);
        tail_loss_probe probe;
        probe.on_probe(end, true);
        CHECK_FALSE(probe.on_ack({.acknowledgment = end}));  // of the probe, or of the first sending: not known yet
        CHECK(probe.outstanding());
        CHECK(probe.on_ack({.acknowledgment = end + 1}));
        CHECK_FALSE(probe.outstanding());
        CHECK_FALSE(probe.on_ack({.acknowledgment = end + 2}));
    }
}

TEST_CASE("a DSACK of the probe, or a plain duplicate, shows that both arrived: no loss (RFC 8985 section 7.4.2)") {
    for (const std::uint32_t place : probe_places) {
        const sequence_number end(place);
        tail_loss_probe first;
        first.on_probe(end, true);
        CHECK_FALSE(first.on_ack({.acknowledgment = end, .duplicate_sack_of_probe = true}));
        CHECK_FALSE(first.outstanding());
        tail_loss_probe second;
        second.on_probe(end, true);
        CHECK_FALSE(second.on_ack({.acknowledgment = end, .plain_duplicate = true}));
        CHECK_FALSE(second.outstanding());
        tail_loss_probe third;
        third.on_probe(end, true);
        CHECK_FALSE(third.on_ack({.acknowledgment = end + 5, .duplicate_sack_of_probe = true}));
        CHECK_FALSE(third.outstanding());
    }
}
