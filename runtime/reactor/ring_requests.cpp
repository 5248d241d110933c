// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/reactor/detail/ring_requests.hpp"

#include "fluxnet/runtime/reactor/detail/buffer_pool.hpp"
#include "fluxnet/runtime/reactor/detail/ring_uapi.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <sys/socket.h>

namespace fluxnet::detail {
namespace {

constexpr std::size_t most_bytes = 0x7fff'f000;  // that read(2) transfers at once

}  // namespace

void prepare_request(io_uring_sqe& entry, const io_request& request, bool bundles) noexcept {
    const auto size = static_cast<unsigned>(std::min(request.size, most_bytes));
    switch (request.what) {
        case io_request::call::read: io_uring_prep_read(&entry, request.fd, request.data, size, request.offset); break;
        case io_request::call::write: io_uring_prep_write(&entry, request.fd, request.data, size, request.offset); break;
        case io_request::call::accept:
            if (request.multishot) {
                io_uring_prep_multishot_accept(&entry, request.fd, nullptr, nullptr, SOCK_CLOEXEC);
            } else {
                io_uring_prep_accept(&entry, request.fd, nullptr, nullptr, SOCK_CLOEXEC);
            }
            break;
        case io_request::call::connect:
            io_uring_prep_connect(&entry, request.fd, reinterpret_cast<const sockaddr*>(request.data), size);
            break;
        case io_request::call::send:
            io_uring_prep_send(&entry, request.fd, request.data, size, MSG_NOSIGNAL | MSG_WAITALL);
            break;
        case io_request::call::send_message:
            io_uring_prep_sendmsg(&entry, request.fd, reinterpret_cast<const msghdr*>(request.data),
                                  MSG_NOSIGNAL | static_cast<unsigned>(request.flags));
            break;
        case io_request::call::receive_message:
            io_uring_prep_recvmsg(&entry, request.fd, reinterpret_cast<msghdr*>(request.data),
                                  MSG_CMSG_CLOEXEC | static_cast<unsigned>(request.flags));
            break;
        case io_request::call::receive:
            if (request.pool == nullptr) {
                io_uring_prep_recv(&entry, request.fd, request.data, size, 0);
                break;
            }
            io_uring_prep_recv_multishot(&entry, request.fd, nullptr, 0, 0);
            entry.flags |= IOSQE_BUFFER_SELECT;
            entry.buf_group = request.pool->group();
            if (bundles && size != 0) {
                entry.ioprio = static_cast<std::uint16_t>(entry.ioprio | uapi::receive_bundle);
                entry.len = size;
            }
            break;
    }
}

void prepare_poll(io_uring_sqe& entry, poll_operation& operation, int fd, unsigned events) noexcept {
    io_uring_prep_poll_add(&entry, fd, events);
    entry.user_data = reinterpret_cast<std::uintptr_t>(&operation);
}

}  // namespace fluxnet::detail
