// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/congestion_control.hpp"

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
