// SPDX-License-Identifier: BSD-3-Clause
// `frame_sink`: what is told of each frame that an ip_host receives and sends. Derive from it, or use pcapng_capture.hpp and
// pcapng_file.hpp, which make files for tcpdump and Wireshark.
//
//     struct drops final : host::frame_sink {
//         void on_verdict(const host::frame_verdict& what) noexcept override { if (!what) { ++count; } }
//         std::uint64_t count = 0;
//     };
//     drops watched;
//     here.capture_to(&watched);
//
// Owned by the user. A host has one sink, and a sink one host, at a time. Either may go first: a sink that is destroyed
// leaves its host, and a host that is closed lets go of its sink. A host without a sink pays one branch for each frame.
//
// In order: on_received(), before the host looks at the frame, because it writes some answers over what they answer; then
// on_sent() for each frame that it answers with at once; then on_verdict(). Frames that it sends otherwise come between two
// such rows. What the host sends to itself is no frame. A sink must not call the host, nor move or destroy itself, inside
// of these calls, nor keep the octets. They hold up the host for as long as they take.
//
// Threads: that of the host's executor, or any while no thread runs that.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/reason.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fluxnet::host {

namespace detail {
class host_core;
}

/// What became of a received frame that was of use, or had to be left: see host_counters, which has the same words.
enum class frame_outcome : std::uint8_t { arp, ndp, echo, datagram, segment, queue_full, fragment, error, handed_on };

/// The outcome, or for which reason the frame was dropped.
using frame_verdict = proto::result<frame_outcome>;

/// Why a frame was dropped: the reason's own word, or "queue_full"; empty when it was not dropped. The text lives as long as
/// the program.
[[nodiscard]] constexpr std::string_view why_dropped(const frame_verdict& what) noexcept {
    if (!what) { return proto::name(what.error()); }
    return *what == frame_outcome::queue_full ? "queue_full" : "";
}

class FLUXNET_EXPORT frame_sink {
public:
    using time_point = std::chrono::steady_clock::time_point;

    frame_sink() noexcept = default;
    frame_sink(const frame_sink&) = delete;
    frame_sink& operator=(const frame_sink&) = delete;
    virtual ~frame_sink() { leave(); }

    /// Leaves its host, if it has one: it is told of nothing more.
    void leave() noexcept {
        if (told_by_ != nullptr) { *told_by_ = nullptr; }
        told_by_ = nullptr;
    }
    [[nodiscard]] bool has_host() const noexcept { return told_by_ != nullptr; }

    /// A frame has come in, whole and as it was on the wire. `at`: by the executor's clock, read once a turn.
    virtual void on_received(std::span<const std::byte> /*octets*/, time_point /*at*/) noexcept {}

    /// What has become of the frame of the last on_received().
    virtual void on_verdict(const frame_verdict& /*what*/) noexcept {}

    /// A frame goes out: there is a place for it in the ring, and it is not changed any more.
    virtual void on_sent(std::span<const std::byte> /*octets*/, time_point /*at*/) noexcept {}

private:
    friend detail::host_core;

    frame_sink** told_by_ = nullptr;  // where its host keeps it
};

}  // namespace fluxnet::host
