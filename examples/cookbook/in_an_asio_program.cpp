// SPDX-License-Identifier: BSD-3-Clause
// Packets in a program of Boost.Asio's: an `execution` runs our coroutines inside the io_context, without a thread of its
// own. A handler receives packets, and a task awaits a timer of Asio's.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/runtime/asio/use_task.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>

using namespace fluxnet;
using end = simulated_wire::end;

constexpr std::uint32_t datagrams = 50;

static task<void> send_later(async_tx& tx, boost::asio::steady_timer& timer) {
    timer.expires_after(std::chrono::milliseconds(5));
    const wait_result rung = co_await timer.async_wait(fluxnet::asio::use_task);
    if (rung) { co_return; }
    co_await cookbook::send_datagrams(tx, datagrams);
}

/// A loop of handlers, as Asio's programs have them.
struct counter {
    fluxnet::asio::port& from;
    std::array<packet, 64> batch{};
    std::size_t packets = 0;

    void receive() {
        from.async_receive(batch, [this](boost::system::error_code code, std::size_t n) {
            packets += n;
            if (!code && packets < datagrams) { receive(); }
        });
    }
};

int main() {
    simulated_wire wire;
    boost::asio::io_context context;
    fluxnet::asio::execution packets(context);
    fluxnet::asio::port left = fluxnet::asio::port::open(packets, wire.socket_on(end::left)).value();
    fluxnet::asio::port right = fluxnet::asio::port::open(packets, wire.socket_on(end::right)).value();
    boost::asio::steady_timer timer(context);
    counter received{right};
    received.receive();
    fluxnet::asio::async_run(packets, send_later(left.tx(), timer), boost::asio::detached);
    context.run();  // returns when neither Asio nor the execution has work
    std::printf("%zu packets\n", received.packets);
    return received.packets == datagrams ? 0 : 1;
}
