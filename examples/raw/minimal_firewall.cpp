// SPDX-License-Identifier: BSD-3-Clause
// Raw, a firewall in a page: well-formed IPv4 passes, which here means back to where it came from; all else is dropped.
// Usage: raw_minimal_firewall [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"
#include "fluxnet/proto/ipv4.hpp"

using namespace raw_example;

/// What the kernel delivers is hostile until parsed: a type field alone makes no IPv4 packet.
static bool allowed(std::span<const std::byte> bytes) {
    const auto frame = proto::ethernet_view::parse(bytes);
    if (!frame || frame->type() != proto::ethertype::ipv4) { return false; }
    return proto::ipv4_view::parse(frame->payload()).has_value();
}

static void reclaim(raw_socket& socket, std::vector<frame_index>& free_list) {
    auto completed = socket.comp.consume();
    while (completed.remaining() != 0) { free_list.push_back(socket.umem.index_of(completed.next())); }
}

/// Sorts one batch. Every packet leaves into exactly one of two places: the TX ring or the free list.
static void filter(raw_socket& socket, tally& done, std::uint64_t& no_room, std::vector<frame_index>& free_list) {
    auto packets = socket.rx.consume();
    auto slots = socket.tx.reserve(packets.size());  // once a batch: a reservation a packet is a publication a packet
    while (packets.remaining() != 0) {
        const xdp_desc desc = packets.next();
        const auto bytes = socket.umem.bytes(desc.addr, desc.len);
        ++done.received;
        const bool pass = allowed(bytes);
        if (pass && slots.remaining() != 0) {
            swap_mac_addresses(bytes);
            slots.push(desc);
            ++done.sent;
            continue;
        }
        no_room += pass ? 1 : 0;
        free_list.push_back(socket.umem.index_of(desc.addr));
        ++done.recycled;
    }
}

static void refill(raw_socket& socket, std::vector<frame_index>& free_list) {
    auto slots = socket.fill.reserve(static_cast<std::uint32_t>(free_list.size()));
    while (slots.remaining() != 0) {
        slots.push(socket.umem.addr_of(free_list.back()));
        free_list.pop_back();
    }
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: a firewall that lets IPv4 pass");
    raw_socket& socket = run.socket();
    std::vector<frame_index> free_list = run.frames_in_hand();
    std::uint64_t no_room = 0;
    tally done;
    while (run.more(done)) {
        const std::uint64_t before = done.received;
        reclaim(socket, free_list);
        filter(socket, done, no_room, free_list);
        refill(socket, free_list);
        if (socket.tx.pending() != 0 && socket.needs_wakeup_tx()) { check(socket.wakeup_tx()); }
        if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
        if (done.received == before) { run.rest(socket); }
    }
    std::printf("firewall: allowed %llu denied %llu no_room %llu\n", 0ULL + done.sent + no_room,
                0ULL + done.recycled - no_room, 0ULL + no_room);
    const int code = run.conclude(done, free_list);
    // One packet of eight is ARP on the simulated wire, and none of them may have come back.
    const bool denied = !run.simulated() || (done.recycled - no_room == done.received / 8 && run.returned_arp() == 0);
    if (!denied) { std::fprintf(stderr, "a packet passed that was to be denied\n"); }
    return denied ? code : 1;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
