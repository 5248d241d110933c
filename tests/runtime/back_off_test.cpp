// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/back_off.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace std::chrono_literals;

TEST_CASE("a back-off doubles up to its limit and begins anew after a success") {
    fluxnet::detail::back_off pauses(10ms, 65ms);
    for (int round = 0; round != 2; ++round) {
        for (const auto expected : {10ms, 20ms, 40ms, 65ms, 65ms}) { CHECK(pauses.next() == expected); }
        pauses.restart();
    }
}
