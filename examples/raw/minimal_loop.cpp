// SPDX-License-Identifier: BSD-3-Clause
// Raw, the smallest loop: the four rings one after the other. Every other packet is sent back, the rest is dropped.
// Usage: raw_minimal_loop [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"

using namespace raw_example;

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: the four rings, one after the other");
    raw_socket& socket = run.socket();

    // The pump was primed when the socket was opened: some drivers misbehave when the fill ring is empty at the bind. The
    // free list begins without those frames. It holds frame numbers; rings take addresses: two types, so never mixed up.
    std::vector<frame_index> free_list = run.frames_in_hand();
    tally done;
    while (run.more(done)) {
        // 1. Completion ring: frames of packets that have been sent are ours again.
        {
            auto completed = socket.comp.consume();
            while (completed.remaining() != 0) { free_list.push_back(socket.umem.index_of(completed.next())); }
        }  // here the guards release what was read and publish what was written, and nothing else

        // 2. RX ring, and 3. TX ring.
        const std::uint64_t before = done.received;
        {
            auto packets = socket.rx.consume();
            auto slots = socket.tx.reserve(packets.size());  // perhaps fewer than we want
            while (packets.remaining() != 0) {
                const xdp_desc desc = packets.next();
                const auto bytes = socket.umem.bytes(desc.addr, desc.len);
                const bool answer = done.received++ % 2 == 0;
                if (answer && slots.remaining() != 0) {
                    swap_mac_addresses(bytes);
                    slots.push(desc);
                    ++done.sent;
                } else {
                    // `addr` points behind the headroom: its frame is meant. A packet without a TX slot ends here too,
                    // else its frame would be in nobody's hands.
                    free_list.push_back(socket.umem.index_of(desc.addr));
                    ++done.recycled;
                }
            }
        }

        // 4. Fill ring: as many frames as it has room for. Without frames there, reception stops.
        {
            auto slots = socket.fill.reserve(static_cast<std::uint32_t>(free_list.size()));
            while (slots.remaining() != 0) {
                slots.push(socket.umem.addr_of(free_list.back()));
                free_list.pop_back();
            }
        }

        // Wake the kernel where it asks for it. On the TX side only when something waits there; in copy mode it always asks.
        if (socket.tx.pending() != 0 && socket.needs_wakeup_tx()) { check(socket.wakeup_tx()); }
        if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
        if (done.received == before) { run.rest(socket); }
    }
    return run.conclude(done, free_list);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
