// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_tx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/fake_port.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<async_tx> && std::is_nothrow_move_assignable_v<async_tx>);
static_assert(!std::is_copy_constructible_v<async_tx> && !std::is_copy_assignable_v<async_tx>);
static_assert(!std::is_move_constructible_v<async_tx::send_awaiter>);
static_assert(sizeof(async_tx::send_awaiter) <= 352);

TEST_CASE("sends complete at once while there is credit and leave with one kick at the end of the turn") {
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 10);
        const auto first = co_await port.sockets.tx.send(std::span(packets).first(4));
        CHECK_FALSE(first.ec);
        CHECK(first.n == 4);
        const auto second = co_await port.sockets.tx.send(std::span(packets).subspan(4, 5));
        CHECK(second.n == 5);
        const auto third = co_await port.sockets.tx.send(packets.back());
        CHECK(third.n == 1);
        for (const packet& one : packets) { CHECK_FALSE(static_cast<bool>(one)); }
        CHECK(port.kernel.calls(fake_call::kick_tx) == 0);
    });
    port.loop.run();
    CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
    CHECK(port.take_sent() == numbers(0, 10));
    CHECK(port.loop.turns() == 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send of nothing completes with nothing") {
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        const auto [ec, n] = co_await port.sockets.tx.send(std::span<packet>());
        CHECK_FALSE(ec);
        CHECK(n == 0);
    });
    port.loop.run();
    CHECK(port.kernel.calls(fake_call::kick_tx) == 0);
}

TEST_CASE("sends without credit wait and complete in the order in which they asked") {
    fake_port port;
    port.kernel.hold_completions(true);
    std::vector<int> order;
    const auto send = [&](int name, std::uint32_t count, std::uint32_t first) -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, count, first);
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == count);
        order.push_back(name);
    };
    port.loop.spawn(send(1, 100, 0));  // more than the rings hold
    port.loop.spawn(send(2, 1, 100));  // would fit soon, and must wait all the same
    port.loop.spawn(send(3, 40, 101));
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(order.empty());
        CHECK(port.sockets.tx.socket().in_flight() == fake_port::ring_size);
        while (order.size() < 3) {
            port.kernel.release_completions(10);
            static_cast<void>(co_await sleep_for(1ms));
        }
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK(order == std::vector<int>{1, 2, 3});
    CHECK(port.take_sent() == numbers(0, 141));
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send that waits is cancelled with what it has sent so far") {
    fake_port port;
    port.kernel.hold_completions(true);
    std::stop_source source;
    std::vector<packet> packets;
    bool second_sent = false;
    const auto send = [&]() -> task<void> {
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK(ec == errc::operation_canceled);
        CHECK(n == fake_port::ring_size);
        for (std::size_t i = 0; i < packets.size(); ++i) { CHECK(static_cast<bool>(packets[i]) == (i >= n)); }
    };
    port.loop.spawn([&]() -> task<void> {
        packets = numbered_packets(port.sockets.tx, 100);
        stoppable under = run_under(source.get_token(), send());
        static_cast<void>(co_await under);
    });
    port.loop.spawn([&]() -> task<void> {
        auto other = numbered_packets(port.sockets.tx, 1, 500);
        const auto [ec, n] = co_await port.sockets.tx.send(other);
        CHECK_FALSE(ec);
        second_sent = true;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        static_cast<void>(co_await sleep_for(2ms));
        CHECK_FALSE(second_sent);
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK(second_sent);
    CHECK(port.take_sent().back() == 500);
    packets.clear();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a send under a stop that was requested sends what has credit and then ends") {
    fake_port port;
    port.kernel.hold_completions(true);
    port.loop.request_stop();
    port.loop.run();
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 100);
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK(ec == errc::operation_canceled);
        CHECK(n == fake_port::ring_size);
    });
    port.loop.run();
    port.kernel.hold_completions(false);
    port.kernel.release_completions();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a packet that can never be sent is handed back with the reason") {
    fake_port port;
    const umem elsewhere = umem::create({.frame_count = 4}).value();
    frame_home* const home = elsewhere.pool().make_home(4);
    REQUIRE(home != nullptr);
    home->adopt();
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 4);

        REQUIRE(packets[2].set_len(13));
        const auto small = co_await port.sockets.tx.send(packets);
        CHECK(small.ec == errc::packet_too_small);
        CHECK(small.n == 2);
        CHECK_FALSE(static_cast<bool>(packets[1]));
        CHECK(packets[2].size() == 13);
        CHECK(packets[3].size() == 64);

        const frame_index frame = home->take().value();
        packets[2] = packet::from_raw(*home, {home->addr_of(home->at(frame) + 256), 64, 0});
        const auto foreign = co_await port.sockets.tx.send(std::span(packets).subspan(2));
        CHECK(foreign.ec == errc::foreign_packet);
        CHECK(foreign.n == 0);
        CHECK(packets[2].size() == 64);

        packet nothing;
        const auto empty = co_await port.sockets.tx.send(nothing);
        CHECK(empty.ec == errc::foreign_packet);
        CHECK(empty.ec.message() == "packet that holds no frame, or one of another UMEM");

        const auto rest = co_await port.sockets.tx.send(packets[3]);
        CHECK_FALSE(rest.ec);
    });
    port.loop.run();
    CHECK(port.take_sent() == std::vector<std::uint32_t>{0, 1, 3});
    home->drain();
    CHECK(home->free_count() == 4);
    home->release();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a packet is given away and one that cannot be sent stays with its owner") {
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        async_tx& tx = port.sockets.tx;
        auto packets = numbered_packets(tx, 4);
        const auto given = co_await tx.send(std::move(packets[0]));
        CHECK(given.n == 1);
        CHECK_FALSE(static_cast<bool>(packets[0]));

        const auto temporary = co_await tx.send(packet(std::move(packets[1])));
        CHECK(temporary.n == 1);

        REQUIRE(packets[2].set_len(13));
        const auto kept = co_await tx.send(std::move(packets[2]));
        CHECK(kept.ec == errc::packet_too_small);
        CHECK(packets[2].size() == 13);

        REQUIRE(packets[3].set_len(13));
        const auto dropped = co_await tx.send(packet(std::move(packets[3])));
        CHECK(dropped.ec == errc::packet_too_small);
        CHECK_FALSE(static_cast<bool>(packets[3]));
    });
    port.loop.run();
    CHECK(port.take_sent() == numbers(0, 2));
    check_nothing_lost(port.sockets);
}

TEST_CASE("a waiting send that meets a packet it cannot send ends and lets the next one go") {
    fake_port port;
    port.kernel.hold_completions(true);
    io_result first;
    io_result second;
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 80);
        REQUIRE(packets[70].set_len(5));
        first = co_await port.sockets.tx.send(packets);
    });
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 1, 900);
        second = co_await port.sockets.tx.send(packets);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK(first.ec == errc::packet_too_small);
    CHECK(first.n == 70);
    CHECK_FALSE(second.ec);
    CHECK(port.take_sent().back() == 900);
    check_nothing_lost(port.sockets);
}

TEST_CASE("an error of a kick surfaces at the next send and at every one after it") {
    fake_port port;
    port.kernel.fail(fake_call::kick_tx, 1, ENXIO);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 3);
        const auto first = co_await port.sockets.tx.send(packets[0]);
        CHECK_FALSE(first.ec);
        static_cast<void>(co_await sleep_for(1ms));
        for (int i = 0; i < 2; ++i) {
            const auto later = co_await port.sockets.tx.send(packets[1]);
            CHECK(later.ec == errc::interface_gone);
            CHECK(later.n == 0);
            CHECK(static_cast<bool>(packets[1]));
        }
    });
    port.loop.run();
    CHECK(port.sockets.tx.socket().failure() == errc::interface_gone);
    CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
}

TEST_CASE("an error ends every send that waits") {
    fake_port port;
    port.kernel.hold_completions(true);
    std::vector<std::error_code> seen;
    const auto send = [&](std::uint32_t count) -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, count);
        const io_result outcome = co_await port.sockets.tx.send(packets);
        seen.push_back(outcome.ec);
    };
    port.loop.spawn(send(80));
    port.loop.spawn(send(1));
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        port.kernel.remove_interface();
        port.kernel.release_completions(10);  // makes room for some, and so a kick
        static_cast<void>(co_await sleep_for(20ms));
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(seen == std::vector<std::error_code>{errc::interface_gone, errc::interface_gone});
}

TEST_CASE("a packet that the kernel drops does not hold up those behind it") {
    fake_port port;
    port.kernel.fail(fake_call::kick_tx, 1, EBUSY);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 5);
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == 5);
        static_cast<void>(co_await sleep_for(20ms));
    });
    port.loop.run();
    CHECK(port.take_sent() == numbers(1, 4));
    check_nothing_lost(port.sockets);
}

TEST_CASE("kicks that move nothing are repeated with growing pauses until the kernel takes the packets") {
    fake_port port;
    port.kernel.fail(fake_call::kick_tx, 1, ENOBUFS, 5);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 5);
        const io_result sent = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(sent.ec);
        static_cast<void>(co_await sleep_for(50ms));
    });
    port.loop.run();
    CHECK(port.take_sent() == numbers(0, 5));
    CHECK(port.kernel.calls(fake_call::kick_tx) == 6);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a link that is down costs no kicks while packets wait") {
    fake_port port;
    port.kernel.set_link(false);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 5);
        const io_result sent = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(sent.ec);
        static_cast<void>(co_await sleep_for(50ms));
        CHECK(port.sockets.tx.socket().link_down());
    });
    port.loop.run();
    CHECK(port.take_sent().empty());
    CHECK(port.kernel.calls(fake_call::kick_tx) <= 5);
    CHECK(port.loop.turns() < 20);
    port.kernel.set_link(true);
    check_nothing_lost(port.sockets);
    CHECK(port.take_sent() == numbers(0, 5));
}

TEST_CASE("an executor whose packets are slow to complete sleeps most of the time") {
    fake_port port;
    port.kernel.hold_completions(true);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 1);
        static_cast<void>(co_await port.sockets.tx.send(packets));
        static_cast<void>(co_await sleep_for(200ms));
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    // 50 us doubled to 10 ms: 8 pauses of growing length and 19 of 10 ms.
    MESSAGE(port.loop.turns(), " turns in 200 ms");
    CHECK(port.loop.turns() < 60);
    CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("progress brings the pauses between looks at the completions back to the shortest") {
    fake_port port;
    port.kernel.hold_completions(true);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 80);
        port.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(30ms));
            port.kernel.hold_completions(false);
            port.kernel.release_completions();
        });
        const auto [ec, n] = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(ec);
        CHECK(n == 80);
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a sending handle may be moved while a send waits") {
    fake_port port;
    port.kernel.hold_completions(true);
    std::optional<async_tx> moved;
    io_result seen;
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 80);
        seen = co_await port.sockets.tx.send(packets);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        moved.emplace(std::move(port.sockets.tx));
        port.kernel.hold_completions(false);
        port.kernel.release_completions();
    });
    port.loop.run();
    CHECK_FALSE(seen.ec);
    CHECK(seen.n == 80);
    port.sockets.tx = std::move(*moved);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a handle that is destroyed under waiting sends ends them with closed") {
    fake_kernel kernel;
    executor loop;
    std::optional<async_sockets> sockets = fake_port::open(loop, kernel);
    kernel.hold_completions(true);
    std::vector<io_result> seen;
    const auto send = [&](std::uint32_t count) -> task<void> {
        auto packets = numbered_packets(sockets->tx, count);
        const io_result outcome = co_await sockets->tx.send(packets);
        seen.push_back(outcome);
    };
    loop.spawn(send(80));
    loop.spawn(send(1));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        sockets.reset();
    });
    loop.run();
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].ec == errc::closed);
    CHECK(seen[0].n == fake_port::ring_size);
    CHECK(seen[1].ec == errc::closed);
    CHECK(kernel.live_fds() == 0);
}

TEST_CASE("packets that were queued in the last turn leave when run returns") {
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 3);
        const io_result sent = co_await port.sockets.tx.send(packets);
        CHECK_FALSE(sent.ec);
        throw 1;
    });
    CHECK_THROWS_AS(port.loop.run(), int);
    CHECK(port.take_sent() == numbers(0, 3));
    check_nothing_lost(port.sockets);
}

TEST_CASE("the sending half may end before the receiving half and after it") {
    for (const bool tx_first : {true, false}) {
        fake_kernel kernel;
        executor loop;
        std::optional<async_sockets> opened = fake_port::open(loop, kernel);
        std::optional<async_rx> rx = std::move(opened->rx);
        std::optional<async_tx> tx = std::move(opened->tx);
        std::vector<packet> kept = numbered_packets(*tx, 3);
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            if (tx_first) {
                tx.reset();
            } else {
                rx.reset();
            }
            static_cast<void>(co_await sleep_for(1ms));
        });
        loop.run();
        CHECK(kernel.live_fds() == 1);
        rx.reset();
        tx.reset();
        CHECK(kernel.live_fds() == 0);
        CHECK(kernel.live_mappings() == 0);
        CHECK(number_of(kept[2].data()) == 2);  // packets outlive both
    }
}

namespace {

/// Keeps an executor busy: ready again as soon as it has run.
class spinner final : public ready_node {
public:
    explicit spinner(executor& on) : on_(on) { fluxnet::detail::inside(on_).make_ready(*this); }
    void run() noexcept override {
        if (spinning) { fluxnet::detail::inside(on_).make_ready(*this); }
    }
    bool spinning = true;

private:
    executor& on_;
};

}  // namespace

TEST_CASE("on a busy executor packets wait for company up to the number of the flush policy") {
    fake_port port;
    port.sockets.tx.set_flush_policy({.packets = 8, .delay = 1h});
    spinner busy(port.loop);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 9);
        static_cast<void>(co_await port.sockets.tx.send(std::span(packets).first(7)));
        static_cast<void>(co_await sleep_for(5ms));
        CHECK(port.kernel.calls(fake_call::kick_tx) == 0);
        static_cast<void>(co_await port.sockets.tx.send(packets[7]));
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
        static_cast<void>(co_await port.sockets.tx.send(packets[8]));
        static_cast<void>(co_await sleep_for(5ms));
        CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
        busy.spinning = false;  // nothing else is ready now: no reason to wait
        static_cast<void>(co_await sleep_for(5ms));
        CHECK(port.kernel.calls(fake_call::kick_tx) == 2);
    });
    port.loop.run();
    CHECK(port.take_sent() == numbers(0, 9));
    check_nothing_lost(port.sockets);
}

TEST_CASE("on a busy executor packets wait for the delay of the flush policy and are sent then") {
    fake_port port;
    port.sockets.tx.set_flush_policy({.packets = 1000, .delay = 20ms});
    spinner busy(port.loop);
    port.loop.spawn([&]() -> task<void> {
        auto packets = numbered_packets(port.sockets.tx, 2);
        const auto queued = port.loop.now();
        static_cast<void>(co_await port.sockets.tx.send(packets[0]));
        while (port.kernel.calls(fake_call::kick_tx) == 0) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK(port.loop.now() - queued >= 20ms);
        CHECK(port.kernel.calls(fake_call::kick_tx) == 1);
        port.sockets.tx.set_flush_policy({.packets = 1000, .delay = 0ns});
        static_cast<void>(co_await port.sockets.tx.send(packets[1]));
        static_cast<void>(co_await sleep_for(1ms));
        CHECK(port.kernel.calls(fake_call::kick_tx) == 2);
        busy.spinning = false;
    });
    port.loop.run();
    CHECK(port.take_sent() == numbers(0, 2));
    check_nothing_lost(port.sockets);
}
