// SPDX-License-Identifier: BSD-3-Clause
// rx::wait() on real sockets: what a loop without a runtime sleeps in.
#include "fluxnet/xsk/rx.hpp"

#include "fluxnet/xsk/builder.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

struct port {
    explicit port(std::uint32_t frames = 64) {
        const network_namespace::scoped_enter inside(bed.host());
        sockets.emplace(builder(bed.name(side::host)).frames(frames).tx_frames(frames / 4).build_system().value());
    }

    void send() { wire.send(payload(64, 1)); }

    testbed bed;
    packet_socket wire{bed.peer(), bed.name(side::peer)};
    std::optional<system_sockets> sockets;
};

}  // namespace

TEST_CASE("a wait ends with its time when nothing comes and with the packet when one does") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    port p;
    rx& receiver = p.sockets->rx;
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(receiver.wait(30ms));
    CHECK(std::chrono::steady_clock::now() - start >= 30ms);
    CHECK_FALSE(receiver.failure());
    std::thread later([&] {
        std::this_thread::sleep_for(20ms);
        p.send();
    });
    CHECK(receiver.wait(5s));
    later.join();
    packet one;
    CHECK(receiver.try_recv(std::span(&one, 1)) == 1);
    one.reset();
    check_census(receiver.pool());
}

TEST_CASE("a frame returned on another thread ends the shortage of a wait within 10 milliseconds") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    port p(16);
    rx& receiver = p.sockets->rx;
    std::array<packet, 12> held;
    int late = 0;
    for (int round = 0; round < 100; ++round) {
        receiver.refill();
        std::uint32_t count = 0;
        while (count < held.size()) {
            p.send();
            REQUIRE(receiver.wait(1s));
            count += receiver.try_recv(std::span(held).subspan(count));
        }
        p.send();  // lost: the kernel has no frame
        CHECK_FALSE(receiver.wait(0ms));
        std::chrono::steady_clock::time_point returned;
        std::atomic<bool> over = false;
        std::thread other([&] {
            std::this_thread::sleep_for(2ms);
            returned = std::chrono::steady_clock::now();
            held[3].reset();
            // On a busy machine the receiver may take its time to wake; packets are lost until then.
            while (!over) {
                std::this_thread::sleep_for(1ms);
                p.send();
            }
        });
        const bool ready = receiver.wait(2s);
        const auto resumed = std::chrono::steady_clock::now();
        over = true;
        other.join();
        REQUIRE(ready);
        late += resumed - returned < 10ms ? 0 : 1;
        packet one;
        CHECK(receiver.try_recv(std::span(&one, 1)) == 1);
        one.reset();
        for (packet& each : held) { each.reset(); }
    }
    CHECK(late <= 25);  // a machine with more to do than it has processors is late now and then
    check_census(receiver.pool());
}

TEST_CASE("a deleted interface is noticed when the time of the wait has passed") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    port p;
    rx& receiver = p.sockets->rx;
    std::thread later([&] {
        std::this_thread::sleep_for(20ms);
        p.bed.delete_link();
    });
    CHECK(receiver.wait(300ms));
    later.join();
    CHECK(receiver.failure() == errc::interface_gone);
    CHECK(receiver.wait(5s));  // at once
    packet one;
    CHECK(receiver.try_recv(std::span(&one, 1)) == 0);
}

TEST_CASE("a wait in which nothing happens makes one ppoll") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    port p;
    rx& receiver = p.sockets->rx;
    CHECK_FALSE(receiver.wait(1ms));  // the first one makes its eventfd
    syscall_counter calls(::gettid(), counted::thread);
    CHECK_FALSE(receiver.wait(20ms));
    CHECK(calls.of(SYS_ppoll) == 1);
    CHECK(calls.total() <= 3);  // and a look at the socket when the time has passed
}
