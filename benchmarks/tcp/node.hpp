// SPDX-License-Identifier: BSD-3-Clause
// `node`: one end of the wire of the comparison of TCP stacks: a stack with Ethernet and IPv4 below it and a program above
// it.
//
// A turn takes the frames that have arrived and leaves the frames to be sent as descriptors. Frames lie in chunks of a
// `chunks` of the node's own, as those of a UMEM do; the driver copies them from one node to the other, which nobody counts.
//
// Threads: one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace benchmark::tcp {

/// A frame, as the ring of a card describes it.
struct descriptor {
    std::byte* data = nullptr;
    std::uint32_t length = 0;
};

/// A fixed number of chunks, the one given back last first.
class chunks {
public:
    static constexpr std::size_t size = 2048;

    explicit chunks(std::size_t count) : memory_(count * size) {
        free_.reserve(count);
        for (std::size_t i = count; i != 0; --i) { free_.push_back(memory_.data() + (i - 1) * size); }
    }
    [[nodiscard]] std::byte* take() noexcept {
        if (free_.empty()) { return nullptr; }
        std::byte* const one = free_.back();
        free_.pop_back();
        return one;
    }
    void give(std::byte* one) noexcept { free_.push_back(one); }
    [[nodiscard]] std::size_t available() const noexcept { return free_.size(); }
    [[nodiscard]] std::size_t number_of(const std::byte* one) const noexcept {
        return static_cast<std::size_t>(one - memory_.data()) / size;
    }

private:
    std::vector<std::byte> memory_;
    std::vector<std::byte*> free_;
};

/// What the program above the stack does.
enum class program : std::uint8_t {
    answer,  ///< Reads what has come, and writes one octet.
    ask,     ///< The same, and writes one octet when it is connected: the two go on for ever.
    sink,    ///< Reads what has come.
    source,  ///< Writes as much as the stack takes, whenever it takes some.
};

/// What both stacks are set to.
struct setting {
    program does = program::answer;
    std::uint32_t connections = 1;
    std::uint32_t frames = 0;  ///< Chunks of the node.
    std::uint32_t window = 0;  ///< What may be received and not be read, and what may be written and not be acknowledged.
    std::uint8_t own = 0;      ///< The last octet of the addresses: 192.0.2.x and 02:00:00:00:00:x.
    std::uint8_t peer = 0;
    bool checksums = true;  ///< Those of TCP. The header of IPv4 always has one.
};

inline constexpr std::uint16_t port = 7;
inline constexpr std::uint16_t segment = 1460;    ///< The MSS: an MTU of 1,500.
inline constexpr std::size_t most_read = 16'384;  ///< What the program reads, or writes, in one call.

class node {
public:
    explicit node(const setting& chosen) : chosen_(chosen), frames_(chosen.frames) { sent_.reserve(chosen.frames); }
    node(const node&) = delete;
    node& operator=(const node&) = delete;
    virtual ~node() = default;

    virtual void listen() = 0;
    /// Opens one connection to the peer.
    virtual void connect(std::int64_t now_ns) = 0;
    /// Takes frames, whose chunks are the node's, lets the program run, does what the time demands and leaves frames in
    /// sent(). This is what is counted.
    virtual void turn(std::span<const descriptor> arrived, std::int64_t now_ns) = 0;
    /// Connections that are established.
    [[nodiscard]] virtual std::uint32_t established() const = 0;
    /// Octets that the program has read, and that it has written.
    [[nodiscard]] std::uint64_t octets_read() const noexcept { return octets_read_; }
    [[nodiscard]] std::uint64_t octets_written() const noexcept { return octets_written_; }

    [[nodiscard]] chunks& frames() noexcept { return frames_; }
    [[nodiscard]] std::vector<descriptor>& sent() noexcept { return sent_; }

protected:
    setting chosen_;
    chunks frames_;
    std::vector<descriptor> sent_;  // has room for all chunks
    std::uint64_t octets_read_ = 0;
    std::uint64_t octets_written_ = 0;
    std::array<std::byte, most_read> scratch_{};  // what the program reads into and writes from
};

/// Ours. lwIP's is the function `make_node` of a shared object: each copy of that is an lwIP of its own.
node* make_fluxnet_node(const setting& chosen);
using node_maker = node*(const setting& chosen);

}  // namespace benchmark::tcp
