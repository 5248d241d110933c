// SPDX-License-Identifier: BSD-3-Clause
// Very many connections between two hosts on a simulated wire, in virtual time: one after another, and at once; what one
// costs that has nothing to do, and that they leave nothing behind.
#include "tests/runtime/host_connections_bed.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using host::tcp_listener;
using host::tcp_stream;

namespace {

/// What an idle connection takes at most, in its stack and by its stream, without the coroutine that waits there.
constexpr std::size_t most_idle_octets = 1024;
constexpr std::size_t fixed_octets = 8192;  // of tables, however few connections there are

/// Two hosts with room for so many connections, and a listener at the right one.
struct busy_hosts : virtual_wire {
    explicit busy_hosts(std::size_t connections) : busy_hosts(connections, roomy(1, connections)) {}
    busy_hosts(std::size_t connections, const host::host_options& caller)
        : virtual_wire(short_line()), left(open(end::left, caller)), right(open(end::right, roomy(2, connections))),
          door(right->listen({v4_of(2), 80}).value()) {}

    static wire_options short_line() {
        wire_options line;
        line.to_right.delay = line.to_left.delay = 50us;
        // No faster than a host takes frames: ten thousand of them may be on their way at once.
        line.to_right.bits_per_second = line.to_left.bits_per_second = 10'000'000'000;
        line.hash_traffic = false;
        return line;
    }
    static host::host_options roomy(std::uint8_t number, std::size_t connections) {
        host::host_options options = host_number(number);
        options.tcp.connections = connections;
        options.tcp.ranges = std::max(options.tcp.ranges, 2 * connections);
        return options;
    }

    /// Nothing is left of connections once no TIME-WAIT is waited for any more.
    void expect_nothing_left() {
        pass(2min);
        for (const auto* one : {&left, &right}) {
            CHECK(tcp_holdings(**one).sum() == 0);
            CHECK((*one)->counters().accounted() == (*one)->counters().frames);
        }
    }
    /// Ends the hosts, which keep a few frames to send; none is missing then.
    void expect_all_frames() {
        left.reset();
        right.reset();
        CHECK(frames_in_use(left_memory) == 0);
        CHECK(frames_in_use(right_memory) == 0);
    }

    std::optional<host::ip_host> left;
    std::optional<host::ip_host> right;
    tcp_listener door;
};

/// How a visit ends, by its number.
enum class visit_end { caller_closes, caller_resets, called_closes, caller_ends_its_half };

visit_end end_of(std::uint64_t number) noexcept {
    switch (number % 8) {
        case 5: return visit_end::caller_resets;
        case 6: return visit_end::called_closes;
        case 7: return visit_end::caller_ends_its_half;
        default: return visit_end::caller_closes;
    }
}

enum class visit { well, no_port, failed };

task<visit> pay_visit(busy_hosts& bed, std::uint64_t number) {
    auto made = co_await bed.left->connect(bed.door.local_endpoint());
    if (!made) { co_return made.error().code == std::errc::address_in_use ? visit::no_port : visit::failed; }
    tcp_stream peer = std::move(*made);
    const bool answered = co_await number_comes_back(peer, number);
    const visit_end how = end_of(number);
    if (how == visit_end::caller_resets) { peer.abort(); }
    if (how == visit_end::caller_ends_its_half) {
        const wait_result ended = co_await peer.shutdown_write();
        if (ended) { co_return visit::failed; }
    }
    if (how == visit_end::called_closes || how == visit_end::caller_ends_its_half) {
        few_octets more{};
        const std::error_code ended = co_await read_few(peer, more);
        if (ended != errc::end_of_stream) { co_return visit::failed; }
    }
    co_return answered ? visit::well : visit::failed;
}

/// Echoes to visitors, one after another, until the listener goes.
task<void> receive_visits(tcp_listener& door) {
    for (;;) {
        auto next = co_await door.accept();
        if (!next) { co_return; }
        tcp_stream peer = std::move(*next);
        const std::uint64_t number = co_await send_number_back(peer);
        if (end_of(number) == visit_end::called_closes) { continue; }
        few_octets more{};
        static_cast<void>(co_await read_few(peer, more));
    }
}

struct visits_paid {
    std::uint64_t well = 0;
    std::uint64_t no_port = 0;  // each of them was tried again a while later
};

/// Pays visits `from` to `to`.
visits_paid pay_visits(busy_hosts& bed, std::uint64_t from, std::uint64_t to) {
    visits_paid all;
    bed.loop.spawn([&]() -> task<void> {
        for (std::uint64_t number = from; number != to;) {
            const visit how = co_await pay_visit(bed, number);
            if (how == visit::no_port) {
                ++all.no_port;
                static_cast<void>(co_await sleep_for(100ms));
                continue;
            }
            all.well += how == visit::well ? 1U : 0U;
            ++number;
        }
    });
    bed.loop.run();
    return all;
}

/// Many connections that stay, and both ends of each.
struct staying {
    explicit staying(std::size_t size) : bed(size + 8) {
        near.reserve(size);
        far.reserve(size);
    }

    semaphore opening{64};  // fewer than a listener's backlog
    std::uint64_t answered = 0;
    busy_hosts bed;
    std::vector<tcp_stream> near;
    std::vector<tcp_stream> far;
};

task<void> open_one(staying& all, std::uint64_t number) {
    const wait_result admitted = co_await all.opening.acquire();
    auto made = co_await all.bed.left->connect(all.bed.door.local_endpoint());
    REQUIRE_MESSAGE((!admitted && made.has_value()), (made ? "" : made.error().message()));
    const bool so = co_await number_comes_back(*made, number);
    all.answered += so ? 1U : 0U;
    all.near.push_back(std::move(*made));
    all.opening.release();
}

task<void> answer_one(staying& all, tcp_stream peer) {
    static_cast<void>(co_await send_number_back(peer));
    all.far.push_back(std::move(peer));
}

task<void> open_all(staying& all, std::size_t size) {
    scope work;
    for (std::size_t i = 0; i != size; ++i) { work.spawn(open_one(all, i + 1)); }
    for (std::size_t i = 0; i != size; ++i) {
        auto next = co_await all.bed.door.accept();
        REQUIRE(next.has_value());
        work.spawn(answer_one(all, std::move(*next)));
    }
    static_cast<void>(co_await work.join());
}

task<void> answer_until_the_end(tcp_stream& peer) {
    for (;;) {
        const auto lent = co_await peer.read_borrowed();
        if (lent.ec) { co_return; }
        const io_result sent = co_await peer.write(lent.buffer.bytes());
        if (sent.ec) { co_return; }
    }
}

/// Has a number sent back on each connection, which then ends.
task<void> ask_all(staying& all) {
    for (std::size_t i = 0; i != all.near.size(); ++i) {
        const bool so = co_await number_comes_back(all.near[i], i + 1);
        all.answered += so ? 1U : 0U;
    }
    all.near.clear();
}

}  // namespace

TEST_CASE("50,000 connections of a host's one after another leave no memory, no frame and no place behind") {
    const std::uint64_t count = rounds(50'000, 10);
    busy_hosts bed(64);
    bed.loop.spawn_background(receive_visits(bed.door));
    CHECK(pay_visits(bed, 0, 100).well == 100);  // what is made once
    bed.expect_nothing_left();
    const allocation_watch watch;
    const visits_paid all = pay_visits(bed, 100, 100 + count);
    CHECK(all.well == count);
    CHECK(all.no_port == 0);
    bed.expect_nothing_left();
    CHECK(watch.outstanding() == 0);
    CHECK(bed.left->tcp()->count().connected == 100 + count);
    CHECK(bed.right->tcp()->count().accepted == 100 + count);
    bed.expect_all_frames();
}

TEST_CASE("a hundred ports of a host's serve thousands of connections, each in the TIME-WAIT of the one before it") {
    const std::uint64_t count = rounds(20'000, 10);
    host::host_options few_ports = busy_hosts::roomy(1, 64);
    few_ports.tcp.ports.first = 50'000;
    few_ports.tcp.ports.last = 50'099;
    busy_hosts bed(64, few_ports);
    bed.loop.spawn_background(receive_visits(bed.door));
    const auto begun = bed.clock.elapsed();
    const visits_paid all = pay_visits(bed, 0, count);
    CHECK(all.well == count);
    CHECK(all.no_port != 0);
    // Six of eight connections leave a TIME-WAIT here, whose port may be used again after a second
    // (proto::tcp::stack_options::reuse_after), and not only after the minute that it lasts.
    const std::chrono::duration<double> took = bed.clock.elapsed() - begun;
    CHECK(took.count() < static_cast<double>(count) / 100 * 2);
    CHECK(bed.right->tcp()->count().accepted == count);
    bed.expect_nothing_left();
    bed.expect_all_frames();
}

TEST_CASE("10,000 connections of a host's are open at once, each is served, and an idle one costs little memory") {
    constexpr std::size_t first = 128;
    const std::size_t count = rounds(10'000, 10);
    staying all(count + first);
    busy_hosts& bed = all.bed;
    const allocation_watch watch;
    bed.loop.spawn(open_all(all, first));  // what is made once
    bed.loop.run();
    const std::size_t heap_before = heap_octets();
    bed.loop.spawn(open_all(all, count));
    bed.loop.run();
    REQUIRE(all.far.size() == count + first);
    CHECK(all.answered == count + first);
    const std::size_t heap_of_streams = heap_octets() - heap_before;

    // A coroutine waits at each called end.
    for (tcp_stream& one : all.far) { bed.loop.spawn_background(answer_until_the_end(one)); }
    bed.pass(1s);
    const std::size_t heap_of_all = heap_octets() - heap_before;
    CHECK(tcp_holdings(*bed.right).sum() == count + first);  // connections, and nothing else
    CHECK(tcp_holdings(*bed.left).sum() == count + first);
    const auto sent_before = bed.right->counters().segments_sent + bed.left->counters().segments_sent;
    bed.pass(1h);
    CHECK(bed.right->counters().segments_sent + bed.left->counters().segments_sent == sent_before);  // nothing to say

    const std::size_t place = bed.right->tcp()->octets_per_connection();
    const std::size_t stream = heap_of_streams / (2 * count);
    const std::size_t waiting = (heap_of_all - heap_of_streams) / (count + first);
    MESSAGE("memory for each idle connection: ", place, " octets of its place in the stack and ", stream,
            " of its stream; ", waiting, " more for a coroutine that awaits read_borrowed() and echoes");
    if (!sanitized) { CHECK((place + stream) * count <= most_idle_octets * count + fixed_octets); }

    all.answered = 0;
    bed.loop.spawn(ask_all(all));
    bed.loop.run();
    CHECK(all.answered == count + first);
    bed.pass(1s);
    all.far.clear();
    bed.expect_nothing_left();
    CHECK(watch.outstanding() < 256);  // what is kept to be used again
    bed.expect_all_frames();
}
