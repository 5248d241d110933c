// SPDX-License-Identifier: BSD-3-Clause
// Packets in a thread of one's own, without coroutines: `rx` and `tx` own the rings, and poll(2) waits. For programs that
// have an architecture already, and link fluxnet::xsk alone.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/xsk/builder.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>

#include <poll.h>

using namespace fluxnet;

static void send_ten(tx& sender) {
    std::array<packet, 10> burst;
    const std::uint32_t made = sender.allocate(burst);  // fewer when frames are short
    for (std::uint32_t i = 0; i < made; ++i) { cookbook::write_datagram(burst[i], i + 1); }
    sender.try_send(std::span(burst).first(made));  // those that were not taken stay in their handles
    sender.flush();                                 // one system call for all of them
}

int main() {
    simulated_wire wire;  // on an interface: builder("eth0").build_system()
    system_sockets left = wire.socket_on(simulated_wire::end::left).build_system().value();
    system_sockets right = wire.socket_on(simulated_wire::end::right).build_system().value();
    send_ten(left.tx);

    std::array<packet, 64> burst;
    std::uint32_t received = 0, sum = 0;
    for (pollfd readable{right.rx.fd(), POLLIN, 0}; received < 10;) {
        const std::uint32_t count = right.rx.try_recv(burst);  // what `burst` held is dropped
        for (const packet& one : std::span(burst).first(count)) { sum += cookbook::number_of(one.data()); }
        received += count;
        if (count != 0) { continue; }
        right.rx.refill();  // frames that came back go to the kernel before the thread sleeps
        right.rx.wake_if_needed();
        right.rx.prepare_wait();
        if (::poll(&readable, 1, 1000) == 0 && right.rx.check()) { break; }  // a second of silence: is all still there?
    }
    std::printf("%u packets, their numbers add up to %u\n", received, sum);
    return received == 10 && sum == 55 ? 0 : 1;
}
