// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/packet_socket.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

constexpr std::size_t largest_frame = 65536 + 64;
constexpr std::size_t flood_batch = 64;
constexpr int receive_buffer_bytes = 32 << 20;

file_descriptor open_bound(const std::string& interface_name) {
    auto opened = file_descriptor::checked(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "socket(AF_PACKET)");
    const int on = 1;
    const auto set = [&](int level, int option, int value, const char* step) {
        if (::setsockopt(opened.get(), level, option, &value, sizeof value) != 0) throw_errno(step);
    };
    set(SOL_PACKET, PACKET_IGNORE_OUTGOING, on, "setsockopt(PACKET_IGNORE_OUTGOING)");
    set(SOL_PACKET, PACKET_AUXDATA, on, "setsockopt(PACKET_AUXDATA)");
    set(SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes, "setsockopt(SO_RCVBUFFORCE)");

    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface_name.c_str()));
    if (address.sll_ifindex == 0) throw_errno("find the interface " + interface_name);
    // Bound to protocol 0 until here, the socket has heard no other interface.
    if (::bind(opened.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw_errno("bind a packet socket to " + interface_name);
    }
    return opened;
}

// Puts back the tag that the kernel keeps beside the packet: every receiver of a tagged frame finds it there.
void restore_vlan_tag(msghdr& message, std::vector<std::byte>& frame) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA) continue;
        tpacket_auxdata aside{};
        std::memcpy(&aside, CMSG_DATA(control), sizeof aside);
        if ((aside.tp_status & TP_STATUS_VLAN_VALID) == 0 || frame.size() < 12) return;
        const bool names_protocol = (aside.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
        const std::array<std::uint16_t, 2> tag{htons(names_protocol ? aside.tp_vlan_tpid : std::uint16_t{ETHERTYPE_VLAN}),
                                               htons(aside.tp_vlan_tci)};
        const auto bytes = std::as_bytes(std::span{tag});
        frame.insert(frame.begin() + 12, bytes.begin(), bytes.end());
        return;
    }
}

}  // namespace

packet_socket::packet_socket(const network_namespace& place, const std::string& interface_name)
    : socket_(place.call([&] { return open_bound(interface_name); })), buffer_(largest_frame) {}

void packet_socket::send(std::span<const std::byte> frame) {
    for (;;) {
        const ssize_t count = ::send(socket_.get(), frame.data(), frame.size(), 0);
        if (count >= 0) return;
        if (errno != EINTR) throw_errno("send a frame of " + std::to_string(frame.size()) + " bytes");
    }
}

std::uint64_t packet_socket::flood(std::span<const std::byte> frame, std::uint64_t count, const std::atomic<bool>* stop) {
    const int on = 1;
    if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) {
        throw_errno("setsockopt(PACKET_QDISC_BYPASS)");
    }
    iovec bytes{const_cast<std::byte*>(frame.data()), frame.size()};
    std::array<mmsghdr, flood_batch> batch{};
    for (mmsghdr& one : batch) {
        one.msg_hdr.msg_iov = &bytes;
        one.msg_hdr.msg_iovlen = 1;
    }
    std::uint64_t accepted = 0;
    while (accepted < count && !(stop != nullptr && stop->load(std::memory_order_relaxed))) {
        const auto wanted = static_cast<unsigned>(std::min<std::uint64_t>(flood_batch, count - accepted));
        const int sent = ::sendmmsg(socket_.get(), batch.data(), wanted, 0);
        if (sent > 0) {
            accepted += static_cast<std::uint64_t>(sent);
        } else if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
            throw_errno("flood with frames of " + std::to_string(frame.size()) + " bytes");
        }
    }
    return accepted;
}

std::optional<std::vector<std::byte>> packet_socket::take() {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(tpacket_auxdata))> control;
    iovec bytes{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    for (;;) {
        const ssize_t count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
        if (count >= 0) {
            std::vector<std::byte> frame(buffer_.begin(), buffer_.begin() + count);
            restore_vlan_tag(message, frame);
            return frame;
        }
        if (errno == EAGAIN) return std::nullopt;
        if (errno != EINTR) throw_errno("receive a frame");
    }
}

std::optional<std::vector<std::byte>> packet_socket::recv(deadline limit) {
    for (;;) {
        if (auto frame = take()) return frame;
        pollfd readable{socket_.get(), POLLIN, 0};
        const int count = ::poll(&readable, 1, limit.left_ms());
        if (count < 0 && errno != EINTR) throw_errno("poll a packet socket");
        if (count == 0) return std::nullopt;
    }
}

std::size_t packet_socket::drain() {
    std::size_t count = 0;
    while (take()) ++count;
    return count;
}

std::uint64_t packet_socket::dropped() {
    tpacket_stats statistics{};
    socklen_t size = sizeof statistics;
    if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0) {
        throw_errno("getsockopt(PACKET_STATISTICS)");
    }
    return statistics.tp_drops;
}

}  // namespace fluxnet::test
