// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: datagrams of a transport, by the kernel's UDP and by frames.
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/transport/datagram_transport.hpp"
#include "tests/proto/frames.hpp"
#include "tests/runtime/fault_frames.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/raw_socket_calls.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <sys/socket.h>

namespace fluxnet::test {
namespace {

constexpr std::array<std::byte, 3> transported{std::byte{1}, std::byte{2}, std::byte{3}};

[[nodiscard]] ending ending_of_datagram(const io_result& ended) noexcept {
    return ended.n != (ended.ec ? 0 : transported.size()) ? ending::failed : ending_of(ended.ec);
}

/// A transport by the kernel's UDP, and a socket that is its peer by plain system calls.
class kernel_transport_world : public fault_world {
public:
    explicit kernel_transport_world(fault_place& place) : place_(place), near_(open(place.loop())) {
        REQUIRE(far_.connect(near_->local_endpoint()).has_value());
    }

    /// The transport goes while it is awaited, if the executor goes then.
    void let_go() noexcept override { near_.reset(); }

protected:
    fault_place& place_;
    udp_socket far_ = udp_socket::bind(on_loopback()).value();
    std::optional<datagram_transport> near_;

private:
    static datagram_transport open(executor& loop) {
        datagram_options wanted;
        wanted.local = on_loopback();
        wanted.order = {datagram_rung::kernel_udp};
        return datagram_transport::open(loop, std::move(wanted)).value();
    }
};

class kernel_transport_recv_world final : public kernel_transport_world {
public:
    using kernel_transport_world::kernel_transport_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await near_->recv_from(room);
        if (!got.ec && got.from != far_.local_endpoint()) { co_return ending::failed; }
        co_return ending_of_datagram({got.ec, got.n});
    }
    void complete() override { REQUIRE(::send(far_.fd(), transported.data(), transported.size(), MSG_DONTWAIT) == 3); }
    void check_handles(const fault_tally& tally) override {
        if (place_.in_virtual_time()) { return; }  // nothing can be received there
        // What no await got comes to the next one.
        for (int missing = tally.completions - tally.completed; missing > 0; --missing) {
            REQUIRE(place_.loop().run(await_once()) == ending::completed);
        }
    }
};

/// The loopback interface takes all that there is, so this never has to wait.
class kernel_transport_send_world final : public kernel_transport_world {
public:
    using kernel_transport_world::kernel_transport_world;

    task<ending> await_once() override {
        const io_result sent = co_await near_->send_to(transported, far_.local_endpoint());
        co_return ending_of_datagram(sent);
    }
    void complete() override {}
    void check_handles(const fault_tally& tally) override { CHECK(drain_socket(far_.fd()).times == tally.completed); }
};

/// A transport by frames. The peer is no station but what deliver() is given.
template <class Below>
class frame_transport_world : public fault_world {
public:
    explicit frame_transport_world(fault_place& place) : place_(place), below_(place), near_(open()) {}

    void let_go() noexcept override { near_.reset(); }
    void check(const fault_tally&) override { below_.check(); }

protected:
    [[nodiscard]] static proto::ip_endpoint peer() { return {fault_stations.client_ip, fault_stations.client_port}; }

    fault_place& place_;
    Below below_;
    std::optional<datagram_transport> near_;

private:
    datagram_transport open() {
        datagram_options wanted;
        wanted.local = {fault_stations.host_ip, fault_stations.echo_port};
        wanted.order = {datagram_rung::af_xdp};
        wanted.frames = below_.options();
        wanted.hardware = fault_stations.host;
        wanted.arp_wait = std::chrono::hours(1);  // no time limit ends an await here
        return datagram_transport::open(place_.loop(), std::move(wanted)).value();
    }
};

template <class Below>
class frame_transport_recv_world final : public frame_transport_world<Below> {
public:
    using frame_transport_world<Below>::frame_transport_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await this->near_->recv_from(room);
        if (!got.ec) { this->below_.drained(); }
        if (!got.ec && got.from != this->peer()) { co_return ending::failed; }
        co_return ending_of_datagram({got.ec, got.n});
    }
    void complete() override { this->below_.deliver(proto::test::udp_request(fault_stations, transported)); }
    void check_handles(const fault_tally& tally) override {
        // What no await got comes to the next one.
        for (int missing = tally.completions - tally.completed; missing > 0; --missing) {
            REQUIRE(this->place_.loop().run(await_once()) == ending::completed);
        }
        CHECK(this->near_->count().datagrams == static_cast<std::uint64_t>(tally.completions));
    }
};

/// A send whose next hop nobody knows, until complete() lets the answer to ARP arrive.
template <class Below>
class frame_transport_send_world final : public frame_transport_world<Below> {
public:
    using frame_transport_world<Below>::frame_transport_world;

    task<ending> await_once() override {
        const io_result sent = co_await this->near_->send_to(transported, this->peer());
        this->below_.drained();
        co_return ending_of_datagram(sent);
    }
    void complete() override { this->below_.deliver(answer_to_arp(fault_stations)); }
    void check_handles(const fault_tally& tally) override {
        CHECK(this->near_->count().arp_answers >= static_cast<std::uint64_t>(tally.completed));
    }
};

}  // namespace

std::span<const fault_entry> transport_faults() {
    static const std::array all{
        fault_entry{.file = "datagram_transport.hpp",
                    .awaiter = "recv_from",
                    .what = "a transport's datagram by the kernel's UDP",
                    .make = make_world<kernel_transport_recv_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "datagram_transport.hpp",
                    .awaiter = "send_to",
                    .what = "a datagram that a transport sends by the kernel's UDP",
                    .make = make_world<kernel_transport_send_world>,
                    .cancellable = false,
                    .completes_by_itself = true,
                    .needs_descriptor = true},
        fault_entry{.file = "datagram_transport.hpp",
                    .awaiter = "recv_from",
                    .what = "a transport's datagram by frames",
                    .make = make_over_frames<frame_transport_recv_world>},
        fault_entry{.file = "datagram_transport.hpp",
                    .awaiter = "send_to",
                    .what = "the answer to ARP that a datagram waits for",
                    .make = make_over_frames<frame_transport_send_world>},
    };
    return all;
}

}  // namespace fluxnet::test
