// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/kernel_neighbours.hpp"

#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

namespace fluxnet::host::detail {
namespace {

using proto::ip_address;

struct neighbour_request {
    nlmsghdr header{};
    ndmsg body{};
    rtattr attribute{};
    std::array<std::uint8_t, 16> address{};
};
static_assert(offsetof(neighbour_request, address) == NLMSG_HDRLEN + sizeof(ndmsg) + sizeof(rtattr));

/// States in which the link address is one to send to.
constexpr unsigned known_states = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

/// The address of that family, if the octets are one.
std::optional<ip_address> address_in(std::span<const std::byte> octets, std::uint8_t family) noexcept {
    if (family == AF_INET && octets.size() == 4) {
        std::array<std::uint8_t, 4> address;
        std::memcpy(address.data(), octets.data(), octets.size());
        return proto::ipv4_address(address);
    }
    if (family == AF_INET6 && octets.size() == 16) {
        std::array<std::uint8_t, 16> address;
        std::memcpy(address.data(), octets.data(), octets.size());
        return proto::ipv6_address(address);
    }
    return std::nullopt;
}

}  // namespace

kernel_neighbours::kernel_neighbours(executor& on, int interface)
    : on_(on), interface_(interface),
      socket_(fluxnet::detail::above_streams(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE))) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_NEIGH;
    if (!socket_ || ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw std::system_error(errno, std::generic_category(), "open an rtnetlink socket");
    }
    find_permission();
    fluxnet::detail::inside(on_).add_handler(*this);
}

kernel_neighbours::~kernel_neighbours() {
    end_run();
}

/// The kernel looks at the permission first, and answers before it returns. Asked for the unspecified address it does
/// nothing.
void kernel_neighbours::find_permission() {
    send(RTM_NEWNEIGH, 0, NTF_USE, proto::ipv4_address());
    nlmsghdr header{};
    nlmsgerr answer{};
    std::array<std::byte, sizeof header + sizeof answer> got{};
    const ssize_t length = ::recv(socket_.get(), got.data(), got.size(), MSG_DONTWAIT);
    if (length < static_cast<ssize_t>(got.size())) { return; }  // news of a neighbour, or what a later question finds
    std::memcpy(&header, got.data(), sizeof header);
    std::memcpy(&answer, got.data() + sizeof header, sizeof answer);
    if (header.nlmsg_type == NLMSG_ERROR && (answer.error == -EPERM || answer.error == -EACCES)) {
        throw std::system_error(EPERM, std::generic_category(), "have the kernel look for neighbours");
    }
}

void kernel_neighbours::ask(const ip_address& address) noexcept {
    send(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, NTF_USE, address);
    send(RTM_GETNEIGH, 0, 0, address);
}

void kernel_neighbours::send(std::uint16_t type, std::uint16_t flags, std::uint8_t use, const ip_address& address) noexcept {
    neighbour_request request;
    const std::span<const std::uint8_t> octets =
        address.is_v4() ? std::span<const std::uint8_t>(address.v4().octets()) : address.v6().octets();
    request.header.nlmsg_len = static_cast<std::uint32_t>(offsetof(neighbour_request, address) + octets.size());
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    request.body.ndm_family = address.is_v4() ? AF_INET : AF_INET6;
    request.body.ndm_ifindex = interface_;
    request.body.ndm_flags = use;
    request.attribute.rta_type = NDA_DST;
    request.attribute.rta_len = static_cast<std::uint16_t>(sizeof request.attribute + octets.size());
    std::ranges::copy(octets, request.address.begin());
    // What the kernel does not take now is asked for again.
    [[maybe_unused]] const auto sent = ::send(socket_.get(), &request, request.header.nlmsg_len, MSG_DONTWAIT);
}

void kernel_neighbours::end_turn() noexcept {
    if (!armed()) { fluxnet::detail::inside(on_).reactor().arm(*this, socket_.get(), POLLIN); }
}

void kernel_neighbours::end_run() noexcept {
    if (armed()) { fluxnet::detail::inside(on_).reactor().disarm_now(*this); }
}

void kernel_neighbours::on_ready(int result) noexcept {
    if (result >= 0) { read_messages(); }
}

void kernel_neighbours::read_messages() noexcept {
    alignas(nlmsghdr) std::array<std::byte, 16384> buffer;
    for (;;) {
        sockaddr_nl sender{};
        socklen_t sender_size = sizeof sender;
        const ssize_t length = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                          reinterpret_cast<sockaddr*>(&sender), &sender_size);
        if (length > 0) {
            if (sender.nl_pid == 0) { handle(std::span(buffer).first(static_cast<std::size_t>(length))); }
        } else if (length == 0 || (errno != EINTR && errno != ENOBUFS)) {
            return;  // of what was lost for want of room (ENOBUFS) the next question hears
        }
    }
}

void kernel_neighbours::handle(std::span<const std::byte> messages) noexcept {
    while (messages.size() >= sizeof(nlmsghdr)) {
        nlmsghdr header;
        std::memcpy(&header, messages.data(), sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > messages.size()) { return; }
        if (header.nlmsg_type == RTM_NEWNEIGH) {
            handle_neighbour(messages.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN));
        }
        messages = messages.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), messages.size()));
    }
}

void kernel_neighbours::handle_neighbour(std::span<const std::byte> message) noexcept {
    ndmsg about;
    if (message.size() < sizeof about) { return; }
    std::memcpy(&about, message.data(), sizeof about);
    if (about.ndm_ifindex != interface_ || (about.ndm_state & known_states) == 0) { return; }
    std::optional<ip_address> address;
    std::optional<proto::mac_address> hardware;
    for (auto rest = message.subspan(sizeof about); rest.size() >= sizeof(rtattr);) {
        rtattr attribute;
        std::memcpy(&attribute, rest.data(), sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > rest.size()) { return; }
        const auto value = rest.subspan(sizeof attribute, attribute.rta_len - sizeof attribute);
        if (attribute.rta_type == NDA_DST) { address = address_in(value, about.ndm_family); }
        if (attribute.rta_type == NDA_LLADDR && value.size() == 6) {
            std::array<std::uint8_t, 6> octets;
            std::memcpy(octets.data(), value.data(), value.size());
            hardware = proto::mac_address(octets);
        }
        rest = rest.subspan(std::min<std::size_t>(RTA_ALIGN(attribute.rta_len), rest.size()));
    }
    if (address && hardware && told_ != nullptr) { told_->on_neighbour(*address, *hardware); }
}

}  // namespace fluxnet::host::detail
