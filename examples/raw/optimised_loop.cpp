// SPDX-License-Identifier: BSD-3-Clause
// Raw, the quick loop: packets go back in the frames they came in, in batches, with one kick for each.
// Usage: raw_optimised_loop [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"

using namespace raw_example;

static constexpr std::uint32_t batch_size = 64;

/// Moves one batch from the RX ring to the TX ring, in place. Returns how many packets.
static std::uint32_t forward(raw_socket& socket) {
    // Slots first, then as many packets as there are slots: what cannot be sent now stays in the RX ring, in order, and
    // no list of pending descriptors can grow or be forgotten.
    auto slots = socket.tx.reserve(batch_size);
    auto packets = socket.rx.consume(slots.capacity());
    while (packets.remaining() != 0) {
        const xdp_desc desc = packets.next();
        swap_mac_addresses(socket.umem.bytes_unchecked(desc.addr, desc.len));  // the kernel wrote the descriptor
        slots.push(desc);
    }
    return slots.written();
}

/// Moves frames of sent packets from the completion ring to the fill ring; `spare` takes those for which there is no room.
static void recycle(raw_socket& socket, std::vector<frame_index>& spare) {
    auto completed = socket.comp.consume();
    auto slots = socket.fill.reserve(completed.size() + static_cast<std::uint32_t>(spare.size()));
    while (completed.remaining() != 0) {
        // Rounded down to the frame: completions give back the packet's address, behind the headroom.
        const frame_index frame = socket.umem.index_of(completed.next());
        if (!slots.push(socket.umem.addr_of(frame))) { spare.push_back(frame); }
    }
    while (slots.remaining() != 0) {
        slots.push(socket.umem.addr_of(spare.back()));
        spare.pop_back();
    }
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: forwarding in place, in batches");
    raw_socket& socket = run.socket();
    std::vector<frame_index> spare = run.frames_in_hand();
    tally done;
    while (run.more(done)) {
        recycle(socket, spare);
        const std::uint32_t forwarded = forward(socket);
        done.received += forwarded;
        done.sent += forwarded;
        // Also when nothing came this time: what the last kick left over is sent by nobody else, and its frames complete
        // only then.
        if (socket.tx.pending() != 0 && socket.needs_wakeup_tx()) { check(socket.wakeup_tx()); }
        if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
        if (forwarded == 0) { run.rest(socket); }
    }
    return run.conclude(done, spare);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
