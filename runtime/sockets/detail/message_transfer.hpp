// SPDX-License-Identifier: BSD-3-Clause
// `message_transfer`: the common part of awaiters of messages of Unix sockets, with descriptors and addresses.
//
// Lies in the coroutine's frame; used on the executor's thread.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/detail/transfer.hpp"

#include <cstddef>
#include <span>
#include <vector>

#include <sys/socket.h>

namespace fluxnet::detail {

class message_transfer : public transfer {
public:
    static constexpr std::size_t most_descriptors = 16;

protected:
    /// `received`: where descriptors are put that come with the bytes; null when they are to be closed.
    message_transfer(int fd, std::span<std::byte> into, std::vector<descriptor>* received) noexcept;
    /// `peer`: null for a connected socket.
    message_transfer(int fd, std::span<const std::byte> from, std::span<const int> descriptors,
                     const socket_address* peer) noexcept;
    ~message_transfer() = default;

    /// `flags`: MSG_TRUNC for messages, 0 for a stream.
    void receive(int flags);
    void send();

    /// How it ended; end_of_stream among that for `connected` sockets.
    [[nodiscard]] std::error_code end_receive(bool connected) noexcept;

    [[nodiscard]] std::size_t n() const noexcept { return n_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] const socket_address& peer() const noexcept { return address_; }

private:
    void on_result(int result, unsigned flags) noexcept override;
    void take_descriptors() noexcept;

    const int fd_;
    iovec part_;
    socket_address address_;
    msghdr message_{};
    std::vector<descriptor>* received_ = nullptr;
    alignas(cmsghdr) std::byte control_[CMSG_SPACE(most_descriptors * sizeof(int))] = {};
    bool receives_ = false;
    std::size_t n_ = 0;
    std::size_t size_ = 0;
    std::error_code trouble_;  // with the descriptors
};

}  // namespace fluxnet::detail
