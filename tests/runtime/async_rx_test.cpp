// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/async_rx.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/drive.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<async_rx> && std::is_nothrow_move_assignable_v<async_rx>);
static_assert(!std::is_copy_constructible_v<async_rx> && !std::is_copy_assignable_v<async_rx>);
static_assert(!std::is_move_constructible_v<async_rx::recv_awaiter>);
static_assert(sizeof(async_rx::recv_awaiter) <= 320);

namespace {

using clock_type = std::chrono::steady_clock;

/// Lets a packet arrive and makes the descriptor readable, as the kernel does.
void arrive(fake_port& port, std::uint32_t number) {
    const std::uint64_t one = 1;
    REQUIRE(port.kernel.deliver(numbered_frame(number)));
    REQUIRE(::write(port.sockets.rx.socket().fd(), &one, sizeof one) == sizeof one);
}

/// Takes the descriptor's readiness back, as draining the ring does.
void quieten(fake_port& port) {
    std::uint64_t value = 0;
    static_cast<void>(!::read(port.sockets.rx.socket().fd(), &value, sizeof value));
}

}  // namespace

TEST_CASE("a receive completes at once when packets are there") {
    fake_port port;
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t i = 0; i < 3; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 2> burst;
        for (int round = 0; round < 2; ++round) {
            const auto [ec, n] = co_await port.sockets.rx.recv(burst);
            CHECK_FALSE(ec);
            for (std::size_t i = 0; i < n; ++i) { numbers.push_back(number_of(burst[i].data())); }
        }
    });
    port.loop.run();
    CHECK(port.loop.turns() == 1);
    CHECK(numbers == std::vector<std::uint32_t>{0, 1, 2});
    check_nothing_lost(port.sockets);
}

TEST_CASE("one packet is received at a time") {
    fake_port port;
    for (std::uint32_t i = 0; i != 2; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
    port.loop.spawn([&]() -> task<void> {
        packet one;
        for (std::uint32_t i = 0; i != 2; ++i) {
            const auto [ec, n] = co_await port.sockets.rx.recv(one);
            CHECK_FALSE(ec);
            CHECK(n == 1);
            CHECK(number_of(one.data()) == i);
        }
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receive sleeps until its descriptor is readable") {
    fake_port port;
    std::vector<std::uint32_t> numbers;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        while (numbers.size() < 20) {
            const auto [ec, n] = co_await port.sockets.rx.recv(burst);
            REQUIRE_FALSE(ec);
            REQUIRE(n >= 1);
            for (std::size_t i = 0; i < n; ++i) { numbers.push_back(number_of(burst[i].data())); }
            quieten(port);
        }
    });
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < 20; ++i) {
            std::this_thread::sleep_for(500us);
            arrive(port, i);
        }
    });
    port.loop.run();
    sender.join();
    CHECK(std::is_sorted(numbers.begin(), numbers.end()));
    CHECK(numbers.size() == 20);
    CHECK(port.sockets.rx.wakeups() >= 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a frame that comes back while no thread has the executor ends its sleep") {
    fake_kernel kernel;
    executor loop({}, reactor_kind::automatic, reactor_threads::changing);
    async_sockets sockets = fake_port::open(loop, kernel);
    std::vector<packet> held;
    std::size_t late = 0;
    loop.spawn([&]() -> task<void> {
        for (std::size_t n = 0; n < fake_port::receiving; ++n) { REQUIRE(kernel.deliver(numbered_frame(0))); }
        std::array<packet, fake_port::receiving> burst;
        const io_result all = co_await sockets.rx.recv(burst);
        for (packet& one : std::span(burst).first(all.n)) { held.push_back(std::move(one)); }
        const io_result last = co_await sockets.rx.recv(burst);
        late = last.n;
    });
    taking_turns call;
    std::optional<sleep_plan> plan;
    while (!plan) {
        call([&] { static_cast<void>(loop.poll()); });
        call([&] { plan = loop.prepare_sleep(); });
    }
    REQUIRE(held.size() == fake_port::receiving);
    CHECK(sockets.rx.socket().pool().census().exact);  // which takes nothing from the sleep
    CHECK_FALSE(kernel.deliver(numbered_frame(1)));    // no frame to receive into
    CHECK_FALSE(epoll_waiter().wait(*plan, 0ms));
    std::thread([&] { held.clear(); }).join();
    CHECK(epoll_waiter().wait(*plan, 60s));
    call([&] { loop.after_sleep(); });
    call([&] { static_cast<void>(loop.poll()); });
    REQUIRE(kernel.deliver(numbered_frame(2)));
    drive_by_turns(loop, [&] { return !loop.has_work(); });
    CHECK(late == 1);
    loop.release();
    check_nothing_lost(sockets);
}

TEST_CASE("a receive drops what its span held before it waits") {
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        for (std::uint32_t i = 0; i < 5; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
        const auto first = co_await port.sockets.rx.recv(burst);
        CHECK(first.n == 5);
        CHECK(port.sockets.rx.socket().pool().census().user == 5);
        const auto second = co_await port.sockets.rx.recv(burst);
        CHECK(second.n == 1);
        CHECK(std::none_of(burst.begin() + 1, burst.end(), [](const packet& one) { return static_cast<bool>(one); }));
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        const frame_census census = port.sockets.rx.socket().pool().census();
        CHECK(census.user == 0);
        CHECK(census.sum() == census.frames);
        arrive(port, 9);
    });
    port.loop.run();
    check_nothing_lost(port.sockets);
}

TEST_CASE("a cancelled receive takes nothing and the next one gets the packet") {
    fake_port port;
    std::stop_source source;
    std::array<packet, 8> burst;
    const auto receive = [&]() -> task<void> {
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK(ec == errc::operation_canceled);
        CHECK(n == 0);
    };
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), receive());
        co_await under;
        CHECK(port.sockets.rx.socket().available() == 1);
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK_FALSE(ec);
        CHECK(n == 1);
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        arrive(port, 1);
        source.request_stop();
    });
    port.loop.run();
    for (packet& one : burst) { one.reset(); }
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receive under a stop that was requested ends without waiting") {
    fake_port port;
    port.loop.request_stop();
    port.loop.run();
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
    });
    port.loop.run();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("a receiver that always finds packets lets others run and notices a stop") {
    fake_port port(2048, 2048);
    std::uint64_t turns_of_other = 0;
    std::uint64_t received = 0;
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        for (;;) {
            while (port.kernel.deliver(numbered_frame(0))) {}
            const auto [ec, n] = co_await port.sockets.rx.recv(burst);
            received += n;
            if (ec) {
                seen = ec;
                co_return;
            }
        }
    });
    port.loop.spawn([&]() -> task<void> {
        for (; turns_of_other < 10; ++turns_of_other) { co_await requeue(); }
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(seen == errc::operation_canceled);
    CHECK(turns_of_other == 10);
    // The share of the first turn, and then one burst between two resumptions of the other.
    CHECK(received >= 512);
    CHECK(received <= 512 + 12 * 8);
}

TEST_CASE("an error of the handle surfaces at every receive") {
    fake_port port;
    int errors = 0;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        for (int i = 0; i < 3; ++i) {
            const auto [ec, n] = co_await port.sockets.rx.recv(burst);
            if (ec == errc::interface_gone && n == 0) { ++errors; }
            port.sockets.rx.socket().fail(errc::program_detached);
        }
    });
    port.sockets.rx.socket().fail(errc::interface_gone);
    port.loop.run();
    CHECK(errors == 3);
}

TEST_CASE("a ring that is corrupted under a waiting receive ends it") {
    fake_port port;
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        port.kernel.write_producer(fake_ring::rx, 10'000);
        static_cast<void>(co_await sleep_for(50ms));
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(seen == errc::ring_corruption);
}

TEST_CASE("a handle may be moved while a coroutine awaits it") {
    fake_port port;
    std::size_t received = 0;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK_FALSE(ec);
        received = n;
    });
    std::optional<async_rx> moved;
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        moved.emplace(std::move(port.sockets.rx));
        REQUIRE(port.kernel.deliver(numbered_frame(1)));
        const std::uint64_t one = 1;
        REQUIRE(::write(moved->socket().fd(), &one, sizeof one) == sizeof one);
    });
    port.loop.run();
    CHECK(received == 1);
    port.sockets.rx = std::move(*moved);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a handle is replaced by another while its executor runs") {
    fake_kernel second;
    fake_port port;
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        port.sockets = fake_port::open(port.loop, second);
        REQUIRE(second.deliver(numbered_frame(5)));
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK_FALSE(ec);
        CHECK(n == 1);
    });
    port.loop.run();
    CHECK(port.kernel.live_fds() == 0);
    CHECK(port.kernel.live_mappings() == 0);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a handle that is destroyed under a waiting receive ends it with closed") {
    for (const bool while_running : {true, false}) {
        fake_kernel kernel;
        executor loop;
        std::optional<async_sockets> sockets = fake_port::open(loop, kernel);
        std::error_code seen;
        loop.spawn([&]() -> task<void> {
            std::array<packet, 8> burst;
            const auto [ec, n] = co_await sockets->rx.recv(burst);
            seen = ec;
        });
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            if (while_running) {
                sockets.reset();
            } else {
                loop.stop();
            }
        });
        loop.run();
        sockets.reset();
        CHECK(kernel.live_fds() == 0);
        loop.run();
        CHECK(seen == errc::closed);
    }
}

TEST_CASE("a handle that is destroyed between the completion of a receive and its resumption ends it with closed") {
    fake_kernel kernel;
    executor loop;
    std::optional<async_sockets> sockets = fake_port::open(loop, kernel);
    std::error_code seen;
    loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await sockets->rx.recv(burst);
        seen = ec;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        sockets->rx.socket().fail(errc::interface_gone);
        static_cast<void>(
            co_await sleep_for(0ns));  // at the end of this turn the receive completes and is queued behind this task
        sockets.reset();
    });
    loop.run();
    CHECK((seen == errc::closed || seen == errc::interface_gone));
}

TEST_CASE("handles that are declared after their executor may unwind under coroutines that await them") {
    fake_kernel kernel;
    const auto fail = [&] {
        executor loop;
        async_sockets sockets = fake_port::open(loop, kernel);
        loop.spawn([&]() -> task<void> {
            std::array<packet, 8> burst;
            static_cast<void>(co_await sockets.rx.recv(burst));
        });
        loop.spawn([&]() -> task<void> {
            auto packets = numbered_packets(sockets.tx, 100);
            static_cast<void>(co_await sockets.tx.send(packets));
        });
        loop.spawn([]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            throw 1;
        });
        loop.run();
    };
    kernel.hold_completions(true);
    CHECK_THROWS_AS(fail(), int);
    CHECK(kernel.live_fds() == 0);
    CHECK(kernel.live_mappings() == 0);
}

TEST_CASE("another coroutine may receive in the turn in which a receive was cancelled") {
    fake_port port;
    std::stop_source source;
    std::size_t received = 0;
    const auto receive = [&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK(ec == errc::operation_canceled);
    };
    port.loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), receive());
        co_await under;
    });
    port.loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        std::array<packet, 8> burst;
        port.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            arrive(port, 1);
        });
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        CHECK_FALSE(ec);
        received = n;
    });
    port.loop.run();
    CHECK(received == 1);
    check_nothing_lost(port.sockets);
}

TEST_CASE("handles that live in a coroutine end with an executor that is destroyed under it") {
    fake_kernel kernel;
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            async_sockets sockets = fake_port::open(loop, kernel);
            std::array<packet, 8> burst;
            static_cast<void>(co_await sockets.rx.recv(burst));
        });
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            loop.stop();
        });
        loop.run();
        CHECK(kernel.live_fds() == 1);
    }
    CHECK(kernel.live_fds() == 0);
    CHECK(kernel.live_mappings() == 0);
}

TEST_CASE("a socket that ends while another descriptor becomes ready does not make the executor oversleep") {
    fake_kernel ending_kernel;
    fake_kernel staying_kernel;
    executor loop;
    std::optional<async_sockets> ending = fake_port::open(loop, ending_kernel);
    async_sockets staying = fake_port::open(loop, staying_kernel);
    loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await staying.rx.recv(burst);
        CHECK_FALSE(ec);
    });
    loop.spawn([&]() -> task<void> {
        std::stop_source source;
        std::array<packet, 8> burst;
        const auto receive = [&]() -> task<void> { static_cast<void>(co_await ending->rx.recv(burst)); };
        stoppable under = run_under(source.get_token(), receive());
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            source.request_stop();
        });
        co_await under;
        // Both polls are armed still. One fires while the other is taken back.
        const std::uint64_t one = 1;
        REQUIRE(::write(staying.rx.socket().fd(), &one, sizeof one) == sizeof one);
        ending.reset();
        REQUIRE(staying_kernel.deliver(numbered_frame(1)));
    });
    loop.run();
    CHECK(loop.sleeps() < 10);  // woken by the packet and not by looking again and again
}

TEST_CASE("frames that another thread returns while the owner sleeps wake it and reach the fill ring") {
    constexpr int rounds = 100;
    fake_port port;
    std::vector<packet> held(fake_port::receiving);
    std::atomic<bool> full = false;
    std::uint64_t woken = 0;  // times that the owner went to sleep again before the frame was in the fill ring
    port.loop.spawn([&]() -> task<void> {
        for (int round = 0; round < rounds; ++round) {
            std::size_t count = 0;
            while (count < held.size()) {
                while (port.kernel.deliver(numbered_frame(0))) {}
                if (port.sockets.rx.socket().available() == 0) {
                    co_await requeue();  // the rest of the frames is still on its way back
                    continue;
                }
                const auto [ec, n] = co_await port.sockets.rx.recv(std::span(held).subspan(count));
                REQUIRE_FALSE(ec);
                count += n;
            }
            quieten(port);  // a descriptor that stays readable would end every sleep at once
            full = true;
            // Every frame is away and nothing is due: only the return of one can end this sleep.
            std::array<packet, 1> next;
            while (full) {
                const auto [ec, n] = co_await port.sockets.rx.recv(next);
                REQUIRE_FALSE(ec);
                quieten(port);
            }
        }
    });
    std::thread other([&] {
        for (int round = 0; round < rounds; ++round) {
            while (!full) { std::this_thread::yield(); }
            std::this_thread::sleep_for(1ms);
            const std::uint32_t before = port.kernel.producer(fake_ring::fill);
            const std::uint64_t slept = port.loop.sleeps();
            held.front().reset();
            while (port.kernel.producer(fake_ring::fill) == before) { std::this_thread::yield(); }
            woken += port.loop.sleeps() - slept;
            for (packet& one : held) { one.reset(); }
            full = false;
            // Readable first: when the owner has the packet it takes the readiness back, which is to be the last there is.
            const std::uint64_t one = 1;
            REQUIRE(::write(port.sockets.rx.socket().fd(), &one, sizeof one) == sizeof one);
            REQUIRE(port.kernel.deliver(numbered_frame(0)));
        }
    });
    port.loop.run();
    other.join();
    MESSAGE(woken, " sleeps in ", rounds, " rounds");
    CHECK(woken <= 4 * rounds);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a second coroutine that awaits a handle is refused and the first one receives") {
    fake_port port;
    io_result first;
    io_result second;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        first = co_await port.sockets.rx.recv(burst);
    });
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        second = co_await port.sockets.rx.recv(burst);
        arrive(port, 0);
    });
    port.loop.run();
    CHECK_FALSE(first.ec);
    CHECK(first.n == 1);
    CHECK(second.ec == errc::handle_in_use);
    CHECK(second.n == 0);
    check_nothing_lost(port.sockets);
}

TEST_CASE("a receive without room completes with nothing, whether packets are there or not, and lets others run") {
    for (const std::uint32_t packets : {0U, 1U}) {
        CAPTURE(packets);
        fake_port port;
        for (std::uint32_t i = 0; i < packets; ++i) { REQUIRE(port.kernel.deliver(numbered_frame(i))); }
        bool over = false;
        std::uint64_t unexpected = 0;
        port.loop.spawn([&]() -> task<void> {
            while (!over) {
                const io_result got = co_await port.sockets.rx.recv(std::span<packet>());
                if (got.ec || got.n != 0) { ++unexpected; }
            }
        });
        port.loop.spawn([&]() -> task<void> {
            over = true;
            co_return;
        });
        port.loop.run();
        CHECK(unexpected == 0);
        CHECK(port.sockets.rx.socket().available() == packets);
        CHECK(port.sockets.rx.socket().pool().census().exact);
    }
}

TEST_CASE("handles that were moved from are closed") {
    fake_port port;
    executor elsewhere;
    async_rx rx = std::move(port.sockets.rx);
    async_tx tx = std::move(port.sockets.tx);
    port.loop.run([](fake_port& from, executor& target) -> task<void> {
        async_rx& empty_rx = from.sockets.rx;
        async_tx& empty_tx = from.sockets.tx;
        packet one;
        for (const std::size_t count : {std::size_t{0}, std::size_t{1}}) {
            const std::span<packet> room(&one, count);
            const io_result got = co_await empty_rx.recv(room);
            CHECK(got.ec == errc::closed);
            CHECK(got.n == 0);
            const io_result sent = co_await empty_tx.send(room);
            CHECK(sent.ec == errc::closed);
            const io_result made = co_await empty_tx.allocate(room);
            CHECK(made.ec == errc::closed);
        }
        const io_result waited = co_await empty_rx.wait();
        CHECK(waited.ec == errc::closed);
        const result<void> moved_rx = co_await empty_rx.move_to(target);
        CHECK(moved_rx.error().code == errc::closed);
        const result<void> moved_tx = co_await empty_tx.move_to(target);
        CHECK(moved_tx.error().code == errc::closed);
        CHECK(executor::current() == &from.loop);
        CHECK(empty_rx.wakeups() == 0);
        empty_rx.listen(true);
        CHECK(empty_tx.try_allocate(std::span(&one, 1)) == 0);
        empty_tx.set_flush_policy({});
        empty_tx.set_completion_limit(std::chrono::seconds(1));
    }(port, elsewhere));
    port.sockets.rx = std::move(rx);
    port.sockets.tx = std::move(tx);
}
