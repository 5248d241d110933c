// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/transport/detail/datagram_ladder.hpp"

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/runtime/sockets/detail/socket.hpp"
#include "fluxnet/xsk/base/detail/refusals.hpp"
#include "fluxnet/xsk/base/detail/tell.hpp"
#include "fluxnet/xsk/kernel.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include <ifaddrs.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace fluxnet {

const char* name(datagram_rung rung) noexcept {
    switch (rung) {
        case datagram_rung::af_xdp: return "af_xdp";
        case datagram_rung::af_packet: return "af_packet";
        case datagram_rung::kernel_udp: return "kernel_udp";
    }
    return "unknown";
}

namespace detail {
namespace {

constexpr std::size_t longest_by_ipv4 = 65'535 - 20 - 8;
constexpr std::size_t most_of_a_rung = 2400;         // octets: it may be several refusals itself
constexpr std::size_t longest_by_ipv6 = 65'535 - 8;  // the length of an IPv6 packet does not count its header

/// Has a socket receive nothing: each datagram to it is dropped before it is queued, and nobody is told.
result<void> deafen(udp_socket& socket, const std::string& step) {
    sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog filter{1, &nothing};
    if (::setsockopt(socket.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0) { return {}; }
    return socket_error(errno, step + " (SO_ATTACH_FILTER)");
}

/// The length of the prefix that the kernel has for an address of its own.
std::optional<unsigned> prefix_of(proto::ipv4_address address) noexcept {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) { return std::nullopt; }
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(all, &::freeifaddrs);
    const auto word_of = [](const sockaddr* of) {
        sockaddr_in found{};
        std::memcpy(&found, of, sizeof found);
        return ntohl(found.sin_addr.s_addr);
    };
    for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
        if (each->ifa_addr == nullptr || each->ifa_netmask == nullptr || each->ifa_addr->sa_family != AF_INET) { continue; }
        if (word_of(each->ifa_addr) != address.to_host_order()) { continue; }
        return static_cast<unsigned>(std::countl_one(word_of(each->ifa_netmask)));
    }
    return std::nullopt;
}

}  // namespace

std::string datagram_ladder::step_of(datagram_rung rung) const {
    std::string step = "open datagrams at " + options_.local.to_string() + " by " + name(rung);
    if (rung != datagram_rung::kernel_udp && options_.frames) { step += " on " + options_.frames->socket().interface; }
    return step;
}

bool datagram_ladder::climb() {
    while (tried_ != options_.order.size()) {
        const datagram_rung rung = options_.order[tried_++];
        notes_.clear();
        auto opened = open(rung);
        if (opened) {
            took_ = rung;
            return true;
        }
        close();
        refusals_.push_back({rung, std::move(opened).error()});
        tell_made(log_kind::fallback, [&] { return refusals_.back().why.message(); });
    }
    return false;
}

void datagram_ladder::move_on(std::error_code why) {
    ++climbs_;
    const datagram_rung from = *took_;
    const std::string interface = frames_->rx.socket().interface().name;
    error end{why, "carry datagrams at " + options_.local.to_string() + " by " + name(from) + " on " + interface,
              why.message(), "open a new transport once the interface is as it was"};
    took_.reset();
    close();
    refusals_.push_back({from, end});
    tell_made(log_kind::fallback, [&] { return end.message(); });
    if (!climb()) { ended_ = why; }
    if (options_.on_move) { options_.on_move({from, took_, std::move(end)}); }
}

void datagram_ladder::close() noexcept {
    frames_.reset();
    kernel_.reset();
    port_keeper_.reset();
}

error datagram_ladder::all_refused() const {
    const std::string step = "open datagrams at " + options_.local.to_string();
    if (refusals_.empty()) {
        return make_error(errc::invalid_option, step, "the order of rungs is empty", "name at least one rung");
    }
    const error& last = refusals_.back().why;
    if (refusals_.size() == 1) { return last; }
    std::string causes;
    for (const auto& [rung, why] : refusals_) { add_refusal(causes, why, name(rung), most_of_a_rung); }
    return {last.code, step, std::move(causes), any_remedy};
}

result<void> datagram_ladder::open(datagram_rung rung) {
    return rung == datagram_rung::kernel_udp ? open_kernel() : open_frames(rung);
}

result<void> datagram_ladder::open_kernel() {
    auto bound = udp_socket::bind(options_.kernel_local.value_or(options_.local), options_.kernel);
    if (!bound) { return std::move(bound).error(); }
    kernel_.emplace(std::move(*bound));
    return {};
}

result<void> datagram_ladder::open_frames(datagram_rung rung) {
    const std::string step = step_of(rung);
    if (auto possible = check_frames(step); !possible) { return possible; }
    if (auto kept = keep_port(step); !kept) { return kept; }
    builder sockets = *options_.frames;
    sockets.packet_ring_last(false);
    if (rung == datagram_rung::af_packet) {
        sockets.mode(xdp_mode::packet_ring);
    } else if (sockets.socket().mode == xdp_mode::packet_ring) {
        sockets.mode(xdp_mode::automatic);
    }
    auto opened = open_async(on_, sockets);
    if (!opened) { return std::move(opened).error(); }
    use(rung, std::move(*opened));
    return {};
}

result<void> datagram_ladder::check_frames(const std::string& step) const {
    if (!options_.frames) {
        return make_error(errc::invalid_option, step, "no interface is given", "set datagram_options::frames");
    }
    if (options_.prefix_length.value_or(0) > 32) {
        return make_error(errc::invalid_option, step,
                          "the prefix of the network has " + std::to_string(*options_.prefix_length) + " bits",
                          "set datagram_options::prefix_length to 32 at most");
    }
    const proto::ip_address& address = options_.local.address;
    if (!address.is_v4()) {
        return make_error(errc::invalid_option, step, "frames carry IPv4 only", "use an IPv4 address, or kernel_udp");
    }
    const proto::ipv4_address own = address.v4();
    if (own.is_this_network() || own.is_broadcast() || own.is_multicast() || own.is_loopback()) {
        return make_error(errc::invalid_option, step, "frames need one address that others can send to",
                          "use an address of the interface's network, or kernel_udp");
    }
    const bool bad_gateway = options_.gateway && (options_.gateway->is_multicast() || options_.gateway->is_zero());
    const bool bad_hardware = options_.hardware && (options_.hardware->is_multicast() || options_.hardware->is_zero());
    if (bad_gateway || bad_hardware) {
        return make_error(errc::invalid_option, step,
                          std::string("the address of ") + (bad_gateway ? "the gateway" : "this station") +
                              " on the link is zero or that of a group",
                          "use the address of one station");
    }
    return {};
}

/// Takes the port from the kernel, if the kernel has the address and the frames are of one of its interfaces.
result<void> datagram_ladder::keep_port(const std::string& step) {
    const fluxnet::kernel* const calls = options_.frames->socket().calls;
    if (calls && !calls->announces_links()) {  // a simulated wire
        if (options_.local.port != 0) { return {}; }
        return make_error(errc::invalid_option, step, "a simulated wire does not choose a port", "name a port");
    }
    auto bound = udp_socket::bind(options_.local);
    if (bound) {
        port_keeper_.emplace(std::move(*bound));
        options_.local.port = port_keeper_->local_endpoint().port;
        return deafen(*port_keeper_, step);
    }
    if (bound.error().code != std::errc::address_not_available) { return std::move(bound).error(); }
    if (options_.local.port != 0) { return {}; }
    return make_error(errc::invalid_option, step, "the kernel does not have the address and cannot choose a port",
                      "name a port");
}

void datagram_ladder::use(datagram_rung rung, async_sockets opened) {
    const interface_info& interface = opened.rx.socket().interface();
    const proto::mac_address hardware = options_.hardware.value_or(proto::mac_address(interface.mac_address));
    if (!station_) {
        station_.emplace(hardware, options_.local.address.v4(), options_.local.port);
        for (const auto& [address, at] : options_.neighbours) { station_->add_neighbour(address, at); }
        if (options_.gateway) { station_->set_gateway(*options_.gateway); }
        const std::optional<unsigned> known = port_keeper_ ? prefix_of(options_.local.address.v4()) : std::nullopt;
        if (const auto length = options_.prefix_length ? options_.prefix_length : known) {
            station_->set_prefix_length(*length);
        }
    }
    station_->set_hardware(hardware);
    notes_ = opened.notes;
    for (const error& refused : opened.refusals) { notes_.push_back("refused: " + refused.message()); }
    if (rung == datagram_rung::af_xdp) {
        notes_.push_back("all that queue " + std::to_string(options_.frames->socket().queue) + " of " + interface.name +
                         " receives is taken from the kernel, not only datagrams to " + options_.local.to_string() +
                         ": the XDP program cannot tell them apart");
    }
    if (rung == datagram_rung::af_xdp && interface.driver == "veth") {
        notes_.push_back(
            interface.name +
            " is a veth: datagrams whose checksums their sender leaves to the device come without, and are "
            "dropped (count().dropped_for(reason::udp_bad_checksum)): run 'ethtool -K PEER tx off' for its other "
            "end");
    }
    for (std::size_t i = opened.notes.size() + opened.refusals.size(); i != notes_.size(); ++i) {
        tell(log_kind::note, notes_[i]);  // those before have been told where they came from
    }
    frames_.emplace(std::move(opened));
}

bool datagram_ladder::is_link_down() const {
    const socket_options& socket = options_.frames->socket();
    fluxnet::kernel& calls = socket.calls != nullptr ? *socket.calls : system_kernel();
    interface_info now;
    return calls.find_interface(socket.interface.c_str(), now) >= 0 && !(now.up && now.carrier);
}

std::span<packet> datagram_ladder::make_room() noexcept {
    std::move(received_.begin() + static_cast<std::ptrdiff_t>(next_),
              received_.begin() + static_cast<std::ptrdiff_t>(count_), received_.begin());
    count_ -= std::exchange(next_, 0);
    if (count_ == received_.size()) {
        received_[--count_].reset();
        station_->skip();
    }
    return std::span(received_).subspan(count_);
}

packet datagram_ladder::take_arp() noexcept {
    for (std::size_t i = next_; i != count_; ++i) {
        const auto frame = proto::ethernet_view::parse(std::as_const(received_[i]).data());
        if (!frame || frame->type() != proto::ethertype::arp) { continue; }
        packet found = std::move(received_[i]);
        for (; i != next_; --i) { received_[i] = std::move(received_[i - 1]); }
        ++next_;
        return found;
    }
    return {};
}

proto::ip_endpoint datagram_ladder::local_endpoint() const noexcept {
    return kernel_ ? kernel_->local_endpoint() : options_.local;
}

std::size_t datagram_ladder::longest_datagram() const noexcept {
    if (kernel_) { return local_endpoint().address.is_v4() ? longest_by_ipv4 : longest_by_ipv6; }
    if (!frames_) { return 0; }
    constexpr std::size_t headers = proto::udp_station::overhead - proto::ethernet_header_length;
    const std::size_t mtu = frames_->tx.socket().interface().mtu;
    return std::min(longest_by_ipv4, mtu - std::min(mtu, headers));
}

}  // namespace detail
}  // namespace fluxnet
