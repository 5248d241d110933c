// SPDX-License-Identifier: BSD-3-Clause
#include "benchmarks/burst_each_turn.hpp"
#include "benchmarks/loops.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/engine.hpp"

#include <array>
#include <span>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace benchmark {
namespace {

void check_census(frame_pool& pool, std::int64_t user = 0) {
    const frame_census census = pool.census();
    require(census.exact && census.sum() == census.frames && census.user == user, "frames were lost");
}

template <class F>
void drive_engine(traffic& from, F callback, const std::uint64_t& sum) {
    engine loop({.how = poller::busy});
    burst_each_turn bursts(loop, from, [&] { loop.stop(); });
    require(loop.add_port(from.receiver().build_system().value()).has_value(), "no port");
    from.run([&] { require(!loop.run(callback), "the engine failed"); });
    engine_port& port = loop.port(0);
    from.check(port.counts().received, sum);
    check_census(port.receiving().pool());
}

template <class F>
void drive_system(traffic& from, F drop) {
    system_sockets sockets = from.receiver().build_system().value();
    std::array<packet, traffic::batch> packets;
    std::uint64_t received = 0;
    std::uint64_t sum = 0;
    from.run([&] {
        while (from.send_burst()) {
            for (std::uint32_t left = from.burst(); left != 0;) {
                const std::uint32_t count = sockets.rx.try_recv(packets);
                sum += touch_all(std::span(packets).first(count));
                drop(std::span(packets).first(count));
                received += count;
                left = count == 0 ? 0 : left - count;
            }
        }
    });
    from.check(received, sum);
    for (packet& one : packets) { one.reset(); }
    check_census(sockets.rx.pool());
}

template <std::size_t Batch>
task<void> receive(async_rx& rx, std::uint64_t& received, std::uint64_t& sum) {
    std::array<packet, Batch> packets;
    for (;;) {
        const io_result got = co_await rx.recv(packets);
        if (got.ec) { co_return; }
        sum += touch_all(std::span(packets).first(got.n));
        received += got.n;
    }
}

/// An epoll loop as an application has of its own: it looks at its descriptors once between two turns of the executor, and
/// waits for them and for the executor's when that has nothing to do.
class epoll_loop {
public:
    epoll_loop() { require(epoll_ >= 0, "no epoll"); }
    epoll_loop(const epoll_loop&) = delete;
    epoll_loop& operator=(const epoll_loop&) = delete;
    ~epoll_loop() { ::close(epoll_); }

    /// Drives the executor until it is stopped, and forgets that, as run() does.
    void drive(executor& driven) {
        for (;;) {
            const bool again = driven.poll();
            if (driven.stopped()) { break; }
            if (again) {
                wait(0);
                continue;
            }
            if (const auto plan = driven.prepare_sleep()) {
                watch(plan->fd);
                wait(-1);  // nothing in the benchmark has a deadline
                driven.after_sleep();
            }
        }
        driven.restart();
    }

private:
    void watch(int descriptor) {
        if (std::exchange(watched_, descriptor) == descriptor) { return; }
        epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
        require(::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0, "the executor cannot be watched");
    }

    void wait(int limit_ms) {
        std::array<epoll_event, 16> events;
        require(::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), limit_ms) >= 0, "the epoll failed");
    }

    const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    int watched_ = -1;
};

/// Lets `drive` run an executor with receive() on it until it is stopped.
template <std::size_t Batch = traffic::batch, class F>
void drive_coroutine(traffic& from, F drive) {
    std::uint64_t received = 0;
    std::uint64_t sum = 0;
    executor loop({.how = poller::busy});
    burst_each_turn bursts(loop, from, [&] { loop.stop(); });
    system_sockets sockets = from.receiver().build_system().value();
    async_rx rx(loop, std::move(sockets.rx));
    loop.spawn(receive<Batch>(rx, received, sum));
    from.run([&] { drive(loop); });
    from.check(received, sum);
    check_census(rx.socket().pool(), 0);
}

}  // namespace

void run_system(traffic& from) {
    drive_system(from, [](std::span<packet>) {});
}

void run_system_reset(traffic& from) {
    drive_system(from, [](std::span<packet> packets) {
        for (packet& one : packets) { one.reset(); }
    });
}

void run_engine(traffic& from) {
    std::uint64_t sum = 0;
    drive_engine(
        from,
        [&sum](packet_batch& batch) {
            std::uint64_t found = 0;
            for (const packet_ref one : batch) { found += touch(one.data().data(), one.size()); }
            sum += found;
        },
        sum);
}

void run_engine_packets(traffic& from) {
    std::uint64_t sum = 0;
    drive_engine(
        from,
        [&sum](packet_ref one) {
            sum += touch(one.data().data(), one.size());
            return action::drop;
        },
        sum);
}

void run_coroutine(traffic& from) {
    drive_coroutine(from, [](executor& loop) { loop.run(); });
}

void run_coroutine_large(traffic& from) {
    drive_coroutine<traffic::large_batch>(from, [](executor& loop) { loop.run(); });
}

void run_coroutine_driven(traffic& from) {
    epoll_loop own;
    drive_coroutine(from, [&](executor& loop) { own.drive(loop); });
}

}  // namespace benchmark
