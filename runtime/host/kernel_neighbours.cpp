// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/kernel_neighbours.hpp"

#include "fluxnet/runtime/packets/detail/netlink_messages.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

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

/// States in which the kernel sends to the link address, and those in which it does so without a doubt.
constexpr unsigned known_states = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
constexpr unsigned sure_states = NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP;

/// Flags of entries that somebody else looks after (linux/neighbour.h, which older headers have without the second).
constexpr unsigned learned_elsewhere = NTF_EXT_LEARNED;
constexpr std::uint16_t flags_ext_attribute = 15;  // NDA_FLAGS_EXT
constexpr std::uint32_t managed = 1;               // NTF_EXT_MANAGED

/// What a message says of a neighbour.
struct neighbour_news {
    ndmsg about{};
    std::optional<ip_address> address{};
    std::optional<proto::mac_address> hardware{};
    bool is_looked_after = false;
};

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

/// Reads a message of which nothing is believed; no address: it is none of a neighbour.
neighbour_news read_news(std::span<const std::byte> message) noexcept {
    neighbour_news got;
    if (message.size() < sizeof got.about) { return got; }
    std::memcpy(&got.about, message.data(), sizeof got.about);
    got.is_looked_after = (got.about.ndm_flags & learned_elsewhere) != 0;
    for (auto rest = message.subspan(sizeof got.about); rest.size() >= sizeof(rtattr);) {
        rtattr attribute;
        std::memcpy(&attribute, rest.data(), sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > rest.size()) { return got; }
        const auto value = rest.subspan(sizeof attribute, attribute.rta_len - sizeof attribute);
        if (attribute.rta_type == NDA_DST) { got.address = address_in(value, got.about.ndm_family); }
        if (attribute.rta_type == NDA_LLADDR && value.size() == 6) {
            std::array<std::uint8_t, 6> octets;
            std::memcpy(octets.data(), value.data(), value.size());
            got.hardware = proto::mac_address(octets);
        }
        std::uint32_t flags = 0;
        if (attribute.rta_type == flags_ext_attribute && value.size() == sizeof flags) {
            std::memcpy(&flags, value.data(), sizeof flags);
            got.is_looked_after = got.is_looked_after || (flags & managed) != 0;
        }
        rest = rest.subspan(std::min<std::size_t>(RTA_ALIGN(attribute.rta_len), rest.size()));
    }
    return got;
}

}  // namespace

kernel_neighbours::kernel_neighbours(executor& on, int interface)
    : on_(on), interface_(interface),
      socket_(fluxnet::detail::above_streams(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE))) {
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    socklen_t size = sizeof address;
    if (!socket_ || ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "open an rtnetlink socket");
    }
    port_ = address.nl_pid;
    find_permission();
    const int group = RTNLGRP_NEIGH;  // only now: what it reads is the answer to its question
    if (::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
        throw std::system_error(errno, std::generic_category(), "listen to rtnetlink");
    }
    fluxnet::detail::inside(on_).add_handler(*this);
}

kernel_neighbours::~kernel_neighbours() {
    end_run();
}

/// The kernel looks at the permission first, and answers before it returns. Asked for the unspecified address it does
/// nothing.
void kernel_neighbours::find_permission() {
    send(RTM_NEWNEIGH, 0, NTF_USE, proto::ipv4_address());
    struct {
        nlmsghdr header{};
        nlmsgerr answer{};
    } got;
    const ssize_t length = ::recv(socket_.get(), &got, sizeof got, MSG_DONTWAIT);
    if (length < static_cast<ssize_t>(sizeof got) || got.header.nlmsg_type != NLMSG_ERROR || got.answer.error != -EPERM) {
        return;
    }
    throw std::system_error(make_error_code(errc::permission_denied), "the kernel looks for no neighbours");
}

void kernel_neighbours::ask(const ip_address& address) noexcept {
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
    if (result < 0) { return; }
    // Of what was lost the next question hears, one about a known neighbour in half a minute.
    static_cast<void>(
        fluxnet::detail::read_netlink(socket_.get(), [this](const nlmsghdr& header, std::span<const std::byte> body) {
            if (header.nlmsg_type == RTM_NEWNEIGH) {
                handle_neighbour(body, header.nlmsg_pid == port_);
            } else if (header.nlmsg_type == NLMSG_ERROR) {
                handle_refusal(body);
            }
        }));
}

/// `answer`: to a question of ours.
void kernel_neighbours::handle_neighbour(std::span<const std::byte> message, bool answer) noexcept {
    const neighbour_news news = read_news(message);
    if (news.about.ndm_ifindex != interface_ || !news.address || told_ == nullptr) { return; }
    const unsigned state = news.about.ndm_state;
    if ((state & known_states) != 0 && news.hardware) {
        told_->on_neighbour(*news.address, *news.hardware);
    } else if ((state & NUD_FAILED) != 0 && !answer) {
        told_->on_neighbour_lost(*news.address);
    }
    // While it is incomplete, delayed or probed the kernel looks for it already.
    const bool looks = (state & (sure_states | NUD_INCOMPLETE | NUD_DELAY | NUD_PROBE)) != 0;
    if (answer && !looks && !news.is_looked_after) { send(RTM_NEWNEIGH, 0, NTF_USE, *news.address); }
}

/// `message`: an nlmsgerr, behind which stands what was asked for.
void kernel_neighbours::handle_refusal(std::span<const std::byte> message) noexcept {
    nlmsgerr refusal;
    if (message.size() < sizeof refusal) { return; }
    std::memcpy(&refusal, message.data(), sizeof refusal);
    const neighbour_news asked = read_news(message.subspan(sizeof refusal));
    if (refusal.error == -ENOENT && refusal.msg.nlmsg_type == RTM_GETNEIGH && asked.address) {
        send(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, NTF_USE, *asked.address);
    } else if (refusal.error == -EPERM && !std::exchange(told_of_permission_, true)) {
        fluxnet::detail::tell(log_kind::fallback,
                              "a host finds no new neighbours: the kernel looks for none without CAP_NET_ADMIN");
    }
}

}  // namespace fluxnet::host::detail
