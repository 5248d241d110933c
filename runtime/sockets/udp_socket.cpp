// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/udp_socket.hpp"

#include "fluxnet/runtime/sockets/detail/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <type_traits>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

namespace fluxnet {
namespace {

constexpr std::size_t most_at_once = 64;

/// The headers of several messages, for recvmmsg(2) and sendmmsg(2). Only those that are set are ever touched.
class message_batch {
public:
    message_batch() noexcept {}  // leaves the arrays as they are
    message_batch(const message_batch&) = delete;
    message_batch& operator=(const message_batch&) = delete;

    /// Sets the next one; `address` is its receiver's, or room for its sender's.
    void add(const datagram& one, const detail::socket_address& address) noexcept {
        entry& next = *std::construct_at(&entries_[size_].value, entry{{one.bytes.data(), one.bytes.size()}, address});
        headers_[size_] = {};
        msghdr& header = headers_[size_++].msg_hdr;
        header.msg_iov = &next.part;
        header.msg_iovlen = 1;
        header.msg_name = next.address.data();
        header.msg_namelen = next.address.size();
    }

    [[nodiscard]] mmsghdr* headers() noexcept { return headers_.data(); }
    [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(size_); }
    [[nodiscard]] std::size_t length_of(std::size_t index) const noexcept { return headers_[index].msg_len; }
    [[nodiscard]] proto::ip_endpoint endpoint_of(std::size_t index) const noexcept {
        return entries_[index].value.address.endpoint();
    }

private:
    struct entry {
        iovec part;
        detail::socket_address address;
    };
    static_assert(std::is_trivially_destructible_v<entry>);
    union room {
        room() noexcept {}
        entry value;
    };

    std::size_t size_ = 0;
    std::array<mmsghdr, most_at_once> headers_;
    std::array<room, most_at_once> entries_;
};

}  // namespace

result<udp_socket> udp_socket::bind(const proto::ip_endpoint& at, const udp_options& options) {
    const std::string purpose = "receive datagrams at " + at.to_string();
    result<descriptor> socket = detail::make_socket(detail::family_of(at), SOCK_DGRAM, 0, purpose);
    if (!socket) { return std::move(socket).error(); }
    const int fd = socket->get();
    result<void> done =
        detail::set_options(fd,
                            {{options.reuse_address, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
                             {options.reuse_port, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"},
                             {options.broadcast, SOL_SOCKET, SO_BROADCAST, 1, "SO_BROADCAST"},
                             {at.address.is_v6(), IPPROTO_IPV6, IPV6_V6ONLY, options.only_ipv6 ? 1 : 0, "IPV6_V6ONLY"},
                             {options.coalesce, SOL_UDP, UDP_GRO, 1, "UDP_GRO"},
                             {options.send_buffer != 0, SOL_SOCKET, SO_SNDBUF, options.send_buffer, "SO_SNDBUF"},
                             {options.receive_buffer != 0, SOL_SOCKET, SO_RCVBUF, options.receive_buffer, "SO_RCVBUF"}},
                            purpose);
    if (done && !options.interface.empty()) { done = detail::bind_to_interface(fd, options.interface, purpose); }
    if (done) { done = detail::bind_to(fd, detail::socket_address(at), purpose); }
    if (!done) { return std::move(done).error(); }
    udp_socket made(std::move(*socket));
    made.state_->joins_datagrams = options.coalesce;
    return made;
}

result<void> udp_socket::connect(const proto::ip_endpoint& peer) {
    if (fd() < 0) { return detail::socket_error(make_error_code(errc::closed), "send datagrams to " + peer.to_string()); }
    const detail::socket_address address(peer);
    if (::connect(fd(), &address.get(), address.size()) == 0) { return {}; }
    return detail::socket_error(errno, "send datagrams to " + peer.to_string());
}

result<void> udp_socket::change_membership(const proto::ip_address& group, const std::string& interface, bool join) {
    const std::string step = (join ? "join the group " : "leave the group ") + group.to_string() +
                             (interface.empty() ? "" : " on interface " + interface);
    if (fd() < 0) { return detail::socket_error(make_error_code(errc::closed), step); }
    group_req request{};
    if (!interface.empty()) {
        request.gr_interface = ::if_nametoindex(interface.c_str());
        if (request.gr_interface == 0) { return detail::socket_error(errno, step); }
    }
    const detail::socket_address address(proto::ip_endpoint{group, 0});
    const auto* const bytes = reinterpret_cast<const std::byte*>(&address.get());
    std::copy_n(bytes, address.size(), reinterpret_cast<std::byte*>(&request.gr_group));
    const int level = group.is_v4() ? IPPROTO_IP : IPPROTO_IPV6;
    if (::setsockopt(fd(), level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request, sizeof request) == 0) { return {}; }
    error made = detail::socket_error(errno, step);
    switch (made.code.value()) {
        case EADDRINUSE: made.remedy = "nothing is to be done: the socket is in that group already"; break;
        case EADDRNOTAVAIL: made.remedy = "leave a group, and by an interface, that the socket has joined"; break;
        case EINVAL: made.remedy = "name a multicast group: 224.0.0.0/4 or ff00::/8"; break;
        default: break;
    }
    return made;
}

result<void> udp_socket::join(const proto::ip_address& group, const std::string& interface) {
    return change_membership(group, interface, true);
}

result<void> udp_socket::leave(const proto::ip_address& group, const std::string& interface) {
    return change_membership(group, interface, false);
}

proto::ip_endpoint udp_socket::local_endpoint() const noexcept {
    return detail::endpoint_of(fd());
}

int udp_socket::recv_many_awaiter::attempt() noexcept {
    if (into_.empty()) { return 0; }
    message_batch batch;
    const std::size_t room = std::min(into_.size(), most_at_once);
    for (const datagram& each : into_.first(room)) { batch.add(each, detail::socket_address()); }
    const int count = ::recvmmsg(fd(), batch.headers(), batch.size(), MSG_DONTWAIT | MSG_TRUNC, nullptr);
    if (count < 0) { return -errno; }
    n_ = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i != n_; ++i) {
        into_[i].size = batch.length_of(i);
        into_[i].n = std::min(into_[i].size, into_[i].bytes.size());
        into_[i].peer = batch.endpoint_of(i);
    }
    return 0;
}

int udp_socket::send_many_awaiter::attempt() noexcept {
    while (n_ != from_.size()) {
        message_batch batch;
        const std::size_t count = std::min(from_.size() - n_, most_at_once);
        for (const datagram& each : from_.subspan(n_, count)) { batch.add(each, detail::socket_address(each.peer)); }
        const int sent = ::sendmmsg(fd(), batch.headers(), batch.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) { return -errno; }
        n_ += static_cast<std::size_t>(sent);
    }
    return 0;
}

}  // namespace fluxnet
