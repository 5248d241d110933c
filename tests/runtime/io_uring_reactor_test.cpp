// SPDX-License-Identifier: BSD-3-Clause
// What only io_uring does.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("a ring is attached by one thread and refuses to be driven by another") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    const auto ring = make_io_uring_reactor();
    CHECK(std::string(ring->name()).find("io_uring") == 0);
    std::thread([&] {
        ring->attach();
        ring->attach();
        ring->poll();
    }).join();
    if (std::string(ring->name()).find("SINGLE_ISSUER") != std::string::npos) {
        CHECK_THROWS_AS(ring->wait(clock_type::now()), std::system_error);
    }
}
