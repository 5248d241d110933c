// SPDX-License-Identifier: BSD-3-Clause
// The pipeline between two AF_XDP sockets on the ends of a veth pair.
#include "tests/e2e/pipeline_exchange.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/scale.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <string>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

system_sockets open_end(const testbed& bed, side which, xdp_mode mode) {
    const network_namespace::scoped_enter inside(bed.place(which));
    return builder(bed.name(which)).mode(mode).frames(8192).tx_frames(4096).build_system().value();
}

void dump(const testbed& bed, side which) {
    const network_namespace::scoped_enter inside(bed.place(which));
    std::ifstream f("/proc/thread-self/net/dev");
    for (std::string l; std::getline(f, l);) { std::printf("%s\n", l.c_str()); }
}

void cross(xdp_mode mode, const char* name, const traffic& plan) {
    testbed bed;
    pipeline through(open_end(bed, side::host, mode));
    far_side far(open_end(bed, side::peer, mode));
    exchange both(far, through, [&] { return far.lost_at_socket() + through.lost_at_socket(); });
    through.start();
    const exchange_outcome outcome = both.run(plan);
    through.finish();
    CHECK(far.finish());
    both.report(name, outcome);
    dump(bed, side::host);
    dump(bed, side::peer);
    CHECK(outcome.settled);
    CHECK(far.faults() == far_faults{});
    check_census(through.receiver().pool());
    check_census(far.pool());
}

}  // namespace

TEST_CASE("packets cross the pipeline on veth native") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    cross(xdp_mode::native, "native", {.packets = 1'000'000, .slice = 200'000, .overload = 20'000});
}
TEST_CASE("packets cross the pipeline on veth generic") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    cross(xdp_mode::generic, "generic", {.packets = 1'000'000, .slice = 200'000, .overload = 20'000});
}
