// SPDX-License-Identifier: BSD-3-Clause
// `stream`: what a host of a TCP script has written to a connection, so that the other one knows what it may read. And
// `held_connection`: what is known of a connection that a user holds.
//
// Plain values.
#pragma once

#include "fluxnet/proto/tcp/stack.hpp"
#include "tests/fuzz/tcp_script/profile.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tcp_script {

using tcp::sequence_number;

/// One direction of a connection, as its writer sees it.
struct stream {
    tcp::four_tuple name;
    sequence_number first;
    sequence_number end;  ///< Behind what was written.
    bool shut = false;
};
struct stream_list {
    std::vector<stream> all;
    bool uncertain = false;  ///< Not all segments were sent by a host: nobody can tell any more what may be read.
};

[[nodiscard]] inline tcp::four_tuple mirrored(const tcp::four_tuple& name) {
    return {name.remote_address(), name.remote_port(), name.local_address(), name.local_port()};
}

/// Tells the octets of a stream from those of others, by the name that its writer has for the connection.
[[nodiscard]] inline std::uint32_t key_of(const tcp::four_tuple& writers) noexcept {
    return std::uint32_t{writers.local_port()} << 16 | writers.remote_port();
}

/// A connection that the user holds.
struct held_connection {
    struct loan {
        std::span<const std::byte> octets;
        std::uint64_t token = 0;
        std::uint32_t number = 0;
    };

    tcp::connection_handle handle;
    tcp::four_tuple name;
    std::size_t writes = 0;                     ///< Which stream it writes.
    std::optional<std::size_t> reads;           ///< Which stream it reads, once it is known.
    std::optional<sequence_number> first_read;  ///< Once the peer's numbers are known.
    std::optional<sequence_number> edge;        ///< Of the window that the peer was told, when it was last looked at.
    std::uint64_t received = 0;                 ///< Then, too.
    std::size_t writable = 1;                   ///< At first there is room, and nobody is told.
    tcp::ending ending = tcp::ending::none;
    tcp::events news;  ///< Since then; `connected` and `ended`: ever.
    std::vector<loan> loans;
    bool winds_up = false;  ///< Its user has done what leads to its end.
};

}  // namespace tcp_script
