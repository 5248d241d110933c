// SPDX-License-Identifier: BSD-3-Clause
// `generator`: the party at the other end of a simulated wire. It sends numbered UDP datagrams to an echo port, an ARP
// request for every eighth, and checks every byte of what comes back, be it reflected or answered.
//
// Has a raw socket on every queue of its end, over one UMEM, and keeps their books itself. One thread at a time.
#pragma once

#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace raw_example {

using namespace fluxnet;

constexpr proto::ipv4_address generator_ip{10, 77, 0, 2};
constexpr proto::ipv4_address example_ip{10, 77, 0, 1};

class generator {
public:
    generator(simulated_wire& wire, simulated_wire::end which, std::uint32_t queues, proto::mac_address to);

    /// Sends up to `count` packets with one kick.
    void send(std::uint64_t count);

    /// Takes what has come back.
    void collect();

    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t returned() const noexcept { return returned_; }
    [[nodiscard]] std::uint64_t returned_arp() const noexcept { return returned_arp_; }
    [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }

    [[nodiscard]] bool frames_are_whole() const;

private:
    static constexpr std::uint32_t frames = 2048;

    /// Writes packet `number` and returns its length.
    [[nodiscard]] std::size_t write(std::span<std::byte> into, std::uint64_t number) const;

    void check(std::span<const std::byte> bytes);

    [[nodiscard]] bool payload_is_right(std::span<const std::byte> bytes) const;

    proto::mac_address to_;
    proto::mac_address from_;
    umem memory_;
    std::vector<raw_socket> sockets_;  // by queue; sends on the first
    std::vector<frame_index> free_;
    std::uint64_t sent_ = 0;
    std::uint64_t returned_ = 0;
    std::uint64_t returned_arp_ = 0;
    std::uint64_t wrong_ = 0;
};

}  // namespace raw_example
