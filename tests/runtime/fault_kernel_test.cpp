// SPDX-License-Identifier: BSD-3-Clause
// The kernel fails while packets are awaited and sent: every await ends, with an outcome that says why, and nothing is left
// behind.
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/async_raw.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/leaves_nothing.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// An answer of a kick, and what comes of it.
struct kick_answer {
    int number;
    std::error_code outcome;  // of the awaits after it; none when it passes
};

const std::array kick_answers{
    kick_answer{EAGAIN, {}},
    kick_answer{EBUSY, {}},
    kick_answer{ENOBUFS, {}},
    kick_answer{EINTR, {}},
    kick_answer{ENETDOWN, {}},
    kick_answer{ENXIO, errc::interface_gone},
    kick_answer{ENODEV, errc::interface_gone},
    kick_answer{EBADF, errc::interface_gone},
    kick_answer{EIO, {}},
    kick_answer{EINVAL, {}},
};

/// What is sent with kicks that fail: more than the rings hold, and one more.
struct sending_outcome {
    io_result many;
    io_result one;
};

task<void> send_all(async_tx& tx, sending_outcome& outcome) {
    std::vector<packet> packets = numbered_packets(tx, 90);
    outcome.many = co_await tx.send(packets);
    std::vector<packet> last = numbered_packets(tx, 1, 90);
    outcome.one = co_await tx.send(last);
}

void check_sending(const kick_answer& answer, unsigned nth, unsigned times) {
    CAPTURE(answer.number);
    CAPTURE(nth);
    CAPTURE(times);
    fake_port port;
    sending_outcome outcome;
    port.kernel.fail(fake_call::kick_tx, nth, answer.number, times);
    port.loop.spawn(send_all(port.sockets.tx, outcome));
    port.loop.run();
    REQUIRE(port.kernel.failures() == times);
    if (answer.outcome) {
        CHECK((outcome.many.ec == answer.outcome || outcome.many.n == 90));
        CHECK((outcome.one.ec == answer.outcome || outcome.one.n == 1));  // the kick after it is the last
        CHECK(port.sockets.tx.socket().failure() == answer.outcome);
    } else {
        CHECK_FALSE(outcome.many.ec);
        CHECK(outcome.many.n == 90);
        CHECK_FALSE(outcome.one.ec);
        check_nothing_lost(port.sockets);
        // EBUSY is the answer to a packet that the kernel drops.
        CHECK(port.take_sent().size() == (answer.number == EBUSY ? 91 - times : 91));
    }
    CHECK(port.sockets.rx.socket().pool().census().user == 0);
    CHECK(port.sockets.rx.socket().pool().census().sum() == port.sockets.rx.socket().pool().census().frames);
}

/// Receives a packet, lets the kernel fail while its frame is given back, and receives another one.
void check_receiving(const kick_answer& answer) {
    CAPTURE(answer.number);
    fake_port port;
    io_result second;
    const int fd = port.sockets.rx.socket().fd();
    port.kernel.set_needs_wakeup(fake_ring::fill, true);
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 4> burst;
        REQUIRE(port.kernel.deliver(numbered_frame(1)));
        const io_result first = co_await port.sockets.rx.recv(burst);
        CHECK(first.n == 1);
        port.kernel.fail(fake_call::kick_rx, 1, answer.number);
        second = co_await port.sockets.rx.recv(burst);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        const std::uint64_t one = 1;
        REQUIRE(port.kernel.deliver(numbered_frame(2)));
        REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
    });
    port.loop.run();
    CHECK(port.kernel.failures() == 1);
    if (answer.outcome == errc::interface_gone) {
        CHECK(second.ec == answer.outcome);
    } else {
        CHECK(second.n == 1);
    }
    CHECK(port.sockets.rx.socket().pool().census().user == 0);
}

/// The same for descriptors, with a failure when the executor is about to sleep.
void check_raw_receiving(const kick_answer& answer) {
    CAPTURE(answer.number);
    fake_kernel kernel;
    kernel.interface.index = 1;  // the loopback interface's, which the real link monitor finds
    executor loop;
    async_raw raw(loop, sim_builder(kernel).build_raw().value());
    kernel.set_needs_wakeup(fake_ring::fill, true);
    kernel.fail(fake_call::kick_rx, 1, answer.number);
    io_result got;
    loop.spawn([&]() -> task<void> {
        std::array<xdp_desc, 4> batch;
        got = co_await raw.recv_batch(batch);
        if (got.n != 0) {
            auto slots = raw.socket().fill.reserve(1);
            CHECK(slots.push(batch[0].addr));
        }
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        const std::uint64_t one = 1;
        REQUIRE(kernel.deliver(numbered_frame(2)));
        REQUIRE(::write(raw.socket().fd(), &one, sizeof one) == sizeof one);
    });
    loop.run();
    CHECK(kernel.failures() == 1);
    if (answer.outcome == errc::interface_gone) {
        CHECK(got.ec == answer.outcome);
    } else {
        CHECK(got.n == 1);
    }
    CHECK(raw.socket().census(32).sum() == raw.socket().census(32).frames);
}

}  // namespace

TEST_CASE("sends go on or end with the reason whichever kick fails") {
    for (const kick_answer& answer : kick_answers) {
        for (const unsigned nth : {1U, 2U, 3U}) {
            leaves_nothing([&](std::uint64_t) { check_sending(answer, nth, 1); });
        }
        if (!answer.outcome && answer.number != ENETDOWN) {
            leaves_nothing([&](std::uint64_t) { check_sending(answer, 1, 4); });
        }
    }
}

TEST_CASE("a send whose kicks always fail is cancelled and shut down") {
    for (const int number : {EAGAIN, EBUSY, ENOBUFS, EINTR, ENETDOWN}) {
        CAPTURE(number);
        leaves_nothing([&](std::uint64_t) {
            fake_port port;
            port.kernel.fail(fake_call::kick_tx, 1, number, ~0U);
            std::vector<io_result> outcomes;
            const auto send = [&]() -> task<void> {
                std::vector<packet> packets = numbered_packets(port.sockets.tx, 70);
                const io_result sent = co_await port.sockets.tx.send(packets);
                outcomes.push_back(sent);
            };
            port.loop.spawn([&]() -> task<void> {
                const timed<void> ended = co_await timeout(5ms, send());
                CHECK((ended.expired || number == EBUSY));  // the kernel drops what it answers EBUSY to
                co_await send();
            });
            port.loop.spawn([&]() -> task<void> {
                static_cast<void>(co_await sleep_for(20ms));
                port.loop.stop();
            });
            port.loop.run();
            CHECK(port.loop.shut_down(10s).empty());
            REQUIRE(outcomes.size() == 2);
            for (const io_result& each : outcomes) {
                CHECK((each.ec == errc::operation_canceled || (number == EBUSY && each.n == 70)));
            }
            CHECK(port.sockets.rx.socket().pool().census().user == 0);
        });
    }
}

TEST_CASE("receives go on or end with the reason when the kernel cannot be woken") {
    for (const kick_answer& answer : kick_answers) {
        leaves_nothing([&](std::uint64_t) { check_receiving(answer); });
        leaves_nothing([&](std::uint64_t) { check_raw_receiving(answer); });
    }
}
