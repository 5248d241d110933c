// SPDX-License-Identifier: BSD-3-Clause
// `socket_buffers`: the buffers into which an executor's streams receive what read_borrowed() lends.
//
//     loop.use_service<socket_buffers>().configure({.count = 256, .size = 16'384});  // before the first read_borrowed()
//
// A service: one for each executor, shared by all its streams, made with the first of them that borrows. On io_uring the
// kernel takes a buffer only when something arrives, so a stream on which nothing happens costs none. However many are lent,
// and for however long, no other stream waits for them: it has one of its own then (kernel_stream.hpp).
//
// Threads: that of the executor. A buffer that was lent comes back from any thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/reactor/buffer_ring.hpp"

#include <optional>

namespace fluxnet {

class FLUXNET_EXPORT socket_buffers final : public service {
public:
    /// See executor::use_service(), which makes it.
    explicit socket_buffers(executor& on) noexcept : executor_(on) {}

    /// Decides how many buffers there are and how large. Throws std::logic_error when they are in use already, and
    /// std::invalid_argument as buffer_ring does.
    void configure(const buffer_ring_config& config);

    /// The buffers; made at the first call. Throws as the constructor of buffer_ring does.
    [[nodiscard]] buffer_ring& ring();

private:
    executor& executor_;
    buffer_ring_config config_{.count = 1024, .size = 2048};
    std::optional<buffer_ring> ring_;
};

}  // namespace fluxnet
