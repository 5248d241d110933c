// SPDX-License-Identifier: BSD-3-Clause
// `tcp_buffer`: octets that tcp_stream::read_borrowed() lends: they lie where they have arrived.
//
// Move-only. While it lives it keeps a frame, or memory of the host's, from being used again, and the window that the peer
// is told is smaller by its octets. It may outlive the stream and the host, not the executor. Threads: that of the host's
// executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/tcp/stack_options.hpp"
#include "fluxnet/xsk/memory/packet.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::host {

namespace detail {
class host_core;

void intrusive_ptr_add_ref(const host_core* core) noexcept;
void intrusive_ptr_release(const host_core* core) noexcept;

/// Where the octets of a tcp_buffer lie, and whom they are given back to. Plain, but for the frame.
struct lent_octets {
    packet frame;                        ///< What they lie in, if that is one.
    bool in_frame = false;               ///< Whether that is one.
    std::uint64_t token = 0;             ///< Of the host's memory that they lie in, if it is that.
    std::array<std::byte, 8> few{};      ///< Or they lie here.
    const std::byte* octets = nullptr;   ///< Null: in `few`.
    std::uint32_t count = 0;
    proto::tcp::connection_handle from;  ///< The connection whose window opens.
};
}  // namespace detail

class FLUXNET_EXPORT tcp_buffer {
public:
    /// One without octets.
    tcp_buffer() noexcept;
    tcp_buffer(boost::intrusive_ptr<detail::host_core> core, detail::lent_octets lent) noexcept;
    tcp_buffer(tcp_buffer&& other) noexcept;
    tcp_buffer& operator=(tcp_buffer&& other) noexcept;
    /// Gives the octets back.
    ~tcp_buffer();

    /// What has arrived; empty after a move.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return {lent_.octets == nullptr ? lent_.few.data() : lent_.octets, lent_.count};
    }

private:
    void give_back() noexcept;

    boost::intrusive_ptr<detail::host_core> core_;
    detail::lent_octets lent_;
};

}  // namespace fluxnet::host
