// SPDX-License-Identifier: BSD-3-Clause
// Writes the packets of an interface to a file that tcpdump and Wireshark read (pcapng), beside whatever else the program
// does with them. The file is written by io_uring or by a thread, so that a slow disk holds up no packet until the memory
// for packets is used up. What an ip_host receives and sends is captured by host::pcapng_file, without a loop of one's own.
// Usage: capture_to_a_file [FILE]; by default a temporary file, which is deleted at the end.
#include "examples/cookbook/traffic.hpp"

#include "fluxnet/proto/pcapng.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include <unistd.h>

using namespace fluxnet;

static std::uint64_t utc_ns() {
    const std::chrono::nanoseconds now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(now.count());
}

static task<bool> capture(async_rx& rx, std::string path, std::uint32_t packets) {
    const file_options fresh{.write = true, .create = true, .truncate = true};
    result<file> into = co_await file::open(path, fresh);
    if (!into) { co_return false; }
    std::array<std::byte, 10'000> block;
    std::size_t size = proto::pcapng_section_repr{"capture_to_a_file"}.emit(block);
    size += proto::pcapng_interface_repr{"right"}.emit(std::span(block).subspan(size));  // number 0
    const io_result begun = co_await into->write(std::span(block).first(size));
    if (begun.ec) { co_return false; }
    packet one;
    for (; packets != 0; --packets) {
        const io_result got = co_await rx.recv(one);
        if (got.ec) { co_return false; }
        proto::pcapng_packet_repr seen{.time_ns = utc_ns(), .octets = one.data(), .comment = {}};
        seen.direction = proto::pcapng_direction::inbound;
        const io_result kept = co_await into->write(std::span(block).first(seen.emit(block)));
        if (kept.ec) { co_return false; }
    }
    const result<std::uint64_t> length = co_await into->size();
    co_return length.has_value() && *length == into->position();
}

int main(int argc, char** argv) {
    const std::string path = argc > 1 ? argv[1] : "/tmp/capture." + std::to_string(::getpid()) + ".pcapng";
    simulated_wire wire;
    executor loop;
    async_sockets left = open_async(loop, wire.socket_on(simulated_wire::end::left)).value();
    async_sockets right = open_async(loop, wire.socket_on(simulated_wire::end::right)).value();
    loop.spawn(cookbook::send_datagrams(left.tx, 20));
    const bool whole = loop.run(capture(right.rx, path, 20));
    std::printf("%s: %s\n", path.c_str(), whole ? "20 packets" : "not written");
    if (argc == 1) { ::unlink(path.c_str()); }
    return whole ? 0 : 1;
}
