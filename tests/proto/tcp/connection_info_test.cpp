// SPDX-License-Identifier: BSD-3-Clause
// What a connection tells about itself.
#include "fluxnet/proto/tcp/connection_info.hpp"

#include "tests/proto/tcp/script.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace tcp_test;

namespace {

/// Counts what it is told.
class counting_sink final : public tcp::trace_sink {
public:
    void told(const tcp::trace_entry& entry) noexcept override {
        ++counts[entry.what];
        last = entry;
    }
    std::map<tcp::trace_point, int> counts;
    tcp::trace_entry last;
};

}  // namespace

TEST_CASE("tcp info: a connection tells its windows, its round trips and what it has sent, and why again") {
    at_every_start([](start at) {
        script s(at);
        s.open(modern_peer(), 30'000);
        s.write(3 * 1448);
        s.came_out.clear();
        tcp::connection_info info = s.info();
        CHECK(info.state == tcp::state::established);
        CHECK(info.sack);
        CHECK(info.timestamps);
        CHECK(info.window_scaling);
        CHECK(info.segment == 1448);
        CHECK(info.in_flight == 3 * 1448);
        CHECK(info.send_window == 30'000);
        CHECK(info.congestion_window == 14'480);
        CHECK(info.smoothed_rtt == 10ms);
        CHECK(info.retransmission_timeout == 200ms);
        CHECK(info.sent_octets == 3 * 1448);
        CHECK(info.resent == 0);
        s.wait(20ms);
        CHECK(s.info().tail_probes == 1);
        CHECK(s.info().resent == 1);
        s.wait(300ms);
        CHECK(s.info().timeouts == 1);
        s.in({.ack = 1 + 3 * 1448, .data = 100});
        s.in({.seq = 501, .data = 50});
        info = s.info();
        CHECK(info.in_flight == 0);
        CHECK(info.received_octets == 100);
        CHECK(info.readable == 100);
        CHECK(info.beyond_gap == 50);
        CHECK(info.lost == 0);
        CHECK(info.sacked == 0);
        CHECK(info.unsent == 0);
    });
}

TEST_CASE("tcp info: the trace of decisions tells those that are made while it is on") {
    using enum tcp::trace_point;
    script s;
    s.open();
    counting_sink sink;
    s.c.trace_to(&sink);
    s.write(3 * 1460);
    CHECK(sink.counts[sent] == 3);
    CHECK(sink.last.value == s.own_initial + 1 + 2 * 1460);
    CHECK(sink.last.unacknowledged.value() == s.own_initial + 1);
    CHECK(sink.last.congestion_window == 14'600);
    s.wait(10ms);
    s.in({.options = s.sacks({{1461, 4381}})});
    s.wait(5ms);
    CHECK(sink.counts[lost] == 1);
    CHECK(sink.counts[recovery_began] == 1);
    CHECK(sink.counts[resent] == 1);
    s.in({.ack = 4381, .window = 0});
    CHECK(sink.counts[acknowledged] == 1);
    CHECK(sink.counts[recovery_ended] == 1);
    s.write(10);
    s.wait(1s);
    CHECK(sink.counts[window_closed] >= 1);
    CHECK(sink.counts[window_probe] >= 1);
    s.in({.flags = flag::rst, .seq = 100});
    CHECK(sink.counts[challenged] == 1);
    s.in({.seq = 0x4000'0000, .data = 10});
    CHECK(sink.counts[unacceptable] == 1);
    s.in({.ack = 100'000});
    CHECK(sink.counts[bad_acknowledgment] == 1);
    s.c.trace_to(nullptr);
    const auto before = sink.counts;
    s.does([&](tcp::connection& c) { c.abort(s.now); });
    CHECK(sink.counts == before);
}

TEST_CASE("tcp info: states, endings and decisions have names") {
    for (int i = 0; i <= int(tcp::state::time_wait); ++i) { CHECK(name(tcp::state(i)) != "unknown"); }
    for (int i = 0; i <= int(tcp::ending::aborted); ++i) { CHECK(name(tcp::ending(i)) != "unknown"); }
    for (int i = 0; i <= int(tcp::trace_point::segment_shrunk); ++i) { CHECK(name(tcp::trace_point(i)) != "unknown"); }
}
