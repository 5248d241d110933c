// SPDX-License-Identifier: BSD-3-Clause
// Raw, prefetching: the bytes of the packet four places ahead are on their way to the cache while this one is looked at.
// Usage: raw_prefetching [--interface NAME] [--count N] [--duration SECONDS] [--mode auto|native|generic]
#include "examples/raw/carry_traffic.hpp"
#include "fluxnet/proto/checksum.hpp"

using namespace raw_example;

/// Descriptors are 16 bytes, so four lie in a cache line: one line of them ahead.
static constexpr std::uint32_t ahead = 64 / sizeof(xdp_desc);

static void prefetch(const raw_socket& socket, const xdp_desc& desc) {
    // By the packet's address, not by the frame's number times its size: the packet begins 512 bytes behind the frame, in
    // other cache lines. A prefetch reads nothing, so even a wrong address does no harm.
    __builtin_prefetch(socket.umem.bytes_unchecked(desc.addr, desc.len).data());
}

/// Sums a batch of packets and gives their frames straight back to the kernel. Returns how many.
static std::uint32_t process(raw_socket& socket, std::uint64_t& sum, std::vector<frame_index>& spare) {
    auto packets = socket.rx.consume();
    auto slots = socket.fill.reserve(packets.size());
    const std::uint32_t count = packets.size();
    for (std::uint32_t i = 0; i < std::min(ahead, count); ++i) { prefetch(socket, packets.peek(i)); }
    while (packets.remaining() != 0) {
        if (packets.remaining() > ahead) { prefetch(socket, packets.peek(ahead)); }
        const xdp_desc desc = packets.next();
        sum += proto::internet_checksum::of(socket.umem.bytes_unchecked(desc.addr, desc.len));
        const frame_index frame = socket.umem.index_of(desc.addr);
        if (!slots.push(socket.umem.addr_of(frame))) { spare.push_back(frame); }
    }
    return count;
}

int main(int argc, char** argv) try {
    traffic run(argc, argv, "Raw: prefetching packets");
    raw_socket& socket = run.socket();
    std::vector<frame_index> spare = run.frames_in_hand();
    std::uint64_t sum = 0;
    tally done;
    while (run.more(done)) {
        const std::uint32_t count = process(socket, sum, spare);
        done.received += count;
        done.recycled += count;
        if (socket.needs_wakeup_rx()) { check(socket.wakeup_rx()); }
        if (count == 0) { run.rest(socket); }
    }
    std::printf("checksums add up to %llu\n", 0ULL + sum);
    return run.conclude(done, spare);
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
