// SPDX-License-Identifier: BSD-3-Clause
// `io_operation`: a call that the kernel carries out for an executor, and whose result it tells: read, write, accept,
// connect, send, receive.
//
// A request is data. io_uring hands it to the kernel; epoll makes the call when the descriptor is ready; virtual time
// refuses it. Nobody above the reactor knows which. Used on the executor's thread.
//
// An operation is idle, held or fired. submit() makes it held: the kernel may touch its buffer. It is fired while its last
// completion is known and on_result() has not been called with it yet. A multi-shot operation has several completions: each
// but the last says io_more, and the operation is held until the last. Completions queue; on_result() is called once for
// each, in their order. The operation and its buffer stay alive and in place until it is idle again, and so does its
// descriptor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/reactor/poll_operation.hpp"

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

struct msghdr;
struct sockaddr;

namespace fluxnet {

namespace detail {
class buffer_pool;
class io_attempts;
class io_completions;
}  // namespace detail

/// In the flags of on_result(): this was not the last completion.
inline constexpr unsigned io_more = 1;

namespace detail {
/// In the flags of on_result(): what was received lies in a buffer of the pool, whose number the upper half of the flags is.
inline constexpr unsigned io_with_buffer = 2;
inline constexpr unsigned with_buffer(std::uint32_t number) noexcept {
    return io_with_buffer | number << 16;
}
inline constexpr std::uint32_t buffer_in(unsigned flags) noexcept {
    return flags >> 16;
}
}  // namespace detail

/// What is to be done. Descriptors are blocking ones: where O_NONBLOCK is set io_uring answers EAGAIN in place of waiting.
struct io_request {
    /// What the kernel is to do.
    enum class call : std::uint8_t { read, write, accept, connect, send, receive, send_message, receive_message };

    /// The file's own position; for pipes and sockets too.
    static constexpr std::uint64_t no_offset = std::numeric_limits<std::uint64_t>::max();

    /// The result is the number of bytes, 0 at the end.
    static io_request read(int fd, std::span<std::byte> into, std::uint64_t offset = no_offset) noexcept {
        return {call::read, false, 0, fd, into.data(), into.size(), offset};
    }

    /// The result is the number of bytes, which may be fewer. A closed pipe or socket raises SIGPIPE, as with write(2).
    static io_request write(int fd, std::span<const std::byte> from, std::uint64_t offset = no_offset) noexcept {
        return {call::write, false, 0, fd, const_cast<std::byte*>(from.data()), from.size(), offset};
    }

    /// The result is a descriptor (close-on-exec), which is the receiver's to close.
    static io_request accept(int fd) noexcept { return {call::accept, false, 0, fd, nullptr, 0, no_offset}; }

    /// Multi-shot: one completion for each connection, until it is cancelled or fails. The kernel may also end it with a
    /// connection, when it has no room for more completions: submit it again then.
    static io_request accept_many(int fd) noexcept { return {call::accept, true, 0, fd, nullptr, 0, no_offset}; }

    /// The result is 0. The socket may not be used for anything else meanwhile; what is wrong with an attempt that was
    /// cancelled is wrong with the socket: close it. `address` stays in place. -EAGAIN: a Unix listener's backlog is full.
    static io_request connect(int fd, const sockaddr& address, std::size_t size) noexcept {
        return {call::connect, false, 0, fd, reinterpret_cast<std::byte*>(const_cast<sockaddr*>(&address)), size, no_offset};
    }

    /// The result is the number of bytes, which may be fewer. EPIPE in place of SIGPIPE. Source: send(2).
    static io_request send(int fd, std::span<const std::byte> from) noexcept {
        return {call::send, false, 0, fd, const_cast<std::byte*>(from.data()), from.size(), no_offset};
    }

    /// The result is the number of bytes; 0 at the end of a stream, and for an empty datagram. Source: recv(2).
    static io_request receive(int fd, std::span<std::byte> into) noexcept {
        return {call::receive, false, 0, fd, into.data(), into.size(), no_offset};
    }

    /// As sendmsg(2) and recvmsg(2): the results are those of send() and receive(). The message, and what it points at,
    /// stays in place; the kernel writes what it tells into it. Descriptors that come with it are close-on-exec. With
    /// MSG_DONTWAIT among the flags of a message to send, the result is -EAGAIN when there is no room for it.
    static io_request send_message(int fd, const msghdr& message, int flags = 0) noexcept {
        auto* const data = reinterpret_cast<std::byte*>(const_cast<msghdr*>(&message));
        return {call::send_message, false, static_cast<std::uint16_t>(flags), fd, data, 0, no_offset};
    }
    static io_request receive_message(int fd, msghdr& message, int flags = 0) noexcept {
        auto* const data = reinterpret_cast<std::byte*>(&message);
        return {call::receive_message, false, static_cast<std::uint16_t>(flags), fd, data, 0, no_offset};
    }

    /// Multi-shot, each piece in a buffer of the pool; only for a receive_many_operation: see buffer_ring.hpp.
    static io_request receive_many(int fd, detail::buffer_pool& into) noexcept {
        return {call::receive, true, 0, fd, nullptr, 0, no_offset, &into};
    }

    /// The same for a socket of a stream, where several pieces may come together.
    static io_request receive_stream(int fd, detail::buffer_pool& into, std::size_t most) noexcept {
        return {call::receive, true, 0, fd, nullptr, most, no_offset, &into};
    }

    /// One piece, in a buffer of a pool that is the reactor's to choose from; likewise.
    static io_request receive_one(int fd, detail::buffer_pool& into) noexcept {
        return {call::receive, false, 0, fd, nullptr, 0, no_offset, &into};
    }

    call what = call::read;
    bool multishot = false;
    std::uint16_t flags = 0;  // MSG_*, beside those that every such call has
    int fd = -1;
    std::byte* data = nullptr;  // of the bytes, the address or the message; not written to by a write, send or connect
    std::size_t size = 0;
    std::uint64_t offset = no_offset;
    detail::buffer_pool* pool = nullptr;  // one of whose users the operation is while it is pending
};

class FLUXNET_EXPORT io_operation
    : private poll_operation,  // waits for the descriptor where the reactor makes the calls itself
      public boost::intrusive::list_base_hook<boost::intrusive::tag<class io_operation>,
                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    /// By which it is in a list of the reactor's.
    using hook = boost::intrusive::list_base_hook<boost::intrusive::tag<io_operation>,
                                                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

    io_operation() = default;
    io_operation(const io_operation&) = delete;
    io_operation& operator=(const io_operation&) = delete;
    ~io_operation() override = default;

    /// The result of every operation in virtual time, where there are no descriptors. Beyond all negated errnos.
    static constexpr int refused = poll_operation::refused;

    /// Called on the executor's thread for each completion: what the call returned, or a negated errno (ECANCELED after
    /// cancel()), or `refused`. Without io_more in `flags` it was the last one, and the operation may be submitted again.
    virtual void on_result(int result, unsigned flags) noexcept = 0;

    /// Held or fired: it may be neither submitted nor destroyed, but cancelled or adopted.
    [[nodiscard]] bool pending() const noexcept { return state_ != state::idle; }

    using hook::is_linked;
    using hook::unlink;

private:
    friend class detail::io_attempts;
    friend class detail::io_completions;
    enum class state : std::uint8_t { idle, held, fired };

    /// Whether the socket is one of a stream, where a short receive is the last for now. Asked at the first of these.
    enum class socket_kind : std::uint8_t { unknown, stream, messages };

    void on_ready(int result) noexcept final;

    state state_ = state::idle;
    bool cancelled_ : 1 = false;  // cancel() was asked for while it was held
    bool owed_ : 1 = false;       // and the kernel has not been told yet
    bool adopted_ : 1 = false;    // by the reactor, which destroys it
    socket_kind socket_ = socket_kind::unknown;
    std::uint32_t queued_ = 0;                 // completions that on_result() has not been told
    detail::io_attempts* attempts_ = nullptr;  // that make the calls, where the reactor does so itself
    io_request request_;
};

// One lies in every await of a transfer, and one in every connection that has borrowed.
static_assert(sizeof(io_operation) <= 112);

}  // namespace fluxnet
