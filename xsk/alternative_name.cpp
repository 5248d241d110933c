// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/alternative_name.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::size_t longest_name = 127;  // ALTIFNAMSIZ without the zero

struct link_request {
    nlmsghdr head{};
    ifinfomsg body{};
    rtattr attribute{};
    std::array<char, longest_name + 1> name{};
};
static_assert(offsetof(link_request, name) == NLMSG_LENGTH(sizeof(ifinfomsg)) + RTA_LENGTH(0));

/// Sends the request and reads the one answer there is: a link, or an error.
int ask(int fd, const link_request& request) noexcept {
    if (::send(fd, &request, request.head.nlmsg_len, 0) < 0) { return -errno; }
    // Longer answers are cut off behind what is of interest.
    alignas(nlmsghdr) std::array<char, 4096> answer{};
    const ssize_t length = ::recv(fd, answer.data(), answer.size(), 0);
    if (length < 0) { return -errno; }
    if (static_cast<std::size_t>(length) < NLMSG_LENGTH(sizeof(ifinfomsg))) { return -ENODEV; }
    nlmsghdr head{};
    std::memcpy(&head, answer.data(), sizeof head);
    if (head.nlmsg_type == NLMSG_ERROR) {
        int number = 0;
        std::memcpy(&number, answer.data() + NLMSG_HDRLEN, sizeof number);
        // Kernels before 5.5 do not know the attribute.
        return number == 0 || number == -EINVAL || number == -EOPNOTSUPP ? -ENODEV : number;
    }
    if (head.nlmsg_type != RTM_NEWLINK) { return -ENODEV; }
    ifinfomsg link{};
    std::memcpy(&link, answer.data() + NLMSG_HDRLEN, sizeof link);
    return link.ifi_index > 0 ? link.ifi_index : -ENODEV;
}

}  // namespace

int find_by_alternative_name(const char* name) noexcept {
    const std::size_t length = std::strlen(name);
    if (length == 0 || length > longest_name) { return -ENODEV; }
    link_request request;
    request.attribute.rta_type = IFLA_ALT_IFNAME;
    request.attribute.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(length + 1));
    std::memcpy(request.name.data(), name, length);
    request.head.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof(ifinfomsg)) + RTA_ALIGN(RTA_LENGTH(length + 1)));
    request.head.nlmsg_type = RTM_GETLINK;
    request.head.nlmsg_flags = NLM_F_REQUEST;
    const int fd = above_streams(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (fd < 0) { return -errno; }
    const int result = ask(fd, request);
    ::close(fd);
    return result;
}

}  // namespace fluxnet::detail
