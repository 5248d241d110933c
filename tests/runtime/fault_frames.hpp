// SPDX-License-Identifier: BSD-3-Clause
// Frames below what the fault matrix awaits: those of a model of the kernel whose descriptor really becomes readable, and in
// virtual time those of a simulated wire.
//
// Each is one world's, which owns it, and is used on the thread of the world's executor.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/proto/frames.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/support/fake_kernel.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <unistd.h>

namespace fluxnet::test {

/// The station that is awaited at, and its peer, which is no more than the frames that are said to be its own.
inline const proto::test::endpoints fault_stations{.host = proto::mac_address({0x02, 0, 0, 0, 0, 0x10}),
                                                   .host_ip = proto::ipv4_address(192, 0, 2, 1),
                                                   .client = proto::mac_address({0x02, 0, 0, 0, 0, 0x20}),
                                                   .client_ip = proto::ipv4_address(192, 0, 2, 2),
                                                   .echo_port = 7777};

/// The client's answer to the host's question for its address.
[[nodiscard]] inline std::vector<std::byte> answer_to_arp(const proto::test::endpoints& who) {
    std::vector<std::byte> frame(proto::ethernet_header_length + proto::arp_packet_length);
    const auto ethernet = proto::ethernet_repr{who.host, who.client, proto::ethertype::arp}.emit(frame);
    proto::arp_repr{proto::arp_operation::reply, who.client, who.client_ip, who.host, who.host_ip}.emit(ethernet.payload());
    return frame;
}

/// A model of the kernel below what is awaited.
class modelled_frames {
public:
    static constexpr std::uint32_t tx_frames = 16;

    explicit modelled_frames(fault_place&) {
        kernel_.interface.index = 1;  // the loopback interface's, which the real link monitor finds
    }

    [[nodiscard]] builder options() { return builder("fake0").calls(kernel_).attach(false).frames(64).tx_frames(tx_frames); }
    /// Lets a frame arrive and makes the descriptor readable, as the kernel does.
    void deliver(std::span<const std::byte> frame) {
        const std::uint64_t one = 1;
        REQUIRE(kernel_.deliver(frame));
        REQUIRE(::write(kernel_.bound(), &one, sizeof one) == sizeof one);
    }
    /// Takes the descriptor's readiness back, as draining the ring does.
    void drained() {
        std::uint64_t value = 0;
        static_cast<void>(!::read(kernel_.bound(), &value, sizeof value));
    }
    /// Keeps back the frames of what is sent from now on.
    void hold_completions() { kernel_.hold_completions(true); }
    /// Gives one of them back.
    void release_completion() { REQUIRE(kernel_.release_completions(1) == 1); }
    /// Gives all back, and keeps none from now on.
    void release_completions() noexcept {
        kernel_.hold_completions(false);
        kernel_.release_completions();
    }
    void check() { check_nothing_left(kernel_); }

private:
    fake_kernel kernel_;
};

/// A wire below what is awaited; what arrives was sent by its other end.
class wired_frames {
public:
    explicit wired_frames(fault_place& place)
        : peer_(wire_.socket_on(simulated_wire::end::right).frames(32).tx_frames(16).build_system().value()) {
        place.attach(wire_);
    }

    [[nodiscard]] builder options() { return wire_.socket_on(simulated_wire::end::left).frames(64).tx_frames(16); }
    void deliver(std::span<const std::byte> frame) {
        packet one;
        REQUIRE(peer_.tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(frame));
        REQUIRE(peer_.tx.try_send(std::span(&one, 1)) == 1);
        CHECK_FALSE(peer_.tx.flush());
    }
    void drained() {}
    void check() {}

private:
    simulated_wire wire_;
    system_sockets peer_;
};

template <template <class> class World>
std::unique_ptr<fault_world> make_over_frames(fault_place& place) {
    if (place.in_virtual_time()) { return std::make_unique<World<wired_frames>>(place); }
    return std::make_unique<World<modelled_frames>>(place);
}

}  // namespace fluxnet::test
