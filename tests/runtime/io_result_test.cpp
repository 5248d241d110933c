// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/io_result.hpp"

#include <doctest/doctest.h>

#include <ostream>  // so that a failed check can print an error_code
#include <type_traits>

static_assert(std::is_aggregate_v<fluxnet::io_result> && std::is_trivially_copyable_v<fluxnet::io_result>);

TEST_CASE("a transfer that transferred nothing and failed at nothing is what an io_result starts as") {
    const auto [ec, n] = fluxnet::io_result{};
    CHECK_FALSE(ec);
    CHECK(n == 0);
}

TEST_CASE("an io_result carries an error beside partial progress") {
    const fluxnet::io_result partial{std::make_error_code(std::errc::network_down), 3};
    const auto [ec, n] = partial;
    CHECK(ec == std::errc::network_down);
    CHECK(n == 3);
}
