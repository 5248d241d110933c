// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/detail/link_monitor.hpp"

#include "fluxnet/runtime/packets/detail/netlink_messages.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace fluxnet::detail {
namespace {

struct link_request {
    nlmsghdr header{};
    ifinfomsg body{};
};

std::uint32_t read_u32(const rtattr& attribute) noexcept {
    std::uint32_t value = 0;
    std::memcpy(&value, RTA_DATA(&attribute), sizeof value);
    return value;
}

}  // namespace

/// What a message tells of an interface.
struct link_monitor::link_attributes {
    std::array<std::uint32_t, 4> programs{};  // their numbers: at most one per mode
    std::uint32_t program_count = 0;
    std::array<std::uint8_t, 6> address{};
    bool has_address = false;
};

// The rtattr macros of the kernel's headers cast away const and change signs.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wcast-align"

/// `message`: an ifinfomsg and what follows.
link_monitor::link_attributes link_monitor::read_attributes(std::span<const std::byte> message) noexcept {
    const auto& info = *reinterpret_cast<const ifinfomsg*>(message.data());
    link_attributes found;
    int left = static_cast<int>(message.size() - NLMSG_ALIGN(sizeof info));  // signed: RTA_NEXT may take more than is left
    for (auto* entry = IFLA_RTA(&info); RTA_OK(entry, left); entry = RTA_NEXT(entry, left)) {
        if (entry->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(entry) == found.address.size()) {
            std::memcpy(found.address.data(), RTA_DATA(entry), found.address.size());
            found.has_address = true;
        }
        if ((entry->rta_type & NLA_TYPE_MASK) != IFLA_XDP) { continue; }
        int inside = static_cast<int>(RTA_PAYLOAD(entry));
        for (auto* part = static_cast<rtattr*>(RTA_DATA(entry)); RTA_OK(part, inside); part = RTA_NEXT(part, inside)) {
            switch (part->rta_type & NLA_TYPE_MASK) {
                case IFLA_XDP_PROG_ID:
                case IFLA_XDP_DRV_PROG_ID:
                case IFLA_XDP_SKB_PROG_ID:
                case IFLA_XDP_HW_PROG_ID:
                    if (found.program_count < found.programs.size() && RTA_PAYLOAD(part) >= sizeof(std::uint32_t)) {
                        found.programs[found.program_count++] = read_u32(*part);
                    }
                    break;
                default: break;
            }
        }
    }
    return found;
}

#pragma GCC diagnostic pop

link_monitor::link_monitor(executor& owner) : owner_(owner) {
    fd_ = above_streams(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK;
    if (fd_ < 0 || ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int number = errno;
        if (fd_ >= 0) { ::close(fd_); }
        throw std::system_error(number, std::generic_category(), "open an rtnetlink socket");
    }
    socklen_t size = sizeof cookie_;
    ::getsockopt(fd_, SOL_SOCKET, SO_NETNS_COOKIE, &cookie_, &size);
    size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = address.nl_pid;
    inside(owner_).add_handler(*this);
}

link_monitor::~link_monitor() {
    end_run();
    ::close(fd_);
}

void link_monitor::add(link_listener& listener) noexcept {
    listeners_.push_back(listener);
    query(listener.interface_index);
    listener.first_answer_ = asked_;
}

void link_monitor::query(int interface_index) noexcept {
    link_request request;
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = RTM_GETLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.header.nlmsg_seq = ++asked_;
    request.body.ifi_family = AF_UNSPEC;
    request.body.ifi_index = interface_index;
    // An answer that finds the socket full is lost; then so was a notification, and read_messages() asks again.
    [[maybe_unused]] const auto sent = ::send(fd_, &request, sizeof request, MSG_DONTWAIT);
}

// At the end of every turn, not only before a sleep: an executor that is always busy must hear of its links too. The poll
// stays armed until a message comes, so a turn without news costs nothing.
void link_monitor::end_turn() noexcept {
    if (!armed()) { inside(owner_).reactor().arm(*this, fd_, POLLIN); }
}

void link_monitor::end_run() noexcept {
    if (armed()) { inside(owner_).reactor().disarm_now(*this); }
}

void link_monitor::on_ready(int result) noexcept {
    if (result >= 0) { read_messages(); }
}

void link_monitor::read_messages() noexcept {
    const bool lost = read_netlink(fd_, [this](const nlmsghdr& header, std::span<const std::byte> body) { handle(header, body); });
    // Asked only now, when the socket is empty: while it is full the kernel drops answers as well.
    if (lost) {
        for (const link_listener& listener : listeners_) { query(listener.interface_index); }
    }
}

void link_monitor::handle(const nlmsghdr& header, std::span<const std::byte> body) noexcept {
    // The answer to a query has its number and our own port; a refusal has the query behind it.
    if (header.nlmsg_type == NLMSG_ERROR && body.size() >= sizeof(nlmsgerr) + sizeof(ifinfomsg)) {
        nlmsgerr refusal;
        ifinfomsg asked;
        std::memcpy(&refusal, body.data(), sizeof refusal);
        std::memcpy(&asked, body.data() + sizeof refusal, sizeof asked);
        if (refusal.error == -ENODEV || refusal.error == -ENXIO) { gone(asked.ifi_index, header.nlmsg_seq); }
    } else if ((header.nlmsg_type == RTM_NEWLINK || header.nlmsg_type == RTM_DELLINK) && body.size() >= sizeof(ifinfomsg)) {
        const auto& info = *reinterpret_cast<const ifinfomsg*>(body.data());
        const std::optional answer =
            header.nlmsg_pid == port_ ? std::optional(header.nlmsg_seq) : std::optional<std::uint32_t>();
        // Bridges announce the removal of a port by RTM_DELLINK with a family of their own.
        if (header.nlmsg_type == RTM_DELLINK && info.ifi_family == AF_UNSPEC) {
            query(info.ifi_index);
        } else if (header.nlmsg_type == RTM_NEWLINK) {
            link_changed(info.ifi_index, info.ifi_flags, read_attributes(body), answer);
        }
    }
}

void link_monitor::link_changed(int index, unsigned flags, const link_attributes& news,
                                std::optional<std::uint32_t> answer) noexcept {
    using condition = link_listener::condition;
    bool ask = false;
    bool lost = false;
    const bool up = (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0;
    for (link_listener& listener : listeners_) {
        if (listener.interface_index != index) { continue; }
        listener.on_link(up);
        if (news.has_address) { listener.on_address(news.address); }
        const std::span seen(news.programs.data(), news.program_count);
        const bool ours = listener.program_id == 0 || std::find(seen.begin(), seen.end(), listener.program_id) != seen.end();
        const bool confirmed = answer && is_about(listener, *answer);
        if (!ours && confirmed) { listener.on_program_lost(); }
        lost = lost || (!ours && confirmed);
        ask = ask || (!ours && !confirmed);
    }
    if (ask) {
        query(index);
    } else {
        tell_news(index, lost ? condition::without_program : up ? condition::up : condition::down);
    }
}

void link_monitor::tell_news(int index, link_listener::condition now) noexcept {
    using condition = link_listener::condition;
    const link_listener* told_by = nullptr;
    for (link_listener& listener : listeners_) {
        if (listener.interface_index != index) { continue; }
        const condition before = std::exchange(listener.heard_, now);
        const bool to_be_told = before != condition::unknown || now == condition::without_program || now == condition::gone;
        if (before != now && to_be_told) { told_by = &listener; }
    }
    if (told_by == nullptr) { return; }
    tell_made(log_kind::link, [&] {
        std::string text(told_by->interface_name);
        switch (now) {
            case condition::up: text += ": the link is up"; break;
            case condition::down: text += ": the link is down"; break;
            case condition::without_program: text += ": the XDP program of a socket is attached no more"; break;
            default: text += ": gone, deleted or moved to another network namespace"; break;
        }
        return text;
    });
}

void link_monitor::gone(int index, std::uint32_t answer) noexcept {
    const auto is_meant = [&](const link_listener& listener) {
        return listener.interface_index == index && is_about(listener, answer);
    };
    if (std::ranges::none_of(listeners_, is_meant)) { return; }
    tell_news(index, link_listener::condition::gone);
    for (link_listener& listener : listeners_) {
        if (is_meant(listener)) { listener.on_interface_gone(); }
    }
}

link_monitor& link_monitors::here() {
    auto made = make();
    link_monitor* const known = find(made->cookie());
    return known != nullptr ? *known : keep(std::move(made));
}

link_monitor* link_monitors::of(std::uint64_t cookie) {
    if (link_monitor* const known = find(cookie)) { return known; }
    auto made = make();
    return made->cookie() == cookie ? &keep(std::move(made)) : nullptr;
}

link_monitor* link_monitors::find(std::uint64_t cookie) const noexcept {
    for (const auto& known : monitors_) {
        if (known->cookie() == cookie) { return known.get(); }
    }
    return nullptr;
}

std::unique_ptr<link_monitor> link_monitors::make() const {
    if (inside(owner_).clock() != nullptr) {
        throw std::system_error(make_error_code(errc::not_in_virtual_time), "an interface of the kernel");
    }
    return std::make_unique<link_monitor>(owner_);
}

link_monitor& link_monitors::keep(std::unique_ptr<link_monitor> made) {
    monitors_.push_back(std::move(made));
    return *monitors_.back();
}

}  // namespace fluxnet::detail
