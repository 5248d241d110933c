// SPDX-License-Identifier: BSD-3-Clause
// Long-lived loops: resumptions that need no suspension keep the stack flat, in every build. g++ makes each
// transfer between coroutines a call below -O2 or when a sanitizer is on, so there a loop that were left to
// itself would use hundreds of megabytes. Each loop notes the stack in every round; each runs in a process of its own.
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/stack_span.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

const std::uint64_t resumptions = test::rounds(10'000'000, 10);

void check_flat(const stack_span& stack) {
    MESSAGE("stack used: ", stack.bytes(), " bytes");
    CHECK(stack.bytes() < flat_stack);
}

task<std::uint64_t> noted(stack_span& stack, std::uint64_t value) {
    stack.note();
    co_return value;
}

// Two tasks that hand control to each other: the caller's frame goes on whenever the callee ends.
task<std::uint64_t> pong(stack_span& stack, std::uint64_t value) {
    stack.note();
    const std::uint64_t back = co_await noted(stack, value + 1);
    co_return back;
}
task<std::uint64_t> ping(stack_span& stack, std::uint64_t value) {
    const std::uint64_t back = co_await pong(stack, value);
    stack.note();
    co_return back;
}

task<std::uint64_t> nested(stack_span& stack, std::uint64_t levels) {
    stack.note();
    if (levels == 0) { co_return 0; }
    task<std::uint64_t> next = nested(stack, levels - 1);
    const std::uint64_t below = co_await next;
    stack.note();
    co_return below + 1;
}

}  // namespace

TEST_CASE("ten million awaited tasks that never suspend keep the stack flat") {
    executor loop;
    stack_span stack;
    std::uint64_t sum = 0;
    loop.spawn([&]() -> task<void> {
        for (std::uint64_t i = 0; i < resumptions; ++i) { sum += co_await noted(stack, 1); }
    });
    loop.run();
    CHECK(sum == resumptions);
    check_flat(stack);
}

TEST_CASE("ten million transfers to and fro between nested tasks keep the stack flat") {
    constexpr std::uint64_t transfers = 6;  // of a round: three there, three back
    executor loop;
    stack_span stack;
    std::uint64_t value = 0;
    loop.spawn([&]() -> task<void> {
        for (std::uint64_t i = 0; i < resumptions; i += transfers) { value = co_await ping(stack, value); }
    });
    loop.run();
    CHECK(value == (resumptions + transfers - 1) / transfers);
    check_flat(stack);
}

TEST_CASE("ten million yields of a cancelled task keep the stack flat") {
    executor loop;
    stack_span stack;
    std::uint64_t canceled = 0;
    loop.spawn([&]() -> task<void> {
        executor::current()->request_stop();
        for (std::uint64_t i = 0; i < resumptions; ++i) {
            const std::error_code ec = co_await yield();
            canceled += ec ? 1 : 0;
            stack.note();
        }
    });
    loop.run();
    CHECK(canceled == resumptions);
    check_flat(stack);
}

TEST_CASE("ten million yields from one coroutine to another keep the stack flat") {
    executor loop;
    stack_span stack;
    for (int i = 0; i < 2; ++i) {
        loop.spawn([&]() -> task<void> {
            for (std::uint64_t round = 0; round < resumptions / 2; ++round) {
                static_cast<void>(co_await yield());
                stack.note();
            }
        });
    }
    loop.run();
    check_flat(stack);
}

TEST_CASE("a hundred thousand tasks that each await the next keep the stack flat") {
    executor loop;
    stack_span stack;
    std::uint64_t depth = 0;
    loop.spawn([&]() -> task<void> {
        task<std::uint64_t> outermost = nested(stack, 100'000);
        depth = co_await outermost;
    });
    loop.run();
    CHECK(depth == 100'000);
    check_flat(stack);
}

TEST_CASE("a million tasks under a time limit that never suspend keep the stack flat") {
    const std::uint64_t tasks = resumptions / 10;  // each sets a timer
    executor loop;
    stack_span stack;
    std::uint64_t sum = 0;
    loop.spawn([&]() -> task<void> {
        for (std::uint64_t i = 0; i < tasks; ++i) {
            auto limited = timeout(1h, noted(stack, 1));
            const timed<std::uint64_t> one = co_await limited;
            sum += one.value + (one.expired ? 1 : 0);
        }
    });
    loop.run();
    CHECK(sum == tasks);
    check_flat(stack);
}

TEST_CASE("ten million channel awaits that succeed at once keep the stack flat") {
    executor loop;
    stack_span stack;
    channel<std::uint64_t> between(4);
    std::uint64_t disorder = 0;
    std::uint64_t next = 0;
    loop.spawn([&]() -> task<void> {
        while (next < resumptions / 2) {
            std::uint64_t value = next;
            const io_result put = co_await between.send(value);
            stack.note();
            const io_result got = co_await between.recv(value);
            stack.note();
            disorder += put.n == 1 && got.n == 1 && value == next ? 0U : 1U;
            ++next;
        }
    });
    loop.run();
    CHECK(next == resumptions / 2);
    CHECK(disorder == 0);
    CHECK(loop.resumptions() < resumptions / 10);  // few went through the ready queue: where a turn's budget was spent
    check_flat(stack);
}

TEST_CASE("ten million resumptions by two coroutines that wait for each other in turn keep the stack flat") {
    executor loop;
    stack_span stack;
    channel<std::uint64_t> there(2);
    channel<std::uint64_t> back(2);
    const std::uint64_t rounds = resumptions / 4;  // a send and a reception on either side
    std::uint64_t answered = 0;
    loop.spawn([&]() -> task<void> {
        for (std::uint64_t i = 0; i < rounds; ++i) {
            std::uint64_t value = i;
            static_cast<void>(co_await there.send(value));
            static_cast<void>(co_await back.recv(value));
            stack.note();
            answered += value == i + 1 ? 1 : 0;
        }
        there.close();
    });
    loop.spawn([&]() -> task<void> {
        for (;;) {
            std::uint64_t value = 0;
            const io_result got = co_await there.recv(value);
            if (got.ec) { break; }
            stack.note();
            ++value;
            static_cast<void>(co_await back.send(value));
        }
    });
    loop.run();
    CHECK(answered == rounds);
    check_flat(stack);
}

// As many packets as it may have in a turn complete at once; then it takes its turn with others. A batch of one makes the
// most resumptions of a packet.
TEST_CASE("ten million sends and receptions of packets that complete at once keep the stack flat") {
    const std::uint64_t packets = resumptions / 2;
    constexpr std::uint32_t queued = 64;
    simulated_wire wire({.hash_traffic = false});
    executor loop;
    async_sockets left = open_async(loop, wire.socket_on(end::left).frames(512).tx_frames(256)).value();
    async_sockets right = open_async(loop, wire.socket_on(end::right).frames(512).tx_frames(256)).value();
    stack_span stack;
    std::uint64_t received = 0;
    std::uint64_t failed = 0;
    loop.spawn([&]() -> task<void> {
        std::array<packet, queued> out;
        packet in;
        while (received + failed < packets) {
            const auto made = left.tx.try_allocate(out);
            for (packet& one : std::span(out).first(made)) {
                static_cast<void>(one.set_len(60));
                const io_result put = co_await left.tx.send(one);
                stack.note();
                failed += put.n == 1 ? 0 : 1;
            }
            left.tx.socket().flush();
            for (std::uint32_t i = 0; i < made; ++i) {
                const io_result got = co_await right.rx.recv(in);
                stack.note();
                failed += got.n == 1 ? 0 : 1;
                received += got.n;
            }
        }
    });
    loop.run();
    CHECK(failed == 0);
    CHECK(received >= packets);
    CHECK(loop.resumptions() < packets / 16);  // most were at once
    MESSAGE(loop.resumptions(), " of ", 2 * received, " went through the ready queue");
    check_flat(stack);
}

TEST_CASE("ten million awaits of a cancelled task that give up at once keep the stack flat") {
    executor loop;
    stack_span stack;
    channel<int> empty(2);
    std::uint64_t canceled = 0;
    loop.spawn([&]() -> task<void> {
        loop.request_stop();
        for (std::uint64_t i = 0; i < resumptions; ++i) {
            int value = 0;
            const io_result got = co_await empty.recv(value);
            stack.note();
            canceled += got.ec == errc::operation_canceled ? 1 : 0;
        }
    });
    loop.run();
    CHECK(canceled == resumptions);
    check_flat(stack);
}
