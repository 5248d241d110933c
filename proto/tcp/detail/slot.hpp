// SPDX-License-Identifier: BSD-3-Clause
// `slot`: the place of one connection in a stack, with what the stack knows of it.
//
// The stack allocates all slots at once; one is used again and again. Threads: that of the stack.
#pragma once

#include "fluxnet/proto/tcp/connection.hpp"
#include "fluxnet/proto/tcp/detail/hook_list.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/timer_wheel.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

namespace fluxnet::proto::tcp::detail {

/// Whose a connection is.
enum class slot_role : std::uint8_t {
    free,
    embryonic,  ///< A listener's; its handshake is under way.
    waiting,    ///< A listener's; the user has not accepted it yet.
    held,       ///< The user's.
    orphan,     ///< Nobody's any more: it ends in the background.
};

struct slot : timer_node {
    using time_point = std::chrono::steady_clock::time_point;

    slot() noexcept {}
    slot(const slot&) = delete;
    slot& operator=(const slot&) = delete;
    ~slot() {}

    template <class... Arguments>
    void begin(Arguments&&... arguments) noexcept {
        std::construct_at(&c, std::forward<Arguments>(arguments)...);
    }
    void end() noexcept { std::destroy_at(&c); }

    time_point armed = time_point::max();  ///< When the wheel gives the node back, or before.
    hook<slot> ready;                      ///< Has something to send, perhaps.
    hook<slot> news;                       ///< Has events.
    hook<slot> queue;                      ///< Of its role: free slots, handshakes, a listener's queue, orphans.
    four_tuple name;
    std::uint64_t user = 0;
    time_point progress_at{};        ///< Of an orphan: when it was released, or when its peer last took what was written.
    sequence_number progress_to;     ///< And how far it had taken it then.
    std::uint32_t generation = 0;
    std::uint32_t listener = 0;
    std::uint32_t buffers = 0;  ///< That the connection holds.
    events pending;
    slot_role role = slot_role::free;
    bool named = false;  ///< The table has it.
    union {
        connection c;  ///< Exists unless the slot is free.
    };
};

}  // namespace fluxnet::proto::tcp::detail
