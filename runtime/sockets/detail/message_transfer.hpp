// SPDX-License-Identifier: BSD-3-Clause
// `message_transfer`: the common part of awaiters of messages of Unix sockets, with descriptors and addresses.
//
// Lies in the coroutine's frame; used on the executor's thread.
//
// A datagram for a socket whose queue is full is sent anew, after one millisecond at first and every 32 at last. The kernel
// does not tell when there is room. Nor may io_uring wait by itself: what it sends then is empty (seen in Linux 6.18).
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/detail/turn.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/back_off.hpp"
#include "fluxnet/runtime/sockets/detail/message.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <cstddef>
#include <span>
#include <vector>

#include <sys/socket.h>

namespace fluxnet::detail {

class FLUXNET_EXPORT message_transfer : public transfer, private timer_node {
public:
    static constexpr std::size_t most_descriptors = 16;

protected:
    // `fd`: negative for a socket that was moved from; then the await ends with `closed`.

    /// `received`: where descriptors are put that come with the bytes; null when they are to be closed.
    message_transfer(int fd, std::span<std::byte> into, std::vector<descriptor>* received) noexcept;
    /// `peer`: null for a connected socket.
    message_transfer(int fd, std::span<const std::byte> from, std::span<const int> descriptors,
                     const socket_address* peer) noexcept;
    /// Closes the descriptors of a message that the kernel has delivered and nobody was told of.
    ~message_transfer();

    /// Has the await end at once with that error; without one it goes on.
    void refuse(std::error_code why) noexcept { trouble_ = why; }
    /// `flags`: MSG_TRUNC for messages, 0 for a stream.
    void receive(int flags);
    void send();

    /// How it ended; end_of_stream among that for `connected` sockets.
    [[nodiscard]] std::error_code end_receive(bool connected) noexcept;

    [[nodiscard]] std::size_t n() const noexcept { return n_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] const socket_address& peer() noexcept { return message_.peer(); }

private:
    void on_result(int result, unsigned flags) noexcept override;
    void on_time() noexcept override;
    void cancel() noexcept override;
    void submit_send();
    void take_descriptors() noexcept;

    const int fd_;
    message<CMSG_SPACE(most_descriptors * sizeof(int))> message_;
    std::vector<descriptor>* received_ = nullptr;
    bool receives_ = false;
    bool stopping_ = false;
    back_off pauses_ = until_queue_has_room();
    std::size_t n_ = 0;
    std::size_t size_ = 0;
    std::error_code trouble_;  // with the descriptors, or with what it was called with
};

}  // namespace fluxnet::detail
