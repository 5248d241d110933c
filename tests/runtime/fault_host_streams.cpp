// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: TCP of a host in user space. Both ends of a connection are the host's own: one is awaited, and the
// other one's part is played without awaiting.
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/host/detail/host_core.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/host/tcp_listener.hpp"
#include "fluxnet/runtime/host/tcp_stream.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/fault_frames.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

using host::detail::host_core;
using host::detail::tcp_door;
using host::detail::tcp_end;

[[nodiscard]] proto::ip_endpoint own_door() {
    return {fault_stations.host_ip, 80};
}

/// What a segment carries over the loop, with timestamps.
constexpr std::size_t full = 1500 - 20 - 32;

/// A direction has room for three segments: one that waits to be sent, and two that are not read.
[[nodiscard]] host::host_options little_room() {
    host::host_options wanted;
    wanted.addresses = {{fault_stations.host_ip, 24}};
    wanted.hardware = fault_stations.host;
    wanted.probe_addresses = false;
    wanted.seed = 1;
    wanted.neighbour_table.retransmit_time = std::chrono::hours(1);  // no time limit ends an await here
    wanted.reassembly.octets = std::size_t{128} << 10;
    wanted.tcp.connections = 16;
    wanted.tcp.time_wait = 64;
    wanted.tcp.ranges = 256;
    wanted.tcp.v4.send_limit = full;
    wanted.tcp.v4.receive_limit = 2 * full;
    wanted.tcp.v4.window_scaling = false;  // windows are told to the octet
    wanted.tcp.v4.give_up_connecting = std::chrono::hours(1);
    return wanted;
}

/// A host that listens at its own address.
template <class Below>
class host_door_world : public fault_world {
public:
    /// `knows_peer`: the client need not be asked for.
    explicit host_door_world(fault_place& place, bool knows_peer = false)
        : place_(place), below_(place), core_(open(knows_peer)) {
        core_->wake();
        proto::ip_endpoint local = own_door();
        proto::tcp::listener_handle made;
        REQUIRE_FALSE(core_->tcp().listen(local, {}, made));
        auto door = std::make_unique<tcp_door>(core_, made, local, host::tcp_options());
        at_door_ = door.get();
        door_.emplace(std::move(door));
    }

    void let_go() noexcept override {
        calling_.clear();
        door_.reset();
        core_->close();
        core_.reset();
    }
    void check(const fault_tally&) override {
        check_census(memory_.pool());
        below_.check();
    }

protected:
    /// Connects without awaiting.
    void call() {
        auto end = std::make_unique<tcp_end>(core_);
        const auto made = core_->tcp().stack()->connect(own_door().address, own_door(), core_->tcp().now());
        REQUIRE(made.has_value());
        end->set_connected();
        end->adopt(*made, {});
        calling_.push_back(std::move(end));
    }

    fault_place& place_;
    Below below_;
    umem memory_ = memory();
    boost::intrusive_ptr<host_core> core_;
    tcp_door* at_door_ = nullptr;
    std::optional<host::tcp_listener> door_;
    std::vector<std::unique_ptr<tcp_end>> calling_;

private:
    static umem memory() {
        umem_config config;
        config.frame_count = 64;
        config.fill_ring = 64;
        config.completion_ring = 64;
        return umem::create(config).value();
    }
    boost::intrusive_ptr<host_core> open(bool knows_peer) {
        builder below = below_.options();
        below.over(memory_).rx_ring(64).tx_ring(64).fill_ring(64).completion_ring(64);
        auto sockets = open_async(place_.loop(), below).value();
        host::host_options wanted = little_room();
        if (knows_peer) { wanted.neighbours = {{fault_stations.client_ip, fault_stations.client}}; }
        return boost::intrusive_ptr<host_core>(new host_core(place_.loop(), std::move(sockets.rx), std::move(sockets.tx),
                                                             wanted, fault_stations.host, 1500));
    }
};

template <class Below>
class host_accept_world final : public host_door_world<Below> {
public:
    using host_door_world<Below>::host_door_world;

    task<ending> await_once() override {
        const auto peer = co_await this->door_->accept();
        if (peer.has_value() && !peer->is_open()) { co_return ending::failed; }
        co_return peer.has_value() ? ending::completed : ending_of(peer.error().code);
    }
    void complete() override { this->call(); }
    void check_handles(const fault_tally& tally) override {
        for (int missing = tally.completions - tally.completed; missing > 0; --missing) {
            REQUIRE(this->place_.loop().run(await_once()) == ending::completed);
        }
        CHECK(this->at_door_->acceptor == nullptr);
        CHECK(this->core_->tcp().stack()->count().accepted == static_cast<std::uint64_t>(tally.completions));
    }
};

/// A connect to the own door, or to nobody when it is not to complete.
template <class Below>
class host_connect_world : public host_door_world<Below> {
public:
    using host_door_world<Below>::host_door_world;

    task<ending> await_once() override {
        const proto::ip_endpoint nobody{fault_stations.client_ip, 80};
        const proto::ip_endpoint to = soon_ ? own_door() : nobody;
        const host::tcp_options options;
        host::tcp_stream::connect_awaiter connecting(this->core_, to, options);
        const auto made = co_await connecting;
        if (made.has_value() && !made->is_open()) { co_return ending::failed; }
        co_return made.has_value() ? ending::completed : ending_of(made.error().code);
    }
    void complete() override {}
    void let_complete(bool soon) override { soon_ = soon; }

private:
    bool soon_ = true;
};

/// The same, but the client gets the SYN, and does not answer it.
template <class Below>
class host_handshake_world final : public host_connect_world<Below> {
public:
    explicit host_handshake_world(fault_place& place) : host_connect_world<Below>(place, true) {}

    void check_handles(const fault_tally&) override { CHECK(this->core_->counters().undeliverable == 0); }
};

/// A connection of which `near_` is awaited.
template <class Below>
class host_connection_world : public host_door_world<Below> {
public:
    explicit host_connection_world(fault_place& place) : host_door_world<Below>(place) {
        this->call();
        const bool is_joined = place.loop().run(join());
        REQUIRE(is_joined);
    }

    void let_go() noexcept override {
        near_.close();
        far_.reset();
        host_door_world<Below>::let_go();
    }

protected:
    task<bool> join() {
        while (!this->at_door_->has_waiting()) { static_cast<void>(co_await yield()); }
        auto end = this->at_door_->pop();
        at_near_ = end.get();
        near_ = host::tcp_stream(std::move(end));
        far_ = std::move(this->calling_.front());
        this->calling_.clear();
        co_return true;
    }

    tcp_end* at_near_ = nullptr;
    host::tcp_stream near_;
    std::unique_ptr<tcp_end> far_;
};

template <class Below>
class host_arriving_world : public host_connection_world<Below> {
public:
    using host_connection_world<Below>::host_connection_world;

    void complete() override {
        const std::byte one{1};
        REQUIRE(this->far_->write(std::span(&one, 1)) == 1);
    }
    void check_handles(const fault_tally& tally) override {
        while (read_ < static_cast<std::size_t>(tally.completions)) {
            REQUIRE(this->place_.loop().run(this->await_once()) == ending::completed);
        }
        CHECK(this->at_near_->reader == nullptr);
        CHECK(this->near_.info().received_octets == static_cast<std::uint64_t>(tally.completions));
        CHECK(this->near_.info().lent == 0);
    }

protected:
    std::size_t read_ = 0;
};

template <class Below>
class host_read_world final : public host_arriving_world<Below> {
public:
    using host_arriving_world<Below>::host_arriving_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const io_result got = co_await this->near_.read(room);
        this->read_ += got.n;
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
};

template <class Below>
class host_borrow_world final : public host_arriving_world<Below> {
public:
    using host_arriving_world<Below>::host_arriving_world;

    task<ending> await_once() override {
        const auto lent = co_await this->near_.read_borrowed();
        this->read_ += lent.buffer.bytes().size();
        if (lent.buffer.bytes().empty() != static_cast<bool>(lent.ec)) { co_return ending::failed; }
        co_return ending_of(lent.ec);
    }
};

/// A connection whose direction from `near_` is full.
template <class Below>
class host_full_world : public host_connection_world<Below> {
public:
    explicit host_full_world(fault_place& place) : host_connection_world<Below>(place) {
        const std::size_t filled = place.loop().run(fill());
        REQUIRE(filled == 3 * full);
    }

private:
    task<std::size_t> fill() {
        const std::array<std::byte, full> segment{};
        std::size_t filled = 0;
        for (int quiet = 0; quiet != 3; ++quiet) {
            const std::size_t taken = this->at_near_->write(segment);
            filled += taken;
            if (taken != 0) { quiet = 0; }
            static_cast<void>(co_await sleep_for(std::chrono::milliseconds(1)));  // what was sent arrives
        }
        co_return filled;
    }
};

/// complete() takes one segment; the await writes one.
template <class Below>
class host_write_world final : public host_full_world<Below> {
public:
    using host_full_world<Below>::host_full_world;

    task<ending> await_once() override {
        const std::array<std::byte, full> segment{};
        const io_result sent = co_await this->near_.write(segment);
        if (sent.n != (sent.ec ? 0U : full)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override {
        std::array<std::byte, full> room{};
        REQUIRE(this->far_->read(room) == full);
    }
    void check_handles(const fault_tally& tally) override {
        for (int missing = tally.completions - tally.completed; missing > 0; --missing) {
            REQUIRE(this->place_.loop().run(await_once()) == ending::completed);
        }
        CHECK(this->at_near_->writer == nullptr);
        CHECK(this->near_.info().unsent == full);
    }
};

/// `near_` is closed and has octets left, which the far end makes room for when it is to complete.
template <class Below>
class host_settle_world final : public host_full_world<Below> {
public:
    explicit host_settle_world(fault_place& place) : host_full_world<Below>(place) { this->near_.close(); }

    task<ending> await_once() override {
        host::ip_host::settle_awaiter settling(this->core_);
        const wait_result settled = co_await settling;
        co_return ending_of(settled);
    }
    void complete() override {
        std::array<std::byte, 3 * full> room{};
        static_cast<void>(this->far_->read(room));
    }
    void check_handles(const fault_tally& tally) override {
        if (tally.completions != 0) { REQUIRE(this->place_.loop().run(await_once()) == ending::completed); }
        CHECK(this->core_->tcp().stack()->has_unsettled_orphans() == (tally.completions == 0));
    }
};

template <class Below>
class host_shutdown_world final : public host_connection_world<Below> {
public:
    using host_connection_world<Below>::host_connection_world;

    task<ending> await_once() override {
        const wait_result ended = co_await this->near_.shutdown_write();
        co_return ending_of(ended);
    }
    void complete() override {}
    void check_handles(const fault_tally& tally) override {
        const bool open = this->near_.info().state == proto::tcp::state::established;
        CHECK(open == (tally.completed == 0));
    }
};

}  // namespace

std::span<const fault_entry> host_stream_faults() {
    static const std::array all{
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::read_awaiter",
                    .what = "octets at a host's stream",
                    .make = make_over_frames<host_read_world>},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::borrow_awaiter",
                    .what = "octets that a host's stream lends",
                    .make = make_over_frames<host_borrow_world>},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::write_awaiter",
                    .what = "room in a host's stream",
                    .make = make_over_frames<host_write_world>},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::shutdown_awaiter",
                    .what = "the end of a direction of a host's stream",
                    .make = make_over_frames<host_shutdown_world>,
                    .cancellable = false,
                    .completes_by_itself = true},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::connect_awaiter",
                    .what = "a connection of a host",
                    .make = make_over_frames<host_connect_world>,
                    .completes_by_itself = true},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::connect_awaiter",
                    .what = "the answer to a host's SYN",
                    .make = make_over_frames<host_handshake_world>,
                    .completes_by_itself = true},
        fault_entry{.file = "ip_host.hpp",
                    .awaiter = "ip_host::settle_awaiter",
                    .what = "the end of what a host has closed",
                    .make = make_over_frames<host_settle_world>},
        fault_entry{.file = "tcp_listener.hpp",
                    .awaiter = "tcp_listener::accept_awaiter",
                    .what = "a connection at a host's listener",
                    .make = make_over_frames<host_accept_world>},
    };
    return all;
}

}  // namespace fluxnet::test
