// SPDX-License-Identifier: BSD-3-Clause
// `memory_connection`: two streams of bytes between two ends, each a `memory_way`; what both ends of a connection share.
//
// Kept alive by the handle of each end, and by a listener until the connection is accepted. Used on the thread of the hub's
// executor.
//
// A way counts bytes from the connection's start: `written_` >= `arrived_` >= `read_`. Bytes are put into blocks when they
// are written; `marks_` tell when they arrive. A writing end may be at most `buffer_bytes` ahead of the reading one, or of
// where that was when it went. A way ends by a FIN, which arrives behind its last byte, or by a reset of its reading end. An
// end is reset when its peer goes away with bytes unread, or when bytes arrive at a peer that has gone; what had arrived
// before can still be read.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/simulation/detail/memory_hub.hpp"
#include "fluxnet/runtime/simulation/memory_buffer.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

namespace fluxnet::detail {

class memory_connection;

/// The bytes that go to one end.
class FLUXNET_EXPORT memory_way final : private timer_node {
public:
    memory_way(memory_connection& of, unsigned to) noexcept : of_(of), to_(to) {}
    memory_way(const memory_way&) = delete;
    memory_way& operator=(const memory_way&) = delete;
    ~memory_way() override {
        clear_timer();
        drop();
    }

    // The writing end.

    /// Takes as many of the bytes as there is room for; also when the reading end has gone, which is told later. Where
    /// nothing takes time it is told with the next call, and all of them are taken.
    [[nodiscard]] std::size_t put(std::span<const std::byte> bytes) noexcept;
    [[nodiscard]] bool has_room() const noexcept { return room() != 0; }
    void send_fin() noexcept;
    /// The reading end is told of a reset, not before `earliest`.
    void send_reset(std::chrono::steady_clock::time_point earliest = {}) noexcept;
    [[nodiscard]] bool fin_sent() const noexcept { return fin_sent_; }

    // The reading end.

    [[nodiscard]] std::size_t there() const noexcept { return static_cast<std::size_t>(arrived_ - read_); }
    [[nodiscard]] bool fin_arrived() const noexcept { return fin_arrived_; }
    /// Bytes that were written and not read, wherever they are.
    [[nodiscard]] bool has_unread() const noexcept { return written_ != read_; }
    /// Reads at least one byte of those that are there.
    [[nodiscard]] std::size_t take(std::span<std::byte> into) noexcept;
    [[nodiscard]] memory_buffer lend() noexcept;
    /// Forgets what was not read.
    void drop() noexcept;

    placed_operation* reader = nullptr;
    placed_operation* writer = nullptr;

private:
    /// Bytes up to `position` arrive then.
    struct mark {
        std::chrono::steady_clock::time_point at;
        std::uint64_t position;
    };

    [[nodiscard]] std::size_t put_to_nobody(std::size_t bytes) noexcept;
    [[nodiscard]] std::size_t room() const noexcept;
    [[nodiscard]] std::size_t append(std::span<const std::byte> bytes) noexcept;
    void schedule(std::size_t bytes) noexcept;
    void arm() noexcept;
    void on_time() noexcept override;
    void advance(std::size_t bytes) noexcept;
    void have_read(std::size_t bytes) noexcept;
    void arrive(std::chrono::steady_clock::time_point now) noexcept;

    memory_connection& of_;
    const unsigned to_;
    std::uint64_t written_ = 0;
    std::uint64_t arrived_ = 0;
    std::uint64_t read_ = 0;
    std::uint64_t window_ = 0;       // how far the reading end has read; what it dropped when it went makes no room
    memory_block* first_ = nullptr;  // with the byte that is read next
    memory_block* last_ = nullptr;
    memory_pace pace_;
    std::array<mark, 32> marks_;  // a ring, in the order of arrival
    std::size_t first_mark_ = 0;
    std::size_t mark_count_ = 0;
    std::optional<std::chrono::steady_clock::time_point> fin_at_;
    std::optional<std::chrono::steady_clock::time_point> reset_at_;
    bool fin_sent_ = false;
    bool fin_arrived_ = false;
    bool reset_sent_ = false;
};

class FLUXNET_EXPORT memory_connection {
public:
    /// End 0 is the one that connected.
    memory_connection(std::shared_ptr<memory_hub> hub, const std::array<proto::ip_endpoint, 2>& ends) noexcept
        : hub_(std::move(hub)), ends_(ends) {}

    [[nodiscard]] memory_hub& hub() noexcept { return *hub_; }
    [[nodiscard]] const proto::ip_endpoint& endpoint(unsigned end) const noexcept { return ends_[end]; }

    [[nodiscard]] memory_way& to(unsigned end) noexcept { return end == 0 ? to_first_ : to_second_; }
    [[nodiscard]] memory_way& from(unsigned end) noexcept { return to(1 - end); }

    [[nodiscard]] bool is_gone(unsigned end) const noexcept { return gone_[end]; }
    [[nodiscard]] bool is_reset(unsigned end) const noexcept { return reset_[end]; }

    /// Tells whether a read at `end` would not wait.
    [[nodiscard]] bool is_readable(unsigned end) noexcept {
        return to(end).there() != 0 || to(end).fin_arrived() || reset_[end];
    }
    /// Why there is nothing to read at `end`, and never will be.
    [[nodiscard]] std::error_code read_error(unsigned end) noexcept;
    /// Why `end` cannot write; no error when it can.
    [[nodiscard]] std::error_code write_error(unsigned end) noexcept;

    [[nodiscard]] std::error_code shut_down_write(unsigned end) noexcept;

    /// The end's handle is going away. `refuse`: its peer is told by a reset.
    void close(unsigned end, bool refuse = false) noexcept;

    /// A reset has arrived at `end`.
    void reset(unsigned end) noexcept;

private:
    const std::shared_ptr<memory_hub> hub_;
    const std::array<proto::ip_endpoint, 2> ends_;
    std::array<bool, 2> gone_{};
    std::array<bool, 2> reset_{};
    memory_way to_first_{*this, 0};
    memory_way to_second_{*this, 1};
};

/// An await at one end of a connection.
class memory_transfer : public placed_operation {
protected:
    /// `of` is null for a stream that was closed or moved away.
    memory_transfer(memory_connection* of, unsigned end) noexcept : of_(of), end_(end) {}
    ~memory_transfer() = default;

    /// Says why the await cannot begin.
    [[nodiscard]] std::error_code check() const noexcept {
        return of_ == nullptr ? make_error_code(errc::closed) : of_->hub().check_executor();
    }

    memory_connection* const of_;  // valid until the place is lost
    const unsigned end_;
    std::error_code refusal_ = no_error;  // why it has not begun
};

}  // namespace fluxnet::detail
