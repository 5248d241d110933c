// SPDX-License-Identifier: BSD-3-Clause
// `packet_batch`: packets just received, lent to a callback, and what is to become of each when the callback returns.
//
//     const std::error_code failed = loop.run([&](packet_batch& batch) {
//         for (const packet_ref one : batch) {
//             if (wants_answer(one.data())) { one.send(); }  // by the port that it came in by
//         }
//     });  // packets without a mark are dropped: their frames receive again
//
// For loops that touch every packet for a moment, such as the engine's. The callback looks at the packets in place
// (`packet_ref`). When it returns, the whole batch is committed at once: a packet that is neither sent nor extracted goes
// straight back into the fill ring. The batch belongs to the port that made it. The batch and its packet_refs are valid
// until the callback returns; the checked build asserts that no packet_ref is used later. No allocation, no lock, no system
// call.
// Threads: the thread that uses the port's rx.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/detail/checked.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet {

class packet_batch;
class rx;
class tx;

/// What becomes of a packet of a batch: back to the fill ring, out of the port that it came in by, or out of another one.
enum class action : std::uint8_t { drop = 0, send = 1 };

/// Sends by the engine's port of that number; at most 253.
[[nodiscard]] constexpr action send_to(std::uint8_t port) noexcept {
    return static_cast<action>(port + 2);
}

/// What a batch does with packets that the sending side has no room for.
enum class congestion : std::uint8_t {
    drop_new,  ///< They are dropped and counted.
    block,     ///< Nothing more is received until there is room for a batch: nothing is lost here.
};

/// How an engine's port works in batches.
struct batch_options {
    std::uint32_t size = 64;  ///< Packets that are looked at together: a power of two, 64 at most.
    congestion when_full = congestion::drop_new;
};

/// One packet of a batch, in its place. A small value; the packet itself stays where it is.
class packet_ref {
public:
    /// The packet's bytes.
    [[nodiscard]] std::span<std::byte> data() const noexcept;
    /// How many bytes the packet has.
    [[nodiscard]] std::size_t size() const noexcept;

    /// Cuts or extends the packet at its end. Bytes gained keep what the frame held before. Returns false, changing
    /// nothing, when `size` exceeds the room from the packet's start to the end of its frame.
    [[nodiscard]] bool set_len(std::size_t size) const noexcept;

    /// Moves the start of the packet by `offset` bytes: negative values grow it into the headroom, positive ones strip its
    /// front. Returns false, changing nothing, when there is not that much room or packet.
    [[nodiscard]] bool adjust_head(std::int32_t offset) const noexcept;

    /// Bytes before the packet in its frame, those of the kernel's own headroom included.
    [[nodiscard]] std::size_t headroom() const noexcept;

    /// Marks the packet for sending by the port it came in by, or by another. The last mark counts.
    void send() const noexcept { mark(action::send); }
    void send(std::uint8_t port) const noexcept { mark(send_to(port)); }

    /// Marks the packet for recycling, which is what becomes of it without a mark.
    void drop() const noexcept { mark(action::drop); }

    /// Marks the packet for `what`. The last mark counts.
    void mark(action what) const noexcept;

private:
    friend packet_batch;
    packet_ref(packet_batch& batch, xdp_desc& slot) noexcept;

    void check() const noexcept;

    packet_batch* batch_;
    xdp_desc* slot_;
#if defined(FLUXNET_CHECKED)
    std::uint64_t generation_;
#endif
};

class FLUXNET_EXPORT packet_batch {
public:
    static constexpr std::uint32_t max_size = 64;

    /// Goes over the packets of a batch.
    class iterator {
    public:
        using value_type = packet_ref;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        /// As a forward iterator does.
        [[nodiscard]] packet_ref operator*() const noexcept { return {*batch_, *slot_}; }
        iterator& operator++() noexcept { return ++slot_, *this; }
        iterator operator++(int) noexcept { return {*batch_, slot_++}; }
        friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.slot_ == b.slot_; }

    private:
        friend packet_batch;
        iterator(packet_batch& batch, xdp_desc* slot) noexcept : batch_(&batch), slot_(slot) {}

        packet_batch* batch_ = nullptr;
        xdp_desc* slot_ = nullptr;
    };

    /// Makes the batch of the port with that number, which receives by `from`.
    packet_batch(rx& from, std::uint8_t port) noexcept;
    packet_batch(const packet_batch&) = delete;
    packet_batch& operator=(const packet_batch&) = delete;

    /// How many packets were received, and whether none were.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// Tells whether a packet of the batch has a mark.
    [[nodiscard]] bool marked() const noexcept { return marked_ != 0; }
    [[nodiscard]] iterator begin() noexcept { return {*this, slots_.data()}; }
    [[nodiscard]] iterator end() noexcept { return {*this, slots_.data() + size_}; }

    /// `i` < size(), or it is a contract violation.
    [[nodiscard]] packet_ref operator[](std::uint32_t i) noexcept {
        assert(i < size_ && "outside the batch");
        return {*this, slots_[i]};
    }

    /// The number of the port that the batch came in by.
    [[nodiscard]] std::uint8_t port() const noexcept { return port_; }

    /// Takes packet `i` out of the batch, as an owned packet. It may go anywhere, and outlive the batch and the engine; any
    /// mark that it had is void. Gives an empty packet when there is no such packet, or it was taken before.
    [[nodiscard]] packet extract(std::uint32_t i) noexcept;

    /// Receives up to `limit` packets, 64 at most, into an empty batch, and returns how many. For the batch's owner.
    std::uint32_t receive(std::uint32_t limit) noexcept;

    /// What commit() did.
    struct outcome {
        std::uint32_t recycled = 0;  ///< Together with `no_room` and `refused`.
        std::uint32_t sent = 0;
        std::uint32_t extracted = 0;
        std::uint32_t no_room = 0;  ///< Dropped because the sending side had no room.
        std::uint32_t refused = 0;  ///< Dropped because they cannot be sent: too short, no such port, or a port that failed.
    };

    /// Does with the packets as marked; the batch is empty afterwards. `ports` are the sending sides by number. Queues what
    /// is to be sent; makes a system call only when a TX ring is full, or the kernel asks for one for the fill ring. For the
    /// batch's owner.
    outcome commit(std::span<tx* const> ports) noexcept {
        outcome done;
        if (marked_ == 0) [[likely]] {
            if (size_ != 0) { recycle({slots_.data(), size_}); }
            done.recycled = size_;
        } else {
            done = commit_marked(ports);
        }
        ++generation_;
        size_ = 0;
        marked_ = 0;
        return done;
    }

private:
    friend packet_ref;

    static constexpr auto taken = static_cast<std::uint32_t>(action{255});

    [[nodiscard]] bool marked(const xdp_desc& slot) const noexcept { return (marked_ >> (&slot - slots_.data()) & 1U) != 0; }
    [[nodiscard]] bool taken_out(const xdp_desc& slot) const noexcept { return marked(slot) && slot.options == taken; }
    void mark(xdp_desc& slot, std::uint32_t what) noexcept {
        slot.options = what;
        marked_ |= std::uint64_t{1} << (&slot - slots_.data());
    }

    /// Moves received descriptors to `to`, up to the first that cannot be, and returns how many.
    static std::uint32_t take(const frame_home& home, std::span<const xdp_desc> next, xdp_desc* to) noexcept;

    /// Gives the frames of packets back to the kernel, or to the home when the fill ring is full.
    void recycle(std::span<const xdp_desc> packets) noexcept;
    void lend(const xdp_desc* from, std::span<frame_addr> slots) const noexcept;

    outcome commit_marked(std::span<tx* const> ports) noexcept;

    void send_marked(std::uint32_t count, std::span<tx* const> ports, outcome& done) noexcept;
    void send_by(tx* out, std::span<xdp_desc> packets, outcome& done) noexcept;

    rx* rx_;
    std::byte* base_;
    std::uint32_t frame_mask_;  // of an address: where in its frame
    std::uint32_t size_ = 0;
    std::uint8_t port_;
    std::uint64_t generation_ = 0;  // batches so far
    std::uint64_t marked_ = 0;      // a bit for each slot: its `options` hold an action, or `taken`
    std::array<xdp_desc, max_size> slots_;
};

inline packet_ref::packet_ref(packet_batch& batch, xdp_desc& slot) noexcept : batch_(&batch), slot_(&slot) {
#if defined(FLUXNET_CHECKED)
    generation_ = batch.generation_;
#endif
}

inline void packet_ref::check() const noexcept {
#if defined(FLUXNET_CHECKED)
    assert(generation_ == batch_->generation_ && "a packet_ref was used after its batch");
    assert(!batch_->taken_out(*slot_) && "a packet_ref was used after extract()");
#endif
}

inline std::span<std::byte> packet_ref::data() const noexcept {
    check();
    return {batch_->base_ + slot_->addr.value, slot_->len};
}

inline std::size_t packet_ref::size() const noexcept {
    check();
    return slot_->len;
}

inline std::size_t packet_ref::headroom() const noexcept {
    check();
    return slot_->addr.value & batch_->frame_mask_;
}

inline bool packet_ref::set_len(std::size_t size) const noexcept {
    if (size > batch_->frame_mask_ + 1 - headroom()) { return false; }
    slot_->len = static_cast<std::uint32_t>(size);
    return true;
}

inline bool packet_ref::adjust_head(std::int32_t offset) const noexcept {
    const std::int64_t room = static_cast<std::int64_t>(headroom()) + offset;
    const std::int64_t length = std::int64_t{slot_->len} - offset;
    if (room < 0 || length < 0 || room > batch_->frame_mask_) { return false; }
    slot_->addr.value += static_cast<std::uint64_t>(std::int64_t{offset});
    slot_->len = static_cast<std::uint32_t>(length);
    return true;
}

inline void packet_ref::mark(action what) const noexcept {
    check();
    if (!batch_->taken_out(*slot_)) { batch_->mark(*slot_, static_cast<std::uint32_t>(what)); }
}

}  // namespace fluxnet
