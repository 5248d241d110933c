// SPDX-License-Identifier: BSD-3-Clause
// Servers of Boost.Beast's over the TCP of a host in user space, with the kernel and the clients of others at the other end of
// a veth pair.
#include "tests/e2e/beast_bed.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <memory>

using namespace fluxnet::test;

TEST_CASE("a server of Boost.Beast's over a stream of a host's serves curl and ab") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    beast_place here(std::make_unique<testbed>());
    beast_process server(here, {FLUXNET_BEAST_SERVER, here.port(), here.address(), "flux0"});
    check_beast_server(server);
}

TEST_CASE("Boost.Beast's example of an asynchronous server serves curl and ab over a stream of a host's") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_example());
    beast_place here(std::make_unique<testbed>());
    check_beast_example(here);
}
