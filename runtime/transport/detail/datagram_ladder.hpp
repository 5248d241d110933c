// SPDX-License-Identifier: BSD-3-Clause
// `datagram_ladder`: what a datagram_transport owns: the rung in use, how it is opened, and how it is left.
//
// Owned by the transport and by each coroutine of its calls, so that the transport may be destroyed before they are.
// Threads: that of the executor, which also counts the owners.
//
// Leaving a rung. The coroutine whose await says that the rung has ended calls move_on(), which closes it. Coroutines that
// wait at its handles end with `closed`. Each of them had noted the number of the rung (climbs()) before it began to wait:
// when it resumes and the number is another one, what its await said is of the former rung, and it begins again on the
// present one. Nothing of a rung may be touched after an await before that comparison.
//
// Who receives frames. One coroutine at a time waits for the handle that receives, and puts what has arrived in order: the
// one in recv_from(), or while there is none, one in send_to() that waits for an answer to ARP. `is_filled` says that one
// does. Whoever else wants frames waits for `heard` then, which is set each time that the one goes on: it has received
// something, or has given up. Of what a sender has received it looks at ARP only; the rest is left for recv_from(), up to 15
// packets, one less than there is room for.
#pragma once

#include "fluxnet/proto/udp_station.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/transport/datagram_options.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::detail {

class datagram_ladder final : public boost::intrusive_ref_counter<datagram_ladder, boost::thread_unsafe_counter> {
public:
    datagram_ladder(executor& on, datagram_options options) : on_(on), options_(std::move(options)) {}

    /// Opens the next rung that can be had. False: there is none.
    [[nodiscard]] bool climb();

    /// Closes the rung in use, which has ended with `why`, climbs, and tells the user.
    void move_on(std::error_code why);

    /// Why each rung was refused, as one error.
    [[nodiscard]] error all_refused() const;

    /// Counts the rungs that were left.
    [[nodiscard]] std::uint64_t climbs() const noexcept { return climbs_; }
    /// How the last rung ended; no error while one is in use.
    [[nodiscard]] std::error_code ended() const noexcept { return ended_; }
    [[nodiscard]] std::optional<datagram_rung> took() const noexcept { return took_; }
    [[nodiscard]] const std::vector<datagram_refusal>& refusals() const noexcept { return refusals_; }
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept;
    [[nodiscard]] std::size_t longest_datagram() const noexcept;
    [[nodiscard]] bool may_broadcast() const noexcept { return options_.kernel.broadcast; }
    /// Asks whether the interface of the frames in use is down, or has no carrier. A few system calls.
    [[nodiscard]] bool is_link_down() const;

    /// The handles of the rung in use: the kernel's socket, or null for frames.
    [[nodiscard]] udp_socket* kernel() noexcept { return kernel_ ? &*kernel_ : nullptr; }
    [[nodiscard]] bool has_frames() const noexcept { return frames_.has_value(); }
    [[nodiscard]] async_sockets& frames() noexcept { return *frames_; }

    /// Made by the first rung of frames, and kept for the next one.
    [[nodiscard]] std::optional<proto::udp_station>& station() noexcept { return station_; }
    [[nodiscard]] const std::optional<proto::udp_station>& station() const noexcept { return station_; }

    // Packets that have arrived, and have not been looked at.

    /// Room for packets that are received next, behind those that are there; if these are too many, the last one goes.
    [[nodiscard]] std::span<packet> room() noexcept {
        if (next_ != count_) { return make_room(); }
        next_ = 0;
        count_ = 0;
        return received_;
    }
    void arrived(std::size_t count) noexcept { count_ += count; }
    /// The next packet, the caller's; empty when there is none.
    [[nodiscard]] packet take() noexcept { return next_ == count_ ? packet() : std::move(received_[next_++]); }
    /// The same of those that carry ARP.
    [[nodiscard]] packet take_arp() noexcept;

    // Asking by ARP.

    [[nodiscard]] executor& loop() noexcept { return on_; }
    [[nodiscard]] std::chrono::milliseconds arp_wait() const noexcept {
        return std::clamp<std::chrono::milliseconds>(options_.arp_wait, std::chrono::milliseconds(0), std::chrono::hours(1));
    }
    [[nodiscard]] unsigned arp_requests() const noexcept { return std::min(options_.arp_requests, 1000U); }

    bool receiving = false;  ///< A coroutine is in recv_from().
    bool is_filled = false;  ///< A coroutine waits for frames.
    event heard;             ///< It has gone on.

private:
    [[nodiscard]] result<void> open(datagram_rung rung);
    [[nodiscard]] result<void> open_kernel();
    [[nodiscard]] result<void> open_frames(datagram_rung rung);
    [[nodiscard]] result<void> check_frames(const std::string& step) const;
    [[nodiscard]] result<void> keep_port(const std::string& step);
    void use(datagram_rung rung, async_sockets opened);
    [[nodiscard]] std::span<packet> make_room() noexcept;
    void close() noexcept;
    [[nodiscard]] std::string step_of(datagram_rung rung) const;

    executor& on_;
    datagram_options options_;  // its local port is set once it is known
    std::size_t tried_ = 0;     // rungs of the order
    std::uint64_t climbs_ = 0;
    std::optional<datagram_rung> took_;
    std::error_code ended_;
    std::vector<datagram_refusal> refusals_;
    std::vector<std::string> notes_;
    std::optional<udp_socket> port_keeper_;  // with frames, where the kernel has the address
    std::optional<udp_socket> kernel_;       // this one or frames_, while took_ is set
    std::optional<async_sockets> frames_;
    std::optional<proto::udp_station> station_;
    std::array<packet, 16> received_;  // those from next_ on are full
    std::size_t next_ = 0;
    std::size_t count_ = 0;
};

}  // namespace fluxnet::detail
