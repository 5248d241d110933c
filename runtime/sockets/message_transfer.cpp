// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/message_transfer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace fluxnet::detail {

message_transfer::message_transfer(int fd, std::span<std::byte> into, std::vector<descriptor>* received) noexcept
    : fd_(fd), part_{into.data(), into.size()}, received_(received) {}

message_transfer::message_transfer(int fd, std::span<const std::byte> from, std::span<const int> descriptors,
                                   const socket_address* peer) noexcept
    : fd_(fd), part_{const_cast<std::byte*>(from.data()), from.size()} {
    if (peer != nullptr) {
        address_ = *peer;
        message_.msg_name = address_.data();
        message_.msg_namelen = address_.size();
    }
    if (descriptors.empty()) { return; }
    if (descriptors.size() > most_descriptors) {
        trouble_ = std::make_error_code(std::errc::argument_list_too_long);
        return;
    }
    message_.msg_control = control_;
    message_.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message_);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
}

message_transfer::~message_transfer() {
    clear_timer();
    if (!io_operation::pending()) { return; }
    let_go();
    received_ = nullptr;
    if (receives_) { take_descriptors(); }  // there are none in the buffer unless the kernel has put them there
}

void message_transfer::receive(int flags) {
    receives_ = true;
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    message_.msg_name = address_.data();
    message_.msg_namelen = socket_address::room();
    message_.msg_control = control_;
    message_.msg_controllen = sizeof control_;
    submit(io_request::receive_message(fd_, message_, flags));
}

void message_transfer::send() {
    if (trouble_) {
        complete(trouble_);
        return;
    }
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    submit_send();
}

void message_transfer::submit_send() {
    const bool to_a_queue = message_.msg_name != nullptr;
    submit(io_request::send_message(fd_, message_, to_a_queue ? MSG_DONTWAIT : 0));
}

void message_transfer::on_time() noexcept try { submit_send(); } catch (const std::bad_alloc&) {
    complete(errc::out_of_memory);
}

void message_transfer::cancel() noexcept {
    stopping_ = true;
    if (io_operation::pending()) {
        withdraw();
    } else {
        clear_timer();
        complete(errc::operation_canceled);
    }
}

void message_transfer::on_result(int result, unsigned) noexcept {
    if (result == -EAGAIN && !receives_ && !stopping_) {
        inside(home_executor()).add_timer(*this, home_executor().now() + pause_);
        pause_ = std::min(2 * pause_, std::chrono::milliseconds(32));
        return;
    }
    if (result < 0) {
        complete(result == -EAGAIN && stopping_ ? make_error_code(errc::operation_canceled) : failure_of(result));
        return;
    }
    size_ = static_cast<std::size_t>(result);
    n_ = std::min(size_, part_.iov_len);
    if (receives_) {
        take_descriptors();
        address_.size() = message_.msg_namelen;
    }
    complete(no_error);
}

void message_transfer::take_descriptors() noexcept {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message_); header != nullptr; header = CMSG_NXTHDR(&message_, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) { continue; }
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i != count; ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(header) + i * sizeof number, sizeof number);
            descriptor taken(number);
            if (received_ == nullptr) { continue; }
            try {
                received_->push_back(std::move(taken));
            } catch (const std::bad_alloc&) { trouble_ = errc::out_of_memory; }
        }
    }
    if ((message_.msg_flags & MSG_CTRUNC) != 0) { trouble_ = std::make_error_code(std::errc::no_buffer_space); }
}

std::error_code message_transfer::end_receive(bool connected) noexcept {
    if (const std::error_code ended = finish()) { return ended; }
    if (connected && size_ == 0 && part_.iov_len != 0) { return errc::end_of_stream; }
    if (trouble_) { return trouble_; }
    return size_ > part_.iov_len ? std::make_error_code(std::errc::message_size) : no_error;
}

}  // namespace fluxnet::detail
