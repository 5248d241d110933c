// SPDX-License-Identifier: BSD-3-Clause
// System calls on sockets for the side of a test that does not await: none of them waits.
#pragma once

#include "fluxnet/runtime/sockets/descriptor.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace fluxnet::test {

/// Sends `bytes` until the socket takes no more; returns how often it did.
inline int fill_socket(int fd, std::span<const std::byte> bytes) {
    int sent = 0;
    while (::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) { ++sent; }
    return sent;
}

/// Receives one message, or as much of a stream as fits into a small buffer; returns its size, or 0 when there is nothing.
inline std::size_t take_from_socket(int fd) {
    std::array<std::byte, 4096> room;
    const ssize_t count = ::recv(fd, room.data(), room.size(), MSG_DONTWAIT);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

/// What a socket had to be received.
struct drained {
    std::size_t bytes = 0;
    int times = 0;  // messages, where the socket keeps them apart
};

inline drained drain_socket(int fd) {
    drained all;
    while (const std::size_t count = take_from_socket(fd)) {
        all.bytes += count;
        ++all.times;
    }
    return all;
}

/// Sends a byte, and with it a duplicate of `passed`.
inline void send_descriptor(int fd, int passed) {
    std::byte one{1};
    iovec part{&one, 1};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof passed)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
    REQUIRE(::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1);
}

/// A new socket that connects to where `listener` is bound. Nothing when its queue is full.
inline descriptor connect_to_listener(int listener, int type = SOCK_STREAM) {
    sockaddr_storage at{};
    socklen_t size = sizeof at;
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    REQUIRE(::getsockname(listener, address, &size) == 0);
    descriptor made(::socket(at.ss_family, type | SOCK_CLOEXEC | (at.ss_family == AF_UNIX ? SOCK_NONBLOCK : 0), 0));
    REQUIRE(made.get() >= 0);
    return ::connect(made.get(), address, size) == 0 ? std::move(made) : descriptor();
}

/// Takes the next connection of a listener's queue and closes it; there is one.
inline void accept_and_close(int listener) {
    const descriptor taken(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(taken.get() >= 0);
}

inline descriptor open_nothing() {
    return descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace fluxnet::test
