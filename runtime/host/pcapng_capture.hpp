// SPDX-License-Identifier: BSD-3-Clause
// `pcapng_capture`: what hosts receive and send, collected in memory as a pcapng file, which tcpdump and Wireshark read.
//
//     host::pcapng_capture seen(loop);
//     here.capture_to(&seen.interface("eth0"));
//     there.capture_to(&seen.interface("eth1"));
//     ...
//     seen.add_statistics();
//     write_file("capture.pcapng", seen.bytes());  // or pcapng_file.hpp, which writes by itself
//
// Of bounded memory, which is allocated at the beginning; a frame costs a copy and no allocation. When the memory is full,
// frames are counted as missed, until clear() makes room; the count goes into the statistics. A frame that a host dropped
// has a comment that says why. A frame that a host answers at once stands before the answer.
//
// The times are those of the executor's clock, which were put in relation to UTC once, at the beginning: they never run
// backwards, and what corrects the machine's clock later does not show. In virtual time two runs of one seed make the same
// file, octet for octet.
//
// Owns its sinks. It may go before the hosts or after them; the executor outlives it. Hosts of one capture are on one
// executor. Threads: that of the executor, or any while no thread runs that.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/pcapng.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fluxnet::host {

/// How much a capture keeps, and what it says of itself.
struct pcapng_options {
    /// How many octets of blocks are kept, at least 65536. A pcapng_file allocates that twice: one half is written to the
    /// disk while the other one is filled.
    std::size_t memory = std::size_t{1} << 20;

    /// How many octets of a frame are kept at most; 0: all.
    std::uint32_t snap_length = 0;

    /// Which program captures. A text that outlives the capture.
    std::string_view application = "FluxNet";

    /// The UTC of the capture's beginning; not given: what the machine says, or in virtual time what the executor's clock
    /// says, as if that counted from 1970-01-01 on.
    std::optional<std::chrono::system_clock::time_point> begin;
};

class FLUXNET_EXPORT pcapng_capture {
public:
    using time_point = frame_sink::time_point;

    /// Allocates.
    explicit pcapng_capture(executor& on, const pcapng_options& options = {});
    pcapng_capture(const pcapng_capture&) = delete;
    pcapng_capture& operator=(const pcapng_capture&) = delete;
    virtual ~pcapng_capture();

    /// Makes a sink for one host, which appears as an interface of that name in the file. Stays the capture's. Allocates.
    [[nodiscard]] frame_sink& interface(std::string name);

    /// The file so far, or since clear(). Valid until the next frame or call.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {memory_.get(), used_}; }

    /// Makes room. What comes later is the rest of the same file: it goes behind what bytes() was.
    void clear() noexcept;

    /// Adds to the file how many frames each interface had, and how many of them are missing. There is room for this once,
    /// also when the memory is full of frames; afterwards returns false when it is full.
    bool add_statistics() noexcept;

    /// Frames that the hosts received and sent, and how many of them found no room.
    [[nodiscard]] std::uint64_t seen() const noexcept;
    [[nodiscard]] std::uint64_t missed() const noexcept;

    /// Leaves all hosts: nothing more is captured.
    void leave() noexcept;

protected:
    /// There are new blocks. Not the place to take them: frame and comment come one after the other.
    virtual void on_blocks() noexcept {}

    /// Exchanges the memory for `spare`, which has the same size; what comes later goes there. Returns what was collected,
    /// which now lies in `spare`.
    [[nodiscard]] std::span<const std::byte> take(std::unique_ptr<std::byte[]>& spare) noexcept;
    [[nodiscard]] std::size_t memory_size() const noexcept { return size_; }

private:
    struct port;

    /// A block of a received frame that may still get a comment.
    struct open_block {
        const port* of = nullptr;  ///< Null: there is none.
        std::size_t at = 0;
        proto::pcapng_packet_repr repr;
    };

    [[nodiscard]] bool has_room(std::size_t octets) const noexcept;
    [[nodiscard]] std::uint64_t utc_of(time_point at) const noexcept;
    [[nodiscard]] bool describe(port& one) noexcept;
    bool add(port& of, std::span<const std::byte> octets, time_point at, proto::pcapng_direction direction,
             std::size_t room_for_comment, open_block& block) noexcept;
    void received(port& by, std::span<const std::byte> octets, time_point at) noexcept;
    void judged(const port& by, const frame_verdict& what) noexcept;
    void sent(port& by, std::span<const std::byte> octets, time_point at) noexcept;
    template <class Repr>
    void append(const Repr& block) noexcept {
        used_ += block.emit({memory_.get() + used_, size_ - used_});
    }

    executor& on_;
    const pcapng_options options_;
    const std::chrono::nanoseconds utc_at_zero_;  // of the executor's clock
    const std::size_t size_;
    std::unique_ptr<std::byte[]> memory_;
    std::size_t used_ = 0;
    std::vector<std::unique_ptr<port>> ports_;
    bool begun_ = false;           // the section has its header
    std::uint32_t described_ = 0;  // interfaces that the file tells of
    open_block open_;
};

}  // namespace fluxnet::host
