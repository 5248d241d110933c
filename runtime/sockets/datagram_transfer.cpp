// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/datagram_transfer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include <netinet/udp.h>

namespace fluxnet::detail {

datagram_transfer::datagram_transfer(socket_state* state, std::span<std::byte> into) noexcept
    : fd_(fd_of(state)), place_(state, &socket_state::reader), message_(into) {}

datagram_transfer::datagram_transfer(socket_state* state, std::span<const std::byte> from, const proto::ip_endpoint* peer,
                                     std::uint16_t segment) noexcept
    : fd_(fd_of(state)), place_(state, place_at_socket::among_senders), message_(from) {
    if (peer != nullptr) { message_.set_peer(socket_address(*peer)); }
    if (segment != 0) { message_.set_control(SOL_UDP, UDP_SEGMENT, std::as_bytes(std::span(&segment, 1))); }
}

void datagram_transfer::send() {
    place_.take(*this);
    submit(io_request::send_message(fd_, message_.to_send()));
}

void datagram_transfer::receive() {
    if (message_.room() == 0) { return complete(no_error); }  // and takes none
    place_.take(*this);
    // MSG_TRUNC makes the result the datagram's own size.
    submit(io_request::receive_message(fd_, message_.to_receive(), MSG_TRUNC));
}

void datagram_transfer::on_result(int result, unsigned) noexcept {
    if (result < 0) {
        complete(place_.lost() ? make_error_code(errc::closed) : failure_of(result));
        return;
    }
    size_ = static_cast<std::size_t>(result);
    n_ = std::min(size_, message_.room());
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
    if (!ended && size_ > message_.room()) { return std::make_error_code(std::errc::message_size); }
    return ended;
}

std::size_t datagram_transfer::segment() noexcept {
    int joined = 0;
    message_.for_each_control(SOL_UDP, UDP_GRO, [&](std::span<const std::byte> content) {
        std::memcpy(&joined, content.data(), std::min(content.size(), sizeof joined));
    });
    return joined == 0 ? size_ : static_cast<std::size_t>(joined);
}

readiness_transfer::~readiness_transfer() {
    if (poll_operation::armed()) { inside(home_executor()).reactor().disarm_now(*this); }
    place_.leave();
}

bool readiness_transfer::ready_at_once() noexcept {
    if (!ended_) { ended_ = place_.refusal(); }
    if (ended_) { return true; }
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
    if (answer == -EAGAIN && stopping_) {  // was told before it was taken back
        complete(errc::operation_canceled);
    } else if (answer == -EAGAIN) {  // somebody else was faster
        inside(home_executor()).reactor().arm(*this, fd_, static_cast<unsigned>(events_));
    } else {
        complete(answer == 0 ? no_error : std::error_code(-answer, std::system_category()));
    }
} catch (const std::bad_alloc&) { complete(errc::out_of_memory); }

void readiness_transfer::cancel() noexcept {
    stopping_ = true;
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
