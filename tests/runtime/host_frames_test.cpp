// SPDX-License-Identifier: BSD-3-Clause
// What an ip_host does when it is short of frames to send, or of memory: who gets them, and what ends when there are none any
// more. On a simulated wire, in virtual time.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "tests/runtime/host_streams.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;
using end = simulated_wire::end;

namespace {

/// Sends datagrams for as long as that goes well and `over` is not set.
task<void> send_on(host::udp_endpoint& from, proto::ip_endpoint to, const bool& over, std::error_code& ended) {
    const frame_bytes bytes = counting(10);
    while (!over) {
        const io_result sent = co_await from.send_to(bytes, to);
        ended = sent.ec;
        if (ended) { co_return; }
    }
}

/// The completions at the left end stop after ten seconds.
[[nodiscard]] wire_options forgetful_driver() {
    wire_options options;
    options.to_right.completions_end = 10s;
    return options;
}

}  // namespace

TEST_CASE("a host whose frames do not come back ends with completions_missing, and what waits there, too") {
    two_hosts bed(forgetful_driver());
    auto ends = joined(bed);
    auto idle = joined(bed);
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    bed.pass(11s);
    CHECK_FALSE(bed.left.failure());
    io_result sent;
    io_result got;
    std::error_code ended;
    error why;
    const bool never = false;
    bed.loop.spawn(write_and_note(ends.near, 1'000'000, sent));
    bed.loop.spawn(note_read(idle.near, got));
    bed.loop.spawn(send_on(near, {v4_of(2), 9}, never, ended));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1s));
        const proto::ip_endpoint to(v4_of(2), 80);
        auto made = co_await bed.left.connect(to);
        REQUIRE_FALSE(made.has_value());
        why = std::move(made).error();
    });
    bed.loop.run();
    CHECK(bed.clock.elapsed() >= 16s);
    CHECK(bed.clock.elapsed() < 17s);
    CHECK(bed.left.failure() == errc::completions_missing);
    CHECK(sent.ec == errc::completions_missing);
    CHECK(got.ec == errc::completions_missing);
    CHECK(ended == errc::completions_missing);
    CHECK(why.code == errc::completions_missing);
    CHECK_FALSE(bed.right.failure());
}

TEST_CASE("a stream whose octets find no frame ends with timed_out where a host waits for frames without a limit") {
    virtual_wire bed(forgetful_driver());
    auto sockets = open_async(bed.loop, bed.socket_on(end::left)).value();
    sockets.tx.set_completion_limit(std::chrono::hours(1));
    auto left = host::ip_host::open(bed.loop, std::move(sockets.rx), std::move(sockets.tx), host_number(1)).value();
    auto right = bed.open(end::right, host_number(2));
    tcp_ends ends;
    bed.loop.spawn(join_hosts(left, right, v4_of(2), ends));
    bed.loop.run();
    bed.pass(11s);
    io_result sent;
    bed.loop.spawn(write_and_note(ends.near, 1'000'000, sent));
    bed.loop.run();
    CHECK(sent.ec == std::errc::timed_out);
    CHECK(bed.clock.elapsed() > 2min);
    CHECK(bed.clock.elapsed() < 5min);
    CHECK_FALSE(left.failure());
}

TEST_CASE("a host whose interface has gone ends with interface_gone when it sends") {
    two_hosts bed;
    auto ends = joined(bed);
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    bed.wire.set_link(end::left, wire_link::gone);
    io_result got;
    std::error_code ended;
    const bool never = false;
    bed.loop.spawn(note_read(ends.near, got));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        const proto::ip_endpoint to(v4_of(2), 9);
        co_await send_on(near, to, never, ended);
    });
    bed.loop.run();
    CHECK(got.ec == errc::interface_gone);
    CHECK(ended == errc::interface_gone);
    CHECK(bed.left.failure() == errc::interface_gone);
    CHECK(bed.clock.elapsed() < 1min);
}

TEST_CASE("datagrams without end leave frames to TCP and to the questions for neighbours") {
    wire_options slow;
    slow.to_right.withheld = 1;
    slow.to_right.withheld_for = 10ms;
    two_hosts bed(slow);
    auto ends = joined(bed);
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    bool over = false;
    bool lost = false;
    std::array<std::error_code, 100> ended;
    std::error_code silent;
    io_result written;
    bed.loop.spawn([&]() -> task<void> {
        scope flood;
        for (std::error_code& one : ended) { flood.spawn(send_on(near, {v4_of(2), 9}, over, one)); }
        static_cast<void>(co_await sleep_for(1s));
        scope work;
        work.spawn(write_and_note(ends.near, 100'000, written));
        work.spawn(read_exactly(ends.far, 100'000));
        work.spawn(send_on(near, {v4_of(99), 9}, over, silent));
        const auto limit = [&]() -> task<void> {
            const wait_result waited = co_await sleep_for(10s);
            lost = !waited;
            over = true;
            ends.near.abort();
            ends.far.abort();
        };
        scope clock;
        clock.spawn(limit());
        static_cast<void>(co_await work.join());
        over = true;
        clock.request_stop();
        static_cast<void>(co_await clock.join());
        static_cast<void>(co_await flood.join());
    });
    bed.loop.run();
    CHECK_FALSE(lost);
    CHECK(written.n == 100'000);
    CHECK(silent == std::errc::host_unreachable);
    CHECK(bed.left.counters().sent > 1000);
}

TEST_CASE("TCP without end leaves frames to datagrams") {
    wire_options slow;
    slow.to_right.withheld = 1;
    slow.to_right.withheld_for = 10ms;
    two_hosts bed(slow);
    std::vector<tcp_ends> all;
    for (int i = 0; i != 8; ++i) { all.push_back(joined(bed)); }
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    std::size_t sent = 0;
    std::vector<io_result> written(all.size());
    for (std::size_t i = 0; i != all.size(); ++i) {
        bed.loop.spawn(write_and_note(all[i].near, 1'000'000, written[i]));
        bed.loop.spawn(read_exactly(all[i].far, 1'000'000));
    }
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(10);
        const proto::ip_endpoint to(v4_of(2), 9);
        static_cast<void>(co_await sleep_for(100ms));
        const auto begun = bed.clock.elapsed();
        for (; sent != 100 && bed.clock.elapsed() - begun < 5s; ++sent) {
            const io_result one = co_await near.send_to(bytes, to);
            CHECK_FALSE(one.ec);
        }
    });
    bed.loop.run();
    CHECK(sent == 100);
    for (const io_result& one : written) { CHECK(one.n == 1'000'000); }
}

TEST_CASE("a host that goes resets more streams than it has frames") {
    mortal_hosts bed;
    std::vector<tcp_ends> all;
    for (int i = 0; i != 100; ++i) { all.push_back(joined(bed)); }
    std::vector<io_result> written(8);
    for (std::size_t i = 0; i != written.size(); ++i) {
        bed.loop.spawn_background(write_and_note(all[i].near, 100'000, written[i]));
    }
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        bed.left.reset();
        static_cast<void>(co_await sleep_for(1ms));
    });
    bed.loop.run();
    for (auto& ends : all) { CHECK(ends.far.info().ending == proto::tcp::ending::reset); }
    CHECK(bed.frames_are_home(end::left));
}

TEST_CASE("a host that goes resets its streams before it sends what closed ones have left") {
    mortal_hosts bed;
    std::vector<tcp_ends> all;
    constexpr std::size_t closed = 8;
    for (std::size_t i = 0; i != closed + 4; ++i) { all.push_back(joined(bed)); }
    bed.loop.spawn([&]() -> task<void> {
        for (std::size_t i = 0; i != closed; ++i) {
            io_result written;
            co_await write_and_note(all[i].near, 200'000, written);
            all[i].near.close();
        }
        bed.left.reset();
        static_cast<void>(co_await sleep_for(1ms));
    });
    bed.loop.run();
    for (const tcp_ends& ends : all) { CHECK(ends.far.info().ending == proto::tcp::ending::reset); }
}

TEST_CASE("a write that waits for memory goes on when the copies that its end has received are lent") {
    host::host_options poor = host_number(1);
    poor.tcp.buffers_per_connection = 8;
    virtual_wire bed;
    auto left = bed.open(end::left, poor);
    auto right = bed.open(end::right, host_number(2));
    std::vector<tcp_ends> all(10);
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes segment = counting(1000);
        for (tcp_ends& one : all) {
            co_await join_hosts(left, right, v4_of(2), one);
            one.far.set_no_delay(true);
            for (int i = 0; i != 7; ++i) {  // the frames that TCP may keep are spent on the first nine
                const io_result sent = co_await one.far.write(segment);
                CHECK(sent.n == 1000);
                static_cast<void>(co_await sleep_for(1ms));
            }
        }
        io_result written;
        scope writing;
        writing.spawn(write_and_note(all.back().near, 100, written));
        static_cast<void>(co_await sleep_for(1s));
        CHECK(written.n == 0);
        std::vector<host::tcp_buffer> lent;
        for (int i = 0; i != 7; ++i) {
            auto got = co_await all.back().near.read_borrowed();
            REQUIRE_FALSE(got.ec);
            lent.push_back(std::move(got.buffer));
        }
        static_cast<void>(co_await writing.join());
        CHECK(written.n == 100);
    });
    bed.loop.run();
}

TEST_CASE("a write that finds no range looks again now and then, and goes on when there is one") {
    host::host_options poor = host_number(1);
    poor.tcp.ranges = 64;  // too few to keep some for each connection
    virtual_wire bed;
    auto left = bed.open(end::left, poor);
    auto right = bed.open(end::right, host_number(2));
    std::vector<tcp_ends> all(61);
    io_result written;
    bed.loop.spawn([&]() -> task<void> {
        for (tcp_ends& one : all) { co_await join_hosts(left, right, v4_of(2), one); }
        for (std::size_t i = 1; i != all.size(); ++i) {  // so few octets that they take no buffer, whose return would be news
            io_result sent;
            co_await write_and_note(all[i].far, 5, sent);
        }
        static_cast<void>(co_await sleep_for(1s));
        CHECK(left.tcp()->ranges() == 60);
        CHECK(left.tcp()->buffers() == 0);
        scope writing;
        writing.spawn(write_and_note(all[0].near, 100, written));
        const std::uint64_t before = bed.loop.turns();
        static_cast<void>(co_await sleep_for(2s));
        CHECK(written.n == 0);
        CHECK(bed.loop.turns() - before < 500);
        for (std::size_t i = 1; i != all.size(); ++i) { co_await read_exactly(all[i].near, 5); }
        static_cast<void>(co_await writing.join());
        CHECK(written.n == 100);
    });
    bed.loop.run();
}
