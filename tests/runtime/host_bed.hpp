// SPDX-License-Identifier: BSD-3-Clause
// Beds for tests of ip_host on a simulated wire, in virtual time: two hosts, or a host and a station whose frames the test
// makes by hand.
//
// Owned by one test case and used on its thread.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmpv6.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/link_group.hpp"
#include "fluxnet/proto/ndp_repr.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/udp.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace fluxnet::test {

using frame_bytes = std::vector<std::byte>;

[[nodiscard]] inline proto::mac_address mac_of(std::uint8_t number) {
    return proto::mac_address({0x02, 0, 0, 0, 0, number});
}
[[nodiscard]] inline proto::ipv4_address v4_of(std::uint8_t number) {
    return {192, 0, 2, number};
}
[[nodiscard]] inline proto::ipv6_address v6_of(std::uint8_t number) {
    proto::ipv6_address made = proto::ipv6_address::parse("2001:db8::").value();
    std::array<std::uint8_t, 16> octets = made.octets();
    octets[15] = number;
    return proto::ipv6_address(octets);
}
[[nodiscard]] inline proto::ip_address address_of(bool v4, std::uint8_t number) {
    return v4 ? proto::ip_address(v4_of(number)) : proto::ip_address(v6_of(number));
}

/// The options of host `number`: an address of each version, in use at once.
[[nodiscard]] inline host::host_options host_number(std::uint8_t number) {
    host::host_options options;
    options.addresses = {{v4_of(number), 24}, {v6_of(number), 64}};
    options.hardware = mac_of(number);
    options.probe_addresses = false;
    options.seed = number;
    return options;
}

/// The options of a socket that receives into 256 frames of the memory, which it makes, and has 64 to send.
[[nodiscard]] inline builder socket_over(umem& memory, simulated_wire& wire, simulated_wire::end which) {
    umem_config config;
    config.frame_count = 256 + 64;
    config.fill_ring = 128;
    config.completion_ring = 64;
    memory = umem::create(config).value();
    builder options = wire.socket_on(which);
    options.over(memory).frames(256 + 64).tx_frames(64).rx_ring(128).tx_ring(64).fill_ring(128).completion_ring(64);
    return options;
}

/// A wire, and time that passes when nothing is to be done.
struct virtual_wire {
    using end = simulated_wire::end;

    explicit virtual_wire(const wire_options& options = {}) : wire(options) { clock.attach(wire); }

    [[nodiscard]] builder socket_on(end which) {
        return socket_over(which == end::left ? left_memory : right_memory, wire, which);
    }

    [[nodiscard]] host::ip_host open(end which, const host::host_options& options) {
        auto sockets = open_async(loop, socket_on(which)).value();
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
    }

    /// Lets time pass; what goes on in the background goes on.
    void pass(std::chrono::nanoseconds time) {
        loop.spawn([](std::chrono::nanoseconds wait) -> task<void> { static_cast<void>(co_await sleep_for(wait)); }(time));
        loop.run();
    }

    /// Tells whether users have no frame of an end's memory, and none is on its way or lost.
    [[nodiscard]] bool frames_are_home(end which) {
        const frame_census census = (which == end::left ? left_memory : right_memory).pool().census();
        return census.exact && census.user == 0 && census.tx == 0 && census.sum() == census.frames;
    }

    umem left_memory;
    umem right_memory;
    simulated_wire wire;
    virtual_clock clock{1};
    executor loop{clock};
};

/// Host 1 at the left end, host 2 at the right.
struct two_hosts : virtual_wire {
    explicit two_hosts(const wire_options& options = {}) : virtual_wire(options) {}

    host::ip_host left = open(end::left, host_number(1));
    host::ip_host right = open(end::right, host_number(2));
};

/// The same, of which the test may destroy the left one.
struct mortal_hosts : virtual_wire {
    explicit mortal_hosts(const wire_options& options = {}) : virtual_wire(options) {}

    std::optional<host::ip_host> left = open(end::left, host_number(1));
    host::ip_host right = open(end::right, host_number(2));
};

/// Host 1 at the left end; at the right a station that sends and receives what the test says.
struct host_and_station : virtual_wire {
    explicit host_and_station(const host::host_options& options = host_number(1)) : here(open(end::left, options)) {}

    /// Sends frames, and lets the host look at them.
    void send(std::span<const frame_bytes> frames) {
        for (const frame_bytes& bytes : frames) {
            std::array<packet, 1> one;
            REQUIRE(station.tx.allocate(one) == 1);
            REQUIRE(one[0].assign(bytes));
            REQUIRE(station.tx.try_send(one) == 1);
            station.tx.flush();
            station.tx.reap();
        }
        pass(std::chrono::milliseconds(1));
    }
    void send(const frame_bytes& bytes) { send(std::span(&bytes, 1)); }

    /// What has arrived at the station since the last call.
    [[nodiscard]] std::vector<frame_bytes> received() {
        std::vector<frame_bytes> all;
        std::array<packet, 16> burst;
        while (const std::uint32_t count = station.rx.try_recv(burst)) {
            for (packet& one : std::span(burst).first(count)) {
                all.emplace_back(one.data().begin(), one.data().end());
                one.reset();
            }
        }
        return all;
    }

    /// Sends one frame and returns what comes back.
    [[nodiscard]] std::vector<frame_bytes> ask(const frame_bytes& bytes) {
        static_cast<void>(received());
        send(bytes);
        return received();
    }

    host::ip_host here;
    system_sockets station = socket_on(end::right).build_system().value();
};

/// The options of a host that need not ask for another one.
[[nodiscard]] inline host::host_options host_that_knows(std::uint8_t number, std::uint8_t other) {
    host::host_options options = host_number(number);
    options.neighbours = {{v4_of(other), mac_of(other)}};
    return options;
}
[[nodiscard]] inline host::host_options knowing_the_station() { return host_that_knows(1, 2); }

/// The frames of host 2, as a station, to host 1.
inline const proto::test::endpoints station_to_host{
    .host = mac_of(1), .host_ip = v4_of(1), .client = mac_of(2), .client_ip = v4_of(2)};

/// The frame of a message of IPv6.
[[nodiscard]] inline frame_bytes ipv6_frame(proto::mac_address to, proto::mac_address from, const proto::ipv6_repr& head,
                                            std::span<const std::byte> message) {
    frame_bytes frame(proto::ethernet_header_length + proto::ipv6_header_length + message.size());
    proto::ethernet_repr{to, from, proto::ethertype::ipv6}.emit(frame);
    proto::ipv6_repr filled = head;
    filled.payload_length = message.size();
    const auto view = filled.emit(std::span(frame).subspan(proto::ethernet_header_length));
    std::ranges::copy(message, view.payload().begin());
    return frame;
}

/// An echo request of version 6 from host 2 to host 1.
[[nodiscard]] inline frame_bytes echo6_request(std::size_t payload) {
    frame_bytes message(proto::icmpv6_header_length + payload);
    std::ranges::copy(proto::test::counting(payload), message.begin() + proto::icmpv6_header_length);
    proto::icmpv6_echo_repr{proto::icmpv6_type::echo_request, 7, 9}.emit(message, v6_of(2), v6_of(1));
    return ipv6_frame(mac_of(1), mac_of(2), {v6_of(2), v6_of(1), proto::ip_protocol::icmpv6}, message);
}

/// A segment of the station to the host.
[[nodiscard]] inline frame_bytes tcp_frame(const proto::test::endpoints& who, const proto::tcp_repr& head,
                                           std::span<const std::byte> payload = {}) {
    proto::tcp_repr filled = head;
    filled.payload_length = payload.size();
    frame_bytes segment(filled.header_length() + payload.size());
    auto view = filled.emit(segment);
    std::ranges::copy(payload, view.payload().begin());
    view.fill_checksum(who.client_ip, who.host_ip);
    return proto::test::ipv4_frame(who, proto::ip_protocol::tcp, segment);
}

/// The segment in a frame over IPv4 that a host has sent.
[[nodiscard]] inline proto::tcp_view tcp_in(const frame_bytes& frame) {
    const auto packet = proto::ipv4_view::parse(std::span(frame).subspan(proto::ethernet_header_length)).value();
    REQUIRE(packet.protocol() == proto::ip_protocol::tcp);
    return proto::tcp_view::parse(packet.payload(), packet.source(), packet.destination()).value();
}

/// An Ethernet frame as it is read.
[[nodiscard]] inline proto::ethernet_view ethernet_of(const frame_bytes& frame) {
    return proto::ethernet_view::parse(frame).value();
}

}  // namespace fluxnet::test
