// SPDX-License-Identifier: BSD-3-Clause
#include "examples/raw/generator.hpp"

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/udp.hpp"

#include <cstddef>

namespace raw_example {

constexpr std::size_t headers = 42;  // Ethernet, IPv4, UDP
constexpr std::size_t shortest_frame = 60;

static std::size_t payload_size(std::uint64_t number) noexcept {
    return 18 + number % 1000;
}
static std::byte payload_byte(std::uint64_t number, std::size_t at) noexcept {
    return static_cast<std::byte>((number * 7 + at) & 0xff);
}

generator::generator(simulated_wire& wire, simulated_wire::end which, std::uint32_t queues, proto::mac_address to)
    : to_(to), memory_(umem::create(wire.socket_on(which).frames(frames).memory()).value()) {
    constexpr std::uint32_t prefill = 1024;
    for (std::uint32_t queue = 0; queue < queues; ++queue) {
        builder options = wire.socket_on(which).queue(queue).prefill(prefill / queues);
        sockets_.push_back(options.over(memory_).build_raw().value());
    }
    free_.reserve(frames);
    for (std::uint32_t i = prefill / queues * queues; i < frames; ++i) { free_.push_back({i}); }
    from_ = proto::mac_address(sockets_.front().interface().mac_address);
}

void generator::send(std::uint64_t count) {
    raw_socket& socket = sockets_.front();
    {
        auto slots = socket.tx.reserve(static_cast<std::uint32_t>(count < free_.size() ? count : free_.size()));
        while (slots.remaining() != 0) {
            const frame_addr addr = memory_.addr_of(free_.back());
            free_.pop_back();
            const std::size_t length = write(memory_.frame(memory_.index_of(addr)), sent_);
            slots.push({addr, static_cast<std::uint32_t>(length), 0});
            ++sent_;
        }
    }
    if (socket.needs_wakeup_tx()) { static_cast<void>(socket.wakeup_tx()); }
    auto completed = socket.comp.consume();
    while (completed.remaining() != 0) { free_.push_back(memory_.index_of(completed.next())); }
}

void generator::collect() {
    for (raw_socket& socket : sockets_) {
        auto packets = socket.rx.consume();
        auto slots = socket.fill.reserve(packets.size());
        while (packets.remaining() != 0) {
            const xdp_desc desc = packets.next();
            check(memory_.bytes(desc.addr, desc.len));
            if (!slots.push(desc.addr)) { free_.push_back(memory_.index_of(desc.addr)); }
        }
    }
}

bool generator::frames_are_whole() const {
    std::vector<const raw_socket*> all;
    for (const raw_socket& socket : sockets_) { all.push_back(&socket); }
    const frame_census census = census_of(all, static_cast<std::uint32_t>(free_.size()));
    return census.exact && census.sum() == census.frames && census.tx == 0;
}

std::size_t generator::write(std::span<std::byte> into, std::uint64_t number) const {
    if (number % 8 == 7) {
        const auto frame = proto::ethernet_repr{to_, from_, proto::ethertype::arp}.emit(into.first(shortest_frame));
        proto::arp_repr{proto::arp_operation::request, from_, generator_ip, {}, example_ip}.emit(frame.payload());
        return shortest_frame;
    }
    const std::size_t size = payload_size(number);
    const auto frame = proto::ethernet_repr{to_, from_, proto::ethertype::ipv4}.emit(into.first(headers + size));
    const auto datagram =
        proto::ipv4_repr{generator_ip, example_ip, proto::ip_protocol::udp, proto::udp_header_length + size}.emit(
            frame.payload());
    // 61 ports: as many flows, which a wire with several queues spreads over them.
    const auto port = static_cast<std::uint16_t>(40'000 + number % 61);
    auto udp = proto::udp_repr{port, 7, size}.emit(datagram.payload());
    proto::store_be64(udp.payload().data(), number);
    for (std::size_t i = 8; i < size; ++i) { udp.payload()[i] = payload_byte(number, i); }
    udp.fill_checksum(generator_ip, example_ip);
    return headers + size;
}

void generator::check(std::span<const std::byte> bytes) {
    ++returned_;
    const auto frame = proto::ethernet_view::parse(bytes);
    const bool for_me = frame && frame->destination() == from_ && frame->source() == to_;
    if (for_me && frame->type() == proto::ethertype::arp) {
        ++returned_arp_;
    } else if (!for_me || !payload_is_right(frame->payload())) {
        ++wrong_;
    }
}

bool generator::payload_is_right(std::span<const std::byte> bytes) const {
    const auto datagram = proto::ipv4_view::parse(bytes);
    if (!datagram) { return false; }
    const auto udp = proto::udp_view::parse(datagram->payload(), datagram->source(), datagram->destination());
    if (!udp || udp->payload().size() < 8) { return false; }
    const std::uint64_t number = proto::load_be64(udp->payload().data());
    bool right = number < sent_ && udp->payload().size() == payload_size(number);
    for (std::size_t i = 8; right && i < udp->payload().size(); ++i) {
        right = udp->payload()[i] == payload_byte(number, i);
    }
    return right;
}

}  // namespace raw_example
