// SPDX-License-Identifier: BSD-3-Clause
// Worlds of the fault matrix in virtual time: sockets over a simulated wire, with a peer that sends when it is told to.
#include "tests/runtime/fault_wire.hpp"

#include "runtime/async_raw.hpp"
#include "runtime/open_async.hpp"
#include "tests/runtime/fake_port.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <vector>

namespace fluxnet::test {
namespace {

using end = simulated_wire::end;
using namespace std::chrono_literals;

/// The far end.
class wire_peer {
public:
    explicit wire_peer(simulated_wire& wire)
        : sockets_(wire.socket_on(end::right).frames(32).tx_frames(16).build_system().value()) {}

    void send_one() {
        packet one;
        REQUIRE(sockets_.tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(numbered_frame(1)));
        REQUIRE(sockets_.tx.try_send(std::span(&one, 1)) == 1);
        CHECK_FALSE(sockets_.tx.flush());
    }

private:
    system_sockets sockets_;
};

class wire_rx_world final : public fault_world {
public:
    explicit wire_rx_world(fault_place& place) : peer_(wire_) {
        place.attach(wire_);
        sockets_.emplace(open_async(place.loop(), wire_.socket_on(end::left).frames(64)).value());
    }

    task<ending> await_once() override {
        std::array<packet, 4> burst;
        const io_result got = co_await sockets_->rx.recv(burst);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        received_ += static_cast<int>(got.n);
        co_return ending_of(got.ec);
    }
    void complete() override { peer_.send_one(); }
    void check_handles(const fault_tally& tally) override {
        std::array<packet, 4> rest;
        CHECK(static_cast<int>(sockets_->rx.socket().try_recv(rest)) == tally.completions - received_);
        for (packet& one : rest) { one.reset(); }
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }

private:
    simulated_wire wire_;
    wire_peer peer_;
    std::optional<async_sockets> sockets_;
    int received_ = 0;
};

/// A driver that completes a packet some time after it has sent it; more packets than the rings hold.
class wire_tx_world final : public fault_world {
public:
    explicit wire_tx_world(fault_place& place) : wire_({.zero_copy = true}) {
        place.attach(wire_);
        sockets_.emplace(
            open_async(place.loop(), wire_.socket_on(end::left).frames(256).tx_frames(160).tx_ring(64).completion_ring(64))
                .value());
    }

    task<ending> await_once() override {
        std::vector<packet> packets = numbered_packets(sockets_->tx, 90);
        const io_result sent = co_await sockets_->tx.send(packets);
        for (std::size_t i = 0; i < packets.size(); ++i) {
            if (static_cast<bool>(packets[i]) != (i >= sent.n)) { co_return ending::failed; }
        }
        if ((sent.n == packets.size()) == static_cast<bool>(sent.ec)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override {}  // time does
    void check_handles(const fault_tally&) override {
        for (int i = 1; i <= 100 && !sockets_->tx.socket().drain(0ms); ++i) { wire_.advance_to(wire_.now() + 1ms); }
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }

private:
    simulated_wire wire_;
    std::optional<async_sockets> sockets_;
};

class wire_raw_world final : public fault_world {
public:
    static constexpr std::uint32_t frames = 64;  // half of them in the fill ring, half in hand

    explicit wire_raw_world(fault_place& place) : peer_(wire_) {
        place.attach(wire_);
        raw_.emplace(place.loop(), wire_.socket_on(end::left).frames(frames).build_raw().value());
    }

    task<ending> await_once() override {
        std::array<xdp_desc, 4> batch;
        const io_result got = co_await raw_->recv_batch(batch);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        received_ += static_cast<int>(got.n);
        auto slots = raw_->socket().fill.reserve(static_cast<std::uint32_t>(got.n));
        for (std::size_t i = 0; i < got.n; ++i) { REQUIRE(slots.push(batch[i].addr)); }
        co_return ending_of(got.ec);
    }
    void complete() override { peer_.send_one(); }
    void check_handles(const fault_tally& tally) override {
        const frame_census census = raw_->socket().census(frames / 2);
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.rx == tally.completions - received_);
    }
    void let_go() noexcept override { raw_.reset(); }

private:
    simulated_wire wire_;
    wire_peer peer_;
    std::optional<async_raw> raw_;
    int received_ = 0;
};

}  // namespace

std::unique_ptr<fault_world> make_wire_rx(fault_place& place) {
    return std::make_unique<wire_rx_world>(place);
}
std::unique_ptr<fault_world> make_wire_tx(fault_place& place) {
    return std::make_unique<wire_tx_world>(place);
}
std::unique_ptr<fault_world> make_wire_raw(fault_place& place) {
    return std::make_unique<wire_raw_world>(place);
}

}  // namespace fluxnet::test
