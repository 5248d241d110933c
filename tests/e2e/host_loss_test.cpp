// SPDX-License-Identifier: BSD-3-Clause
// A host's TCP and the kernel's across a link that loses packets.
#include "tests/support/lossy_link.hpp"

#include "fluxnet/runtime/host/ip_host.hpp"
#include "tests/e2e/host_transfer.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::uint64_t lossy_octets = 2 << 20;

/// Each way loses one of the first twenty packets, already at one of a hundred, for a receiver may send few acknowledgments;
/// but not one of the first eight, so that no handshake waits for seconds.
constexpr std::uint64_t loss_seed = 7;

/// Sends octets one way; the end that receives them has called.
task<void> exchange_with_loss(host_testbed& bed, bool v4, bool host_sends, proto::tcp::connection_info& known) {
    auto ends = co_await connect_both(bed, v4, !host_sends);
    scope both;
    if (host_sends) {
        both.spawn(send_octets(ends.first, lossy_octets));
        both.spawn(receive_octets(ends.second, lossy_octets));
    } else {
        both.spawn(send_octets(ends.second, lossy_octets));
        both.spawn(receive_octets(ends.first, lossy_octets));
    }
    const wait_result ended = co_await both.join();
    CHECK_FALSE(ended);
    known = ends.first.info();
}

void exchange_each_way(unsigned per_mille) {
    for (const bool v4 : {true, false}) {
        for (const bool host_sends : {true, false}) {
            CAPTURE(v4);
            CAPTURE(host_sends);
            host_testbed bed;
            const lossy_link link(bed.bed.peer(), testbed::ifindex(side::peer), {per_mille, per_mille, loss_seed});
            proto::tcp::connection_info known;
            run_and_clear(bed, exchange_with_loss(bed, v4, host_sends, known));
            const lossy_link::packets to_host = link.sent();
            const lossy_link::packets to_kernel = link.received();
            CAPTURE(to_host.seen);
            CAPTURE(to_kernel.seen);
            CHECK(to_host.lost != 0);
            CHECK(to_kernel.lost != 0);
            if (host_sends) { CHECK(known.resent != 0); }
        }
    }
}

}  // namespace

TEST_CASE("all octets pass between a host and the kernel though each way loses one packet of a hundred") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(lossy_link::why_not_available());
    exchange_each_way(10);
}

TEST_CASE("all octets pass between a host and the kernel though each way loses one packet of twenty") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(lossy_link::why_not_available());
    exchange_each_way(50);
}
