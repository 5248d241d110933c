// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/datagram_transfer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <netinet/udp.h>

namespace fluxnet::detail {

datagram_transfer::datagram_transfer(socket_state& state, std::span<std::byte> into) noexcept
    : fd_(state.fd()), place_(state, &socket_state::reader), part_{into.data(), into.size()} {}

datagram_transfer::datagram_transfer(socket_state& state, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                                     std::uint16_t segment) noexcept
    : fd_(state.fd()), place_(state, &socket_state::writer), part_{const_cast<std::byte*>(from.data()), from.size()} {
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    if (peer != nullptr) {
        address_ = socket_address(*peer);
        message_.msg_name = address_.data();
        message_.msg_namelen = address_.size();
    }
    if (segment == 0) { return; }
    message_.msg_control = control_;
    message_.msg_controllen = CMSG_SPACE(sizeof segment);
    cmsghdr* const header = CMSG_FIRSTHDR(&message_);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
}

void datagram_transfer::send() {
    place_.take(*this);
    submit(io_request::send_message(fd_, message_));
}

void datagram_transfer::receive() {
    place_.take(*this);
    message_.msg_name = address_.data();
    message_.msg_namelen = socket_address::room();
    message_.msg_iov = &part_;
    message_.msg_iovlen = 1;
    message_.msg_control = control_;
    message_.msg_controllen = sizeof control_;
    submit(io_request::receive_message(fd_, message_, MSG_TRUNC));  // which makes the result the datagram's own size
}

void datagram_transfer::on_result(int result, unsigned) noexcept {
    if (result < 0) {
        complete(place_.lost() ? make_error_code(errc::closed) : failure_of(result));
        return;
    }
    size_ = static_cast<std::size_t>(result);
    n_ = std::min(size_, part_.iov_len);
    complete(no_error);
}

void datagram_transfer::lose_socket() noexcept {
    place_.lose();
    withdraw();
}

std::error_code datagram_transfer::end_transfer() noexcept {
    if (refused_) { return refused_; }
    const std::error_code ended = finish();
    place_.leave();
    return ended;
}

std::error_code datagram_transfer::end_receive() noexcept {
    const std::error_code ended = end_transfer();
    if (!ended && size_ > part_.iov_len) { return std::make_error_code(std::errc::message_size); }
    return ended;
}

std::size_t datagram_transfer::segment() const noexcept {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message_); header != nullptr;
         header = CMSG_NXTHDR(const_cast<msghdr*>(&message_), header)) {
        if (header->cmsg_level != SOL_UDP || header->cmsg_type != UDP_GRO) { continue; }
        int size = 0;
        std::memcpy(&size, CMSG_DATA(header), sizeof size);
        return static_cast<std::size_t>(size);
    }
    return size_;
}

readiness_transfer::~readiness_transfer() {
    if (poll_operation::armed()) { inside(home_executor()).reactor().disarm_now(*this); }
    place_.leave();
}

bool readiness_transfer::ready_at_once() noexcept {
    if (place_.taken()) {
        ended_ = errc::handle_in_use;
        return true;
    }
    if (!draw_here()) { return false; }
    const int answer = attempt();
    if (answer == -EAGAIN) { return false; }
    if (answer < 0) { ended_ = {-answer, std::system_category()}; }
    return true;
}

void readiness_transfer::begin_wait(short events) {
    place_.take(*this);
    events_ = events;
    inside(home_executor()).reactor().arm(*this, fd_, static_cast<unsigned>(events));
}

void readiness_transfer::on_ready(int result) noexcept try {
    if (result < 0) {
        complete(failure_of(result));
        return;
    }
    const int answer = attempt();
    if (answer == -EAGAIN) {  // somebody else was faster
        inside(home_executor()).reactor().arm(*this, fd_, static_cast<unsigned>(events_));
    } else {
        complete(answer == 0 ? no_error : std::error_code(-answer, std::system_category()));
    }
} catch (const std::bad_alloc&) { complete(errc::out_of_memory); }

void readiness_transfer::cancel() noexcept {
    inside(home_executor()).reactor().disarm(*this);
}

void readiness_transfer::lose_socket() noexcept {
    place_.lose();
    inside(home_executor()).reactor().disarm_now(*this);  // before the descriptor is closed
    complete(errc::closed);
}

io_result readiness_transfer::end_wait(std::size_t n) noexcept {
    if (ended_) { return {ended_, n}; }
    const std::error_code ended = finish();
    place_.leave();
    return {ended, n};
}

}  // namespace fluxnet::detail
