// SPDX-License-Identifier: BSD-3-Clause
// A host and the programs that tell whether somebody is there: traceroute, ndisc6, rdisc6. For ping see host_veth_test.cpp.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/runtime/host_testbed.hpp"
#include "tests/support/programs.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <cctype>
#include <string>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

bool is_in(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Runs a program at the peer while the host works; `sh` tells its exit code behind what it wrote.
std::string told_by(host_testbed& bed, const std::string& line) {
    return bed.run_at_peer({"sh", "-c", line + "; echo exit code $?"});
}

/// Whether the first hop, and no other, is the host, which has answered each of the three probes.
void check_trace(const std::string& output, bool v4) {
    CHECK_MESSAGE(is_in(output, std::string("\n 1  ") + host_text(v4) + "  "), output);
    CHECK_MESSAGE(!is_in(output, "*"), output);
    CHECK_MESSAGE(!is_in(output, "\n 2 "), output);
    CHECK_MESSAGE(is_in(output, "exit code 0\n"), output);
}

}  // namespace

TEST_CASE("traceroute reaches a host, which has no ports for its datagrams, over both versions") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"traceroute"}));
    for (const bool v4 : {true, false}) {
        host_testbed bed;
        check_trace(told_by(bed, std::string("traceroute -n -w 30 -m 2 ") + (v4 ? "-4 " : "-6 ") + host_text(v4)), v4);
        const auto& counts = bed.here->counters();
        CHECK(counts.errors_sent >= 3);
        CHECK(counts.dropped_for(proto::reason::udp_port_not_served) >= 3);
        CHECK(counts.accounted() == counts.frames);
    }
}

TEST_CASE("traceroute reaches a host by echo requests, and by SYNs to an open and to a closed port") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"traceroute"}));
    for (const bool v4 : {true, false}) {
        host_testbed bed;
        const host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 80}).value();
        for (const char* const how : {"-I", "-T -p 80", "-T -p 81"}) {
            CAPTURE(how);
            check_trace(told_by(bed, std::string("traceroute -n -w 30 -m 2 ") + how + " " + host_text(v4)), v4);
        }
        CHECK(bed.here->counters().echoes >= 3);
    }
}

TEST_CASE("ndisc6 is told the link address of a host, and nothing of an address that the host does not have") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"ndisc6"}));
    host_testbed bed;
    const std::string found = told_by(bed, "ndisc6 -n -1 -w 10000 fd77::1 peer0");
    const std::string hardware = bed.here->hardware().to_string();
    CHECK_MESSAGE(is_in(found, "exit code 0\n"), found);
    CHECK_MESSAGE(is_in(found, " from fd77::1\n"), found);
    std::string upper = hardware;
    for (char& letter : upper) { letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter))); }
    CHECK_MESSAGE(is_in(found, "Target link-layer address: " + upper), found);
    CHECK(bed.here->counters().answers_sent >= 1);
    const std::string none = told_by(bed, "ndisc6 -n -1 -r 2 -w 100 fd77::9 peer0");
    CHECK_MESSAGE(is_in(none, "exit code 2\n"), none);
}

TEST_CASE("rdisc6 finds no router in a host") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"rdisc6"}));
    host_testbed bed;
    const std::string none = told_by(bed, "rdisc6 -n -1 -r 2 -w 100 peer0");
    CHECK_MESSAGE(is_in(none, "exit code 2\n"), none);
    CHECK(bed.here->counters().accounted() == bed.here->counters().frames);
}
