// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/umem.hpp"

#include "fluxnet/xsk/memory/packet.hpp"
#include "tests/xsk/mapped.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;

TEST_CASE("memory is unmapped once however packets and handles race to their end") {
    constexpr std::uint32_t frames = 24;
    constexpr std::uint32_t workers = 3;
    const std::uint32_t rounds = test::rounds(3'000, 3);
    std::array<std::vector<packet>, workers> hands;
    std::array<umem, workers> handles;
    std::atomic<std::uint32_t> round = 0;
    std::atomic<std::uint32_t> finished = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t me = 0; me < workers; ++me) {
        threads.emplace_back([&, me] {
            for (std::uint32_t mine = 1; mine <= rounds; ++mine) {
                while (round.load() != mine) { std::this_thread::yield(); }
                if ((mine + me) % 2 == 0) { handles[me] = {}; }
                hands[me].clear();
                handles[me] = {};
                ++finished;
            }
        });
    }
    std::uint32_t left = 0;
    for (std::uint32_t number = 1; number <= rounds; ++number) {
        umem_config config;
        config.frame_count = frames;
        umem memory = umem::create(config).value();
        const std::byte* base = memory.base();
        std::array<frame_home*, 2> homes{memory.pool().make_home(frames / 2), memory.pool().make_home(frames / 2)};
        for (frame_home* home : homes) { home->adopt(); }
        for (std::uint32_t i = 0; i < frames - 2; ++i) {
            frame_home& home = *homes[i % 2];
            hands[i % workers].push_back(packet::from_raw(home, {home.addr_of(home.at(*home.take())), 64, 0}));
        }
        for (frame_home* home : homes) { home->release(); }
        for (umem& handle : handles) { handle = memory; }
        finished = 0;
        round = number;
        memory = {};
        while (finished.load() != workers) { std::this_thread::yield(); }
        left += test::is_mapped(base) ? 1U : 0U;
    }
    for (std::thread& thread : threads) { thread.join(); }
    CHECK(left == 0);
}
