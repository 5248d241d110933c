// SPDX-License-Identifier: BSD-3-Clause
// TCP of an ip_host beyond what all streams promise: how a connection begins and ends, whom it tells, and what it costs. On a
// simulated wire, in virtual time.
#include "fluxnet/runtime/host/tcp_stream.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"
#include "tests/runtime/host_streams.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;
using host::tcp_listener;
using host::tcp_options;
using host::tcp_stream;

namespace {

task<void> connect_and_note(host::ip_host& from, proto::ip_endpoint to, tcp_options options, error& why) {
    auto made = co_await from.connect(to, options);
    if (!made) { why = std::move(made).error(); }
}

[[nodiscard]] error refusal_of(virtual_wire& bed, host::ip_host& from, proto::ip_endpoint to, tcp_options options = {}) {
    error why;
    bed.loop.spawn(connect_and_note(from, to, options, why));
    bed.loop.run();
    return why;
}

[[nodiscard]] std::uint64_t dropped_by_tcp(const host::ip_host& at, proto::reason why) {
    return at.tcp()->count().dropped_for(why);
}

}  // namespace

// Opening

TEST_CASE("a connect that fails says to whom, why and what to do") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        const proto::ip_endpoint nobody{address_of(v4, 2), 9};
        const error refused = refusal_of(bed, bed.left, nobody);
        CHECK(refused.code == std::errc::connection_refused);
        CHECK(refused.step == "connect to " + nobody.to_string());

        const auto begun = bed.clock.elapsed();
        CHECK(refusal_of(bed, bed.left, {address_of(v4, 9), 80}).code == std::errc::host_unreachable);
        CHECK(bed.clock.elapsed() - begun < 10s);  // told by the neighbour table, not by TCP's patience
    }
    const error nowhere = refusal_of(bed, bed.left, {proto::ipv4_address(198, 51, 100, 1), 80});
    CHECK(nowhere.code == std::errc::network_unreachable);
    CHECK(nowhere.remedy.find("gateways") != std::string::npos);
    for (const proto::ip_address& no_host :
         {proto::ip_address(proto::ipv4_address(192, 0, 2, 255)), proto::ip_address(proto::ipv4_address(224, 0, 0, 1)),
          proto::ip_address(proto::ipv4_address()), proto::ip_address(proto::ipv6_address::all_nodes())}) {
        CHECK(refusal_of(bed, bed.left, {no_host, 80}).code == std::errc::invalid_argument);
    }
    CHECK(refusal_of(bed, bed.left, {v4_of(2), 0}).code == std::errc::invalid_argument);
    tcp_options wrong;
    wrong.from = proto::ip_endpoint{v6_of(1), 0};
    CHECK(refusal_of(bed, bed.left, {v4_of(2), 80}, wrong).code == std::errc::address_family_not_supported);
    wrong.from = proto::ip_endpoint{v4_of(7), 0};
    CHECK(refusal_of(bed, bed.left, {v4_of(2), 80}, wrong).code == std::errc::address_not_available);
    CHECK(bed.left.tcp()->connections() == 0);
}

TEST_CASE("a connect to a station that never answers ends with timed_out, and no sooner than RFC 1122 section 4.2.3.5 wants") {
    host_and_station bed(knowing_the_station());
    CHECK(refusal_of(bed, bed.here, {v4_of(2), 80}).code == std::errc::timed_out);
    CHECK(bed.clock.elapsed() >= 3min);
    CHECK(bed.here.tcp()->connections() == 0);
}

TEST_CASE("a connect goes from the address and the port that it is asked for, which another one cannot have") {
    two_hosts bed;
    tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
    bed.loop.spawn([&]() -> task<void> {
        tcp_options from;
        from.from = proto::ip_endpoint{v4_of(1), 4000};
        auto first = co_await bed.left.connect(door.local_endpoint(), from);
        REQUIRE(first.has_value());
        CHECK(first->local_endpoint() == *from.from);
        CHECK(first->remote_endpoint() == door.local_endpoint());
        const auto second = co_await bed.left.connect(door.local_endpoint(), from);
        REQUIRE_FALSE(second.has_value());
        CHECK(second.error().code == std::errc::address_in_use);
        from.from->port = 0;
        const auto third = co_await bed.left.connect(door.local_endpoint(), from);
        CHECK(third.has_value());
    });
    bed.loop.run();
}

TEST_CASE("a connect to a neighbour whom nobody knows takes no time but the wire's") {
    two_hosts bed;
    auto ends = joined(bed);
    CHECK(bed.clock.elapsed() == 0ms);
    CHECK(bed.left.counters().questions_sent == 1);
}

TEST_CASE("a connect waits for the own address that is being probed") {
    host::host_options probing = host_number(1);
    probing.probe_addresses = true;
    struct bed_type : virtual_wire {
        explicit bed_type(const host::host_options& options) : left(open(end::left, options)) {}
        host::ip_host left;
        host::ip_host right = open(end::right, host_number(2));
    } bed(probing);
    tcp_listener door = bed.right.listen({proto::ipv6_address(), 80}).value();
    for (const bool v4 : {true, false}) {
        bool connected = false;
        bed.loop.spawn([&]() -> task<void> {
            const proto::ip_endpoint to(address_of(v4, 2), 80);
            auto made = co_await bed.left.connect(to);
            connected = made.has_value();
        });
        bed.loop.run();
        CHECK(connected);
        CHECK(bed.left.owns(address_of(v4, 1)));
    }
    CHECK(bed.clock.elapsed() < 10s);  // the first segment went when the address was there
}

TEST_CASE("a connect that is cancelled leaves nothing, whether the peer has answered or not") {
    wire_options slow;
    slow.to_right.delay = slow.to_left.delay = 20ms;
    struct bed_type : virtual_wire {
        explicit bed_type(const wire_options& options) : virtual_wire(options) {}
        host::ip_host left = open(end::left, host_that_knows(1, 2));
        host::ip_host right = open(end::right, host_that_knows(2, 1));
    };
    for (const bool answered : {false, true}) {
        bed_type bed(slow);
        tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
        bed.loop.spawn([&]() -> task<void> {
            const auto tried = co_await timeout(answered ? 30ms : 10ms, bed.left.connect(door.local_endpoint()));
            CHECK(bed.right.counters().segments_sent == (answered ? 1 : 0));
            CHECK(tried.expired);
            REQUIRE_FALSE(tried.value.has_value());
            CHECK(tried.value.error().code == errc::operation_canceled);
        });
        bed.loop.run();
        bed.pass(1s);
        CHECK(bed.left.tcp()->connections() == 0);
        CHECK(bed.right.tcp()->connections() == 0);
    }
}

TEST_CASE("a segment that no connection is meant by is answered by a reset, also where nothing was ever opened") {
    host_and_station bed(knowing_the_station());
    proto::tcp_repr syn;
    syn.source_port = 4000;
    syn.destination_port = 80;
    syn.sequence = 1000;
    syn.flags = proto::tcp_flag::syn;
    const frame_bytes asked = tcp_frame(station_to_host, syn);
    const auto answers = bed.ask(asked);
    REQUIRE(answers.size() == 1);
    const auto reset = tcp_in(answers[0]);
    CHECK(reset.flags() == (proto::tcp_flag::rst | proto::tcp_flag::ack));
    CHECK(reset.acknowledgment() == 1001);
    CHECK(dropped_by_tcp(bed.here, proto::reason::tcp_not_connected) == 1);
    CHECK(bed.here.counters().segments == 1);
    CHECK(bed.here.counters().accounted() == bed.here.counters().frames);
}

// Listening

TEST_CASE("a listener has its address and port to itself, and they are free when it has gone") {
    two_hosts bed;
    auto door = std::make_optional(bed.right.listen({v4_of(2), 80}).value());
    const auto again = bed.right.listen({v4_of(2), 80});
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().code == std::errc::address_in_use);
    CHECK(again.error().step == "listen at 192.0.2.2:80");
    const auto elsewhere = bed.right.listen({v4_of(9), 80});
    REQUIRE_FALSE(elsewhere.has_value());
    CHECK(elsewhere.error().code == std::errc::address_not_available);
    CHECK(bed.right.listen({v6_of(2), 80}).has_value());
    door.reset();
    CHECK(bed.right.listen({v4_of(2), 80}).has_value());
    const tcp_listener chosen = bed.right.listen({v4_of(2), 0}).value();
    CHECK(chosen.local_endpoint().port >= 49152);
}

TEST_CASE("a listener at [::] takes connections of both versions, one at 0.0.0.0 those of IPv4") {
    two_hosts bed;
    for (const bool both : {true, false}) {
        const proto::ip_address any = both ? proto::ip_address(proto::ipv6_address()) : proto::ip_address(proto::ipv4_address());
        tcp_listener door = bed.right.listen({any, 80}).value();
        bed.loop.spawn([&]() -> task<void> {
            for (const bool v4 : {true, false}) {
                const proto::ip_endpoint to(address_of(v4, 2), 80);
                auto made = co_await bed.left.connect(to);
                CHECK(made.has_value() == (v4 || both));
                if (!made) { continue; }
                auto called = co_await door.accept();
                REQUIRE(called.has_value());
                CHECK(called->remote_endpoint() == made->local_endpoint());
            }
        });
        bed.loop.run();
    }
}

TEST_CASE("connections beyond the backlog wait at their peers, and come in when there is room") {
    two_hosts bed;
    tcp_options one;
    one.backlog = 1;
    tcp_listener door = bed.right.listen({v4_of(2), 80}, one).value();
    constexpr std::size_t count = 5;
    bed.loop.spawn([&]() -> task<void> {
        scope callers;
        std::array<tcp_stream, count> calling;
        for (tcp_stream& each : calling) { callers.spawn(dial(bed.left, door.local_endpoint(), each)); }
        static_cast<void>(co_await sleep_for(100ms));
        for (std::size_t i = 0; i != count; ++i) {
            auto called = co_await door.accept();
            CHECK(called.has_value());
        }
        static_cast<void>(co_await callers.join());
    });
    bed.loop.run();
    CHECK(bed.right.tcp()->count().accepted == count);
}

// Ending

TEST_CASE("a stream that is destroyed still sends what was written, and ends in order") {
    two_hosts bed;
    auto ends = joined(bed);
    bed.loop.spawn([&]() -> task<void> {
        io_result sent;
        co_await write_and_note(ends.near, 100'000, sent);
        CHECK_FALSE(sent.ec);
        ends.near.close();
        CHECK(ends.near.local_endpoint() == proto::ip_endpoint());
        co_await read_exactly(ends.far, 100'000);
        io_result got;
        co_await note_read(ends.far, got);
        CHECK(got.ec == errc::end_of_stream);
        ends.far.close();
    });
    bed.loop.run();
    bed.pass(1s);
    CHECK(bed.left.tcp()->connections() == 0);
    CHECK(bed.right.tcp()->connections() == 0);
    CHECK(bed.left.tcp()->waiting() == 1);
}

TEST_CASE("an abort resets the peer, and ends the own awaits with connection_aborted") {
    two_hosts bed;
    auto ends = joined(bed);
    io_result mine;
    io_result theirs;
    bed.loop.spawn(note_read(ends.near, mine));
    bed.loop.spawn(note_read(ends.far, theirs));
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(10ms));
        ends.near.abort();
    });
    bed.loop.run();
    CHECK(mine.ec == std::errc::connection_aborted);
    CHECK(theirs.ec == std::errc::connection_reset);
}

TEST_CASE("a host that goes resets the streams that are open, and what waits there says `closed`") {
    mortal_hosts bed;
    tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
    io_result mine;
    io_result theirs;
    std::error_code accepted;
    bed.loop.spawn([&]() -> task<void> {
        tcp_listener own = bed.left->listen({v4_of(1), 80}).value();
        auto calling = co_await bed.left->connect(door.local_endpoint());
        auto called = co_await door.accept();
        REQUIRE(calling.has_value());
        REQUIRE(called.has_value());
        scope waiting;
        waiting.spawn(note_read(*calling, mine));
        waiting.spawn(note_read(*called, theirs));
        const auto accept = [&]() -> task<void> {
            const auto next = co_await own.accept();
            REQUIRE_FALSE(next.has_value());
            accepted = next.error().code;
        };
        waiting.spawn(accept());
        static_cast<void>(co_await sleep_for(10ms));
        bed.left.reset();
        static_cast<void>(co_await waiting.join());
        const io_result late = co_await calling->write(std::span<const std::byte>());
        CHECK_FALSE(late.ec);
        io_result sent;
        co_await write_and_note(*calling, 1, sent);
        CHECK(sent.ec == errc::closed);
        const wait_result ended = co_await calling->shutdown_write();
        CHECK(ended == errc::closed);
        CHECK(calling->info().state == proto::tcp::state::closed);
        const auto next = co_await own.accept();
        CHECK_FALSE(next.has_value());
    });
    bed.loop.run();
    CHECK(mine.ec == errc::closed);
    CHECK(theirs.ec == std::errc::connection_reset);
    CHECK(accepted == errc::closed);
    CHECK(bed.frames_are_home(virtual_wire::end::left));
}

TEST_CASE("settle() waits until what was closed has gone, also within one host, and ends with the host") {
    wire_options slow;
    slow.to_right.delay = slow.to_left.delay = 20ms;
    for (const std::uint8_t called : {std::uint8_t{1}, std::uint8_t{2}}) {
        mortal_hosts bed(slow);
        bed.loop.spawn([](mortal_hosts& at, std::uint8_t number) -> task<void> {
            host::ip_host& other = number == 1 ? *at.left : at.right;
            tcp_listener door = other.listen({v4_of(number), 80}).value();
            auto calling = co_await at.left->connect(door.local_endpoint());
            auto answering = co_await door.accept();
            REQUIRE(calling.has_value());
            REQUIRE(answering.has_value());
            tcp_stream near = std::move(*calling);
            tcp_stream far = std::move(*answering);
            io_result sent;
            co_await write_and_note(near, 50'000, sent);
            near.close();
            CHECK(at.left->tcp()->has_unsettled_orphans());
            scope reading;
            reading.spawn(read_exactly(far, 50'000));
            const wait_result settled = co_await at.left->settle();
            CHECK_FALSE(settled);
            CHECK_FALSE(at.left->tcp()->has_unsettled_orphans());
            static_cast<void>(co_await reading.join());
            far.close();
            const wait_result again = co_await other.settle();
            CHECK_FALSE(again);
        }(bed, called));
        bed.loop.run();
        CHECK(bed.clock.elapsed() < 5s);  // no TIME-WAIT is waited for
    }
    mortal_hosts bed(slow);
    wait_result waiting;
    bed.loop.spawn([&]() -> task<void> {
        tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
        auto calling = co_await bed.left->connect(door.local_endpoint());
        REQUIRE(calling.has_value());
        io_result sent;
        co_await write_and_note(*calling, 200'000, sent);  // more than the peer's window, which nobody reads
        calling->close();
        scope settling;
        const auto settle = [&]() -> task<void> { waiting = co_await bed.left->settle(); };
        settling.spawn(settle());
        static_cast<void>(co_await sleep_for(100ms));
        auto one = bed.left->settle();
        bed.left.reset();
        static_cast<void>(co_await settling.join());
        const wait_result late = co_await one;
        CHECK(late == errc::closed);
    });
    bed.loop.run();
    CHECK(waiting == errc::closed);
}

TEST_CASE("a host that rests is woken by a write that completes at once, and its segments are sent once") {
    two_hosts bed;
    auto ends = joined(bed);
    bed.loop.run([]() -> task<void> { co_return; }());  // ends the tasks in the background, those of both hosts too
    bed.loop.spawn([&]() -> task<void> {
        io_result sent;
        co_await write_and_note(ends.near, 1000, sent);
        CHECK(sent.n == 1000);
        static_cast<void>(co_await sleep_for(5s));
    });
    bed.loop.spawn(read_exactly(ends.far, 1000));
    bed.loop.run();
    CHECK(ends.near.info().resent == 0);
    CHECK(ends.near.info().in_flight == 0);
}

TEST_CASE("streams that nobody reads leave a host room for datagrams") {
    two_hosts bed;
    std::vector<tcp_ends> all;
    for (int i = 0; i != 8; ++i) { all.push_back(joined(bed)); }
    std::vector<io_result> sent(all.size());
    for (std::size_t i = 0; i != all.size(); ++i) { bed.loop.spawn(write_and_note(all[i].near, 200'000, sent[i])); }
    auto ping = bed.left.open_udp({v4_of(1), 5000}).value();
    auto pong = bed.right.open_udp({v4_of(2), 5000}).value();
    bed.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(5s));
        const auto bytes = counting(10);
        const io_result out = co_await ping.send_to(bytes, pong.local_endpoint());
        CHECK_FALSE(out.ec);
        frame_bytes room(100);
        const datagram_result got = co_await pong.recv_from(room);
        CHECK(got.n == 10);
        for (auto& ends : all) { ends.far.abort(); }
    });
    bed.loop.run();
    CHECK(bed.right.counters().queue_full == 0);
}

TEST_CASE("a handle of a host that was moved from neither connects nor listens") {
    two_hosts bed;
    host::ip_host moved = std::move(bed.left);
    CHECK(refusal_of(bed, bed.left, {v4_of(2), 80}).code == errc::closed);
    const auto door = bed.left.listen({v4_of(1), 80});
    REQUIRE_FALSE(door.has_value());
    CHECK(door.error().code == errc::closed);
    CHECK(refusal_of(bed, moved, {v4_of(2), 80}).code == std::errc::connection_refused);
}

// Memory

TEST_CASE("octets that are lent keep their frame and close the peer's window, until they are given back") {
    two_hosts bed;
    auto ends = joined(bed);
    bed.loop.spawn([&]() -> task<void> {
        io_result sent;
        co_await write_and_note(ends.near, 1000, sent);
        auto lent = co_await ends.far.read_borrowed();
        REQUIRE_FALSE(lent.ec);
        CHECK(std::ranges::equal(lent.buffer.bytes(), counting(1000)));
        CHECK(ends.far.info().lent == 1000);
        const std::uint32_t window = ends.far.info().receive_window;
        auto kept = std::move(lent.buffer);
        CHECK(lent.buffer.bytes().empty());
        CHECK(kept.bytes().size() == 1000);
        kept = host::tcp_buffer();
        CHECK(ends.far.info().lent == 0);
        co_await write_and_note(ends.near, 1, sent);
        auto little = co_await ends.far.read_borrowed();
        REQUIRE(little.buffer.bytes().size() == 1);
        const auto moved = std::move(little.buffer);
        CHECK(moved.bytes()[0] == counting(1)[0]);
        CHECK(ends.far.info().receive_window + 1000 >= window);
    });
    bed.loop.run();
}

TEST_CASE("a host keeps receiving while its streams are not read, and loses nothing of what it has acknowledged") {
    two_hosts bed;
    std::vector<tcp_ends> all;
    for (int i = 0; i != 8; ++i) { all.push_back(joined(bed)); }
    std::vector<io_result> sent(all.size());
    constexpr std::size_t size = 200'000;  // of eight, more than all frames hold
    for (std::size_t i = 0; i != all.size(); ++i) { bed.loop.spawn(write_and_note(all[i].near, size, sent[i])); }
    bed.pass(5s);
    auto ping = bed.left.open_udp({v4_of(1), 5000}).value();
    auto pong = bed.right.open_udp({v4_of(2), 5000}).value();
    bed.loop.spawn([&]() -> task<void> {
        const auto bytes = counting(10);
        const io_result out = co_await ping.send_to(bytes, pong.local_endpoint());
        CHECK_FALSE(out.ec);
    });
    bed.loop.run();
    CHECK(bed.right.counters().datagrams + bed.right.counters().queue_full == 1);
    for (auto& ends : all) { bed.loop.spawn(read_exactly(ends.far, size)); }
    bed.loop.run();
    for (const io_result& one : sent) { CHECK(one.n == size); }
    all.clear();
    bed.pass(1s);
    CHECK(bed.right.tcp()->connections() == 0);
    CHECK(bed.right.tcp()->buffers() == 0);
}

TEST_CASE("a write that finds no memory left goes on when some has come back") {
    host::host_options poor = host_number(1);
    poor.tcp.buffers = 64;
    poor.tcp.buffers_per_connection = 64;
    struct bed_type : virtual_wire {
        explicit bed_type(const host::host_options& options) : left(open(end::left, options)) {}
        host::ip_host left;
        host::ip_host right = open(end::right, host_number(2));
    } bed(poor);
    tcp_listener door = bed.right.listen({v4_of(2), 80}).value();
    bed.loop.spawn([&]() -> task<void> {
        scope work;
        std::array<tcp_stream, 4> near;
        std::array<tcp_stream, 4> far;
        for (std::size_t i = 0; i != near.size(); ++i) {
            auto calling = co_await bed.left.connect(door.local_endpoint());
            REQUIRE(calling.has_value());
            near[i] = std::move(*calling);
            auto called = co_await door.accept();
            REQUIRE(called.has_value());
            far[i] = std::move(*called);
        }
        std::array<io_result, 4> sent;
        for (std::size_t i = 0; i != near.size(); ++i) {
            work.spawn(write_and_note(near[i], 300'000, sent[i]));
            work.spawn(read_exactly(far[i], 300'000));
        }
        static_cast<void>(co_await work.join());
        for (const io_result& one : sent) { CHECK(one.n == 300'000); }
    });
    bed.loop.run();
}

TEST_CASE("a request and its response allocate nothing") {
    two_hosts bed;
    for (const bool v4 : {true, false}) {
        auto ends = joined(bed, v4);
        std::uint64_t allocations = 1;
        bed.loop.spawn([&]() -> task<void> {
            const frame_bytes bytes = counting(2000);
            frame_bytes room(3000);
            for (int round = 0; round != 2; ++round) {
                const allocation_watch watch;
                for (int i = 0; i != 200; ++i) {
                    const io_result sent = co_await ends.near.write(bytes);
                    CHECK(sent.n == 2000);
                    for (std::size_t at = 0; at != 2000;) {
                        const auto lent = co_await ends.far.read_borrowed();
                        at += lent.buffer.bytes().size();
                    }
                    const io_result back = co_await ends.far.write(bytes);
                    CHECK(back.n == 2000);
                    for (std::size_t at = 0; at != 2000;) {
                        const io_result got = co_await ends.near.read(room);
                        at += got.n;
                    }
                }
                allocations = watch.allocations();
            }
        });
        bed.loop.run();
        CHECK(allocations == 0);
    }
}

TEST_CASE("a request and its response make no system call of their own") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    two_hosts bed;
    auto ends = joined(bed);
    syscall_counter calls(::gettid(), counted::thread);
    std::uint64_t made = 1;
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(100);
        frame_bytes room(200);
        for (int round = 0; round != 2; ++round) {
            calls.reset();
            for (int i = 0; i != 200; ++i) {
                const io_result sent = co_await ends.near.write(bytes);
                CHECK(sent.n == 100);
                const io_result got = co_await ends.far.read(room);
                CHECK(got.n == 100);
            }
            made = calls.total();
        }
    });
    bed.loop.run();
    CHECK(made == 0);
}

// What the network says

TEST_CASE("over a wire that loses, doubles, mixes and spoils frames, each stream arrives as it was sent") {
    wire_options bad;
    for (wire_profile* const way : {&bad.to_right, &bad.to_left}) {
        way->loss = 0.05;
        way->duplication = 0.05;
        way->corruption = 0.05;
        way->reordering = 0.05;
        way->delay = 5ms;
        way->withheld = 0.1;
    }
    for (const bool v4 : {true, false}) {
        bad.seed = v4 ? 11 : 12;
        two_hosts bed(bad);
        auto ends = joined(bed, v4);
        std::array<io_result, 2> sent;
        bed.loop.spawn(write_and_note(ends.near, 300'000, sent[0]));
        bed.loop.spawn(write_and_note(ends.far, 300'000, sent[1]));
        bed.loop.spawn(read_exactly(ends.near, 300'000));
        bed.loop.spawn(read_exactly(ends.far, 300'000));
        bed.loop.run();
        CHECK(sent[0].n == 300'000);
        CHECK(sent[1].n == 300'000);
        CHECK(ends.near.info().resent != 0);
        CHECK(dropped_by_tcp(bed.right, proto::reason::tcp_bad_checksum) != 0);
    }
}

TEST_CASE("a decision trace tells what a connection decides") {
    struct noted final : proto::tcp::trace_sink {
        void told(const proto::tcp::trace_entry& entry) noexcept override {
            sent += entry.what == proto::tcp::trace_point::sent ? 1U : 0U;
        }
        std::size_t sent = 0;
    } sink;
    two_hosts bed;
    auto ends = joined(bed);
    ends.near.trace_to(&sink);
    io_result sent;
    bed.loop.spawn(write_and_note(ends.near, 14'480, sent));
    bed.loop.spawn(read_exactly(ends.far, 14'480));
    bed.loop.run();
    CHECK(sink.sent >= 10);
    const std::size_t before = sink.sent;
    ends.near.trace_to(nullptr);
    bed.loop.spawn(write_and_note(ends.near, 100, sent));
    bed.loop.spawn(read_exactly(ends.far, 100));
    bed.loop.run();
    CHECK(sink.sent == before);
}

TEST_CASE("a host tells metrics what it has counted") {
    two_hosts bed;
    tcp_ends ends = joined(bed);
    metrics open;
    bed.left.add_to(open, "left");
    const std::string text = open.text();
    CAPTURE(text);
    const auto has = [](const std::string& all, const std::string& part) { return all.find(part) != std::string::npos; };
    CHECK(has(text, "fluxnet_host_received_total{host=\"left\",kind=\"segment\"} 1\n"));  // SYN-ACK
    CHECK(has(text, "fluxnet_host_received_total{host=\"left\",kind=\"arp\"} 2\n"));  // the answer, and a question
    CHECK(has(text, "fluxnet_host_sent_total{host=\"left\",kind=\"held\"} 1\n"));  // SYN
    CHECK(has(text, "fluxnet_host_sent_total{host=\"left\",kind=\"segment\"} 1\n"));
    CHECK(has(text, "fluxnet_tcp_connected_total{host=\"left\"} 1\n"));
    CHECK(has(text, "fluxnet_tcp_connections{host=\"left\"} 1\n"));
    CHECK(has(text, "fluxnet_rx_packets_total{socket=\"left\"} 3\n"));
    CHECK(has(text, "fluxnet_frames{umem=\"left\",state=\"free\"} "));
    CHECK_FALSE(has(text, "drops_total{host"));  // nothing was dropped, so no reason is there

    metrics other;
    bed.right.add_to(other, "right");
    CHECK(has(other.text(), "fluxnet_tcp_accepted_total{host=\"right\"} 1\n"));
}
