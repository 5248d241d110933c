// SPDX-License-Identifier: BSD-3-Clause
// Servers of Boost.Beast's over our streams of the kernel's TCP, with the clients of others. Stays on the loopback interface.
#include "tests/e2e/beast_bed.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

using namespace fluxnet::test;

TEST_CASE("a server of Boost.Beast's over our TCP stream serves curl and ab") {
    beast_place here;
    beast_process server(here, {FLUXNET_BEAST_SERVER, here.port()});
    check_beast_server(server);
}

TEST_CASE("Boost.Beast's example of an asynchronous server serves curl and ab over our TCP stream") {
    FLUXNET_SKIP_IF(why_no_example());
    beast_place here;
    check_beast_example(here);
}
