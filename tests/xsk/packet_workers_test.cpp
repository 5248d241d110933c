// SPDX-License-Identifier: BSD-3-Clause
// Packets on threads that know no socket: workers that throw, and readers that outlive what they read from.
#include "fluxnet/xsk/memory/packet.hpp"

#include "tests/xsk/mapped.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

std::vector<packet> receive(fake_kernel& fake, rx& from, unsigned count, unsigned first = 0) {
    for (unsigned i = 0; i < count; ++i) { REQUIRE(fake.deliver(payload(60 + i, first + i))); }
    std::vector<packet> packets(count);
    REQUIRE(from.try_recv(packets) == count);
    return packets;
}

}  // namespace

TEST_CASE("a worker that throws returns the frames of the packets that it was given") {
    fake_kernel fake;
    auto sockets = sim_builder(fake, 32, 32).tx_frames(0).build_system().value();
    for (unsigned round = 0; round < 10; ++round) {
        auto work = [batch = receive(fake, sockets.rx, 24, round)]() mutable {
            std::vector<packet> done;
            for (packet& one : batch) {
                const packet current = std::move(one);
                if (current.size() == 72) { throw std::runtime_error("malformed packet"); }
                done.push_back(packet());
            }
        };
        std::packaged_task<void()> task(std::move(work));
        auto outcome = task.get_future();
        std::thread(std::move(task)).join();
        CHECK_THROWS_WITH_AS(outcome.get(), "malformed packet", std::runtime_error);
        sockets.rx.refill();
        check_census(sockets.rx.pool());
    }
    CHECK(sockets.rx.pool().census().fill == 32);
}

TEST_CASE("several threads read packets while the sockets that received them close") {
    fake_kernel fake;
    std::optional sockets = sim_builder(fake).build_system().value();
    std::optional<std::vector<packet>> packets = receive(fake, sockets->rx, 24);
    const std::byte* const base = sockets->rx.home().at(frame_index{0});
    const std::vector<packet>& shared = *packets;
    std::atomic<unsigned> reading = 0;
    std::atomic<bool> closed = false;
    std::atomic<unsigned> wrong = 0;
    {
        std::vector<std::jthread> readers;
        for (unsigned reader = 0; reader < 4; ++reader) {
            readers.emplace_back([&] {
                ++reading;
                for (bool last = false; !last;) {
                    last = closed;
                    for (unsigned i = 0; i < shared.size(); ++i) {
                        if (!same(shared[i].data(), payload(60 + i, i)) || shared[i].headroom() != 512) { ++wrong; }
                    }
                }
            });
        }
        while (reading != 4) { std::this_thread::yield(); }
        sockets.reset();
        closed = true;
    }
    CHECK(wrong == 0);
    check_nothing_left(fake);
    CHECK(is_mapped(base));
    packets.reset();
    CHECK_FALSE(is_mapped(base));
}
