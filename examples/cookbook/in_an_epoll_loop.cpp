// SPDX-License-Identifier: BSD-3-Clause
// Coroutines in a program that has a loop of its own already: the loop makes turns by poll(), and waits for the executor's
// one descriptor beside its own (here a timerfd).
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <utility>

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

using namespace fluxnet;

static task<void> receive(async_rx& rx, std::uint32_t& packets) {
    packet one;
    while (packets < 50) {
        const io_result got = co_await rx.recv(one);
        if (got.ec) { co_return; }
        ++packets;
    }
}

/// Milliseconds that epoll_wait() may sleep; -1: without end.
static int milliseconds_until(const sleep_plan& plan) {
    if (!plan.deadline) { return -1; }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*plan.deadline - std::chrono::steady_clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

static void watch(int epoll, int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main() {
    std::uint32_t packets = 0;
    simulated_wire wire;
    executor loop;
    async_sockets left = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    loop.spawn(receive(right.rx, packets));

    const int epoll = ::epoll_create1(EPOLL_CLOEXEC), timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const itimerspec once{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 5'000'000}};
    ::timerfd_settime(timer, 0, &once, nullptr);
    watch(epoll, timer);
    for (bool known = false;;) {
        while (loop.poll()) {}
        if (!loop.has_work()) { break; }
        const auto plan = loop.prepare_sleep();
        if (!plan) { continue; }                                      // there is something to do already
        if (!std::exchange(known, true)) { watch(epoll, plan->fd); }  // it stays the same
        epoll_event event{};
        const int ready = ::epoll_wait(epoll, &event, 1, milliseconds_until(*plan));
        loop.after_sleep();
        if (ready == 1 && event.data.fd == timer) {  // the program's own work
            std::uint64_t expirations = 0;
            static_cast<void>(!::read(timer, &expirations, sizeof expirations));
            loop.spawn(cookbook::send_datagrams(left.tx, 50));
        }
    }
    loop.release();
    ::close(timer);
    ::close(epoll);
    std::printf("%u packets\n", packets);
    return packets == 50 ? 0 : 1;
}
