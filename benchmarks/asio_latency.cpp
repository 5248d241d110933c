// SPDX-License-Identifier: BSD-3-Clause
// How long Asio's own timers and sockets wait in an io_context whose port receives all the time: p50, p99 and the longest,
// in one run, beside an io_context whose port is idle. Usage: asio_latency [SECONDS]
//
// The port is one of a simulated wire, whose other end sends a packet for each that was received; so its ring is never dry
// and one thread does nothing but receive, when it is let. A timer rings each millisecond: how late? A byte goes to and fro
// over a pair of local sockets: how long does a round take? Fails when a p99 is 10 ms or more.
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <vector>

using namespace fluxnet;
using clock_type = std::chrono::steady_clock;
using end = simulated_wire::end;
namespace net = boost::asio;

namespace {

constexpr std::chrono::milliseconds limit{10};

class busy_program {
public:
    busy_program() : context_(1), on_(context_) { net::local::connect_pair(near_, far_); }

    /// Runs for a while, with packets that never end or with none.
    void run(std::chrono::duration<double> seconds, bool saturated) {
        receive();
        if (saturated) { send(1024); }
        net::co_spawn(context_, ring(), net::detached);
        net::co_spawn(context_, ask(), net::detached);
        net::co_spawn(context_, answer(), net::detached);
        context_.run_for(std::chrono::duration_cast<std::chrono::nanoseconds>(seconds));
    }

    std::vector<clock_type::duration> late;    // the timer
    std::vector<clock_type::duration> rounds;  // of a byte
    std::uint64_t received = 0;

private:
    void receive() {
        port_.async_receive(batch_, [this](const boost::system::error_code& code, std::size_t n) {
            if (code) { return; }
            received += n;
            for (packet& each : std::span(batch_).first(n)) { each.reset(); }
            send(n);
            receive();
        });
    }

    void send(std::size_t count) {
        while (count != 0) {
            const std::uint32_t made = sender_.tx.allocate(std::span(burst_).first(std::min(count, burst_.size())));
            if (made == 0) { return; }
            for (packet& each : std::span(burst_).first(made)) { static_cast<void>(each.set_len(60)); }
            count -= sender_.tx.try_send(std::span(burst_).first(made));
            sender_.tx.flush();
        }
    }

    net::awaitable<void> ring() {
        net::steady_timer timer(context_);
        for (;;) {
            timer.expires_after(std::chrono::milliseconds(1));
            co_await timer.async_wait(net::use_awaitable);
            late.push_back(clock_type::now() - timer.expiry());
        }
    }

    net::awaitable<void> ask() {
        std::array<char, 1> byte{};
        for (;;) {
            const auto begin = clock_type::now();
            co_await net::async_write(near_, net::buffer(byte), net::use_awaitable);
            co_await net::async_read(near_, net::buffer(byte), net::use_awaitable);
            rounds.push_back(clock_type::now() - begin);
        }
    }

    net::awaitable<void> answer() {
        std::array<char, 1> byte{};
        for (;;) {
            co_await net::async_read(far_, net::buffer(byte), net::use_awaitable);
            co_await net::async_write(far_, net::buffer(byte), net::use_awaitable);
        }
    }

    simulated_wire wire_{{.hash_traffic = false}};
    system_sockets sender_ = wire_.socket_on(end::left).frames(4096).tx_frames(2048).build_system().value();
    net::io_context context_;
    asio::execution on_;
    asio::port port_ = asio::port::open(on_, wire_.socket_on(end::right)).value();
    std::array<packet, 64> batch_;
    std::array<packet, 64> burst_;
    net::local::stream_protocol::socket near_{context_};
    net::local::stream_protocol::socket far_{context_};
};

/// Prints what was measured, and tells whether it is within the limit.
bool print(const char* what, std::vector<clock_type::duration>& measured) {
    if (measured.empty()) {
        std::printf("  %-34s never\n", what);
        return false;
    }
    std::sort(measured.begin(), measured.end());
    const auto at = [&](double part) {
        return measured[static_cast<std::size_t>(part * static_cast<double>(measured.size() - 1))];
    };
    const auto us = [](clock_type::duration one) { return std::chrono::duration<double, std::micro>(one).count(); };
    const bool holds = at(0.99) < limit;
    std::printf("  %-34s %9.1f %9.1f %9.1f %9zu%s\n", what, us(at(0.5)), us(at(0.99)), us(measured.back()), measured.size(),
                holds ? "" : "  EXCEEDED");
    return holds;
}

}  // namespace

int main(int argc, char** argv) try {
    const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 3;
    bool holds = true;
    std::printf("%-36s %9s %9s %9s %9s\n", "microseconds", "p50", "p99", "longest", "times");
    for (const bool saturated : {false, true}) {
        busy_program one;
        one.run(std::chrono::duration<double>(seconds), saturated);
        std::printf("beside a port that %s\n", saturated ? "receives all the time" : "receives nothing");
        holds = print("a timer of 1 ms rings late by", one.late) && holds;
        holds = print("a byte over a socket and back takes", one.rounds) && holds;
        if (saturated) {
            std::printf("  %.2f million packets a second\n", static_cast<double>(one.received) / seconds / 1e6);
        }
    }
    return holds ? 0 : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "asio_latency: %s\n", failure.what());
    return 1;
}
