// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/frame_pool.hpp"

#include "fluxnet/xsk/memory/packet.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "tests/xsk/ring_storage.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;

static_assert(!std::is_copy_constructible_v<frame_pool>);

namespace {

umem make_memory(std::uint32_t frames) {
    umem_config config;
    config.frame_count = frames;
    return umem::create(config).value();
}

void check_sum(const frame_census& census) {
    CHECK(census.sum() == census.frames);
}

}  // namespace

TEST_CASE("a pool without homes counts all of its frames as free") {
    const umem memory = make_memory(10);
    const frame_census census = memory.pool().census();
    CHECK(census.exact);
    CHECK(census.free == 10);
    CHECK(census.frames == 10);
    CHECK(census.user == 0);
    check_sum(census);
    CHECK(memory.pool().home_count() == 0);
    CHECK(memory.pool().unassigned() == 10);
    CHECK(memory.pool().frame_count() == 10);
}

TEST_CASE("homes are carved out of the frames that are left") {
    const umem memory = make_memory(10);
    frame_pool& pool = memory.pool();
    frame_home* first = pool.make_home(6);
    REQUIRE(first != nullptr);
    CHECK(pool.make_home(5) == nullptr);
    frame_home* second = pool.make_home(3);
    frame_home* third = pool.make_home(0);
    REQUIRE(second != nullptr);
    REQUIRE(third != nullptr);
    CHECK(pool.unassigned() == 1);
    CHECK(pool.home_count() == 3);
    CHECK(first->number() == 0);
    CHECK(third->number() == 2);
    CHECK(&pool.home(1) == second);
    for (std::uint32_t i = 0; i < 9; ++i) { CHECK(&pool.home_of({i}) == (i < 6 ? first : second)); }
    CHECK(pool.make_home(2) == nullptr);
    CHECK(pool.make_home(~0U) == nullptr);
    CHECK(pool.make_home(1) != nullptr);
    CHECK(pool.make_home(1) == nullptr);
    check_sum(pool.census());
}

TEST_CASE("two homes never hand out the same frame") {
    const umem memory = make_memory(12);
    std::set<std::uint32_t> seen;
    for (const std::uint32_t size : {5U, 4U, 3U}) {
        frame_home* home = memory.pool().make_home(size);
        home->adopt();
        for (std::uint32_t i = 0; i < size; ++i) { CHECK(seen.insert(home->take()->value).second); }
        CHECK_FALSE(home->take());
        home->release();
    }
    CHECK(seen.size() == 12);
    CHECK(*seen.rbegin() == 11);
    CHECK(memory.pool().census().user == 12);
    for (const std::uint32_t frame : seen) { memory.pool().home_of({frame}).give_back(frame_index{frame}); }
    CHECK(memory.pool().census().free == 12);
}

TEST_CASE("a pool has room for 255 homes") {
    const umem memory = make_memory(300);
    for (std::uint32_t i = 0; i < frame_pool::max_homes; ++i) { REQUIRE(memory.pool().make_home(1) != nullptr); }
    CHECK(memory.pool().make_home(1) == nullptr);
    CHECK(memory.pool().home_of({254}).number() == 254);
    CHECK(memory.pool().unassigned() == 45);
    check_sum(memory.pool().census());
}

TEST_CASE("a census follows a frame through every state") {
    const umem memory = make_memory(8);
    frame_pool& pool = memory.pool();
    frame_home* home = pool.make_home(8);
    tx_ledger& ledger = pool.make_ledger();
    test::ring_storage<fluxnet::xdp_desc> rx(8, 0xffff'ffffU);
    test::ring_storage<frame_addr> comp(8, 0xffff'ffffU);
    test::ring_storage<frame_addr> fill_storage(4);
    pool.watch({.rx = rx.memory(), .comp = comp.memory(), .fd = 7});
    home->adopt();

    const auto expect = [&](std::int64_t free, std::int64_t fill, std::int64_t in_rx, std::int64_t tx,
                            std::int64_t completion, std::int64_t user) {
        const frame_census census = pool.census();
        CHECK(census.exact);
        CHECK(census.free == free);
        CHECK(census.fill == fill);
        CHECK(census.rx == in_rx);
        CHECK(census.tx == tx);
        CHECK(census.completion == completion);
        CHECK(census.user == user);
        check_sum(census);
    };

    expect(8, 0, 0, 0, 0, 0);
    const auto own = home->take();
    expect(7, 0, 0, 0, 0, 1);
    producer_ring<frame_addr> fill(fill_storage.memory());
    CHECK(home->refill(fill) == 4);
    expect(3, 4, 0, 0, 0, 1);
    rx.producer().store(1);  // two entries: 0xffffffff and 0
    expect(3, 2, 2, 0, 0, 1);
    rx.consumer().store(0);
    CHECK(home->received(home->index_of(fill_storage.entry(0))));
    home->count_received(1);
    expect(3, 2, 1, 0, 0, 2);
    home->submitted(*own);
    ledger.submitted.add(1);
    expect(3, 2, 1, 1, 0, 1);
    comp.producer().store(0);
    expect(3, 2, 1, 0, 1, 1);
    comp.consumer().store(0);
    ledger.reaped.add(1);
    CHECK(home->completed(*own));
    home->give_back({own->value, own->value, 1});
    expect(4, 2, 1, 0, 0, 1);
    home->give_back(home->index_of(fill_storage.entry(0)));
    expect(5, 2, 1, 0, 0, 0);
    pool.unwatch(7);
    expect(5, 3, 0, 0, 0, 0);
    home->release();
}

TEST_CASE("a census is exact for the owner of every home and a snapshot elsewhere") {
    const umem memory = make_memory(8);
    frame_pool& pool = memory.pool();
    frame_home* home = pool.make_home(8);
    CHECK(pool.census().exact);
    CHECK_FALSE(home->owned_here());
    home->adopt();
    const auto frame = home->take();
    CHECK(pool.census().exact);
    CHECK(home->owned_here());
    std::thread([&] {
        home->give_back(*frame);
        const frame_census census = pool.census();
        CHECK_FALSE(census.exact);
        CHECK(census.user == 1);  // on the stack, and not drained by a stranger
        check_sum(census);
    }).join();
    CHECK(pool.census().user == 0);
    CHECK(pool.census().free == 8);
    home->release();
    std::thread([&] { CHECK(pool.census().exact); }).join();
}

TEST_CASE("a census drains the stacks of homes without an owner") {
    const umem memory = make_memory(2);
    frame_home* home = memory.pool().make_home(2);
    home->adopt();
    const auto frame = home->take();
    home->release();
    std::thread([&] { home->give_back(*frame); }).join();
    const frame_census census = memory.pool().census();
    CHECK(census.exact);
    CHECK(census.free == 2);
    CHECK_FALSE(home->owned_here());
}
