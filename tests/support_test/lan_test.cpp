// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/lan.hpp"

#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("the hosts of a lan reach each other across the switch") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    lan net;
    net.add_host("one", "10.78.0.1/24");
    net.add_host("two", "10.78.0.2/24");
    net.add_host("three", "10.78.0.3/24");
    CHECK(net.mac_text("two") == "02:00:00:78:00:02");
    for (const char* target : {"10.78.0.2", "10.78.0.3"}) {
        const finished ping = net.run("one", {"ping", "-n", "-c", "1", "-W", "2", target}, 10s);
        CHECK_MESSAGE(ping.success(), ping.output);
    }
    const finished neighbour = net.run("one", {"ip", "neighbour", "show", "10.78.0.2"}, 10s);
    CHECK_MESSAGE(neighbour.output.find(net.mac_text("two")) != std::string::npos, neighbour.output);
}

TEST_CASE("a lan is quiet until a host speaks") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    lan net;
    net.add_host("one", "10.78.0.1/24");
    net.add_host("silent");
    packet_socket ear(net.place("silent"), lan::interface);
    CHECK(!ear.recv(300ms).has_value());
}

TEST_CASE("a shell line that fails in a host is reported with what it wrote") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    lan net;
    net.add_host("one");
    net.configure("one", "ip address add 10.78.0.9/32 dev lo");
    CHECK(net.run("one", {"ip", "address", "show", "dev", "lo"}, 10s).output.find("10.78.0.9") != std::string::npos);
    CHECK_THROWS_WITH_AS(net.configure("one", "echo complaint; false"), doctest::Contains("complaint"), std::runtime_error);
}
