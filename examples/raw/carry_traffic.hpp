// SPDX-License-Identifier: BSD-3-Clause
// `traffic`: what the Raw examples share: their options, sockets to work on, packets for them, and the verdict at the end.
//
// Without --interface the sockets are one end of a simulated wire and a `generator` at the other end sends --count packets.
// With --interface NAME packets come from the network, for --duration seconds or until --count have come. Used on one
// thread; the sockets may be used on others, one each.
#pragma once

#include "examples/raw/generator.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace raw_example {

/// What became of the packets that an example has received.
struct tally {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;      ///< Put into a TX ring.
    std::uint64_t recycled = 0;  ///< Dropped: the frame was kept.
};

/// Throws what ends a program; a link that is down does not.
inline void check(std::error_code failure) {
    if (failure && failure != errc::link_down) { throw std::system_error(failure); }
}

/// Exchanges destination and source, so that the frame goes back to where it came from.
inline void swap_mac_addresses(std::span<std::byte> bytes) {
    if (bytes.size() < proto::ethernet_header_length) { return; }
    auto frame = proto::mutable_ethernet_view::unchecked(bytes);
    const proto::mac_address to = frame.destination();
    frame.set_destination(frame.source());
    frame.set_source(to);
}

class traffic {
public:
    static constexpr std::uint32_t frames = 2048;
    static constexpr std::uint32_t prefilled = 1024;  ///< The first ones, in the fill rings before the sockets are bound.

    /// Reads the options and opens sockets on queues 0 to `queues` - 1, over one UMEM; with more than one, --queues says how
    /// many. Exits when the options are wrong.
    traffic(int argc, char** argv, const char* what, std::uint32_t queues = 1);

    [[nodiscard]] bool simulated() const noexcept { return interface_.empty(); }
    [[nodiscard]] raw_socket& socket(std::size_t queue = 0) noexcept { return sockets_[queue]; }
    [[nodiscard]] std::uint32_t queues() const noexcept { return static_cast<std::uint32_t>(sockets_.size()); }
    [[nodiscard]] const umem& memory() const noexcept { return memory_; }

    /// The frames that the fill rings do not have: the program's own.
    [[nodiscard]] std::vector<frame_index> frames_in_hand() const;

    /// Lets the generator send and collect, and tells whether there is more to do.
    [[nodiscard]] bool more(const tally& done);

    /// Sleeps until packets are there, a millisecond at most. While none come, it asks once a second whether the interface
    /// and our program on it are still there, and throws if not: the descriptor does not tell. On a simulated wire, whose
    /// packets come from this process, it only lets other threads run.
    void rest(raw_socket& socket);

    /// Prints what was done and where every frame is. Returns the exit code: 0 when packets came and became what they
    /// should, and the census of the frames is exact, with those `in_hand` counted.
    [[nodiscard]] int conclude(const tally& done, std::span<const frame_index> in_hand);

    /// ARP requests that came back to the generator; 0 without one.
    [[nodiscard]] std::uint64_t returned_arp() const noexcept { return generator_ ? generator_->returned_arp() : 0; }

private:
    void open(builder options, std::uint32_t queues);

    /// Success of a kick does not mean that everything was sent: look at the ring.
    static void drain(raw_socket& socket);

    [[nodiscard]] bool generator_is_content(const tally& done) const;

    std::string interface_;
    std::uint64_t count_ = 0;
    double seconds_ = 0;
    std::chrono::steady_clock::time_point deadline_;
    std::unique_ptr<simulated_wire> wire_;  // null on an interface; outlives the sockets on it
    umem memory_;
    std::vector<raw_socket> sockets_;                                // by queue
    std::vector<std::chrono::steady_clock::time_point> next_check_;  // by queue, for the thread of its socket
    std::unique_ptr<generator> generator_;
};

}  // namespace raw_example
