// SPDX-License-Identifier: BSD-3-Clause
// What the examples say of how their sockets were opened: why not zero-copy, why generic XDP, which queues nothing serves.
#include "examples/opening_report.hpp"

#include "tests/e2e/echo_process.hpp"
#include "tests/e2e/text_file.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// An example on an interface, and what it prints when it has started.
struct example {
    std::vector<std::string> argv;
    std::string started;
};

std::vector<example> examples_on(const std::string& interface, const std::string& second, const std::string& rules) {
    const std::string raw = FLUXNET_RAW_EXAMPLES;
    const std::string ip = "10.77.0.1";
    return {
        {{FLUXNET_ECHO_ASYNC, "--interface", interface, "--address", ip}, "answering for"},
        {{FLUXNET_MANUAL_PACKET_PUMP, "--interface", interface, "--address", ip}, "answering for"},
        {{FLUXNET_LOAD_BALANCER, "--interface", interface, "--address", ip, "--backend", "one=02:00:00:00:00:11"},
         "balancing"},
        {{FLUXNET_FIREWALL, "--interface", interface, "--interface", second, "--rules", rules}, "filtering between"},
        {{raw + "/raw_minimal_loop", "--interface", interface}, "receiving on"},
        {{raw + "/raw_async_batches", "--interface", interface}, "receiving on"},
        {{FLUXNET_HELLO_PACKETS, interface}, "in native mode"},  // says no more, for ten seconds
    };
}

/// Starts an example and returns what it says until it has started.
std::string first_words_of(testbed& bed, const example& one) {
    process child = bed.spawn(side::host, one.argv);
    const bool started = child.read_until(one.started, 10s);
    const std::string said = child.output();
    REQUIRE_MESSAGE(started, one.argv.front(), ": ", said);
    return said;
}

/// Makes interfaces that have no native XDP.
void make_bridges(testbed& bed, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        const std::string line = "ip link add " + name + " type bridge mcast_snooping 0 && ip link set " + name + " up";
        const finished done = bed.run(side::host, {"sh", "-e", "-c", line}, 10s);
        REQUIRE_MESSAGE(done.success(), done.output);
    }
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every example that the bind ladder puts into generic mode says why native mode was refused") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    make_bridges(bed, {"br0", "br1"});
    const text_file rules("default allow\n");
    for (const example& one : examples_on("br0", "br1", rules.path())) {
        const std::string said = first_words_of(bed, one);
        CHECK_MESSAGE(has(said, "zero-copy"), said);
        CHECK_MESSAGE(has(said, "in native mode"), said);
        CHECK_MESSAGE(has(said, "EOPNOTSUPP"), said);
    }
}

TEST_CASE("an example in native mode on veth says only that zero-copy was refused") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const std::string said =
        first_words_of(bed, {{FLUXNET_ECHO_ASYNC, "--interface", "flux0", "--address", "10.77.0.1"}, "answering for"});
    CHECK_MESSAGE(has(said, "refused: "), said);
    CHECK_MESSAGE(has(said, "zero-copy"), said);
    CHECK_MESSAGE(!has(said, "in native mode"), said);
    CHECK_MESSAGE(!has(said, "note: "), said);
}

TEST_CASE("an example that was told to use generic mode has nothing to explain") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const std::string said = first_words_of(
        bed, {{FLUXNET_ECHO_ASYNC, "--interface", "flux0", "--address", "10.77.0.1", "--mode", "generic"}, "answering for"});
    CHECK_MESSAGE(!has(said, "refused: "), said);
}

TEST_CASE("an example on one of several queues notes that nothing serves the others") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed({.queues = 2});
    const std::string raw = FLUXNET_RAW_EXAMPLES;
    const std::string one = first_words_of(bed, {{raw + "/raw_minimal_loop", "--interface", "flux0"}, "receiving on"});
    CHECK_MESSAGE(has(one, "note: flux0 has 2 queues, and of them 0 is served"), one);
    const std::string both = first_words_of(bed, {{raw + "/raw_multi_queue", "--interface", "flux0"}, "receiving on"});
    CHECK_MESSAGE(!has(both, "note: "), both);
}
