// SPDX-License-Identifier: BSD-3-Clause
// `received_datagram`: a datagram that udp_endpoint::recv() lends: its octets lie where they have arrived.
//
// Move-only. While it lives it keeps the frame of one packet from being used again, or memory of its own where the datagram
// came in fragments. Threads: may go to another one and be destroyed there, as a packet may.
#pragma once

#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace fluxnet::host {

namespace detail {
class udp_port;
}

class received_datagram {
public:
    /// One without octets, from nobody.
    received_datagram() = default;
    /// `bytes` lie in the packet.
    received_datagram(packet frame, std::span<const std::byte> bytes, const proto::ip_endpoint& from) noexcept
        : frame_(std::move(frame)), bytes_(bytes), from_(from) {}
    /// `bytes` lie in the memory.
    received_datagram(std::unique_ptr<std::byte[]> memory, std::span<const std::byte> bytes,
                      const proto::ip_endpoint& from) noexcept
        : memory_(std::move(memory)), bytes_(bytes), from_(from) {}
    received_datagram(received_datagram&& other) noexcept
        : frame_(std::move(other.frame_)), memory_(std::move(other.memory_)), bytes_(std::exchange(other.bytes_, {})),
          from_(other.from_) {}
    received_datagram& operator=(received_datagram&& other) noexcept {
        frame_ = std::move(other.frame_);
        memory_ = std::move(other.memory_);
        bytes_ = std::exchange(other.bytes_, {});
        from_ = other.from_;
        return *this;
    }

    /// The payload; empty after a move.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    /// Who sent it.
    [[nodiscard]] const proto::ip_endpoint& from() const noexcept { return from_; }

private:
    friend detail::udp_port;

    /// How much memory it has beside frames.
    [[nodiscard]] std::size_t copied() const noexcept { return memory_ == nullptr ? 0 : bytes_.size(); }

    packet frame_;
    std::unique_ptr<std::byte[]> memory_;
    std::span<const std::byte> bytes_;
    proto::ip_endpoint from_;
};

}  // namespace fluxnet::host
