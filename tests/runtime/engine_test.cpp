// SPDX-License-Identifier: BSD-3-Clause
// The engine on simulated wires: what becomes of each packet, how it stops, and that nothing is lost on the way.
#include "fluxnet/runtime/packets/engine.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using end = simulated_wire::end;

namespace {

/// The far end of a wire: sends packets to the engine and looks at what comes back.
class far_end {
public:
    explicit far_end(const builder& options) : sockets_(builder(options).build_system().value()) {}

    void send(std::size_t count, std::size_t size = 60) {
        std::array<packet, 64> burst;
        while (count != 0) {
            const auto made = sockets_.tx.allocate(std::span(burst).first(std::min<std::size_t>(count, burst.size())));
            REQUIRE(made != 0);
            for (packet& one : std::span(burst).first(made)) { REQUIRE(one.assign(payload(size, sent_++))); }
            REQUIRE(sockets_.tx.try_send(std::span(burst).first(made)) == made);
            sockets_.tx.flush();
            count -= made;
        }
    }

    std::vector<std::vector<std::byte>> receive() {
        std::vector<std::vector<std::byte>> all;
        std::array<packet, 64> burst;
        while (const std::uint32_t count = sockets_.rx.try_recv(burst)) {
            for (const packet& one : std::span(burst).first(count)) {
                all.emplace_back(one.data().begin(), one.data().end());
            }
            for (packet& one : burst) { one.reset(); }
        }
        return all;
    }

    [[nodiscard]] system_sockets& sockets() noexcept { return sockets_; }

private:
    system_sockets sockets_;
    unsigned sent_ = 0;
};

/// An engine with one port, on the right end of a wire.
struct bench {
    explicit bench(const batch_options& batch = {}, const idle_policy& idle = {.how = poller::wait}) : loop(idle) {
        auto sockets = wire.socket_on(end::right).build_system().value();
        REQUIRE(loop.add_port(std::move(sockets), batch).value() == 0);
    }

    /// Runs `callback` until the engine has seen `count` packets.
    template <class F>
    std::error_code run_for(std::uint64_t count, F callback) {
        return loop.run([&](packet_batch& batch) {
            seen += batch.size();
            if (seen >= count) { loop.stop(); }
            callback(batch);
        });
    }

    [[nodiscard]] engine_port& port() { return loop.port(0); }

    void check_frames(std::int64_t user = 0) {
        port().sending().reap();
        port().sending().release();
        check_census(port().receiving().pool(), user);
        port().sending().release();
    }

    simulated_wire wire;
    far_end far{wire.socket_on(end::left)};
    engine loop;
    std::uint64_t seen = 0;
};

}  // namespace

TEST_CASE("what a callback does not mark is recycled") {
    bench b;
    b.far.send(1000);
    REQUIRE_FALSE(b.run_for(1000, [](packet_batch&) {}));
    CHECK(b.port().counts().received == 1000);
    CHECK(b.port().counts().recycled == 1000);
    CHECK(b.port().counts().sent == 0);
    CHECK(b.far.receive().empty());
    b.check_frames();
    b.far.send(1500);  // every frame is back in the fill ring
    CHECK(b.wire.counts(end::left).delivered == 2500);
}

TEST_CASE("a packet that is marked for sending goes back with what was changed") {
    bench b;
    b.far.send(100);
    REQUIRE_FALSE(b.run_for(100, [](packet_batch& batch) {
        for (const packet_ref one : batch) {
            one.data()[0] = std::byte{0xee};
            one.send();
        }
    }));
    const auto back = b.far.receive();
    REQUIRE(back.size() == 100);
    for (unsigned i = 0; i < 100; ++i) {
        auto expected = payload(60, i);
        expected[0] = std::byte{0xee};
        CHECK(same(back[i], expected));
    }
    CHECK(b.port().counts().sent == 100);
    b.check_frames();
}

TEST_CASE("the last mark counts and drop is a mark") {
    bench b;
    b.far.send(3);
    REQUIRE_FALSE(b.run_for(3, [](packet_batch& batch) {
        for (const packet_ref one : batch) {
            one.send();
            one.drop();
        }
        batch[1].send();
    }));
    CHECK(b.far.receive().size() == 1);
    b.check_frames();
}

TEST_CASE("a callback may look at packets one by one and say what becomes of each") {
    bench b;
    b.far.send(500);
    unsigned number = 0;
    REQUIRE_FALSE(b.loop.run([&](packet_ref one) {
        CHECK(one.size() == 60);
        if (++number == 500) { b.loop.stop(); }
        return number % 5 == 0 ? action::send : action::drop;
    }));
    CHECK(b.far.receive().size() == 100);
    CHECK(b.port().counts().recycled == 400);
    b.check_frames();
}

TEST_CASE("packets of a batch grow and shrink at both ends within their frames") {
    bench b;
    b.far.send(1);
    REQUIRE_FALSE(b.run_for(1, [](packet_batch& batch) {
        const packet_ref one = batch[0];
        CHECK(one.headroom() == 512);
        CHECK(one.adjust_head(-4));
        CHECK(one.size() == 64);
        CHECK_FALSE(one.adjust_head(-509));
        CHECK_FALSE(one.adjust_head(65));
        CHECK(one.set_len(2048 - 508));
        CHECK_FALSE(one.set_len(2048 - 507));
        CHECK(one.adjust_head(14));
        CHECK(one.set_len(20));
        one.send();
    }));
    const auto back = b.far.receive();
    REQUIRE(back.size() == 1);
    const auto whole = payload(60, 0);
    CHECK(same(back[0], std::span(whole).subspan(10, 20)));
    b.check_frames();
}

TEST_CASE("an extracted packet leaves the batch and may outlive the engine") {
    std::vector<packet> kept;
    {
        bench b;
        b.far.send(10);
        REQUIRE_FALSE(b.run_for(10, [&](packet_batch& batch) {
            batch[3].send();
            kept.push_back(batch.extract(3));
            kept.push_back(batch.extract(7));
            CHECK_FALSE(batch.extract(7));
            CHECK_FALSE(batch.extract(batch.size()));
        }));
        CHECK(b.port().counts().extracted == 2);
        CHECK(b.port().counts().recycled == 8);
        CHECK(b.far.receive().empty());
        b.check_frames(2);
    }
    CHECK(same(kept[0].data(), payload(60, 3)));
    CHECK(same(kept[1].data(), payload(60, 7)));
}

TEST_CASE("frames of extracted packets come back into use") {
    bench b;
    for (unsigned round = 0; round < 20; ++round) {
        b.far.send(256);
        REQUIRE_FALSE(b.run_for((round + 1) * 256, [](packet_batch& batch) {
            for (std::uint32_t i = 0; i < batch.size(); ++i) { static_cast<void>(batch.extract(i)); }
        }));
    }
    CHECK(b.port().counts().extracted == 20 * 256);
    b.check_frames();
}

TEST_CASE("an extracted packet is sent by a coroutine beside the batches") {
    bench b;
    b.far.send(64);
    std::vector<packet> queue;
    b.loop.spawn([&]() -> task<void> {
        std::size_t sent = 0;
        while (sent < 64) {
            const std::error_code waited = co_await sleep_for(1ms);
            if (waited) { co_return; }
            const io_result put = co_await b.port().tx().send(queue);
            sent += put.n;
            queue.clear();
        }
        b.loop.stop();
    });
    REQUIRE_FALSE(b.loop.run([&](packet_batch& batch) {
        for (std::uint32_t i = 0; i < batch.size(); ++i) { queue.push_back(batch.extract(i)); }
    }));
    CHECK(b.far.receive().size() == 64);
    b.check_frames();
}

TEST_CASE("a coroutine on the engine receives from a socket of its own") {
    for (const poller how : {poller::wait, poller::adaptive, poller::busy}) {
        bench b({}, {.how = how});
        simulated_wire other;
        far_end sender(other.socket_on(end::left));
        auto second = other.socket_on(end::right).build_system().value();
        async_rx rx(b.loop, std::move(second.rx));
        std::size_t received = 0;
        b.loop.spawn([&]() -> task<void> {
            std::array<packet, 16> burst;
            while (received < 100) {
                const io_result got = co_await rx.recv(burst);
                if (got.ec) { co_return; }
                received += got.n;
            }
            b.loop.stop();
        });
        b.loop.spawn([&]() -> task<void> {
            for (unsigned i = 0; i < 10; ++i) {
                const std::error_code waited = co_await sleep_for(1ms);
                if (waited) { co_return; }
                sender.send(10);
            }
        });
        b.far.send(50);
        REQUIRE_FALSE(b.loop.run([](packet_ref) { return action::drop; }));
        CHECK(received == 100);
        CHECK(b.port().counts().received == 50);
        CHECK((b.loop.sleeps() == 0) == (how == poller::busy));
    }
}

TEST_CASE("too short packets and unknown ports are refused and counted") {
    bench b;
    b.far.send(4);
    REQUIRE_FALSE(b.run_for(4, [](packet_batch& batch) {
        CHECK(batch[0].set_len(13));
        batch[0].send();
        batch[1].send(7);
        batch[2].send(0);
    }));
    CHECK(b.port().counts().refused == 2);
    CHECK(b.port().counts().sent == 1);
    CHECK(b.port().counts().recycled == 3);
    b.check_frames();
}

TEST_CASE("a callback that throws leaves its marks in force and loses nothing") {
    bench b;
    b.far.send(10);
    unsigned calls = 0;
    const auto failing = [&](packet_batch& batch) {
        ++calls;
        batch[0].send();
        throw std::runtime_error("no more");
    };
    CHECK_THROWS_AS(static_cast<void>(b.loop.run(failing)), std::runtime_error);
    CHECK(calls == 1);
    CHECK(b.port().counts().received == 10);
    b.check_frames();
    b.far.send(1);
    REQUIRE_FALSE(b.run_for(1, [](packet_batch&) {}));
    CHECK(b.far.receive().size() == 1);
    b.check_frames();
}

TEST_CASE("every batch size is kept to and others are refused") {
    for (std::uint32_t size = 1; size <= 64; size *= 2) {
        bench b({.size = size});
        b.far.send(200);
        std::uint32_t largest = 0;
        REQUIRE_FALSE(b.run_for(200, [&](packet_batch& batch) { largest = std::max(largest, batch.size()); }));
        CHECK(largest == size);
        b.check_frames();
    }
    for (const std::uint32_t size : {0U, 3U, 63U, 65U, 128U}) {
        simulated_wire wire;
        const auto refused = open_engine(wire.socket_on(end::right).batch(size));
        REQUIRE(refused.has_error());
        CHECK(refused.error().code == errc::invalid_option);
        CHECK(contains(refused.error().message(), "power of two"));
    }
}

TEST_CASE("a port may be added by the callback") {
    simulated_wire wire({.queues = 2});
    far_end far(wire.socket_on(end::left));
    const umem memory = wire.socket_on(end::right).find_memory(3).value();
    const builder options = wire.socket_on(end::right).over(memory);
    engine loop;
    REQUIRE(loop.add_port(options.build_system().value()).value() == 0);
    far.send(10);
    std::uint64_t seen = 0;
    REQUIRE_FALSE(loop.run([&](packet_batch& batch) {
        seen += batch.size();
        for (const packet_ref one : batch) { one.send(); }
        REQUIRE(loop.add_port(builder(options).queue(1).build_system().value()).value() == 1);
        loop.stop();
    }));
    CHECK(seen != 0);
    CHECK(seen == wire.counts(end::left).delivered);
    CHECK(loop.ports() == 2);
    CHECK(loop.port(0).counts().sent == seen);
    CHECK(loop.port(1).receiving().queue() == 1);
}

TEST_CASE("ports over different memory are refused") {
    bench b;
    simulated_wire other;
    const auto refused = b.loop.add_port(other.socket_on(end::left).build_system().value());
    REQUIRE(refused.has_error());
    CHECK(contains(refused.error().message(), "not that of the other ports"));
}

TEST_CASE("the checked build stops who uses a packet after its batch or after extracting it") {
    FLUXNET_SKIP_IF(why_not_checked());
    bench b;
    b.far.send(2);
    std::vector<packet_ref> kept;
    packet owned;
    REQUIRE_FALSE(b.run_for(2, [&](packet_batch& batch) {
        kept.push_back(batch[0]);
        kept.push_back(batch[1]);
        owned = batch.extract(1);
        CHECK(dies([&] { kept[1].send(); }));
        CHECK(dies([&] { static_cast<void>(batch[2]); }));
        CHECK_FALSE(dies([&] { kept[0].send(); }));
    }));
    CHECK(dies([&] { kept[0].send(); }));
    CHECK(dies([&] { static_cast<void>(kept[0].data()); }));
}
