// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: the endpoints of a host in user space.
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/udp.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/host/udp_endpoint.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/proto/frames.hpp"
#include "tests/runtime/fault_frames.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

constexpr std::array<std::byte, 3> hosted{std::byte{4}, std::byte{5}, std::byte{6}};

[[nodiscard]] proto::ip_endpoint hosts_peer() {
    return {fault_stations.client_ip, fault_stations.client_port};
}

/// A host with an endpoint. Its peer is no station but what deliver() is given.
template <class Below>
class host_world : public fault_world {
public:
    /// `knows_peer`: the peer need not be asked for.
    explicit host_world(fault_place& place, bool knows_peer = false)
        : place_(place), below_(place), here_(open(knows_peer)) {
        near_ = here_->open_udp({fault_stations.host_ip, fault_stations.echo_port}).value();
    }

    /// The endpoint and its host go while it is awaited, if the executor goes then.
    void let_go() noexcept override {
        near_.reset();
        here_.reset();
    }
    void check(const fault_tally&) override {
        check_census(memory_.pool());
        below_.check();
    }

protected:
    fault_place& place_;
    Below below_;
    umem memory_ = memory();
    std::optional<host::ip_host> here_;
    std::optional<host::udp_endpoint> near_;

private:
    static umem memory() {
        umem_config config;
        config.frame_count = 64;
        config.fill_ring = 64;
        config.completion_ring = 64;
        return umem::create(config).value();
    }

    host::ip_host open(bool knows_peer) {
        builder below = below_.options();
        below.over(memory_).rx_ring(64).tx_ring(64).fill_ring(64).completion_ring(64);
        auto sockets = open_async(place_.loop(), below).value();
        sockets.tx.set_completion_limit(std::chrono::hours(1));  // no time limit ends an await here
        host::host_options wanted;
        wanted.addresses = {{fault_stations.host_ip, 24}};
        wanted.hardware = fault_stations.host;
        wanted.probe_addresses = false;
        if (knows_peer) { wanted.neighbours = {{fault_stations.client_ip, fault_stations.client}}; }
        wanted.seed = 1;
        wanted.neighbour_table.retransmit_time = std::chrono::hours(1);  // nor this one
        wanted.reassembly.octets = std::size_t{128} << 10;
        return host::ip_host::open(place_.loop(), std::move(sockets.rx), std::move(sockets.tx), wanted).value();
    }
};

/// What is received there.
template <class Below>
class host_arrival_world : public host_world<Below> {
public:
    using host_world<Below>::host_world;

    void complete() override { this->below_.deliver(proto::test::udp_request(fault_stations, hosted)); }
    void check_handles(const fault_tally& tally) override {
        // What no await got comes to the next one.
        for (int missing = tally.completions - tally.completed; missing > 0; --missing) {
            REQUIRE(this->place_.loop().run(this->await_once()) == ending::completed);
        }
        CHECK(this->here_->counters().datagrams == static_cast<std::uint64_t>(tally.completions));
        CHECK_FALSE(this->here_->failure());
    }
};

template <class Below>
class host_recv_from_world final : public host_arrival_world<Below> {
public:
    using host_arrival_world<Below>::host_arrival_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await this->near_->recv_from(room);
        if (got.n != (got.ec ? 0 : hosted.size())) { co_return ending::failed; }
        if (got.ec) { co_return ending_of(got.ec); }
        this->below_.drained();
        const bool as_sent = got.from == hosts_peer() && std::ranges::equal(std::span(room).first(got.n), hosted);
        co_return as_sent ? ending::completed : ending::failed;
    }
};

template <class Below>
class host_recv_world final : public host_arrival_world<Below> {
public:
    using host_arrival_world<Below>::host_arrival_world;

    task<ending> await_once() override {
        const auto got = co_await this->near_->recv();
        if (got.buffer.bytes().empty() != static_cast<bool>(got.ec)) { co_return ending::failed; }
        if (got.ec) { co_return ending_of(got.ec); }
        this->below_.drained();
        const bool as_sent = got.buffer.from() == hosts_peer() && std::ranges::equal(got.buffer.bytes(), hosted);
        co_return as_sent ? ending::completed : ending::failed;
    }
};

/// An ICMP error of the client's about a datagram of the host's to it.
[[nodiscard]] std::vector<std::byte> port_unreachable(const proto::test::endpoints& who) {
    std::array<std::byte, proto::ipv4_header_length + proto::udp_header_length> about{};
    proto::ipv4_repr{who.host_ip, who.client_ip, proto::ip_protocol::udp, proto::udp_header_length}.emit(about);
    auto head = proto::mutable_udp_view::unchecked(std::span(about).subspan(proto::ipv4_header_length));
    head.set_source_port(who.echo_port);
    head.set_destination_port(who.client_port);
    head.set_length(static_cast<std::uint16_t>(proto::udp_header_length));
    std::vector<std::byte> message(proto::icmp_header_length + about.size());
    proto::icmp_error_repr{}.emit(message, about);
    return proto::test::ipv4_frame(who, proto::ip_protocol::icmp, message);
}

/// What the network tells an endpoint that is connected to the client. What no await was told, the next one is; but of several
/// errors the last only.
template <class Below>
class host_told_world final : public host_world<Below> {
public:
    explicit host_told_world(fault_place& place) : host_world<Below>(place, true) {
        REQUIRE(this->near_->connect(hosts_peer()).has_value());
        const bool has_sent = place.loop().run(send());
        REQUIRE(has_sent);
    }

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await this->near_->recv_from(room);
        if (got.n != 0 || !got.ec) { co_return ending::failed; }
        if (got.ec != std::errc::connection_refused) { co_return ending_of(got.ec); }
        this->below_.drained();
        co_return ending::completed;
    }
    void complete() override { this->below_.deliver(port_unreachable(fault_stations)); }
    void check_handles(const fault_tally& tally) override {
        if (tally.completions > tally.completed) { REQUIRE(this->place_.loop().run(await_once()) == ending::completed); }
        CHECK(this->near_->trouble().count == static_cast<std::uint64_t>(tally.completions));
        CHECK_FALSE(this->here_->failure());
    }

private:
    task<bool> send() {
        const io_result sent = co_await this->near_->send(hosted);
        co_return !sent.ec;
    }
};

/// A send to a neighbour whom nobody knows, until complete() lets the answer to ARP arrive.
template <class Below>
class host_send_world final : public host_world<Below> {
public:
    using host_world<Below>::host_world;

    task<ending> await_once() override {
        const io_result sent = co_await this->near_->send_to(hosted, hosts_peer());
        this->below_.drained();
        if (sent.n != (sent.ec ? 0 : hosted.size())) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { this->below_.deliver(answer_to_arp(fault_stations)); }
    void check_handles(const fault_tally& tally) override {
        const host::host_counters& counted = this->here_->counters();
        CHECK(counted.sent == static_cast<std::uint64_t>(tally.completed));
        CHECK(counted.arp >= static_cast<std::uint64_t>(tally.completed));
        CHECK_FALSE(this->here_->failure());
    }
};

/// A send for which no frame is free, until complete() lets the kernel give one back.
class host_starved_world final : public host_world<modelled_frames> {
public:
    explicit host_starved_world(fault_place& place) : host_world(place, true) {
        below_.hold_completions();
        for (std::uint32_t i = 0; i != modelled_frames::tx_frames; ++i) {
            REQUIRE(place.loop().run(await_once()) == ending::completed);
        }
    }

    task<ending> await_once() override {
        const io_result sent = co_await near_->send_to(hosted, hosts_peer());
        if (sent.n != (sent.ec ? 0 : hosted.size())) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { below_.release_completion(); }
    void let_go() noexcept override {
        below_.release_completions();  // what the kernel kept for ever would be missing from the census
        host_world::let_go();
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(here_->counters().sent == static_cast<std::uint64_t>(tally.completed) + modelled_frames::tx_frames);
        CHECK_FALSE(here_->failure());
    }
};

}  // namespace

std::span<const fault_entry> host_faults() {
    static const std::array all{
        fault_entry{.file = "udp_endpoint.hpp",
                    .awaiter = "udp_endpoint::recv_from_awaiter",
                    .what = "a datagram at a host's endpoint",
                    .make = make_over_frames<host_recv_from_world>},
        fault_entry{.file = "udp_endpoint.hpp",
                    .awaiter = "udp_endpoint::recv_from_awaiter",
                    .what = "an error that a host's endpoint is told",
                    .make = make_over_frames<host_told_world>},
        fault_entry{.file = "udp_endpoint.hpp",
                    .awaiter = "udp_endpoint::recv_awaiter",
                    .what = "a datagram that a host's endpoint lends",
                    .make = make_over_frames<host_recv_world>},
        fault_entry{.file = "udp_endpoint.hpp",
                    .awaiter = "udp_endpoint::send_awaiter",
                    .what = "the neighbour that a host's datagram waits for",
                    .make = make_over_frames<host_send_world>},
        fault_entry{.file = "udp_endpoint.hpp",
                    .awaiter = "udp_endpoint::send_awaiter",
                    .what = "the frame that a host's datagram waits for",
                    .make = make_world<host_starved_world>,
                    .why_not_in_virtual_time = "a simulated wire keeps no frames back"},
    };
    return all;
}

}  // namespace fluxnet::test
