// SPDX-License-Identifier: BSD-3-Clause
// `memory_hub`: what the handles of a `memory_network` share: its dice, its clock, its memory, and who has which endpoint.
//
// Kept alive by the network and by every handle and lent buffer, so that these may be destroyed in any order. Used on the
// thread of its executor, which outlives every use but the destruction of buffers.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/simulation/memory_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <system_error>
#include <vector>

namespace fluxnet::detail {

class memory_door;
class memory_hub;
class memory_mailbox;

/// Room for bytes of a stream. Bytes are appended at `end`, and read at `begin`; what lies before that may be lent.
struct memory_block {
    static constexpr std::size_t size = 4096 - 24;

    memory_block* next = nullptr;
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::uint32_t users = 0;  // the stream, until it has gone on to the next block, and each buffer that is lent
    std::array<std::byte, size> bytes;
};

/// How far one sender is: when its line is free again, and when what it sent last arrives.
struct memory_pace {
    std::chrono::steady_clock::time_point free{};
    std::chrono::steady_clock::time_point arrival{};
};

/// A datagram on its way, in a socket's queue, or kept for the next one. Its bytes keep their memory.
struct FLUXNET_EXPORT memory_datagram final : timer_node {
    explicit memory_datagram(memory_hub& of) noexcept : hub(of) {}
    ~memory_datagram() override { clear_timer(); }
    void on_time() noexcept override;

    memory_hub& hub;
    memory_datagram* next = nullptr;
    std::vector<std::byte> bytes;
    proto::ip_endpoint from;
    proto::ip_endpoint to;
};

class FLUXNET_EXPORT memory_hub : public std::enable_shared_from_this<memory_hub> {
public:
    using time_point = std::chrono::steady_clock::time_point;

    memory_hub(executor& loop, const memory_options& options);
    memory_hub(const memory_hub&) = delete;
    memory_hub& operator=(const memory_hub&) = delete;
    ~memory_hub();

    [[nodiscard]] const memory_options& options() const noexcept { return options_; }
    [[nodiscard]] executor& loop() noexcept { return loop_; }

    /// Says what is wrong with an await on the calling thread's executor. Where there is none the await throws by itself.
    [[nodiscard]] std::error_code check_executor() const noexcept {
        const executor* const here = executor::current();
        return here == nullptr || here == &loop_ ? no_error : make_error_code(errc::wrong_executor);
    }

    // Chance and time.

    /// Draws only if it could be true.
    [[nodiscard]] bool happens(double probability) noexcept {
        return probability > 0 && static_cast<double>(random_() >> 11U) * 0x1p-53 < probability;
    }
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept { return random_() % bound; }

    /// How many of `there` bytes, at least one, a read is given.
    [[nodiscard]] std::size_t fragment(std::size_t there) noexcept {
        return there > 1 && happens(options_.fragmentation) ? 1 + below(there - 1) : there;
    }

    /// Tells whether what is sent arrives later. Otherwise it arrives at once, and no clock is read.
    [[nodiscard]] bool takes_time() const noexcept { return takes_time_; }

    /// When `bytes` arrive that a sender hands over now.
    [[nodiscard]] time_point arrival(memory_pace& pace, std::size_t bytes) noexcept;

    void set_timer(timer_node& timer, time_point at) noexcept { inside(loop_).add_timer(timer, at); }

    // Memory, which is kept for the next time.

    /// Null when there is none.
    [[nodiscard]] memory_block* take_block() noexcept;
    /// One user less.
    void release(memory_block& block) noexcept;

    [[nodiscard]] memory_datagram* take_datagram() noexcept;
    void keep(memory_datagram& datagram) noexcept;

    // Endpoints.

    void add(memory_door& door) { doors_.push_back(&door); }
    void remove(const memory_door& door) noexcept { std::erase(doors_, &door); }
    [[nodiscard]] memory_door* door_at(const proto::ip_endpoint& endpoint) const noexcept;

    void add(memory_mailbox& box) { mailboxes_.push_back(&box); }
    void remove(const memory_mailbox& box) noexcept { std::erase(mailboxes_, &box); }
    [[nodiscard]] memory_mailbox* mailbox_at(const proto::ip_endpoint& endpoint) const noexcept;

    /// A port for a connection that is made, or for an endpoint that names none.
    [[nodiscard]] std::uint16_t next_port() noexcept;

    /// Sends a datagram to wherever it goes.
    [[nodiscard]] std::error_code send(std::span<const std::byte> bytes, const proto::ip_endpoint& from,
                                       const proto::ip_endpoint& to, memory_pace& pace) noexcept;
    /// It has arrived.
    void deliver(memory_datagram& datagram) noexcept;

    /// Notes what happened, for digest().
    void note(std::uint64_t what) noexcept;
    [[nodiscard]] std::uint64_t digest() const noexcept { return digest_; }

    memory_counts counts;

private:
    executor& loop_;
    const memory_options options_;
    const bool takes_time_;
    std::mt19937_64 random_;  // whose numbers, unlike those of distributions, are the same everywhere
    std::uint64_t digest_ = 0;
    std::uint16_t port_ = 49'151;  // given out last
    memory_block* free_blocks_ = nullptr;
    memory_datagram* free_datagrams_ = nullptr;
    std::vector<std::unique_ptr<memory_datagram>> datagrams_;  // all
    std::vector<memory_door*> doors_;
    std::vector<memory_mailbox*> mailboxes_;
};

/// An error of the system's, as the kernel's sockets give it.
[[nodiscard]] inline std::error_code system_error_code(int number) noexcept {
    return {number, std::system_category()};
}

/// Tells whether what is sent to `to` arrives where `bound` is: it names the same port, and the same address or any.
[[nodiscard]] bool is_reached(const proto::ip_endpoint& bound, const proto::ip_endpoint& to) noexcept;

}  // namespace fluxnet::detail
