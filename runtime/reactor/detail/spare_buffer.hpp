// SPDX-License-Identifier: BSD-3-Clause
// `spare_buffer`: one receive buffer outside every ring, for a receive that finds none in its ring.
//
// Owned by what receives, and destroyed before the reactor. What was lent of it, and a receive that is pending, keep its
// memory beyond that. The reactor itself makes the receive's call, when the socket is readable: the kernel is given nothing.
// Threads: that of the reactor; the buffer comes back from any.
#pragma once

#include "fluxnet/runtime/reactor/buffer_ring.hpp"
#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"

#include <cstdint>

namespace fluxnet::detail {

class spare_buffer {
public:
    /// A buffer of `size` bytes. Throws std::bad_alloc.
    explicit spare_buffer(std::uint32_t size) : pool_(buffer_pool::make_spare(size)) {}
    spare_buffer(const spare_buffer&) = delete;
    spare_buffer& operator=(const spare_buffer&) = delete;
    ~spare_buffer() { pool_.drop_user(); }

    /// Tells whether nothing lies in it that is queued or lent.
    [[nodiscard]] bool is_free() noexcept { return pool_.count().free != 0; }

    /// Begins to receive one piece into it; it is free. The operation is told that piece, and has ended then.
    void receive(receive_many_operation& operation, int fd, reactor& by) {
        operation.pool_ = &pool_;
        by.submit(operation, io_request::receive_one(fd, pool_));
    }

private:
    buffer_pool& pool_;
};

}  // namespace fluxnet::detail
