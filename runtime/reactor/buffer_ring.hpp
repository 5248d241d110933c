// SPDX-License-Identifier: BSD-3-Clause
// `buffer_ring`: buffers of one size from which a reactor receives, and the receives that share them.
//
//     buffer_ring ring(reactor, {.count = 256, .size = 2048});
//     ring.receive_many(operation, fd);  // operation.on_received() is told of each piece, in a buffer of its own
//
// On io_uring the kernel chooses a buffer when there is something to receive, and one multi-shot request serves a socket
// until it ends. On epoll, and where the kernel has no buffer rings (Linux before 6.0, or a filter in front of it), the
// reactor calls recv(2) when the socket is readable. Nobody above knows which; name() tells.
//
// The low level, over a reactor: a program that has an executor receives from such buffers with read_borrowed() of a stream
// (fluxnet/runtime/sockets/kernel_stream.hpp).
//
// When no buffer is left, a receive that needs one ends with -ENOBUFS. The bytes stay in the socket. Either buffers are back
// already, and receive_many() may be called again, or publish_hungry() has the next return wake the reactor:
//
//     if (result == -ENOBUFS) { starved = true; }                                     // in on_received()
//     if (starved && !ring.publish_hungry()) { ring.receive_many(operation, fd); }    // before each wait of the reactor
//
// Owned by the user, and destroyed before its reactor. Receives that are pending then go on with the buffers that are left;
// buffers that are out stay readable.
// Threads: used on the thread that drives the reactor. Buffers return from any thread.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/io_operation.hpp"
#include "fluxnet/runtime/reactor/received_buffer.hpp"

#include <cstdint>
#include <string>

namespace fluxnet {

class reactor;

namespace detail {
class spare_buffer;
}

/// How many buffers a ring has, and of which size.
struct buffer_ring_config {
    std::uint32_t count = 256;  ///< Buffers; 32768 at most.
    std::uint32_t size = 2048;  ///< Bytes of each.
};

/// A multi-shot receive. Cancelled, adopted and destroyed like every io_operation.
class FLUXNET_EXPORT receive_many_operation : public io_operation {
public:
    /// Called on the executor's thread for each piece: `result` bytes in `buffer`; 0, without a buffer, at the end of the
    /// stream or for an empty datagram; or a negated errno, without a buffer. Without io_more in `flags` it was the last
    /// one. The kernel may end a receive with bytes, when it has no room for more completions: receive again then.
    virtual void on_received(int result, received_buffer buffer, unsigned flags) noexcept = 0;

private:
    friend class buffer_ring;
    friend class detail::spare_buffer;
    void on_result(int result, unsigned flags) noexcept final;

    detail::buffer_pool* pool_ = nullptr;
};

class FLUXNET_EXPORT buffer_ring {
public:
    /// Where the buffers are. Their sum is the ring's count.
    using census = detail::buffer_pool::census;

    /// Maps the buffers. Makes no other system call, and may be called on any thread as long as no thread drives the
    /// reactor. Throws std::invalid_argument for a count or size that cannot be, std::system_error without memory.
    explicit buffer_ring(reactor& owner, const buffer_ring_config& config = {});
    buffer_ring(const buffer_ring&) = delete;
    buffer_ring& operator=(const buffer_ring&) = delete;
    ~buffer_ring();

    /// Begins to receive from a socket, which is a blocking one as for every request. `operation` is told of each piece
    /// until it is cancelled, the stream ends, or the kernel or the lack of a buffer ends it. A datagram larger than a
    /// buffer is cut. The first receive of all makes one or two system calls.
    void receive_many(receive_many_operation& operation, int fd);

    /// Asks that the next return of a buffer wake the reactor. Returns false, asking for nothing, when there are buffers to
    /// receive into already.
    [[nodiscard]] bool publish_hungry() noexcept;

    /// The same for a socket of a stream, whose bytes know no pieces: the kernel may fill several buffers together.
    void receive_stream(receive_many_operation& operation, int fd);

    /// Tells whether a receive that began now would find no buffer.
    [[nodiscard]] bool none_left() noexcept;

    /// Counts the buffers. `user`: those filled whose result has not been told, and those held by a received_buffer.
    [[nodiscard]] census count() noexcept { return pool_.count(); }

    /// Bytes of each buffer.
    [[nodiscard]] std::uint32_t buffer_size() const noexcept { return pool_.buffer_size(); }

    /// "io_uring buffer ring"; or that recv(2) is called, with the answer of the kernel that led to it.
    [[nodiscard]] std::string name() const { return pool_.name(); }

private:
    reactor& owner_;
    detail::buffer_pool& pool_;
};

}  // namespace fluxnet
