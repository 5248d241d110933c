// SPDX-License-Identifier: BSD-3-Clause
// Hosts on two queues, which are one host to a peer: three simulated wires, which a switch joins as a network card does.
//
// Owned by one test case and used on its thread.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/host_bed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {

constexpr unsigned queue_count = 2;

/// Which queue a frame of the peer's goes to.
using queue_choice = std::function<unsigned(std::span<const std::byte>)>;

[[nodiscard]] inline proto::ethertype type_of(std::span<const std::byte> frame) {
    return proto::ethernet_view::unchecked(frame).type();
}

/// The lower bit of the peer's port in a packet of IPv4 without options, and queue 0 for the rest: as a card does it, all of
/// a flow to one queue.
[[nodiscard]] inline unsigned by_port_of_peer(std::span<const std::byte> frame) {
    constexpr std::size_t ports_at = proto::ethernet_header_length + proto::ipv4_header_length;
    const bool has_ports =
        type_of(frame) == proto::ethertype::ipv4 && frame.size() >= ports_at + 2 && frame[23] != std::byte{1};
    return has_ports ? proto::load_be16(frame.data() + ports_at) % queue_count : 0;
}

/// Gives each frame of the peer's to one queue, and each of a queue's to the peer.
class queue_switch {
public:
    /// `peer`: the far end of the peer's wire; `queues`: those of the queues'.
    queue_switch(executor& on, const builder& peer, const std::array<builder, queue_count>& queues) {
        auto toward_peer = open_async(on, peer).value();
        to_peer_ = std::make_unique<async_tx>(std::move(toward_peer.tx));
        for (const builder& each : queues) {
            auto toward_queue = open_async(on, each).value();
            to_queues_.push_back(std::make_unique<async_tx>(std::move(toward_queue.tx)));
            on.spawn_background(to_peer(std::move(toward_queue.rx)));
        }
        on.spawn_background(to_queues(std::move(toward_peer.rx)));
    }

    void inject(unsigned queue, std::span<const std::byte> frame) { pass_on(frame, *to_queues_[queue]); }

    queue_choice choose = by_port_of_peer;
    std::function<void(std::span<const std::byte>)> watch = [](std::span<const std::byte>) {};  ///< Frames to the peer.

private:
    static void pass_on(std::span<const std::byte> frame, async_tx& to) {
        std::array<packet, 1> one;
        if (to.try_allocate(one) != 1) { return; }
        REQUIRE(one[0].assign(frame));
        static_cast<void>(to.socket().try_send(one));
        to.socket().flush();
    }
    task<void> to_peer(async_rx from) {
        std::array<packet, 16> burst;
        for (;;) {
            const io_result got = co_await from.recv(burst);
            for (packet& one : std::span(burst).first(got.n)) {
                watch(one.data());
                pass_on(one.data(), *to_peer_);
                one.reset();
            }
            if (got.ec) { co_return; }
        }
    }
    task<void> to_queues(async_rx from) {
        std::array<packet, 16> burst;
        for (;;) {
            const io_result got = co_await from.recv(burst);
            for (packet& one : std::span(burst).first(got.n)) {
                pass_on(one.data(), *to_queues_[choose(one.data())]);
                one.reset();
            }
            if (got.ec) { co_return; }
        }
    }

    std::unique_ptr<async_tx> to_peer_;
    std::vector<std::unique_ptr<async_tx>> to_queues_;
};

/// Host 1 on two queues, and host 2, its peer, in virtual time.
struct two_queues {
    using end = simulated_wire::end;

    /// `other_seed`: the second host draws other random numbers than the first.
    explicit two_queues(const host::host_options& options = host_number(1), const wire_options& to_peer = {},
                        std::optional<std::uint64_t> other_seed = {})
        : peer_wire(to_peer) {
        for (simulated_wire* const each : {&peer_wire, &wires[0], &wires[1]}) { clock.attach(*each); }
        peer.emplace(open(peer_wire, peer_memory, host_number(2)));
        crossing.emplace(loop, socket_over(crossing_memory[queue_count], peer_wire, end::left),
                         std::array<builder, queue_count>{socket_over(crossing_memory[0], wires[0], end::right),
                                                          socket_over(crossing_memory[1], wires[1], end::right)});
        together = options;
        together.queues = queues;
        for (unsigned i = 0; i != queue_count; ++i) {
            open_queue(i);
            if (other_seed) { together.seed = other_seed; }
        }
    }
    two_queues(const two_queues&) = delete;
    two_queues& operator=(const two_queues&) = delete;
    ~two_queues() = default;

    void open_queue(unsigned number) {
        builder socket = socket_over(memory[number], wires[number], end::left);
        auto sockets = open_async(loop, socket).value();
        here[number].emplace(host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), together).value());
    }

    /// Gives a queue a frame, as if the peer's link had.
    void inject(unsigned queue, std::span<const std::byte> frame) {
        crossing->inject(queue, frame);
        pass(std::chrono::microseconds(100));
    }
    /// Lets time pass; what goes on in the background goes on.
    void pass(std::chrono::nanoseconds time) {
        loop.spawn([](std::chrono::nanoseconds wait) -> task<void> { static_cast<void>(co_await sleep_for(wait)); }(time));
        loop.run();
    }
    void run(task<void> work) {
        loop.spawn(std::move(work));
        loop.run();
    }

    std::array<umem, queue_count> memory;
    std::array<umem, queue_count + 1> crossing_memory;
    umem peer_memory;
    simulated_wire peer_wire;
    std::array<simulated_wire, queue_count> wires;
    virtual_clock clock{1};
    executor loop{clock};
    std::optional<queue_switch> crossing;
    host::host_queues queues{queue_count};
    host::host_options together;
    std::optional<host::ip_host> peer;
    std::array<std::optional<host::ip_host>, queue_count> here;

private:
    host::ip_host open(simulated_wire& wire, umem& own, const host::host_options& options) {
        auto sockets = open_async(loop, socket_over(own, wire, end::right)).value();
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
    }
};

}  // namespace fluxnet::test
