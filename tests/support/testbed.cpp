// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/testbed.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

constexpr std::chrono::seconds link_up_limit{5};

// Chosen by us, and different: in fresh namespaces the kernel would give both ends the same small number, and a program that
// takes one for the other would pass its tests.
constexpr unsigned host_index = 10;
constexpr unsigned peer_index = 20;

// Written through /proc/sys/net of the calling thread's namespace.
void disable_ipv6(const std::string& interface_name) {
    const std::string path = "/proc/sys/net/ipv6/conf/" + interface_name + "/disable_ipv6";
    const file_descriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file && errno == ENOENT) return;  // a kernel without IPv6
    if (!file || ::write(file.get(), "1\n", 2) != 2) throw_errno("write " + path);
}

class ethtool_socket {
public:
    explicit ethtool_socket(const std::string& interface_name) {
        std::strncpy(request_.ifr_name, interface_name.c_str(), IFNAMSIZ - 1);
    }

    // Features that the driver does not know count as off.
    void set(std::uint32_t command, std::uint32_t value, const char* what) {
        ethtool_value setting{command, value};
        call(&setting, what);
    }

    void clear_flags(std::uint32_t flags, const char* what) {
        ethtool_value setting{ETHTOOL_GFLAGS, 0};
        call(&setting, what);
        set(ETHTOOL_SFLAGS, setting.data & ~flags, what);
    }

private:
    void call(ethtool_value* setting, const char* what) {
        request_.ifr_data = reinterpret_cast<char*>(setting);
        if (::ioctl(socket_.get(), SIOCETHTOOL, &request_) != 0 && errno != EOPNOTSUPP) {
            throw_errno(std::string{"ethtool: "} + what + " of " + request_.ifr_name);
        }
    }

    file_descriptor socket_ = file_descriptor::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket(AF_INET)");
    ifreq request_{};
};

// A veth pair claims offloads that nobody carries out: checksums stay unfinished and packets larger than the MTU pass. A
// reader of raw frames takes both for corruption.
void turn_offloads_off(const std::string& interface_name) {
    ethtool_socket features(interface_name);
    features.set(ETHTOOL_STSO, 0, "TCP segmentation");
    features.set(ETHTOOL_SGSO, 0, "generic segmentation");
    features.set(ETHTOOL_SGRO, 0, "generic receive offload");
    features.set(ETHTOOL_STXCSUM, 0, "transmit checksums");
    features.set(ETHTOOL_SRXCSUM, 0, "receive checksums");
    features.clear_flags(ETH_FLAG_RXVLAN | ETH_FLAG_TXVLAN, "VLAN tags");
}

std::optional<std::string> missing_capability() {
    __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
    if (::syscall(SYS_capget, &head, sets) != 0) throw_errno("capget");
    const struct {
        unsigned number;
        const char* name;
    } needed[] = {{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {CAP_NET_RAW, "CAP_NET_RAW"}};
    for (const auto& [number, name] : needed) {
        if ((sets[CAP_TO_INDEX(number)].effective & CAP_TO_MASK(number)) == 0) {
            return std::string{"no "} + name + ": run the tests as root";
        }
    }
    return std::nullopt;
}

std::optional<std::string> try_everything() {
    try {
        if (auto reason = missing_capability()) return reason;
        const testbed trial;
        trial.host().call([] {
            file_descriptor::checked(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0),
                                     "socket(AF_XDP): the kernel lacks CONFIG_XDP_SOCKETS or a container forbids it");
        });
        return std::nullopt;
    } catch (const std::exception& refused) { return std::string{"no testbed on this machine: "} + refused.what(); }
}

}  // namespace

testbed::testbed(const testbed_options& options) : options_(options) {
    const detail::veth_end host_end{host_, options_.host_name, mac(side::host), host_index};
    const detail::veth_end peer_end{peer_, options_.peer_name, mac(side::peer), peer_index};
    host_route_.create_veth(host_end, peer_end, options_.queues, options_.mtu);
    host_.call([this] { disable_ipv6(options_.host_name); });
    peer_.call([this] {
        disable_ipv6(options_.peer_name);
        turn_offloads_off(options_.peer_name);
    });
    peer_route_.add_address(peer_index, options_.peer_address);
    set_link(side::host, true);
    set_link(side::peer, true);
    if (!wait_until_up(link_up_limit)) throw std::runtime_error("testbed: the veth pair has no carrier");
}

testbed::~testbed() = default;

std::optional<std::string> testbed::why_not_available() {
    static const std::optional<std::string> reason = try_everything();
    return reason;
}

void testbed::set_link(side end, bool up) {
    route(end).set_up(ifindex(end), up);
}

bool testbed::wait_until_up(deadline limit) {
    for (;;) {
        const auto host = host_route_.link(host_index);
        const auto peer = peer_route_.link(peer_index);
        if (host && peer && host->operational && peer->operational) return true;
        if (limit.passed()) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
}

void testbed::delete_link() {
    host_route_.delete_link(host_index);
}

std::uint32_t testbed::xdp_program_id(side end) {
    const auto state = route(end).link(ifindex(end));
    return state ? state->xdp_program_id : 0;
}

bool testbed::is_free_of_xdp(side end, deadline limit) {
    while (xdp_program_id(end) != 0) {
        if (limit.passed()) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

finished testbed::run(side end, const std::vector<std::string>& argv, deadline limit) {
    process_options options;
    options.netns_fd = place(end).fd();
    return test::run(argv, options, limit);
}

process testbed::spawn(side end, const std::vector<std::string>& argv, process_options options) {
    options.netns_fd = place(end).fd();
    return process(argv, options);
}

testbed::mac_address testbed::mac(side end) noexcept {
    // Locally administered, unicast.
    const auto last = static_cast<std::uint8_t>(end == side::host ? 1 : 2);
    return {0x02, 0x00, 0x00, 0x77, 0x00, last};
}

unsigned testbed::ifindex(side end) noexcept {
    return end == side::host ? host_index : peer_index;
}

std::string testbed::peer_ip() const {
    return options_.peer_address.substr(0, options_.peer_address.find('/'));
}

}  // namespace fluxnet::test
