// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/bind_errors.hpp"

#include "fluxnet/xsk/detail/capabilities.hpp"
#include "fluxnet/xsk/detail/holders.hpp"

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <linux/capability.h>
#include <linux/if_arp.h>

namespace fluxnet::detail {

result<void> check_filter(const socket_options& options) {
    if (!options.only) { return {}; }
    if (auto valid = options.only->validate(); !valid) { return valid.error(); }
    const std::string step = "filter the packets of " + options.interface;
    if (options.mode == xdp_mode::packet_ring) {
        return make_error(errc::invalid_option, step, "a packet ring sees copies of all packets",
                          "leave only() out, or use a mode of XDP");
    }
    if (!options.attach) {
        if (options.calls != nullptr && options.calls->filters()) { return {}; }
        return make_error(errc::invalid_option, step, "with attach(false) no XDP program of ours is there to do it",
                          "leave only() out");
    }
    if (options.shared_program == nullptr) { return {}; }
    const std::optional<packet_filter> theirs = options.shared_program->filter();
    if (theirs == options.only) { return {}; }
    return make_error(
        errc::invalid_option, step,
        theirs ? "the shared XDP program has another filter" : "the shared XDP program has no filter",
        theirs ? "leave only() out, or call set_filter() of the program" : "open its first socket with only(), too");
}

error explain_interface(const std::string& interface, int number) {
    const std::string step = "look up interface '" + interface + "'";
    const std::string cause = "the system answered " + errno_text(number);
    if (number == ENODEV || number == ENXIO) {
        return make_error(errc::interface_not_found, step, cause,
                          "'ip link' lists the interfaces of this network namespace");
    }
    return make_error(errc::system_failure, step, cause, "see netdevice(7) for this error");
}

error queue_error(const interface_info& interface, std::uint32_t queue, std::string cause) {
    std::string remedy = "use a queue below the number of queues that 'ethtool -l " + interface.name + "' shows";
    if (interface.queues != 0) { remedy = "use queue 0 to " + std::to_string(interface.queues - 1); }
    return make_error(errc::queue_out_of_range, "bind to " + interface.name + " queue " + std::to_string(queue),
                      std::move(cause), std::move(remedy));
}

error explain_bind(const socket_core& core, const char* mode, bool zero_copy, bool shares, int number) {
    const std::string step =
        "bind to " + core.interface.name + " queue " + std::to_string(core.queue) + " in " + mode + " mode";
    const std::string cause = "bind answered " + errno_text(number);
    if (shares && (number == EINVAL || number == EOPNOTSUPP || number == EBADF)) {
        return make_error(errc::interface_not_supported, step, cause + ": the UMEM's registration cannot be shared here",
                          "give the socket a UMEM of its own");
    }
    switch (number) {
        case EBUSY: {
            const std::string holders = describe_ring_holders(core.fd, core.interface, core.queue);
            return make_error(errc::queue_busy, step,
                              cause + ": another socket holds the queue" + (holders.empty() ? "" : " (" + holders + ")"),
                              "end that process, or use another queue");
        }
        case EOPNOTSUPP:
            if (!zero_copy) {
                return make_error(errc::interface_not_supported, step, cause + ": the driver has no AF_XDP",
                                  "use another interface");
            }
            return make_error(errc::interface_not_supported, step, cause + ": the driver has no zero-copy", "use mode auto");
        case EINVAL:
            // The queue exists when the interface told how many it has: then it is the driver that objects.
            if (zero_copy && core.interface.queues != 0) {
                return make_error(
                    errc::interface_not_supported, step,
                    cause + ": the driver refuses zero-copy for this queue or with frames or rings of this size",
                    "use mode auto, or other sizes");
            }
            return queue_error(core.interface, core.queue, cause);
        case EPERM: return make_error(errc::permission_denied, step, cause, remedy_for_permission({CAP_NET_RAW}));
        case ENODEV:
        case ENXIO: return make_error(errc::interface_gone, step, cause, "check that the interface still exists");
        case ENETDOWN:
            return make_error(errc::link_down, step, cause, "run 'ip link set dev " + core.interface.name + " up'");
        case ENOBUFS:
        case ENOMEM: return make_error(errc::out_of_memory, step, cause, "use smaller rings or fewer frames");
        default: return make_error(errc::system_failure, step, cause, "see the kernel's af_xdp.rst for this error");
    }
}

error explain_packet_ring(const interface_info& interface, int number) {
    const std::string step = "open a packet ring (AF_PACKET, TPACKET_V3) on " + interface.name;
    const std::string cause = "the system answered " + errno_text(number);
    switch (number) {
        case EPERM: return make_error(errc::permission_denied, step, cause, remedy_for_permission({CAP_NET_RAW}));
        case ENODEV:
        case ENXIO: return make_error(errc::interface_gone, step, cause, "check that the interface still exists");
        case ENETDOWN: return make_error(errc::link_down, step, cause, "run 'ip link set dev " + interface.name + " up'");
        case EINVAL:
        case ENOPROTOOPT:
            return make_error(errc::kernel_not_supported, step, cause, "use Linux 4.11 or later, with CONFIG_PACKET");
        case ENOBUFS:
        case EAGAIN:
        case ENOMEM: return make_error(errc::out_of_memory, step, cause, "use smaller rings");
        default: return make_error(errc::system_failure, step, cause, "see packet(7) for this error");
    }
}

error mtu_error(const interface_info& interface, const umem_config& config) {
    constexpr std::uint32_t largest_frame = 4096;
    constexpr std::uint32_t kernel_headroom = 256;
    const std::uint32_t needed = interface.longest_packet();
    const std::string mtu = std::to_string(config.packet_capacity() - (interface.longest_packet() - interface.mtu));
    std::string remedy;
    const auto offer = [&](std::uint32_t frame_size) {
        if (needed > frame_size - kernel_headroom || frame_size < config.frame_size) { return; }
        const std::uint32_t most = frame_size - kernel_headroom - needed;
        const std::string size = std::to_string(frame_size);
        std::string way = "use frames of " + size + " bytes";
        if (most < config.headroom) {
            way = frame_size == config.frame_size ? "use" : way + " with";
            way += most == 0 ? " no headroom" : " a headroom of " + std::to_string(most) + " bytes or less";
        } else if (frame_size == config.frame_size) {
            return;
        }
        remedy += way + ", or ";
    };
    offer(config.frame_size);
    if (config.frame_size != largest_frame) { offer(largest_frame); }
    if (needed > largest_frame - kernel_headroom) {
        const std::uint32_t most = largest_frame - kernel_headroom - (interface.longest_packet() - interface.mtu);
        remedy = "no frame is large enough, and packets do not span several: even one of " + std::to_string(largest_frame) +
                 " bytes holds an MTU of " + std::to_string(most) + " at most; ";
    }
    return make_error(errc::mtu_too_large, "check the MTU " + std::to_string(interface.mtu) + " of " + interface.name,
                      "its packets have up to " + std::to_string(needed) + " bytes, and a frame of " +
                          std::to_string(config.frame_size) + " bytes holds " + std::to_string(config.packet_capacity()) +
                          " (256 go to the kernel, " + std::to_string(config.headroom) + " to headroom)",
                      remedy + "run 'ip link set dev " + interface.name + " mtu " + mtu + "'");
}

result<void> check_link_type(const interface_info& interface) {
    const char* kind = nullptr;
    switch (interface.link_type) {
        case ARPHRD_ETHER:
        case ARPHRD_LOOPBACK: return {};
        case ARPHRD_NONE: kind = "none: a tun or WireGuard interface"; break;
        case ARPHRD_PPP: kind = "PPP"; break;
        case ARPHRD_TUNNEL: kind = "IP-in-IP tunnel"; break;
        case ARPHRD_TUNNEL6: kind = "IPv6 tunnel"; break;
        case ARPHRD_SIT: kind = "IPv6-in-IPv4 tunnel"; break;
        case ARPHRD_IPGRE: kind = "GRE over IPv4"; break;
        case ARPHRD_IP6GRE: kind = "GRE over IPv6"; break;
        case ARPHRD_RAWIP: kind = "raw IP"; break;
        case ARPHRD_INFINIBAND: kind = "InfiniBand"; break;
        default: kind = "not Ethernet"; break;
    }
    return make_error(
        errc::interface_not_supported, "check the link type of " + interface.name,
        "it is " + std::to_string(interface.link_type) + " (" + kind + "): its packets have no Ethernet header",
        "use an Ethernet interface: the one that carries this tunnel, or a tap instead of a tun");
}

}  // namespace fluxnet::detail
