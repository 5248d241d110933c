// SPDX-License-Identifier: BSD-3-Clause
// `generator`: the party at the other end of a simulated wire. It sends numbered UDP datagrams to an echo port, an ARP
// request for every eighth, and checks every byte of what comes back, be it reflected or answered.
//
// Has a raw socket on every queue of its end, over one UMEM, and keeps their books itself. One thread at a time.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/udp.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace raw_example {

using namespace fluxnet;

constexpr proto::ipv4_address generator_ip{10, 77, 0, 2};
constexpr proto::ipv4_address example_ip{10, 77, 0, 1};

class generator {
public:
    generator(simulated_wire& wire, simulated_wire::end which, std::uint32_t queues, proto::mac_address to)
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

    /// Sends up to `count` packets with one kick.
    void send(std::uint64_t count) {
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

    /// Takes what has come back.
    void collect() {
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

    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
    [[nodiscard]] std::uint64_t returned() const noexcept { return returned_; }
    [[nodiscard]] std::uint64_t returned_arp() const noexcept { return returned_arp_; }
    [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }

    [[nodiscard]] bool frames_are_whole() const {
        std::vector<const raw_socket*> all;
        for (const raw_socket& socket : sockets_) { all.push_back(&socket); }
        const frame_census census = census_of(all, static_cast<std::uint32_t>(free_.size()));
        return census.exact && census.sum() == census.frames && census.tx == 0;
    }

private:
    static constexpr std::uint32_t frames = 2048;
    static constexpr std::size_t headers = 42;  // Ethernet, IPv4, UDP
    static constexpr std::size_t shortest_frame = 60;

    [[nodiscard]] static std::size_t payload_size(std::uint64_t number) noexcept { return 18 + number % 1000; }
    [[nodiscard]] static std::byte payload_byte(std::uint64_t number, std::size_t at) noexcept {
        return static_cast<std::byte>((number * 7 + at) & 0xff);
    }

    /// Writes packet `number` and returns its length.
    [[nodiscard]] std::size_t write(std::span<std::byte> into, std::uint64_t number) const {
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

    void check(std::span<const std::byte> bytes) {
        ++returned_;
        const auto frame = proto::ethernet_view::parse(bytes);
        const bool for_me = frame && frame->destination() == from_ && frame->source() == to_;
        if (for_me && frame->type() == proto::ethertype::arp) {
            ++returned_arp_;
        } else if (!for_me || !payload_is_right(frame->payload())) {
            ++wrong_;
        }
    }

    [[nodiscard]] bool payload_is_right(std::span<const std::byte> bytes) const {
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

    proto::mac_address to_;
    proto::mac_address from_;
    umem memory_;
    std::vector<raw_socket> sockets_;  // by queue; sends on the first
    std::vector<frame_index> free_;
    std::uint64_t sent_ = 0;
    std::uint64_t returned_ = 0;
    std::uint64_t returned_arp_ = 0;
    std::uint64_t wrong_ = 0;
};

}  // namespace raw_example
