// SPDX-License-Identifier: BSD-3-Clause
// The WebSocket of asio_embed: what its samples say, and viewers that are slow, rude, many, or gone.
#include "tests/e2e/feed_viewer.hpp"
#include "tests/e2e/http_process.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

http_process start_feed(const network_namespace& place, const std::vector<std::string>& more = {}) {
    return http_process(place, more, {FLUXNET_ASIO_EMBED});
}

/// Reads until the server counts so many viewers.
bool comes_to_viewers(feed_viewer& viewer, long long count) {
    const auto so_many = [&](const std::string& sample) { return number_at(sample, {"feed", "viewers"}) == count; };
    return !viewer.sample_where(so_many).empty();
}

}  // namespace

TEST_CASE("asio_embed's feed follows the kernel's ping, names why packets are dropped, and counts every frame") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const std::string address = bed.options().host_address;
    http_process server =
        start_feed(bed.host(), {"--interface", bed.name(side::host), "--host", address, "--interval", "0.01"});
    feed_viewer viewer(server);
    std::string sample = viewer.sample();
    CHECK(number_at(sample, {"replies", "icmp"}) == 0);
    CHECK_MESSAGE(contains(sample, "\"source\":\"" + bed.name(side::host) + ", native XDP, copy\""), sample);
    CHECK_FALSE(contains(sample, "udp_port_not_served"));
    for (long long pings = 1; pings <= 5; ++pings) {
        const finished ping = bed.run(side::peer, {"ping", "-c", "1", "-q", address}, 20s);
        CHECK_MESSAGE(ping.success(), ping.output);
        sample = viewer.sample_where([&](const std::string& each) { return number_at(each, {"replies", "icmp"}) == pings; });
        REQUIRE_FALSE(sample.empty());
        CHECK(number_at(sample, {"rx", "packets"}) >= pings);
        CHECK(number_at(sample, {"tx", "bytes"}) >= pings * 98);
    }
    const finished said = bed.run(side::peer, {"bash", "-c", "echo x >/dev/udp/" + address + "/9"}, 20s);
    CHECK_MESSAGE(said.success(), said.output);
    const auto not_served = [](const std::string& each) { return number_at(each, {"drops", "udp_port_not_served"}) == 1; };
    sample = viewer.sample_where(not_served);
    REQUIRE_FALSE(sample.empty());
    long long sum = 0;
    for (const char* const place : {"free", "fill", "rx", "tx", "completion", "user"}) {
        sum += number_at(sample, {"frames", place});
    }
    CHECK(sum == number_at(sample, {"frames", "all"}));
    for (const char* const ring : {"rx", "fill", "tx", "completion"}) {
        CAPTURE(ring);
        CHECK(number_at(sample, {"rings", ring, "size"}) == 2048);
        CHECK(number_at(sample, {"rings", ring, "used"}) <= 2048);
    }
    CHECK(number_at(sample, {"rings", "fill", "used"}) > 0);
    bed.delete_link();
    CHECK(viewer.close_code() == 1001);
    const auto ended = server.child().wait(20s);
    REQUIRE(ended.has_value());
    CHECK(ended->exit_code == 1);
    CHECK_MESSAGE(contains(server.child().output(), "stopped on " + bed.name(side::host)), server.child().output());
}

TEST_CASE("a viewer of asio_embed's feed that does not read misses samples, takes no memory, and goes on with the newest") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_feed(place, {"--interval", "0.001"});
    feed_viewer quick(server);
    REQUIRE_FALSE(quick.sample().empty());
    const long before = resident_kb(server);
    feed_viewer slow(server);
    const auto passed_over = [](const std::string& each) { return number_at(each, {"feed", "skipped"}) > 200; };
    const std::string late = quick.sample_where(passed_over);
    REQUIRE_FALSE(late.empty());
    CHECK(resident_kb(server) - before < growth_kb);
    // What is in the buffers of both kernels comes first; what follows is newer by all that was passed over.
    long long last = number_at(slow.sample(), {"feed", "frames"});
    long long widest = 0;
    const auto has_caught_up = [&](const std::string& each) {
        const long long number = number_at(each, {"feed", "frames"});
        CHECK(number > last);
        widest = std::max(widest, number - std::exchange(last, number));
        return number > number_at(late, {"feed", "frames"}) && each.front() == '{' && each.back() == '}';
    };
    CHECK_FALSE(slow.sample_where(has_caught_up).empty());
    CHECK(widest > 50);
    static_cast<void>(server.stop());
}

TEST_CASE("a viewer of asio_embed's feed that does not read does not keep the program from its end") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_feed(place, {"--interval", "0.001"});
    const feed_viewer slow(server);
    feed_viewer quick(server);
    const auto passed_over = [](const std::string& each) { return number_at(each, {"feed", "skipped"}) > 100; };
    REQUIRE_FALSE(quick.sample_where(passed_over).empty());
    CHECK(server.child().signal(2));
    CHECK(quick.close_code() == 1001);
    CHECK(refuses_soon(server));
    const auto ended = server.child().wait(20s);
    REQUIRE(ended.has_value());
    CHECK(ended->success());
    CHECK_MESSAGE(contains(server.child().output(), "census: frames 2048 sum 2048 user 0 exact\n"), server.child().output());
}

TEST_CASE("many view asio_embed's feed at once, and nobody notices when one goes away, however that is") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_feed(place, {"--interval", "0.01"});
    feed_viewer stays(server);
    {
        std::vector<feed_viewer> others;
        for (int i = 0; i < 30; ++i) { others.emplace_back(server); }
        CHECK(comes_to_viewers(stays, 31));
        for (feed_viewer& each : others) { CHECK(number_at(each.sample(), {"frames", "all"}) == 2048); }
    }
    CHECK(comes_to_viewers(stays, 1));
    feed_viewer polite(server);
    CHECK(comes_to_viewers(stays, 2));
    CHECK(polite.send(feed_viewer::kind::close, std::string("\x03\xe8", 2)));
    CHECK(polite.close_code() == 1000);
    CHECK(comes_to_viewers(stays, 1));
    CHECK(contains(server.stop(), " viewers 32 "));
}

TEST_CASE("asio_embed passes over what a viewer says, and ends one that breaks the rules") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_feed(place, {"--interval", "0.01"});
    feed_viewer talks(server);
    for (int i = 0; i < 100; ++i) { CHECK(talks.send(feed_viewer::kind::text, std::string(1000, 'x'))); }
    CHECK(talks.send(feed_viewer::kind::ping, "there?"));
    bool answered = false;
    while (!answered) {
        const auto got = talks.next();
        REQUIRE(got.has_value());
        answered = got->what == feed_viewer::kind::pong && got->bytes == "there?";
    }
    feed_viewer unmasked(server);
    CHECK(unmasked.send(feed_viewer::kind::text, "x", false));
    CHECK(unmasked.close_code() == 1002);
    feed_viewer long_winded(server);
    CHECK(long_winded.send(feed_viewer::kind::text, std::string(2000, 'x')));
    CHECK(long_winded.close_code() == 1009);
    CHECK(comes_to_viewers(talks, 1));
    static_cast<void>(server.stop());
}
