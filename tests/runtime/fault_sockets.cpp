// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: sockets over the model of the kernel, whose descriptor really becomes readable.
#include "runtime/async_raw.hpp"
#include "runtime/async_rx.hpp"
#include "runtime/async_tx.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/fault_wire.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

/// Lets a packet arrive and makes the descriptor readable, as the kernel does.
void arrive(fake_kernel& kernel, int fd) {
    const std::uint64_t one = 1;
    REQUIRE(kernel.deliver(numbered_frame(1)));
    REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
}

/// Takes the descriptor's readiness back, as draining the ring does.
void quieten(int fd) {
    std::uint64_t value = 0;
    static_cast<void>(!::read(fd, &value, sizeof value));
}

class rx_world final : public fault_world {
public:
    explicit rx_world(fault_place& place) : sockets_(fake_port::open(place.loop(), kernel_)) {}

    task<ending> await_once() override {
        std::array<packet, 4> burst;
        const io_result got = co_await sockets_->rx.recv(burst);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        if (!got.ec) { quieten(sockets_->rx.socket().fd()); }
        received_ += static_cast<int>(got.n);
        co_return ending_of(got.ec);
    }
    void complete() override { arrive(kernel_, sockets_->rx.socket().fd()); }
    void check_handles(const fault_tally& tally) override {
        std::array<packet, 4> rest;
        CHECK(static_cast<int>(sockets_->rx.socket().try_recv(rest)) == tally.completions - received_);
        for (packet& one : rest) { one.reset(); }
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }
    void check(const fault_tally&) override { check_nothing_left(kernel_); }

private:
    fake_kernel kernel_;
    std::optional<async_sockets> sockets_;
    int received_ = 0;
};

/// The same where the awaiting coroutine's frame holds the handles, so that they go with it.
class rx_in_frame_world final : public fault_world {
public:
    explicit rx_in_frame_world(fault_place& place) : place_(place) {}

    task<ending> await_once() override {
        async_sockets sockets = fake_port::open(place_.loop(), kernel_);
        fd_ = sockets.rx.socket().fd();
        for (; owed_ != 0; --owed_) { arrive(kernel_, fd_); }
        std::array<packet, 4> burst;
        const io_result got = co_await sockets.rx.recv(burst);
        fd_ = -1;
        for (packet& one : burst) { one.reset(); }
        std::array<packet, 4> rest;
        const std::uint32_t left = sockets.rx.socket().try_recv(rest);
        for (packet& one : rest) { one.reset(); }
        check_nothing_lost(sockets);
        if ((got.n != 0) == static_cast<bool>(got.ec) || (got.n != 0 && left != 0)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override {
        if (fd_ < 0) {
            ++owed_;
        } else {
            arrive(kernel_, fd_);
        }
    }
    void check(const fault_tally&) override { check_nothing_left(kernel_); }

private:
    fault_place& place_;
    fake_kernel kernel_;
    int fd_ = -1;   // of the socket in the frame
    int owed_ = 0;  // packets that arrive as soon as there is one
};

/// More packets than the TX ring holds, over a device that completes none.
class tx_world final : public fault_world {
public:
    explicit tx_world(fault_place& place) : sockets_(fake_port::open(place.loop(), kernel_)) {
        kernel_.hold_completions(true);
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
    void complete() override {
        kernel_.hold_completions(false);
        kernel_.release_completions();
    }
    void check_handles(const fault_tally&) override {
        complete();
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }
    void check(const fault_tally&) override { check_nothing_left(kernel_); }

private:
    fake_kernel kernel_;
    std::optional<async_sockets> sockets_;
};

class raw_world final : public fault_world {
public:
    static constexpr std::uint32_t frames = 64;  // half of them in the fill ring, half in hand

    explicit raw_world(fault_place& place) {
        kernel_.interface.index = 1;  // the loopback interface's, which the real link monitor finds
        raw_.emplace(place.loop(), sim_builder(kernel_, frames, frames).build_raw().value());
    }

    task<ending> await_once() override {
        std::array<xdp_desc, 4> batch;
        const io_result got = co_await raw_->recv_batch(batch);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        if (!got.ec) { quieten(raw_->socket().fd()); }
        received_ += static_cast<int>(got.n);
        auto slots = raw_->socket().fill.reserve(static_cast<std::uint32_t>(got.n));
        for (std::size_t i = 0; i < got.n; ++i) { REQUIRE(slots.push(batch[i].addr)); }
        co_return ending_of(got.ec);
    }
    void complete() override { arrive(kernel_, raw_->socket().fd()); }
    void check_handles(const fault_tally& tally) override {
        const frame_census census = raw_->socket().census(frames / 2);
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.rx == tally.completions - received_);
    }
    void let_go() noexcept override { raw_.reset(); }
    void check(const fault_tally&) override { check_nothing_left(kernel_); }

private:
    fake_kernel kernel_;
    std::optional<async_raw> raw_;
    int received_ = 0;
};

/// A world over the model of the kernel; in virtual time, which has none, what `on_wire` makes.
template <class World, auto on_wire>
std::unique_ptr<fault_world> make(fault_place& place) {
    if (place.in_virtual_time()) { return on_wire(place); }
    return std::make_unique<World>(place);
}

std::unique_ptr<fault_world> make_in_frame(fault_place& place) {
    return std::make_unique<rx_in_frame_world>(place);
}

}  // namespace

std::span<const fault_entry> socket_faults() {
    static const std::array all{
        fault_entry{.file = "async_rx.hpp",
                    .awaiter = "async_rx::recv_awaiter",
                    .what = "packets",
                    .make = make<rx_world, make_wire_rx>},
        fault_entry{.file = "async_rx.hpp",
                    .awaiter = "async_rx::recv_awaiter",
                    .what = "packets of a socket in the frame",
                    .make = make_in_frame,
                    .why_not_in_virtual_time = "the model of the kernel knows real time only"},
        fault_entry{.file = "async_tx.hpp",
                    .awaiter = "async_tx::send_awaiter",
                    .what = "room to send",
                    .make = make<tx_world, make_wire_tx>},
        fault_entry{.file = "async_raw.hpp",
                    .awaiter = "async_raw::recv_awaiter",
                    .what = "descriptors",
                    .make = make<raw_world, make_wire_raw>},
    };
    return all;
}

}  // namespace fluxnet::test
