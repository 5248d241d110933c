// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/kernel.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/detail/alternative_name.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/detail/packet_ring.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fluxnet {
namespace {

int answer(long value) noexcept {
    return value < 0 ? -errno : static_cast<int>(value);
}

/// One ioctl about one interface.
class interface_query {
public:
    interface_query(int fd, const char* name) noexcept : fd_(fd) { std::strncpy(request_.ifr_name, name, IFNAMSIZ - 1); }

    int ask(unsigned long code) noexcept { return answer(::ioctl(fd_, code, &request_)); }
    ifreq& request() noexcept { return request_; }

private:
    int fd_;
    ifreq request_{};
};

class real_kernel final : public kernel {
public:
    int open_socket() override { return answer(detail::above_streams(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0))); }

    int set_option(int fd, int name, const void* value, std::uint32_t size) override {
        return answer(::setsockopt(fd, SOL_XDP, name, value, size));
    }

    int get_option(int fd, int name, void* value, std::uint32_t* size) override {
        return answer(::getsockopt(fd, SOL_XDP, name, value, size));
    }

    int take_socket_error(int fd) override {
        int pending = 0;
        socklen_t size = sizeof pending;
        const int result = answer(::getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &size));
        return result < 0 ? result : pending;
    }

    void* map_ring(int fd, std::size_t length, off_t offset, int& failure) override {
        void* address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
        if (address != MAP_FAILED) { return address; }
        failure = -errno;
        return nullptr;
    }

    void unmap_ring(void* address, std::size_t length) override { ::munmap(address, length); }

    int bind(int fd, const bind_request& where) override {
        sockaddr_xdp address{};
        address.sxdp_family = AF_XDP;
        address.sxdp_flags = where.flags;
        address.sxdp_ifindex = static_cast<std::uint32_t>(where.interface_index);
        address.sxdp_queue_id = where.queue;
        if (where.shared_umem_fd >= 0) { address.sxdp_shared_umem_fd = static_cast<std::uint32_t>(where.shared_umem_fd); }
        return answer(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
    }

    int kick_tx(int fd) override { return answer(::sendto(fd, nullptr, 0, MSG_DONTWAIT, nullptr, 0)); }
    int kick_rx(int fd) override { return answer(::recvfrom(fd, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr)); }
    int close(int fd) override { return answer(::close(fd)); }

    int find_interface(const char* name, interface_info& found) override {
        if (*name == '\0') { return -ENODEV; }
        const int fd = detail::above_streams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        if (fd < 0) { return -errno; }
        int index = -ENODEV;
        if (std::strlen(name) < IFNAMSIZ) {
            interface_query by_name(fd, name);
            const int r = by_name.ask(SIOCGIFINDEX);
            index = r < 0 ? r : by_name.request().ifr_ifindex;
        }
        if (index == -ENODEV) { index = detail::find_by_alternative_name(name); }
        const int result = index < 0 ? index : query(fd, index, found);
        ::close(fd);
        return result;
    }

    void pause_ms(int milliseconds) override {
        timespec wait{milliseconds / 1000, long{milliseconds % 1000} * 1'000'000};
        while (::nanosleep(&wait, &wait) != 0 && errno == EINTR) {}
    }

    std::unique_ptr<kernel> make_packet_ring(bool receives) override {
        return std::make_unique<detail::packet_ring>(receives);
    }

private:
    static int query(int fd, int index, interface_info& found) {
        interface_query interface(fd, "");
        interface.request().ifr_ifindex = index;
        if (const int r = interface.ask(SIOCGIFNAME); r < 0) { return r; }
        found.name = interface.request().ifr_name;
        found.index = index;
        struct stat place {};
        if (::stat("/proc/thread-self/ns/net", &place) == 0) { found.network_namespace = place.st_ino; }
        if (const int r = interface.ask(SIOCGIFMTU); r < 0) { return r; }
        found.mtu = static_cast<std::uint32_t>(interface.request().ifr_mtu);
        if (const int r = interface.ask(SIOCGIFHWADDR); r < 0) { return r; }
        std::memcpy(found.mac_address.data(), interface.request().ifr_hwaddr.sa_data, found.mac_address.size());
        found.link_type = interface.request().ifr_hwaddr.sa_family;
        if (const int r = interface.ask(SIOCGIFFLAGS); r < 0) { return r; }
        found.up = (interface.request().ifr_flags & IFF_UP) != 0;
        found.carrier = (interface.request().ifr_flags & IFF_RUNNING) != 0;
        found.loopback = (interface.request().ifr_flags & IFF_LOOPBACK) != 0;
        // Not every driver answers; the kernel then judges the queue by itself when the socket is bound.
        ethtool_channels channels{};
        channels.cmd = ETHTOOL_GCHANNELS;
        interface.request().ifr_data = reinterpret_cast<char*>(&channels);
        if (interface.ask(SIOCETHTOOL) >= 0) {
            found.queues = std::max(channels.rx_count, channels.tx_count) + channels.combined_count;
        }
        ethtool_drvinfo driver{};
        driver.cmd = ETHTOOL_GDRVINFO;
        interface.request().ifr_data = reinterpret_cast<char*>(&driver);
        if (interface.ask(SIOCETHTOOL) >= 0) {
            found.driver.assign(driver.driver, ::strnlen(driver.driver, sizeof driver.driver));
        }
        return 0;
    }
};

}  // namespace

int kernel::wait_input(int fd, int wake_fd, std::int64_t timeout_ns) {
    pollfd entries[2] = {{fd, POLLIN, 0}, {wake_fd, POLLIN, 0}};
    const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
    if (const int r = answer(::ppoll(entries, 2, &timeout, nullptr)); r < 0) { return r; }
    int bits = 0;
    if ((entries[0].revents & POLLIN) != 0) { bits |= fd_ready; }
    if ((entries[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) { bits |= fd_error; }
    if (entries[1].revents != 0) { bits |= wake_ready; }
    return bits;
}

int kernel::set_filter(int, const packet_filter&) {
    return -EOPNOTSUPP;
}

std::unique_ptr<kernel> kernel::make_packet_ring(bool) {
    return nullptr;
}

kernel& system_kernel() noexcept {
    static real_kernel instance;
    return instance;
}

}  // namespace fluxnet
