// SPDX-License-Identifier: BSD-3-Clause
// A program as a user of the library writes it: an executor, an address parsed by proto, and a socket that cannot be opened.
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <chrono>
#include <cstdio>

int main() {
    const auto address = fluxnet::proto::ipv4_address::parse("192.0.2.1");
    if (!address) { return 1; }
    fluxnet::executor loop;
    bool slept = false;
    loop.spawn([&]() -> fluxnet::task<void> {
        fluxnet::scope children;
        children.spawn([&]() -> fluxnet::task<void> {
            const std::error_code ec = co_await fluxnet::sleep_for(std::chrono::milliseconds(1));
            slept = !ec;
        });
        static_cast<void>(co_await children.join());
    });
    loop.run();
    const auto sockets = fluxnet::open_async(loop, fluxnet::builder("nosuch0"));
    if (sockets || !slept) { return 1; }
    std::printf("%s\n", sockets.error().message().c_str());
    return 0;
}
