// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/asio/port.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<asio::port> && !std::is_copy_constructible_v<asio::port>);

TEST_CASE("a port receives what is there, and what arrives later") {
    asio_port one;
    std::array<packet, 8> batch;
    transfer_end::record end;
    one.arrive(1);
    one.arrive(2);
    one.port.async_receive(batch, transfer_end{&end});
    CHECK(end.calls == 0);
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK_FALSE(end.code);
    REQUIRE(end.n == 2);
    CHECK(number_of(batch[0].data()) == 1);
    CHECK(number_of(batch[1].data()) == 2);
    one.quieten();
    one.port.async_receive(batch, transfer_end{&end});
    run_ready(*one.context);
    CHECK(end.calls == 1);
    one.arrive(3);
    run_all(*one.context);
    CHECK(end.calls == 2);
    REQUIRE(end.n == 1);
    CHECK(number_of(batch[0].data()) == 3);
}

TEST_CASE("a port sends packets in order") {
    asio_port one;
    std::vector<packet> packets = one.packets(3, 10);
    transfer_end::record end;
    one.port.async_send(packets, transfer_end{&end});
    CHECK(end.calls == 0);
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK_FALSE(end.code);
    CHECK(end.n == 3);
    std::vector<std::uint32_t> sent;
    for (const auto& frame : one.kernel.take_sent()) { sent.push_back(number_of(frame)); }
    CHECK(sent == numbers(10, 3));
}

TEST_CASE("async_wait ends when packets can be received and takes none") {
    asio_port one;
    std::array<packet, 8> batch;
    transfer_end::record end;
    one.port.async_wait(transfer_end{&end});
    run_ready(*one.context);
    CHECK(end.calls == 0);
    one.arrive(1);
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK_FALSE(end.code);
    one.port.async_wait(transfer_end{&end});  // still there
    run_all(*one.context);
    CHECK(end.calls == 2);
    one.port.async_receive(batch, transfer_end{&end});
    run_all(*one.context);
    CHECK(end.calls == 3);
    CHECK(end.n == 1);
}

TEST_CASE("a second reception of a port is refused and the first one receives") {
    asio_port one;
    std::array<packet, 8> batch;
    std::array<packet, 8> other;
    transfer_end::record first;
    transfer_end::record second;
    one.port.async_receive(batch, transfer_end{&first});
    one.port.async_receive(other, transfer_end{&second});
    CHECK(second.calls == 0);
    run_ready(*one.context);
    CHECK(first.calls == 0);
    CHECK(second.calls == 1);
    CHECK(second.code == errc::handle_in_use);
    one.arrive(1);
    run_all(*one.context);
    CHECK(first.calls == 1);
    CHECK(first.n == 1);
}

TEST_CASE("two sendings of a port are served in turn") {
    asio_port one;
    std::vector<packet> first = one.packets(40, 0);
    std::vector<packet> second = one.packets(40, 40);
    transfer_end::record ends[2];
    one.kernel.hold_completions(true);
    one.port.async_send(first, transfer_end{&ends[0]});
    one.port.async_send(second, transfer_end{&ends[1]});
    run_ready(*one.context);
    CHECK(ends[0].calls == 1);
    CHECK(ends[1].calls == 0);  // there is credit for 64
    one.kernel.hold_completions(false);
    one.kernel.release_completions();
    run_all(*one.context);
    CHECK(ends[1].calls == 1);
    CHECK(ends[1].n == 40);
    std::vector<std::uint32_t> sent;
    for (const auto& frame : one.kernel.take_sent()) { sent.push_back(number_of(frame)); }
    CHECK(sent == numbers(0, 80));
}

TEST_CASE("packets that the kernel did not take at once keep the io_context until it has taken them") {
    asio_port one;
    std::vector<packet> packets = one.packets(40);
    one.kernel.set_tx_budget(8);
    one.kernel.fail(fake_call::kick_tx, 2, EAGAIN, 3);
    transfer_end::record end;
    one.port.async_send(packets, transfer_end{&end});
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK(one.port.tx().socket().pending() == 0);
    CHECK(one.kernel.take_sent().size() == 40);
}

TEST_CASE("a cancelled reception has taken nothing and a cancelled sending tells how much it has") {
    asio_port one;
    std::array<packet, 8> batch;
    net::cancellation_signal signal;
    transfer_end::record end;
    one.port.async_receive(batch, net::bind_cancellation_slot(signal.slot(), transfer_end{&end}));
    run_ready(*one.context);
    signal.emit(net::cancellation_type::total);
    CHECK(end.calls == 0);
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK(end.code == net::error::operation_aborted);
    CHECK(end.n == 0);
    std::vector<packet> packets = one.packets(100);
    one.kernel.hold_completions(true);
    one.port.async_send(packets, net::bind_cancellation_slot(signal.slot(), transfer_end{&end}));
    run_ready(*one.context);
    signal.emit(net::cancellation_type::total);  // which it cannot promise
    run_ready(*one.context);
    CHECK(end.calls == 1);
    signal.emit(net::cancellation_type::partial);
    run_ready(*one.context);
    CHECK(end.calls == 2);
    CHECK(end.code == net::error::operation_aborted);
    CHECK(end.n == 64);
    one.kernel.hold_completions(false);
    one.kernel.release_completions();
}

TEST_CASE("a ring that is corrupted ends a reception with an error that compares with ours") {
    asio_port one;
    std::array<packet, 8> batch;
    transfer_end::record end;
    one.kernel.write_producer(fake_ring::rx, 100'000);
    one.port.async_receive(batch, transfer_end{&end});
    run_all(*one.context);
    CHECK(end.calls == 1);
    CHECK(end.code == errc::ring_corruption);
}

TEST_CASE("operations under way, and later ones, end with operation_aborted when their port is closed") {
    asio_port one;
    std::array<packet, 8> batch;
    transfer_end::record ends[3];
    one.port.async_receive(batch, transfer_end{&ends[0]});
    run_ready(*one.context);
    std::vector<packet> packets = one.packets(1);
    one.port.async_send(packets, transfer_end{&ends[1]});
    one.port.close();
    CHECK_FALSE(one.port.is_open());
    one.port.async_receive(batch, transfer_end{&ends[2]});
    for (const auto& each : ends) { CHECK(each.calls == 0); }
    run_all(*one.context);
    for (const auto& each : ends) {
        CHECK(each.calls == 1);
        CHECK(each.code == net::error::operation_aborted);
    }
}

TEST_CASE("a port that was moved from is closed") {
    asio_port one;
    asio::port moved(std::move(one.port));
    std::array<packet, 8> batch;
    transfer_end::record ends[3];
    one.port.async_receive(batch, transfer_end{&ends[0]});
    one.port.async_send(std::span<packet>(), transfer_end{&ends[1]});
    one.port.async_wait(transfer_end{&ends[2]});
    CHECK_FALSE(one.port.is_open());
    CHECK_THROWS_AS(static_cast<void>(one.port.allocate(batch)), std::system_error);
    one.port.close();
    run_all(*one.context);
    for (const auto& each : ends) {
        CHECK(each.calls == 1);
        CHECK(each.code == net::error::operation_aborted);
    }
    one.port = std::move(moved);
    CHECK(one.port.is_open());
}

TEST_CASE("a port is destroyed by its handler and by a task") {
    for (const bool by_task : {false, true}) {
        CAPTURE(by_task);
        fake_kernel kernel;
        net::io_context context;
        asio::execution on(context);
        auto port = std::make_shared<asio::port>(on, fake_port::open(on.loop(), kernel));
        std::array<packet, 8> batch;
        int calls = 0;
        port->async_receive(batch, [&](const boost::system::error_code& code, std::size_t) {
            CHECK(code == net::error::operation_aborted);
            ++calls;
        });
        run_ready(context);
        if (by_task) {
            on.loop().spawn([&]() -> task<void> {
                port.reset();
                co_return;
            });
        } else {
            net::post(context, [&] { port.reset(); });
        }
        run_all(context);
        CHECK(calls == 1);
        CHECK(kernel.live_fds() == 0);
    }
}

TEST_CASE("a port whose execution has gone is not open, and makes no packets") {
    fake_kernel kernel;
    net::io_context context;
    auto on = std::make_unique<asio::execution>(context);
    asio::port port(*on, fake_port::open(on->loop(), kernel));
    std::array<packet, 1> one;
    CHECK(port.is_open());
    CHECK(port.allocate(one) == 1);
    on.reset();
    CHECK_FALSE(port.is_open());
    std::error_code seen;
    try {
        static_cast<void>(port.allocate(one));
    } catch (const std::system_error& failure) { seen = failure.code(); }
    CHECK(seen == errc::closed);
    CHECK(static_cast<bool>(one[0]));  // as it was
}

TEST_CASE("an io_context that is destroyed under a port's operations destroys their handlers") {
    fake_kernel kernel;
    auto context = std::make_unique<net::io_context>();
    auto on = std::make_unique<asio::execution>(*context);
    auto port = std::make_shared<asio::port>(*on, fake_port::open(on->loop(), kernel));
    const std::weak_ptr<asio::port> seen = port;
    std::array<packet, 8> batch;
    port->async_receive(batch, [port](const boost::system::error_code&, std::size_t) { CHECK(false); });
    port.reset();
    run_ready(*context);
    SUBCASE("with its execution") {
        on.reset();
    }
    SUBCASE("before its execution's memory") {}
    context.reset();
    CHECK(seen.expired());
    CHECK(kernel.live_fds() == 0);
}

TEST_CASE("packets of handlers go on to coroutines of Asio's and back, and every frame is accounted for") {
    asio_port one;
    std::array<packet, 8> batch;
    std::uint32_t echoed = 0;
    net::co_spawn(
        *one.context,
        [&]() -> net::awaitable<void> {
            while (echoed < 20) {
                const std::size_t n = co_await one.port.async_receive(batch, net::use_awaitable);
                one.quieten();
                const std::size_t sent = co_await one.port.async_send(std::span(batch).first(n), net::use_awaitable);
                CHECK(sent == n);
                echoed += static_cast<std::uint32_t>(n);
            }
        },
        net::detached);
    for (std::uint32_t i = 0; i < 20; ++i) {
        one.arrive(i);
        run_ready(*one.context);
    }
    run_all(*one.context);
    CHECK(echoed == 20);
    std::vector<std::uint32_t> sent;
    for (const auto& frame : one.kernel.take_sent()) { sent.push_back(number_of(frame)); }
    CHECK(sent == numbers(0, 20));
    one.port.tx().socket().drain(200ms);
    const frame_census census = one.port.rx().socket().pool().census();
    CHECK(census.sum() == census.frames);
    CHECK(census.user == 0);
}

TEST_CASE("a port on several threads receives and sends, and frames come back from all of them") {
    constexpr std::uint32_t count = 300;
    asio_port one;
    auto guard = net::make_work_guard(*one.context);
    std::array<packet, 4> batch;
    std::atomic<std::uint32_t> received = 0;
    std::function<void()> receive = [&] {
        one.port.async_receive(batch, [&](const boost::system::error_code& code, std::size_t n) {
            if (code) { return; }
            one.quieten();
            for (packet& each : std::span(batch).first(n)) { each.reset(); }
            received += static_cast<std::uint32_t>(n);
            receive();
        });
    };
    receive();
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] { one.context->run(); });
    }
    std::uint32_t sent = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint64_t ready = 1;
        while (!one.kernel.deliver(numbered_frame(i))) { std::this_thread::yield(); }
        REQUIRE(::write(one.fd, &ready, sizeof ready) == sizeof ready);
        if (i % 10 == 0) {
            std::array<packet, 1> packets;
            if (one.port.allocate(packets) == 0) { continue; }
            REQUIRE(packets[0].assign(numbered_frame(i)));
            std::promise<void> done;
            one.port.async_send(packets, [&](const boost::system::error_code& code, std::size_t) {
                CHECK(!code);
                done.set_value();
            });
            done.get_future().wait();
            ++sent;
        }
    }
    while (received != count) { std::this_thread::yield(); }
    one.port.close();
    guard.reset();
    for (std::thread& each : threads) { each.join(); }
    CHECK(sent > 0);
}
