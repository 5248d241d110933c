// SPDX-License-Identifier: BSD-3-Clause
// Writes the packets of an interface to a file that tcpdump and Wireshark read (pcap, with nanoseconds), beside whatever
// else the program does with them. The file is written by io_uring or by a thread, so that a slow disk holds up no packet
// until the memory for packets is used up.
// Usage: capture_to_a_file [FILE]; by default a temporary file, which is deleted at the end.
#include "examples/cookbook/traffic.hpp"

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

// In the byte order of the machine, which the first number tells. Source: pcap-savefile(5).
struct file_header {
    std::uint32_t magic = 0xa1b23c4d;
    std::uint16_t major = 2, minor = 4;
    std::uint32_t zone = 0, accuracy = 0, longest = 65'535, link_type = 1;  // Ethernet
};
struct packet_header {
    std::uint32_t seconds, nanoseconds, kept, length;
};

static packet_header header_of(const packet& one) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    const auto size = static_cast<std::uint32_t>(one.size());
    return {static_cast<std::uint32_t>(seconds.count()),
            static_cast<std::uint32_t>((now - seconds) / std::chrono::nanoseconds(1)), size, size};
}

static task<bool> capture(async_rx& rx, std::string path, std::uint32_t packets) {
    const file_options fresh{.write = true, .create = true, .truncate = true};
    result<file> into = co_await file::open(path, fresh);
    if (!into) { co_return false; }
    const file_header begin;
    const io_result begun = co_await into->write(std::as_bytes(std::span(&begin, 1)));
    if (begun.ec) { co_return false; }
    packet one;
    for (; packets != 0; --packets) {
        const io_result got = co_await rx.recv(one);
        if (got.ec) { co_return false; }
        const packet_header header = header_of(one);
        const io_result told = co_await into->write(std::as_bytes(std::span(&header, 1)));
        const io_result kept = co_await into->write(one.data());
        if (told.ec || kept.ec) { co_return false; }
    }
    const result<std::uint64_t> size = co_await into->size();
    co_return size&&* size == into->position();
}

int main(int argc, char** argv) {
    const std::string path = argc > 1 ? argv[1] : "/tmp/capture." + std::to_string(::getpid()) + ".pcap";
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
