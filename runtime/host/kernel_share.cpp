// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/kernel_share.hpp"

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/runtime/host/host_filter.hpp"
#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/program.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <system_error>

#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace fluxnet::host::detail {
namespace {

constexpr const char* range_path = "/proc/sys/net/ipv4/ip_local_port_range";
constexpr const char* reserved_path = "/proc/sys/net/ipv4/ip_local_reserved_ports";

bool is_in(port_range range, std::uint16_t port) noexcept {
    return range.first <= port && port <= range.last;
}

std::string text_of(port_range range) {
    return std::to_string(range.first) + " to " + std::to_string(range.last);
}

error refuse(const std::string& step, std::string cause, std::string remedy) {
    return make_error(errc::invalid_option, step, std::move(cause), std::move(remedy));
}

/// The ports from which the kernel chooses; all, when it does not say.
port_range kernel_range() {
    std::ifstream file(range_path);
    port_range read;
    if (file >> read.first >> read.last) { return read; }
    return port_range(1, 65535);
}

/// Those of them that it leaves out: "8080,61000-61999".
std::vector<port_range> kernel_reserves() {
    std::ifstream file(reserved_path);
    std::vector<port_range> all;
    for (std::string one; std::getline(file, one, ',');) {
        std::istringstream text(one);
        port_range read;
        char dash = 0;
        if (!(text >> read.first)) { continue; }
        if (!(text >> dash >> read.last) || dash != '-') { read.last = read.first; }
        all.push_back(read);
    }
    return all;
}

/// A port that the kernel may choose too; nothing: none.
std::optional<std::uint16_t> contested(port_range wanted) {
    const port_range range = kernel_range();
    const std::vector<port_range> reserved = kernel_reserves();
    const std::uint32_t last = std::min(wanted.last, range.last);
    for (std::uint32_t port = std::max(wanted.first, range.first); port <= last; ++port) {
        const auto number = static_cast<std::uint16_t>(port);
        if (std::ranges::none_of(reserved, [&](port_range one) { return is_in(one, number); })) { return number; }
    }
    return std::nullopt;
}

std::string check_named(const std::vector<std::uint16_t>& named, const char* protocol,
                        const std::optional<port_range>& chosen) {
    for (const std::uint16_t port : named) {
        const std::string text = std::string(protocol) + " port " + std::to_string(port);
        if (port == 0) { return "it is given " + text; }
        if (std::ranges::count(named, port) != 1) { return "it is given " + text + " twice"; }
        if (chosen && is_in(*chosen, port)) { return "it is given " + text + ", which is among those to be chosen as well"; }
    }
    return {};
}

// What a filter makes of a packet, by its headers alone.

using proto::ethertype;
using proto::ip_protocol;

constexpr std::size_t sample_payload = proto::tcp_header_length;
using sample = std::array<std::byte, proto::ethernet_header_length + proto::ipv6_header_length + sample_payload>;

/// Writes the Ethernet header, and returns what is behind it.
std::span<std::byte> begin(sample& frame, ethertype type) {
    return proto::ethernet_repr{.destination = {}, .source = {}, .type = type}.emit(frame).payload();
}

bool is_taken(const packet_filter& filter, const sample& frame) {
    return filter.judge(frame).verdict == filter_verdict::redirect;
}

/// Whether it takes a packet of that protocol to that port.
bool takes(const packet_filter& filter, const proto::ip_address& to, ip_protocol protocol, std::uint16_t port) {
    sample frame{};
    std::span<std::byte> payload;
    if (to.is_v4()) {
        const proto::ipv4_repr head{
            .source = {}, .destination = to.v4(), .protocol = protocol, .payload_length = sample_payload};
        payload = head.emit(begin(frame, ethertype::ipv4)).payload();
    } else {
        const proto::ipv6_repr head{
            .source = {}, .destination = to.v6(), .next_header = protocol, .payload_length = sample_payload};
        payload = head.emit(begin(frame, ethertype::ipv6)).payload();
    }
    proto::store_be16(payload.data() + 2, port);  // where TCP and UDP have it
    return is_taken(filter, frame);
}

/// Whether it takes a question for the address.
bool takes_question(const packet_filter& filter, const proto::ip_address& to) {
    if (!to.is_v4()) { return takes(filter, to.v6().solicited_node(), ip_protocol::icmpv6, 0); }
    sample frame{};
    proto::arp_repr{proto::arp_operation::request, {}, {}, {}, to.v4()}.emit(begin(frame, ethertype::arp));
    return is_taken(filter, frame);
}

/// Whether a filter takes all of those ports, and whether it leaves the rest of the address to the kernel.
bool gives(const packet_filter& filter, const proto::ip_address& to, const host_ports& ports) {
    const auto takes_tcp = [&](std::uint16_t port) { return takes(filter, to, ip_protocol::tcp, port); };
    const auto takes_udp = [&](std::uint16_t port) { return takes(filter, to, ip_protocol::udp, port); };
    const auto takes_both = [&](std::uint16_t port) { return takes_tcp(port) && takes_udp(port); };
    return std::ranges::all_of(ports.tcp, takes_tcp) && std::ranges::all_of(ports.udp, takes_udp) &&
           (!ports.chosen || (takes_both(ports.chosen->first) && takes_both(ports.chosen->last)));
}
bool leaves(const packet_filter& filter, const proto::ip_address& to, const given_ports& given) {
    if (takes_question(filter, to)) { return false; }
    if (takes(filter, to, to.is_v4() ? ip_protocol::icmp : ip_protocol::icmpv6, 0)) { return false; }
    for (std::uint32_t other = 1; other != 65'536; ++other) {  // the first that is not given
        const auto port = static_cast<std::uint16_t>(other);
        if (given.has_tcp(port) || given.has_udp(port)) { continue; }
        return !takes(filter, to, ip_protocol::tcp, port) && !takes(filter, to, ip_protocol::udp, port);
    }
    return true;
}

error refuse_bind(const std::string& step, const proto::ip_endpoint& at, bool tcp, int number) {
    const std::string what = std::string(tcp ? "TCP" : "UDP") + " at " + at.to_string();
    const std::error_code code(number, std::generic_category());
    switch (number) {
        case EADDRINUSE:
            return error{
                code, step, what + ": a program of this machine has the port, or had it a moment ago",
                "end that program (`ss -antup` shows it), wait until none of its connections is in TIME-WAIT, or give "
                "the host another port"};
        case EADDRNOTAVAIL:
            return error{
                code, step, what + ": the kernel does not have this address, or still probes it",
                "name one that `ip address` shows, or leave host_options::only_ports out for one of the host's own"};
        case EACCES:
            return make_error(errc::permission_denied, step, what + ": ports below 1024 take a permission",
                              "grant CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start");
        default:
            return make_error(errc::system_failure, step, "hold " + what + ": " + errno_text(number),
                              "allow one socket for each port and address");
    }
}

/// Has a socket take nothing in, whatever reaches it past the interface.
void keep_empty(const descriptor& socket) noexcept {
    sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &drop};
    [[maybe_unused]] const int done = ::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

}  // namespace

// held_ports

result<std::shared_ptr<held_ports>> held_ports::hold(const std::string& step, const host_options& options, int interface) {
    auto made = std::make_shared<held_ports>();
    const auto hold_one = [&](const proto::ip_address& address, std::uint16_t port, bool tcp) -> std::optional<error> {
        proto::ip_endpoint at{address, port};
        if (address.is_v6() && address.v6().is_link_local()) { at.scope = static_cast<std::uint32_t>(interface); }
        const int kind = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
        descriptor socket(fluxnet::detail::above_streams(::socket(address.is_v4() ? AF_INET : AF_INET6, kind, 0)));
        if (!socket) { return refuse_bind(step, at, tcp, errno); }
        keep_empty(socket);
        fluxnet::detail::socket_address where(at);
        if (::bind(socket.get(), where.data(), where.size()) != 0) { return refuse_bind(step, at, tcp, errno); }
        if (port != 0) { made->sockets_.push_back(std::move(socket)); }
        return std::nullopt;
    };
    for (const host_address& own : options.addresses) {
        if (auto failed = hold_one(own.address, 0, false)) { return *failed; }  // whether the kernel has the address
        for (const std::uint16_t port : options.only_ports->tcp) {
            if (auto failed = hold_one(own.address, port, true)) { return *failed; }
        }
        for (const std::uint16_t port : options.only_ports->udp) {
            if (auto failed = hold_one(own.address, port, false)) { return *failed; }
        }
    }
    return made;
}

// given_ports

given_ports::given_ports(const host_options& options) : only_(options.only_ports) {
    if (only_) { chosen_ = only_->chosen.value_or(port_range(1, 0)); }
}

bool given_ports::has(const std::vector<std::uint16_t>& named, std::uint16_t port) const noexcept {
    if (port == 0) { return may_choose(); }
    return is_in(chosen_, port) || std::ranges::find(named, port) != named.end();
}

// kernel_share

std::string kernel_share::check(const host_options& options) {
    const host_ports& ports = *options.only_ports;
    if (ports.tcp.empty() && ports.udp.empty() && !ports.chosen) { return "it is given no port"; }
    if (ports.chosen && (ports.chosen->first == 0 || ports.chosen->first > ports.chosen->last)) {
        return "it is to choose from the ports " + text_of(*ports.chosen);
    }
    for (const std::string& wrong :
         {check_named(ports.tcp, "TCP", ports.chosen), check_named(ports.udp, "UDP", ports.chosen)}) {
        if (!wrong.empty()) { return wrong; }
    }
    if (ports.chosen && options.queues && ports.chosen->last - ports.chosen->first + 1U < options.queues->count()) {
        return "it is to choose from fewer ports than host_queues has hosts";
    }
    if (ports.chosen && ports.chosen->first == 1 && ports.chosen->last == 65535) { return "it is given all ports"; }
    if (options.hardware) { return "it is given a link address, though the kernel's addresses have that of the interface"; }
    const std::size_t rules = filter_for(options).rules().size();
    if (rules > packet_filter::most_rules) {
        return "a filter has no more than " + std::to_string(packet_filter::most_rules) + " rules, and its ports take " +
               std::to_string(rules);
    }
    return {};
}

result<void> kernel_share::examine(const std::string& step, const host_options& options, const rx& socket) {
    const std::string remedy = "open the socket with builder::only(host::filter_for(options))";
    if (!socket.link_announced()) {
        return refuse(step, "no kernel has the addresses of a simulated interface", "leave host_options::only_ports out");
    }
    if (socket.packet_ring()) {
        return refuse(step, "its packets are copies, which the kernel has too and answers itself",
                      "open the socket on an interface that runs XDP programs");
    }
    struct stat here {};
    const std::uint64_t place = socket.interface().network_namespace;
    if (place != 0 && ::stat("/proc/thread-self/ns/net", &here) == 0 && here.st_ino != place) {
        return refuse(step, "this thread is in another network namespace than the interface",
                      "open the host where the socket was opened");
    }
    if (const auto& program = socket.redirect()) {  // else it is the program's of the user
        const auto filter = program->filter();
        if (!filter) { return refuse(step, "its socket has no filter and takes all from the kernel", remedy); }
        const given_ports given(options);
        for (const host_address& own : options.addresses) {
            const std::string at = " at " + own.address.to_string();
            if (!gives(*filter, own.address, *options.only_ports)) {
                return refuse(step, "the filter of its socket does not give it its ports" + at, remedy);
            }
            if (!leaves(*filter, own.address, given)) {
                return refuse(step, "the filter of its socket takes more from the kernel than its ports" + at, remedy);
            }
        }
    }
    const auto& chosen = options.only_ports->chosen;
    if (const auto port = chosen ? contested(*chosen) : std::nullopt) {
        return refuse(step,
                      "it is to choose from the ports " + text_of(*chosen) + ", of which the kernel chooses too, " +
                          std::to_string(*port) + " for one",
                      "choose outside of " + std::string(range_path) + ", or write " + std::to_string(chosen->first) + "-" +
                          std::to_string(chosen->last) + " to " + reserved_path);
    }
    return {};
}

result<std::unique_ptr<kernel_neighbours>> kernel_share::find_neighbours(const std::string& step, executor& on,
                                                                         int interface) {
    if (fluxnet::detail::inside(on).clock() != nullptr) {
        return make_error(errc::not_in_virtual_time, step, "the kernel is asked for neighbours, and takes no part",
                          "run the executor in real time");
    }
    try {
        return std::make_unique<kernel_neighbours>(on, interface);
    } catch (const std::system_error& refused) {
        if (refused.code() == errc::permission_denied) {
            return make_error(errc::permission_denied, step, refused.what(), "grant CAP_NET_ADMIN");
        }
        return make_error(errc::system_failure, step, refused.what(), "allow rtnetlink sockets (socket(AF_NETLINK))");
    }
}

}  // namespace fluxnet::host::detail
