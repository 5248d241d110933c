// SPDX-License-Identifier: BSD-3-Clause
// Executors on threads of their own, joined by a threaded simulated wire.
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/runtime/drive.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

async_sockets open(executor& loop, simulated_wire& wire, end which) {
    return open_async(loop, wire.socket_on(which).frames(512).tx_frames(256)).value();
}

task<void> echo(async_sockets& sockets) {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await sockets.rx.recv(burst);
        if (got.ec) { co_return; }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(got.n));
        if (put.ec) { co_return; }
    }
}

struct wire_tally {
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;
};

/// Sends windows of packets and waits for the echo of all of them before the next.
task<void> ask(async_sockets& sockets, std::uint64_t count, std::uint32_t window, wire_tally& answers) {
    std::array<packet, 64> burst;
    std::array<packet, 64> got;
    for (std::uint64_t sent = 0; sent < count;) {
        const std::uint32_t made = sockets.tx.try_allocate(std::span(burst).first(window));
        for (std::uint32_t i = 0; i < made; ++i) {
            std::array<std::byte, 64> bytes{};
            const std::uint64_t number = sent + i;
            std::memcpy(bytes.data() + 14, &number, sizeof number);
            static_cast<void>(burst[i].assign(bytes));
        }
        const io_result put = co_await sockets.tx.send(std::span(burst).first(made));
        if (put.ec) { co_return; }
        sent += put.n;
        while (answers.received < sent) {
            const io_result back = co_await sockets.rx.recv(got);
            if (back.ec) { co_return; }
            for (packet& one : std::span(got).first(back.n)) {
                std::uint64_t number = 0;
                std::memcpy(&number, one.data().data() + 14, sizeof number);
                answers.wrong += number == answers.received++ ? 0U : 1U;
                one.reset();
            }
        }
    }
}

void check_whole(async_sockets& sockets) {
    CHECK(sockets.tx.socket().drain(100ms));
    const frame_census census = sockets.rx.socket().pool().census();
    CHECK(census.exact);
    CHECK(census.sum() == census.frames);
    CHECK(census.user == 0);
    CHECK(census.tx == 0);
}

/// Lets an executor on this thread ask one on another, `count` packets in all; gives up after a minute.
wire_tally exchange(const wire_options& options, std::uint64_t count, std::uint32_t window) {
    simulated_wire wire(options);
    executor here;
    executor there;
    async_sockets client = open(here, wire, end::left);
    async_sockets server = open(there, wire, end::right);
    there.spawn(echo(server));
    std::thread other([&] { there.run(); });
    wire_tally answers;
    bool finished = false;
    here.spawn([&]() -> task<void> {
        co_await ask(client, count, window, answers);
        finished = true;
        here.request_stop();
    });
    here.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(60s));
        here.request_stop();
    });
    here.run();
    there.request_stop();
    other.join();
    CHECK(finished);
    CHECK(wire.counts(end::left).delivered == answers.received);
    CHECK(wire.counts(end::right).delivered == answers.received);
    check_whole(client);
    check_whole(server);
    return answers;
}

}  // namespace

TEST_CASE("an executor whose every call comes from another thread talks over a threaded wire") {
    wire_options options;
    options.threaded = true;
    simulated_wire wire(options);
    executor here({}, reactor_kind::automatic, reactor_threads::changing);
    executor there;
    async_sockets client = open(here, wire, end::left);
    async_sockets server = open(there, wire, end::right);
    there.spawn(echo(server));
    std::thread other([&] { there.run(); });
    wire_tally answers;
    here.spawn([&]() -> task<void> { co_await ask(client, 2000, 8, answers); });
    drive_by_turns(here, [&] { return !here.has_work(); });
    here.release();
    there.request_stop();
    other.join();
    CHECK(answers.received == 2000);
    CHECK(answers.wrong == 0);
    CHECK(here.sleeps() != 0);
    check_whole(client);
    check_whole(server);
}

TEST_CASE("executors on two threads talk over a threaded wire and none sleeps on a packet") {
    for (const auto& [window, zero_copy] : {std::pair{1U, false}, {32U, false}, {32U, true}}) {
        CAPTURE(window);
        CAPTURE(zero_copy);
        const std::uint64_t count = rounds(zero_copy ? 10'000 : 40'000, 8);
        wire_options options;
        options.threaded = true;
        options.zero_copy = zero_copy;
        const wire_tally answers = exchange(options, count, window);
        CHECK(answers.received >= count);
        CHECK(answers.wrong == 0);
    }
}

TEST_CASE("executors on two threads get delayed packets in real time") {
    wire_options options;
    options.threaded = true;
    options.to_left.delay = options.to_right.delay = 2ms;
    const auto start = std::chrono::steady_clock::now();
    const wire_tally answers = exchange(options, 160, 16);
    const auto taken = std::chrono::steady_clock::now() - start;
    CHECK(answers.received == 160);
    CHECK(answers.wrong == 0);
    CHECK(taken >= 40ms);  // ten round trips of 4 ms
}

TEST_CASE("a threaded wire needs no pump and takes none") {
    FLUXNET_SKIP_IF(why_no_assertions());
    CHECK(dies([] {
        simulated_wire wire({.threaded = true});
        executor loop;
        const wire_pump pump(loop, wire);
    }));
}
