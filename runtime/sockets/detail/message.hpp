// SPDX-License-Identifier: BSD-3-Clause
// `message`: one message of a socket, as sendmsg(2) and recvmsg(2) take it: the bytes of the caller's, an address, and room
// for control data.
//
// Refers to itself: it stays where it is. Threads: one at a time.
#pragma once

#include "fluxnet/runtime/sockets/detail/socket_address.hpp"

#include <cstddef>
#include <cstring>
#include <span>

#include <sys/socket.h>
#include <sys/uio.h>

namespace fluxnet::detail {

/// `control_room`: the CMSG_SPACE() of its control data.
template <std::size_t control_room>
class message {
public:
    explicit message(std::span<std::byte> into) noexcept : part_{into.data(), into.size()} {}
    explicit message(std::span<const std::byte> from) noexcept : part_{const_cast<std::byte*>(from.data()), from.size()} {}
    message(const message&) = delete;
    message& operator=(const message&) = delete;

    // To send.

    /// Names the receiver; without one it goes to where the socket is connected to.
    void set_peer(const socket_address& peer) noexcept {
        peer_ = peer;
        header_.msg_name = peer_.data();
        header_.msg_namelen = peer_.size();
    }
    [[nodiscard]] bool has_peer() const noexcept { return header_.msg_name != nullptr; }

    /// Gives it one item of control data, for which there is room.
    void set_control(int level, int type, std::span<const std::byte> content) noexcept {
        header_.msg_control = control_;
        header_.msg_controllen = CMSG_SPACE(content.size());
        cmsghdr* const item = CMSG_FIRSTHDR(&header_);
        item->cmsg_level = level;
        item->cmsg_type = type;
        item->cmsg_len = CMSG_LEN(content.size());
        std::memcpy(CMSG_DATA(item), content.data(), content.size());
    }

    [[nodiscard]] const msghdr& to_send() noexcept {
        header_.msg_iov = &part_;
        header_.msg_iovlen = 1;
        return header_;
    }

    // To receive.

    [[nodiscard]] msghdr& to_receive() noexcept {
        header_.msg_iov = &part_;
        header_.msg_iovlen = 1;
        header_.msg_name = peer_.data();
        header_.msg_namelen = socket_address::room();
        header_.msg_control = control_;
        header_.msg_controllen = sizeof control_;
        return header_;
    }

    /// Bytes that there is room for.
    [[nodiscard]] std::size_t room() const noexcept { return part_.iov_len; }

    /// Who has sent what was received.
    [[nodiscard]] const socket_address& peer() noexcept {
        peer_.size() = header_.msg_namelen;
        return peer_;
    }
    [[nodiscard]] bool has_lost_control() const noexcept { return (header_.msg_flags & MSG_CTRUNC) != 0; }

    /// Calls `use` with the content of each item of control data of a kind that was received.
    template <class Use>
    void for_each_control(int level, int type, Use use) {
        for (cmsghdr* item = CMSG_FIRSTHDR(&header_); item != nullptr; item = CMSG_NXTHDR(&header_, item)) {
            if (item->cmsg_level != level || item->cmsg_type != type) { continue; }
            use(std::span(reinterpret_cast<const std::byte*>(CMSG_DATA(item)), item->cmsg_len - CMSG_LEN(0)));
        }
    }

private:
    iovec part_;
    socket_address peer_;
    msghdr header_{};
    alignas(cmsghdr) std::byte control_[control_room] = {};
};

}  // namespace fluxnet::detail
