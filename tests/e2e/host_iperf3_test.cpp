// SPDX-License-Identifier: BSD-3-Clause
// The iperf3 of others on the kernel's TCP, as the client of a host: a server of one test at a time, which speaks as much of
// its protocol as the client asks for.
//
// The client opens a control connection, and on each connection sends 37 octets that name the test. On the control
// connection the server names states by an octet each, and both send JSON behind its length. Source: what iperf3 3.12 says
// on the wire.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/e2e/host_transfer.hpp"
#include "tests/support/programs.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

enum class iperf_state : std::uint8_t {
    test_start = 1,
    test_running = 2,
    test_end = 4,
    parameter_exchange = 9,
    create_streams = 10,
    exchange_results = 13,
    display_results = 14,
    done = 16,
};

constexpr std::size_t iperf_cookie = 37;

task<void> read_exactly(host::tcp_stream& from, std::span<std::byte> into) {
    while (!into.empty()) {
        const io_result got = co_await from.read(into);
        REQUIRE_MESSAGE(!got.ec, got.ec.message());
        into = into.subspan(got.n);
    }
}

task<void> say(host::tcp_stream& to, iperf_state state) {
    const std::array<std::byte, 1> octet{static_cast<std::byte>(state)};
    const io_result sent = co_await to.write(octet);
    CHECK_FALSE(sent.ec);
}

task<void> hear(host::tcp_stream& from, iperf_state state) {
    std::array<std::byte, 1> octet{};
    co_await read_exactly(from, octet);
    CHECK(octet[0] == static_cast<std::byte>(state));
}

task<std::string> read_json(host::tcp_stream& from) {
    std::array<std::byte, 4> length{};
    co_await read_exactly(from, length);
    std::size_t size = 0;
    for (const std::byte octet : length) { size = size << 8 | std::to_integer<std::size_t>(octet); }
    REQUIRE(size < 100'000);
    std::string text(size, ' ');
    co_await read_exactly(from, std::as_writable_bytes(std::span(text)));
    co_return text;
}

task<void> write_json(host::tcp_stream& to, const std::string& text) {
    std::string framed(4, '\0');
    for (std::size_t i = 0; i != 4; ++i) { framed[i] = static_cast<char>(text.size() >> (24 - 8 * i)); }
    framed += text;
    const io_result sent = co_await to.write(std::as_bytes(std::span(framed)));
    CHECK_FALSE(sent.ec);
}

/// The numbers that have this name, in the order in which they stand.
std::vector<std::uint64_t> numbers_named(const std::string& json, const std::string& name) {
    std::vector<std::uint64_t> numbers;
    const std::string key = '"' + name + "\":";
    for (std::size_t at = json.find(key); at != std::string::npos; at = json.find(key, at + 1)) {
        numbers.push_back(std::stoull(json.substr(at + key.size())));
    }
    return numbers;
}

struct iperf_stream {
    host::tcp_stream peer;
    std::uint64_t octets = 0;
};

task<void> count_octets(iperf_stream& one) {
    std::vector<std::byte> room(most_octets);
    for (;;) {
        const io_result got = co_await one.peer.read(room);
        one.octets += got.n;
        if (got.ec) { co_return; }
    }
}

task<void> send_until_stopped(iperf_stream& one) {
    for (;;) {
        const io_result sent = co_await one.peer.write(octets_from(0, most_octets));
        one.octets += sent.n;
        if (sent.ec) { co_return; }
    }
}

/// The results of the server: of the streams that the client has named, in its order.
std::string results_of(const std::list<iperf_stream>& streams, const std::string& told_by_client) {
    std::string json = R"({"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,"sender_has_retransmits":0,"streams":[)";
    const std::vector<std::uint64_t> ids = numbers_named(told_by_client, "id");
    REQUIRE(ids.size() == streams.size());
    auto id = ids.begin();
    for (const iperf_stream& one : streams) {
        if (id != ids.begin()) { json += ','; }
        json += R"({"id":)" + std::to_string(*id++) + R"(,"bytes":)" + std::to_string(one.octets) +
                R"(,"retransmits":0,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1})";
    }
    return json + "]}";
}

struct iperf_test {
    std::size_t parallel = 1;
    bool host_sends = false;
    std::uint64_t counted = 0;  // the octets of all streams
};

/// Serves one test.
task<void> serve_iperf(host::tcp_listener& door, iperf_test& test) {
    auto first = co_await door.accept();
    host::tcp_stream control = std::move(first).value();
    std::array<std::byte, iperf_cookie> cookie{};
    co_await read_exactly(control, cookie);
    co_await say(control, iperf_state::parameter_exchange);
    const std::string parameters = co_await read_json(control);
    CHECK_MESSAGE(parameters.find(R"("tcp":true)") != std::string::npos, parameters);
    co_await say(control, iperf_state::create_streams);

    std::list<iperf_stream> streams;
    for (std::size_t i = 0; i != test.parallel; ++i) {
        auto next = co_await door.accept();
        streams.push_back({std::move(next).value()});
        std::array<std::byte, iperf_cookie> same{};
        co_await read_exactly(streams.back().peer, same);
        CHECK(same == cookie);
    }
    co_await say(control, iperf_state::test_start);
    co_await say(control, iperf_state::test_running);
    scope running;
    for (iperf_stream& one : streams) { running.spawn(test.host_sends ? send_until_stopped(one) : count_octets(one)); }
    co_await hear(control, iperf_state::test_end);

    co_await say(control, iperf_state::exchange_results);
    const std::string told = co_await read_json(control);
    const std::vector<std::uint64_t> bytes = numbers_named(told, "bytes");
    REQUIRE_MESSAGE(bytes.size() == test.parallel, told);
    if (!test.host_sends) {  // the rest is under way
        const auto is_behind = [&] { return !std::ranges::equal(bytes, streams, {}, {}, &iperf_stream::octets); };
        const fluxnet::test::deadline limit = 30s;
        while (is_behind() && !limit.passed()) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK_FALSE(is_behind());
    }
    running.request_stop();
    static_cast<void>(co_await running.join());
    for (const iperf_stream& one : streams) { test.counted += one.octets; }
    const std::string results = results_of(streams, told);
    co_await write_json(control, results);
    co_await say(control, iperf_state::display_results);
    co_await hear(control, iperf_state::done);
}

}  // namespace

TEST_CASE("iperf3 on the kernel's TCP sends to a host and receives from it, over one stream and over several") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"iperf3"}));
    host_testbed bed;
    for (const bool v4 : {true, false}) {
        for (const bool host_sends : {false, true}) {
            for (const std::size_t parallel : {1U, 4U}) {
                CAPTURE(v4);
                CAPTURE(host_sends);
                CAPTURE(parallel);
                iperf_test test{parallel, host_sends};
                host::tcp_listener door = bed.here->listen({ip(host_text(v4)), 5201}).value();
                bed.loop.spawn(serve_iperf(door, test));
                std::vector<std::string> line{"iperf3", "--client",   host_text(v4),           "--bytes",
                                              "8M",     "--parallel", std::to_string(parallel)};
                if (host_sends) { line.push_back("--reverse"); }
                const std::string said = bed.run_at_peer(line);
                CHECK_MESSAGE(said.find("iperf Done.") != std::string::npos, said);
                CHECK(test.counted >= 8U << 20);
                bed.loop.spawn(wait_until_nothing_is_kept(bed));
                bed.loop.run();
            }
        }
    }
}
