// SPDX-License-Identifier: BSD-3-Clause
// Raw with coroutines: co_await descriptors, keep every frame in one's own hands. Packets go back in their frames.
// Usage: raw_async_batches [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/async_raw.hpp"

#include <array>

using namespace raw_example;

/// Frames of sent packets go to the fill ring, or to `spare` when it is full.
static void recycle(raw_socket& socket, std::vector<frame_index>& spare) {
    auto completed = socket.comp.consume();
    auto slots = socket.fill.reserve(completed.size());
    while (completed.remaining() != 0) {
        const frame_index frame = socket.umem.index_of(completed.next());
        if (!slots.push(socket.umem.addr_of(frame))) { spare.push_back(frame); }
    }
}

static task<std::error_code> reflect(async_raw& raw, tally& done, std::vector<frame_index>& spare) {
    std::array<xdp_desc, 64> batch;  // the same for every batch: nothing is allocated
    raw_socket& socket = raw.socket();
    for (;;) {
        // Looks at the ring before it sleeps, and wakes the kernel before it sleeps where it asks for that. Descriptors
        // leave the ring with this, so the same ones do not come twice.
        const io_result got = co_await raw.recv_batch(batch);
        if (got.ec) { co_return got.ec; }
        done.received += got.n;
        {
            auto slots = socket.tx.reserve(static_cast<std::uint32_t>(got.n));
            for (const xdp_desc& desc : std::span(batch).first(got.n)) {
                swap_mac_addresses(socket.umem.bytes(desc.addr, desc.len));
                if (slots.push(desc)) {
                    ++done.sent;
                } else {
                    spare.push_back(socket.umem.index_of(desc.addr));  // no room: dropped, and the frame kept
                    ++done.recycled;
                }
            }
        }
        if (socket.needs_wakeup_tx()) { check(socket.wakeup_tx()); }  // one kick a batch
        recycle(socket, spare);
    }
}

/// Moves the traffic and ends the program.
static task<void> supervise(traffic& run, const tally& done, async_raw& raw) {
    while (run.more(done)) {
        const std::error_code canceled = co_await sleep_for(std::chrono::microseconds(run.simulated() ? 20 : 1000));
        if (canceled) { co_return; }
        // The executor kicks nothing by itself; what a kick left over is ours to send.
        if (raw.socket().tx.pending() != 0) { check(raw.socket().wakeup_tx()); }
    }
    executor::current()->request_stop();
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: co_await descriptors");
    std::vector<frame_index> spare = run.frames_in_hand();
    executor loop;
    async_raw raw(loop, std::move(run.socket()));
    tally done;
    std::error_code ended;
    loop.spawn([&]() -> task<void> {
        ended = co_await reflect(raw, done, spare);
        loop.request_stop();
    });
    loop.spawn(supervise(run, done, raw));
    loop.run();
    run.socket() = std::move(raw.socket());  // back, for the verdict
    if (ended != errc::operation_canceled) { check(ended); }
    return run.conclude(done, spare);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
