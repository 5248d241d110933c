// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/detail/route_socket.hpp"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace fluxnet::test::detail {
namespace {

// linux/if.h, which has it, does not go together with net/if.h.
constexpr std::uint8_t operstate_up = 6;
constexpr std::uint32_t filter_skip_stats = 1 << 3;

std::size_t aligned(std::size_t length) {
    return (length + 3) & ~std::size_t{3};
}

template <class T>
T read_as(std::span<const std::byte> bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), bytes.size() < sizeof value ? bytes.size() : sizeof value);
    return value;
}

// Calls `each(type, payload)` for every attribute in `bytes`.
template <class F>
void for_each_attribute(std::span<const std::byte> bytes, F each) {
    while (bytes.size() >= sizeof(rtattr)) {
        const auto head = read_as<rtattr>(bytes);
        if (head.rta_len < sizeof head || head.rta_len > bytes.size()) return;
        each(head.rta_type & NLA_TYPE_MASK, bytes.subspan(sizeof head, head.rta_len - sizeof head));
        bytes = bytes.subspan(std::min(bytes.size(), aligned(head.rta_len)));
    }
}

// A program in one mode is reported twice, as "the" program and as that mode's; with several modes only the latter exists.
std::uint32_t parse_xdp(std::span<const std::byte> attributes) {
    std::uint32_t single = 0;
    std::uint32_t of_mode = 0;
    for_each_attribute(attributes, [&](int type, std::span<const std::byte> value) {
        if (type == IFLA_XDP_PROG_ID) single = read_as<std::uint32_t>(value);
        if (type == IFLA_XDP_DRV_PROG_ID || type == IFLA_XDP_SKB_PROG_ID) of_mode = read_as<std::uint32_t>(value);
    });
    return single != 0 ? single : of_mode;
}

link_state parse_link(std::span<const std::byte> payload) {
    const auto head = read_as<ifinfomsg>(payload);
    link_state state;
    state.index = static_cast<unsigned>(head.ifi_index);
    state.up = (head.ifi_flags & IFF_UP) != 0;
    for_each_attribute(payload.subspan(aligned(sizeof head)), [&](int type, std::span<const std::byte> value) {
        switch (type) {
            case IFLA_ADDRESS: state.mac = read_as<mac_address>(value); break;
            case IFLA_MTU: state.mtu = read_as<unsigned>(value); break;
            case IFLA_OPERSTATE: state.operational = read_as<std::uint8_t>(value) == operstate_up; break;
            case IFLA_XDP: state.xdp_program_id = parse_xdp(value); break;
            default: break;
        }
    });
    return state;
}

std::string kernel_words(std::span<const std::byte> error_payload, bool capped) {
    std::string words;
    // Behind the error number lies a copy of the request, whole unless capped, and behind that the attributes.
    const auto echoed = read_as<nlmsghdr>(error_payload.subspan(sizeof(int)));
    const std::size_t skip = sizeof(int) + (capped ? sizeof(nlmsghdr) : aligned(echoed.nlmsg_len));
    if (skip >= error_payload.size()) return words;
    for_each_attribute(error_payload.subspan(skip), [&](int type, std::span<const std::byte> value) {
        if (type == NLMSGERR_ATTR_MSG && !value.empty()) {
            words.assign(reinterpret_cast<const char*>(value.data()), value.size() - 1);
        }
    });
    return words;
}

}  // namespace

// A request under construction: a header, a fixed part, and attributes that may nest.
class route_socket::message {
public:
    template <class Fixed>
    message(int type, int flags, const Fixed& fixed) {
        nlmsghdr head{};
        head.nlmsg_type = static_cast<std::uint16_t>(type);
        head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        append(head);
        append(fixed);
    }

    template <class T>
    void append(const T& value) {
        append_bytes(std::as_bytes(std::span{&value, 1}));
    }

    template <class T>
    void attribute(int type, const T& value) {
        attribute_bytes(type, std::as_bytes(std::span{&value, 1}));
    }
    void attribute(int type, std::string_view text) {
        const std::string terminated{text};
        attribute_bytes(type, std::as_bytes(std::span{terminated.c_str(), terminated.size() + 1}));
    }

    // Opens an attribute that holds others; the result goes to `close`.
    std::size_t open(int type) {
        const std::size_t at = bytes_.size();
        append(rtattr{0, static_cast<std::uint16_t>(type)});
        return at;
    }
    void close(std::size_t at) {
        const auto length = static_cast<std::uint16_t>(bytes_.size() - at);
        std::memcpy(bytes_.data() + at + offsetof(rtattr, rta_len), &length, sizeof length);
    }

    std::span<const std::byte> finish(std::uint32_t sequence) {
        const auto length = static_cast<std::uint32_t>(bytes_.size());
        std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
        std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
        return bytes_;
    }

private:
    void append_bytes(std::span<const std::byte> value) {
        bytes_.insert(bytes_.end(), value.begin(), value.end());
        bytes_.resize(aligned(bytes_.size()));
    }
    void attribute_bytes(int type, std::span<const std::byte> value) {
        append(rtattr{static_cast<std::uint16_t>(sizeof(rtattr) + value.size()), static_cast<std::uint16_t>(type)});
        append_bytes(value);
    }

    std::vector<std::byte> bytes_;
};

route_socket::route_socket(const network_namespace& place) {
    socket_ = place.call([] {
        return file_descriptor::checked(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket(AF_NETLINK)");
    });
    const int on = 1;
    // Only the wording of errors depends on it.
    static_cast<void>(::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
}

route_socket::answer route_socket::exchange(message& request) {
    const auto bytes = request.finish(++sequence_);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const auto* to = reinterpret_cast<const sockaddr*>(&kernel);
    if (::sendto(socket_.get(), bytes.data(), bytes.size(), 0, to, sizeof kernel) < 0) throw_errno("send a netlink request");
    for (;;) {
        std::array<std::byte, 32768> buffer;
        const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_errno("receive a netlink answer");
        const auto received = std::span<const std::byte>{buffer}.first(static_cast<std::size_t>(count));
        if (received.size() < sizeof(nlmsghdr)) continue;
        const auto head = read_as<nlmsghdr>(received);
        // An answer to a request that an exception interrupted.
        if (head.nlmsg_seq != sequence_ || head.nlmsg_len > received.size() || head.nlmsg_len < sizeof head) continue;
        const auto payload = received.subspan(sizeof head, head.nlmsg_len - sizeof head);
        answer result;
        if (head.nlmsg_type == NLMSG_ERROR) {
            result.error = -read_as<int>(payload);
            if (result.error != 0) result.words = kernel_words(payload, (head.nlmsg_flags & NLM_F_CAPPED) != 0);
        } else {
            result.payload.assign(payload.begin(), payload.end());
        }
        return result;
    }
}

void route_socket::must(message& request, const std::string& step) {
    const answer result = exchange(request);
    if (result.error == 0) return;
    throw std::system_error(result.error, std::generic_category(),
                            result.words.empty() ? step : step + " (kernel: " + result.words + ")");
}

void route_socket::create_veth(const veth_end& here, const veth_end& there, unsigned queues, unsigned mtu) {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(here.index);
    message request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, link);
    const auto describe = [&](const veth_end& end) {
        request.attribute(IFLA_IFNAME, std::string_view{end.name});
        request.attribute(IFLA_ADDRESS, end.mac);
        request.attribute(IFLA_MTU, std::uint32_t{mtu});
        request.attribute(IFLA_NUM_RX_QUEUES, std::uint32_t{queues});
        request.attribute(IFLA_NUM_TX_QUEUES, std::uint32_t{queues});
        request.attribute(IFLA_NET_NS_FD, static_cast<std::uint32_t>(end.place.fd()));
    };
    describe(here);
    const std::size_t info = request.open(IFLA_LINKINFO);
    request.attribute(IFLA_INFO_KIND, std::string_view{"veth"});
    const std::size_t data = request.open(IFLA_INFO_DATA);
    const std::size_t other = request.open(VETH_INFO_PEER);
    link.ifi_index = static_cast<int>(there.index);
    request.append(link);
    describe(there);
    request.close(other);
    request.close(data);
    request.close(info);
    must(request, "create the veth pair " + here.name + " and " + there.name);
}

void route_socket::set_up(unsigned index, bool up) {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(index);
    link.ifi_flags = up ? IFF_UP : 0;
    link.ifi_change = IFF_UP;
    message request(RTM_NEWLINK, NLM_F_ACK, link);
    must(request, up ? "set a link up" : "set a link down");
}

void route_socket::delete_link(unsigned index) {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(index);
    message request(RTM_DELLINK, NLM_F_ACK, link);
    const answer result = exchange(request);
    if (result.error != 0 && result.error != ENODEV) {
        throw std::system_error(result.error, std::generic_category(), "delete a link");
    }
}

void route_socket::add_address(unsigned index, const std::string& address_and_prefix) {
    const std::size_t slash = address_and_prefix.find('/');
    in_addr address{};
    if (slash == std::string::npos || ::inet_pton(AF_INET, address_and_prefix.substr(0, slash).c_str(), &address) != 1) {
        throw std::runtime_error("not an IPv4 address with a prefix length: " + address_and_prefix);
    }
    ifaddrmsg head{};
    head.ifa_family = AF_INET;
    head.ifa_prefixlen = static_cast<std::uint8_t>(std::stoul(address_and_prefix.substr(slash + 1)));
    head.ifa_index = index;
    message request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, head);
    request.attribute(IFA_LOCAL, address);
    request.attribute(IFA_ADDRESS, address);
    must(request, "add the address " + address_and_prefix);
}

std::optional<link_state> route_socket::query_link(message& request) {
    request.attribute(IFLA_EXT_MASK, filter_skip_stats);
    const answer result = exchange(request);
    if (result.error == ENODEV) return std::nullopt;
    if (result.error != 0) throw std::system_error(result.error, std::generic_category(), "look at a link");
    return parse_link(result.payload);
}

std::optional<link_state> route_socket::link(unsigned index) {
    ifinfomsg head{};
    head.ifi_index = static_cast<int>(index);
    message request(RTM_GETLINK, 0, head);
    return query_link(request);
}

std::optional<link_state> route_socket::link(const std::string& name) {
    message request(RTM_GETLINK, 0, ifinfomsg{});
    request.attribute(IFLA_IFNAME, std::string_view{name});
    return query_link(request);
}

}  // namespace fluxnet::test::detail
