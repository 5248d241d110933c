// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/message_transfer.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace fluxnet::detail {

message_transfer::message_transfer(int fd, std::span<std::byte> into, std::vector<descriptor>* received) noexcept
    : fd_(fd), message_(into), received_(received) {}

message_transfer::message_transfer(int fd, std::span<const std::byte> from, std::span<const int> descriptors,
                                   const socket_address* peer) noexcept
    : fd_(fd), message_(from) {
    if (peer != nullptr) { message_.set_peer(*peer); }
    if (descriptors.size() > most_descriptors) {
        trouble_ = std::make_error_code(std::errc::argument_list_too_long);
    } else if (!descriptors.empty()) {
        message_.set_control(SOL_SOCKET, SCM_RIGHTS, std::as_bytes(descriptors));
    }
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
    if (fd_ < 0) {
        complete(errc::closed);
        return;
    }
    if (message_.room() == 0 && received_ == nullptr) { return complete(no_error); }  // and takes none
    submit(io_request::receive_message(fd_, message_.to_receive(), flags));
}

void message_transfer::send() {
    if (fd_ < 0) { trouble_ = errc::closed; }
    if (trouble_) {
        complete(trouble_);
        return;
    }
    submit_send();
}

void message_transfer::submit_send() {
    submit(io_request::send_message(fd_, message_.to_send(), message_.has_peer() ? MSG_DONTWAIT : 0));
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
        inside(home_executor()).add_timer(*this, home_executor().now() + pauses_.next());
        return;
    }
    if (result < 0) {
        complete(result == -EAGAIN && stopping_ ? make_error_code(errc::operation_canceled) : failure_of(result));
        return;
    }
    size_ = static_cast<std::size_t>(result);
    n_ = std::min(size_, message_.room());
    if (receives_) { take_descriptors(); }
    complete(no_error);
}

void message_transfer::take_descriptors() noexcept {
    message_.for_each_control(SOL_SOCKET, SCM_RIGHTS, [&](std::span<const std::byte> content) {
        for (; content.size() >= sizeof(int); content = content.subspan(sizeof(int))) {
            int number = -1;
            std::memcpy(&number, content.data(), sizeof number);
            descriptor taken(received_ == nullptr ? number : above_streams(number));
            if (received_ == nullptr) { continue; }
            try {
                if (!taken) { trouble_ = {errno, std::system_category()}; }
                if (taken) { received_->push_back(std::move(taken)); }
            } catch (const std::bad_alloc&) { trouble_ = errc::out_of_memory; }
        }
    });
    if (message_.has_lost_control()) { trouble_ = std::make_error_code(std::errc::no_buffer_space); }
}

std::error_code message_transfer::end_receive(bool connected) noexcept {
    if (const std::error_code ended = finish()) { return ended; }
    if (connected && size_ == 0 && message_.room() != 0) { return errc::end_of_stream; }
    if (trouble_) { return trouble_; }
    return size_ > message_.room() ? std::make_error_code(std::errc::message_size) : no_error;
}

}  // namespace fluxnet::detail
