// SPDX-License-Identifier: BSD-3-Clause
// How fast one connection is on a line of 1 Gbit/s that loses or reorders segments, in virtual time, and by which means
// losses are mended.
#include "tests/proto/tcp/pair.hpp"

#include "tests/support/skip.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

using namespace tcp_test;

namespace {

struct outcome {
    double octets_a_second = 0;
    tcp::connection_info sender;
};

/// Sends for `length` after `settling`, and counts what has arrived in that time.
outcome measure(pair& wire, std::chrono::nanoseconds settling, std::chrono::nanoseconds length) {
    wire.connect();
    wire.a.to_write = pattern(50'000'000);
    std::size_t received = 0;
    const auto go_on = [&](time_point until) {
        while (wire.now < until && wire.step()) {
            if (wire.a.written == wire.a.to_write.size()) {
                wire.a.written = 0;
                wire.flush();
            }
            received += wire.b.received.size();
            wire.b.received.clear();
        }
    };
    go_on(wire.now + settling);
    received = 0;
    const auto begun = wire.now;
    go_on(begun + length);
    outcome told{static_cast<double>(received) / std::chrono::duration<double>(wire.now - begun).count(), wire.a.c->info()};
    if (std::getenv("FLUXNET_TEST_FIGURES") != nullptr) {
        std::printf("%.3f MB/s; resent %u timeouts %u recoveries %u probes %u spurious %u duplicates %u; %s\n",
                    told.octets_a_second / 1e6, told.sender.resent, told.sender.timeouts, told.sender.fast_recoveries,
                    told.sender.tail_probes, told.sender.spurious, wire.b.c->info().duplicates_received, wire.describe().c_str());
    }
    return told;
}


tcp::connection_options large(tcp::congestion_algorithm algorithm) {
    tcp::connection_options options;
    options.send_limit = options.receive_limit = 32 * 1024 * 1024;
    options.congestion = algorithm;
    return options;
}

void set_line(pair& wire, std::chrono::nanoseconds round_trip) {
    for (end* one : {&wire.a, &wire.b}) {
        one->out.delay = round_trip / 2;
        one->out.bits_per_second = 1'000'000'000;
        one->out.queue = 16 * 1024 * 1024;
    }
}

constexpr double full_line = 1e9 / 8 * 1448 / (1448 + 32 + 20 + 38);

/// Seconds of traffic: the scripts of stack_script_test show a sanitizer more of the same code in less time.
std::optional<std::string> why_not_sanitized() {
    return fluxnet::test::sanitized ? std::optional<std::string>("a sanitizer has nothing to find in a rate") : std::nullopt;
}

}  // namespace

TEST_CASE("with 1 % of the segments lost at random a connection is as fast as the response function says, and RACK mends the losses") {
    for (const auto algorithm : {tcp::congestion_algorithm::cubic, tcp::congestion_algorithm::new_reno}) {
        for (const std::chrono::nanoseconds round_trip : {10ms, 100ms}) {
            if (round_trip == 100ms && !fluxnet::test::full_scale()) { continue; }
            CAPTURE(round_trip.count());
            pair wire(7, large(algorithm), large(algorithm));
            set_line(wire, round_trip);
            wire.a.out.loss = 0.01;
            const outcome got = measure(wire, 20 * round_trip, 2000 * round_trip);
            // Reno's window, 1.2 / sqrt(p) segments, is above CUBIC's own at this loss (RFC 9438 sections 4.3 and 5.1); with
            // an ACK for each second segment lost together with others it is somewhat less.
            const double window = 1.2 / std::sqrt(0.01) * 1448;
            const double expected = window / std::chrono::duration<double>(round_trip).count();
            if (std::getenv("FLUXNET_TEST_FIGURES") != nullptr) { std::printf("expected %.3f MB/s\n", expected / 1e6); }
            CHECK(got.octets_a_second >= 0.75 * expected);
            CHECK(got.octets_a_second <= 1.5 * expected);
            // A time-out is due where a segment is lost again after it was sent again, and the probe for it.
            CHECK(got.sender.timeouts * 50 <= got.sender.fast_recoveries);
        }
    }
}

TEST_CASE("a slow start that overshoots a line by thousands of segments is mended without a time-out") {
    FLUXNET_SKIP_IF(why_not_sanitized());
    const tcp::connection_options options = large(tcp::congestion_algorithm::cubic);
    pair wire(7, options, options);
    set_line(wire, 40ms);
    wire.a.out.queue = wire.b.out.queue = 4 * 1024 * 1024;  // as much as the line has in a round trip
    const outcome got = measure(wire, 1s, 1s);
    CHECK(got.octets_a_second >= 0.9 * full_line);
    CHECK(got.sender.resent > 1000);
    CHECK(got.sender.timeouts == 0);
}

TEST_CASE("with 1 in 100 segments late a line is filled, whether they are late by less than a quarter of the round trip or more") {
    FLUXNET_SKIP_IF(why_not_sanitized());
    for (const std::chrono::nanoseconds round_trip : {10ms, 100ms}) {
        if (round_trip == 100ms && !fluxnet::test::full_scale()) { continue; }  // a gigabyte
        for (const auto late_by : {round_trip / 50, round_trip / 8, round_trip / 2}) {
            if (late_by != round_trip / 8 && !fluxnet::test::full_scale()) { continue; }
            CAPTURE(round_trip.count());
            CAPTURE(late_by.count());
            tcp::connection_options options = large(tcp::congestion_algorithm::cubic);
            options.send_limit = options.receive_limit = (round_trip == 10ms ? 12 : 24) * 1024 * 1024;  // the queue has room
            pair wire(7, options, options);
            set_line(wire, round_trip);
            wire.a.out.late = 0.01;
            wire.a.out.late_by = late_by;
            const outcome got = measure(wire, 30 * round_trip, fluxnet::test::full_scale() ? 3s : 300ms);
            CHECK(got.octets_a_second >= 0.9 * full_line);
            CHECK(got.sender.timeouts == 0);
        }
    }
}
