// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: sockets over the model of the kernel, whose descriptor really becomes readable, and in virtual
// time, where there is no kernel, over a simulated wire on the place's clock.
#include "fluxnet/runtime/packets/async_raw.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

using end = simulated_wire::end;
using namespace std::chrono_literals;

/// Lets a packet arrive and makes the descriptor readable, as the kernel does.
void arrive(fake_kernel& kernel, int fd) {
    const std::uint64_t one = 1;
    REQUIRE(kernel.deliver(numbered_frame(1)));
    REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
}

/// What is below a socket; `slow`: packets that are sent come back late.
class kernel_below {
public:
    kernel_below(fault_place& place, bool slow) : loop_(place.loop()), slow_(slow) {
        kernel_.interface.index = 1;  // the loopback interface's, which the real link monitor finds
    }

    async_sockets open() {
        async_sockets made = fake_port::open(loop_, kernel_);
        kernel_.hold_completions(slow_);
        return made;
    }
    raw_socket open_raw(std::uint32_t frames) { return sim_builder(kernel_, frames, frames).build_raw().value(); }
    void deliver(int fd) { arrive(kernel_, fd); }

    /// Takes the descriptor's readiness back, as draining the ring does.
    void drained(int fd) {
        std::uint64_t value = 0;
        static_cast<void>(!::read(fd, &value, sizeof value));
    }
    void complete() {
        kernel_.hold_completions(false);
        kernel_.release_completions();
    }
    void complete_all(tx&) { complete(); }
    void check() { check_nothing_left(kernel_); }

private:
    executor& loop_;
    const bool slow_;
    fake_kernel kernel_;
};

/// The same; slow is a driver that completes a packet some time after it has sent it, and otherwise there is a far end.
class wire_below {
public:
    wire_below(fault_place& place, bool slow) : loop_(place.loop()), slow_(slow), wire_({.zero_copy = slow}) {
        if (!slow) { peer_.emplace(wire_.socket_on(end::right).frames(32).tx_frames(16).build_system().value()); }
        place.attach(wire_);
    }

    async_sockets open() {
        builder left = wire_.socket_on(end::left).frames(64);
        if (slow_) { left.frames(256).tx_frames(160).tx_ring(64).completion_ring(64); }
        return open_async(loop_, left).value();
    }
    raw_socket open_raw(std::uint32_t frames) { return wire_.socket_on(end::left).frames(frames).build_raw().value(); }
    void deliver(int) {
        packet one;
        REQUIRE(peer_->tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(numbered_frame(1)));
        REQUIRE(peer_->tx.try_send(std::span(&one, 1)) == 1);
        CHECK_FALSE(peer_->tx.flush());
    }
    void drained(int) {}
    void complete() {}  // time does
    void complete_all(tx& out) {
        for (int i = 1; i <= 100 && !out.drain(0ms); ++i) { wire_.advance_to(wire_.now() + 1ms); }
    }
    void check() {}

private:
    executor& loop_;
    const bool slow_;
    simulated_wire wire_;
    std::optional<system_sockets> peer_;
};

template <class Below>
class rx_world final : public fault_world {
public:
    explicit rx_world(fault_place& place) : below_(place, false), sockets_(below_.open()) {}

    task<ending> await_once() override {
        std::array<packet, 4> burst;
        const io_result got = co_await sockets_->rx.recv(burst);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        if (!got.ec) { below_.drained(sockets_->rx.socket().fd()); }
        received_ += static_cast<int>(got.n);
        co_return ending_of(got.ec);
    }
    void complete() override { below_.deliver(sockets_->rx.socket().fd()); }
    void check_handles(const fault_tally& tally) override {
        std::array<packet, 4> rest;
        CHECK(static_cast<int>(sockets_->rx.socket().try_recv(rest)) == tally.completions - received_);
        for (packet& one : rest) { one.reset(); }
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }
    void check(const fault_tally&) override { below_.check(); }

private:
    Below below_;
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

/// More packets than the TX ring holds, over a device that completes them late.
template <class Below>
class tx_world final : public fault_world {
public:
    explicit tx_world(fault_place& place) : below_(place, true), sockets_(below_.open()) {}

    task<ending> await_once() override {
        std::vector<packet> packets = numbered_packets(sockets_->tx, 90);
        const io_result sent = co_await sockets_->tx.send(packets);
        for (std::size_t i = 0; i < packets.size(); ++i) {
            if (static_cast<bool>(packets[i]) != (i >= sent.n)) { co_return ending::failed; }
        }
        if ((sent.n == packets.size()) == static_cast<bool>(sent.ec)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { below_.complete(); }
    void check_handles(const fault_tally&) override {
        below_.complete_all(sockets_->tx.socket());
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override { sockets_.reset(); }
    void check(const fault_tally&) override { below_.check(); }

private:
    Below below_;
    std::optional<async_sockets> sockets_;
};

/// Frames of a socket whose own are all in hand; one is dropped each time.
template <class Below>
class frames_world final : public fault_world {
public:
    explicit frames_world(fault_place& place)
        : below_(place, true), sockets_(below_.open()), hoard_(numbered_packets(sockets_->tx, fake_port::sending)) {
        sockets_->tx.socket().release();
    }

    task<ending> await_once() override {
        std::array<packet, 4> fresh;
        const io_result made = co_await sockets_->tx.allocate(fresh);
        if ((made.n != 0) == static_cast<bool>(made.ec)) { co_return ending::failed; }
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            if (static_cast<bool>(fresh[i]) != (i < made.n)) { co_return ending::failed; }
        }
        for (packet& one : std::span(fresh).first(made.n)) { hoard_.push_back(std::move(one)); }
        taken_ += static_cast<int>(made.n);
        co_return ending_of(made.ec);
    }
    void complete() override { hoard_.pop_back(); }
    void check_handles(const fault_tally& tally) override {
        const auto held = static_cast<int>(hoard_.size());
        CHECK(held == static_cast<int>(fake_port::sending) - tally.completions + taken_);
        hoard_.clear();
        check_nothing_lost(*sockets_);
    }
    void let_go() noexcept override {
        sockets_.reset();
        hoard_.clear();
    }
    void check(const fault_tally&) override { below_.check(); }

private:
    Below below_;
    std::optional<async_sockets> sockets_;
    std::vector<packet> hoard_;
    int taken_ = 0;
};

template <class Below>
class raw_world final : public fault_world {
public:
    static constexpr std::uint32_t frames = 64;  // half of them in the fill ring, half in hand

    explicit raw_world(fault_place& place) : below_(place, false) { raw_.emplace(place.loop(), below_.open_raw(frames)); }

    task<ending> await_once() override {
        std::array<xdp_desc, 4> batch;
        const io_result got = co_await raw_->recv_batch(batch);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        if (!got.ec) { below_.drained(raw_->socket().fd()); }
        received_ += static_cast<int>(got.n);
        auto slots = raw_->socket().fill.reserve(static_cast<std::uint32_t>(got.n));
        for (std::size_t i = 0; i < got.n; ++i) { REQUIRE(slots.push(batch[i].addr)); }
        co_return ending_of(got.ec);
    }
    void complete() override { below_.deliver(raw_->socket().fd()); }
    void check_handles(const fault_tally& tally) override {
        const frame_census census = raw_->socket().census(frames / 2);
        CHECK(census.exact);
        CHECK(census.sum() == frames);
        CHECK(census.rx == tally.completions - received_);
    }
    void let_go() noexcept override { raw_.reset(); }
    void check(const fault_tally&) override { below_.check(); }

private:
    Below below_;
    std::optional<async_raw> raw_;
    int received_ = 0;
};

/// A handle that goes to another executor, which runs on a thread of its own from complete() on, until it has had its
/// visitor.
template <class Handle>
class move_world final : public fault_world {
public:
    explicit move_world(fault_place& place) {
        kernel_.interface.index = 1;
        handle_.emplace(open(place.loop()));
    }
    ~move_world() override { join(); }

    task<ending> await_once() override {
        const result<void> moved = co_await handle_->move_to(other_);
        if (!moved) { co_return ending_of(moved.error().code); }
        CHECK(executor::current() == &other_);
        co_return ending::completed;
    }
    void complete() override {
        if (thread_.joinable()) { return; }
        thread_ = std::thread([this] { other_.run(); });
    }
    void check_handles(const fault_tally&) override {
        join();
        CHECK_FALSE(handle_->socket().interface().name.empty());
    }
    void let_go() noexcept override {
        join();
        handle_.reset();
    }
    void check(const fault_tally&) override { check_nothing_left(kernel_); }

private:
    Handle open(executor& loop) {
        if constexpr (std::is_same_v<Handle, async_raw>) {
            return async_raw(loop, sim_builder(kernel_, 32, 32).build_raw().value());
        } else if constexpr (std::is_same_v<Handle, async_rx>) {
            return std::move(fake_port::open(loop, kernel_).rx);
        } else {
            return std::move(fake_port::open(loop, kernel_).tx);
        }
    }
    void join() noexcept {
        if (thread_.joinable()) { thread_.join(); }
    }

    fake_kernel kernel_;
    executor other_;
    std::optional<Handle> handle_;
    std::thread thread_;
};

template <class Handle>
fault_entry moved_row(const char* what) {
    return {.file = "move_awaiter.hpp",
            .awaiter = "move_awaiter",
            .what = what,
            .make = [](fault_place& place) -> std::unique_ptr<fault_world> {
                return std::make_unique<move_world<Handle>>(place);
            },
            .cancellable = false,
            .why_not_in_virtual_time = "the other executor would run on another thread"};
}

template <template <class> class World>
std::unique_ptr<fault_world> make_below(fault_place& place) {
    if (place.in_virtual_time()) { return std::make_unique<World<wire_below>>(place); }
    return std::make_unique<World<kernel_below>>(place);
}

std::unique_ptr<fault_world> make_in_frame(fault_place& place) {
    return std::make_unique<rx_in_frame_world>(place);
}

}  // namespace

std::span<const fault_entry> socket_faults() {
    static const std::array all{
        fault_entry{
            .file = "async_rx.hpp", .awaiter = "async_rx::recv_awaiter", .what = "packets", .make = make_below<rx_world>},
        fault_entry{.file = "async_rx.hpp",
                    .awaiter = "async_rx::recv_awaiter",
                    .what = "packets of a socket in the frame",
                    .make = make_in_frame,
                    .why_not_in_virtual_time = "the model of the kernel knows real time only"},
        fault_entry{.file = "async_tx.hpp",
                    .awaiter = "async_tx::send_awaiter",
                    .what = "room to send",
                    .make = make_below<tx_world>},
        fault_entry{.file = "async_tx.hpp",
                    .awaiter = "async_tx::allocate_awaiter",
                    .what = "frames to send",
                    .make = make_below<frames_world>},
        fault_entry{.file = "async_raw.hpp",
                    .awaiter = "async_raw::recv_awaiter",
                    .what = "descriptors",
                    .make = make_below<raw_world>},
        moved_row<async_rx>("the way of a receiving handle"),
        moved_row<async_tx>("the way of a sending handle"),
        moved_row<async_raw>("the way of a raw handle"),
    };
    return all;
}

}  // namespace fluxnet::test
