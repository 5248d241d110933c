// SPDX-License-Identifier: BSD-3-Clause
#include "benchmarks/traffic.hpp"

#include <algorithm>
#include <array>

namespace benchmark {

// No tail calls in these two: callgrind has to see where they end.

[[gnu::noinline]] void traffic::count(const std::function<void()>& receive) {
    receive();
    counting_ = false;
}

[[gnu::noinline]] void traffic::pause_count() {
    send();
    ++paused_;
}

void traffic::send() {
    std::array<packet, batch> packets;
    for (std::uint32_t left = burst_; left != 0;) {
        const std::uint32_t count = sender_.tx.allocate(std::span(packets).first(std::min(left, batch)));
        require(count != 0, "the sender is out of frames");
        for (packet& one : std::span(packets).first(count)) { write(one); }
        require(sender_.tx.try_send(std::span(packets).first(count)) == count, "the sender has no credit");
        sender_.tx.flush();
        left -= count;
    }
}

void traffic::write(packet& one) {
    std::array<std::byte, packet_bytes> bytes{};
    bytes[12] = std::byte{0x88};
    bytes[13] = std::byte{0xb5};  // local experimental
    bytes[14] = static_cast<std::byte>(written_++ * 7);
    require(one.assign(bytes), "a packet does not fit");
    sum_ += touch(bytes.data(), bytes.size());
}

}  // namespace benchmark
