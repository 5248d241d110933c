// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/frame_home.hpp"

#include "fluxnet/xsk/memory/umem.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/ring_storage.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;

static_assert(!std::is_copy_constructible_v<frame_home> && !std::is_move_constructible_v<frame_home>);
static_assert(sizeof(frame_chain) == 12);

namespace {

struct home_fixture {
    explicit home_fixture(std::uint32_t frames = 8, std::uint32_t headroom = 0) {
        umem_config config;
        config.frame_count = frames;
        config.headroom = headroom;
        memory = umem::create(config).value();
        home = memory.pool().make_home(frames);
    }

    std::vector<frame_index> take_all() {
        std::vector<frame_index> frames;
        while (const auto frame = home->take()) { frames.push_back(*frame); }
        return frames;
    }

    umem memory;
    frame_home* home = nullptr;
};

template <class Action>
void elsewhere(Action&& action) {
    std::thread(std::forward<Action>(action)).join();
}

struct wake_counter {
    std::atomic<int> wakes = 0;
    frame_waker waker() {
        return {[](void* context) noexcept { ++static_cast<wake_counter*>(context)->wakes; }, this};
    }
};

/// A chain of frames as a completion ring leaves it.
frame_chain completed_chain(frame_home& home, const std::vector<frame_index>& frames) {
    frame_chain chain;
    for (const frame_index frame : frames) {
        home.submitted(frame);
        REQUIRE(home.completed(frame));
        if (chain.count == 0) {
            chain.last = frame.value;
        } else {
            home.links()[frame.value] = chain.first + 1;
        }
        chain.first = frame.value;
        ++chain.count;
    }
    return chain;
}

}  // namespace

TEST_CASE("a fresh home hands out each of its frames once in the order of their addresses") {
    home_fixture f(16);
    f.home->adopt();
    const auto frames = f.take_all();
    REQUIRE(frames.size() == 16);
    for (std::uint32_t i = 0; i < 16; ++i) { CHECK(frames[i].value == i); }
    CHECK(f.home->free_count() == 0);
    CHECK(f.home->taken() == 16);
    CHECK_FALSE(f.home->take());
    for (const frame_index frame : frames) { f.home->give_back(frame); }
    CHECK(f.home->free_count() == 16);
    CHECK(f.home->returned() == 16);
    f.home->release();
}

TEST_CASE("a home of no frames hands out none") {
    home_fixture f(4);
    frame_home* none = f.memory.pool().make_home(0);
    REQUIRE(none != nullptr);
    none->adopt();
    CHECK_FALSE(none->take());
    CHECK(none->drain() == 0);
    test::ring_storage<frame_addr> storage(4);
    producer_ring<frame_addr> fill(storage.memory());
    CHECK(none->refill(fill) == 0);
    none->release();
}

TEST_CASE("addresses and numbers of a frame agree with its bytes") {
    home_fixture f(4, 128);
    f.home->adopt();
    const auto frames = f.take_all();
    const frame_index frame = frames.at(2);
    CHECK(f.home->at(frame) == f.memory.base() + 2 * 2048);
    CHECK(f.home->addr_of(f.home->at(frame) + 300).value == 2 * 2048 + 300);
    CHECK(f.home->index_of({2 * 2048 + 300}) == frame);
    CHECK(f.home->index_of({3 * 2048 - 1}) == frame);
    CHECK(f.home->at(frame_addr{2 * 2048 + 5}) == f.memory.base() + 2 * 2048 + 5);
    CHECK(f.home->frame_size() == 2048);
    CHECK(f.home->headroom() == 128);
    CHECK(f.home->frame_count() == 4);
    for (const frame_index taken : frames) { f.home->give_back(taken); }
    f.home->release();
}

TEST_CASE("a frame returned on another thread waits for the owner to drain") {
    home_fixture f(4);
    f.home->adopt();
    const auto frames = f.take_all();
    elsewhere([&] {
        f.home->give_back(frames[0]);
        f.home->give_back(frames[1]);
    });
    CHECK(f.home->free_count() == 0);
    CHECK(f.home->returned() == 0);
    CHECK(f.home->drain() == 2);
    CHECK(f.home->free_count() == 2);
    CHECK(f.home->returned() == 2);
    CHECK(f.home->drain() == 0);
    f.home->give_back(frames[2]);
    f.home->give_back(frames[3]);
    CHECK(f.home->free_count() == 4);
    CHECK(f.take_all().size() == 4);
    for (const frame_index frame : frames) { f.home->give_back(frame); }
    f.home->release();
}

TEST_CASE("taking from an empty list drains the stack first") {
    home_fixture f(2);
    f.home->adopt();
    const auto frames = f.take_all();
    elsewhere([&] { f.home->give_back(frames[1]); });
    const auto back = f.home->take();
    REQUIRE(back);
    CHECK(*back == frames[1]);
    f.home->give_back(*back);
    f.home->give_back(frames[0]);
    f.home->release();
}

TEST_CASE("a chain comes back whole on the owner and on another thread") {
    for (const bool foreign : {false, true}) {
        CAPTURE(foreign);
        home_fixture f(8);
        f.home->adopt();
        const auto frames = f.take_all();
        const frame_chain chain = completed_chain(*f.home, {frames.begin(), frames.begin() + 5});
        const frame_chain single = completed_chain(*f.home, {frames[6]});
        if (foreign) {
            elsewhere([&] {
                f.home->give_back(frames[5]);
                f.home->give_back(chain);
                f.home->give_back(single);
            });
            CHECK(f.home->free_count() == 0);
            CHECK(f.home->drain() == 7);
        } else {
            f.home->give_back(frames[5]);
            f.home->give_back(chain);
            f.home->give_back(single);
        }
        CHECK(f.home->free_count() == 7);
        std::vector<bool> seen(8);
        for (const frame_index frame : f.take_all()) {
            CHECK_FALSE(seen[frame.value]);
            seen[frame.value] = true;
        }
        CHECK_FALSE(seen[frames[7].value]);
        for (std::uint32_t i = 0; i < 8; ++i) { f.home->give_back(frame_index{i}); }
        f.home->release();
    }
}

TEST_CASE("a refill gives as many frames as both sides allow") {
    home_fixture f(8);
    f.home->adopt();
    test::ring_storage<frame_addr> storage(4, 0xffff'fffeU);
    producer_ring<frame_addr> fill(storage.memory());
    CHECK(f.home->refill(fill) == 4);
    CHECK(f.home->free_count() == 4);
    CHECK(f.home->given() == 4);
    CHECK(f.home->refill(fill) == 0);
    consumer_ring<frame_addr> kernel(storage.memory());
    {
        auto claim = kernel.consume();
        for (std::uint32_t i = 0; i < 4; ++i) {
            const frame_addr addr = claim.next();
            CHECK(addr.value == std::uint64_t{i} * 2048);
            CHECK(f.home->received(f.home->index_of(addr)));
        }
    }
    f.home->count_received(4);
    CHECK(f.home->refill(fill) == 4);
    CHECK(f.home->free_count() == 0);
    CHECK(f.home->refill(fill) == 0);
    for (std::uint32_t i = 0; i < 4; ++i) { f.home->give_back(frame_index{i}); }
    CHECK(f.home->free_count() == 4);
    f.home->release();
}

TEST_CASE("reclaiming takes back what a closed socket was given and has not delivered") {
    home_fixture f(8);
    f.home->adopt();
    test::ring_storage<frame_addr> storage(4);
    producer_ring<frame_addr> fill(storage.memory());
    REQUIRE(f.home->refill(fill) == 4);
    REQUIRE(f.home->received({2}));
    f.home->count_received(1);
    f.home->reclaim();
    CHECK(f.home->free_count() == 7);
    CHECK(f.home->given() == 1);
    f.home->reclaim();
    CHECK(f.home->free_count() == 7);
    f.home->give_back(frame_index{2});
    const auto frames = f.take_all();
    CHECK(frames.size() == 8);
    for (const frame_index frame : frames) { f.home->give_back(frame); }
    f.home->release();
}

TEST_CASE("ownership goes to the first thread that asks and on after a release") {
    home_fixture f(4);
    CHECK_FALSE(f.home->owned_here());
    CHECK(f.home->try_adopt());
    CHECK(f.home->try_adopt());
    CHECK(f.home->owned_here());
    const auto frame = f.home->take();
    elsewhere([&] {
        CHECK_FALSE(f.home->owned_here());
        CHECK_FALSE(f.home->try_adopt());
        f.home->release();  // of what it does not own: nothing
    });
    CHECK(f.home->owned_here());
    f.home->release();
    CHECK_FALSE(f.home->owned_here());
    elsewhere([&] {
        f.home->adopt();
        CHECK(f.home->free_count() == 3);
        f.home->give_back(*frame);
        CHECK(f.home->free_count() == 4);
        f.home->release();
    });
    f.home->adopt();
    CHECK(f.home->free_count() == 4);
    f.home->release();
}

TEST_CASE("a frame returned while nobody owns the home is found by the next owner") {
    home_fixture f(2);
    f.home->adopt();
    const auto frames = f.take_all();
    f.home->release();
    f.home->give_back(frames[0]);
    CHECK(f.home->free_count() == 0);
    elsewhere([&] {
        f.home->adopt();
        CHECK(f.home->drain() == 1);
        f.home->release();
    });
    f.home->give_back(frames[1]);
}

TEST_CASE("using a home that another thread owns is stopped by an assertion") {
    FLUXNET_SKIP_IF(test::why_no_assertions());
    home_fixture f(2);
    std::atomic<int> step = 0;
    std::thread owner([&] {
        f.home->adopt();
        step = 1;
        while (step != 2) { std::this_thread::yield(); }
        f.home->release();
    });
    while (step != 1) { std::this_thread::yield(); }
    CHECK(test::dies([&] { f.home->adopt(); }));
    step = 2;
    owner.join();
}

TEST_CASE("hunger is not published while frames wait on the stack") {
    home_fixture f(2);
    f.home->adopt();
    const auto frames = f.take_all();
    elsewhere([&] { f.home->give_back(frames[0]); });
    CHECK_FALSE(f.home->publish_hungry());
    CHECK(f.home->drain() == 1);
    CHECK(f.home->publish_hungry());
    CHECK(f.home->publish_hungry());
    f.home->withdraw_hungry();
    f.home->withdraw_hungry();
    f.home->give_back(frames[1]);
    f.home->release();
}

TEST_CASE("the return that ends hunger wakes once and later ones do not") {
    home_fixture f(4);
    wake_counter counter;
    f.home->adopt();
    f.home->set_waker(counter.waker());
    const auto frames = f.take_all();
    REQUIRE(f.home->publish_hungry());
    elsewhere([&] { f.home->give_back(frames[0]); });
    CHECK(counter.wakes == 1);
    elsewhere([&] {
        f.home->give_back(frames[1]);
        f.home->give_back(frames[2]);
    });
    CHECK(counter.wakes == 1);
    CHECK_FALSE(f.home->publish_hungry());
    f.home->withdraw_hungry();
    f.home->settle();
    CHECK(f.home->drain() == 3);
    REQUIRE(f.home->publish_hungry());
    elsewhere([&] { f.home->give_back(frames[3]); });
    CHECK(counter.wakes == 2);
    CHECK(f.home->drain() == 1);  // withdraws by itself
    f.home->settle();
    f.home->set_waker({});
    f.home->release();
}

TEST_CASE("the return of a whole chain wakes too") {
    home_fixture f(4);
    wake_counter counter;
    f.home->adopt();
    f.home->set_waker(counter.waker());
    const auto frames = f.take_all();
    const frame_chain chain = completed_chain(*f.home, frames);
    REQUIRE(f.home->publish_hungry());
    elsewhere([&] { f.home->give_back(chain); });
    CHECK(counter.wakes == 1);
    CHECK(f.home->drain() == 4);
    f.home->set_waker({});
    f.home->release();
}

TEST_CASE("hunger that was withdrawn or released or drained away wakes nobody") {
    for (const int way : {0, 1, 2}) {
        CAPTURE(way);
        home_fixture f(2);
        wake_counter counter;
        f.home->adopt();
        f.home->set_waker(counter.waker());
        const auto frames = f.take_all();
        REQUIRE(f.home->publish_hungry());
        if (way == 0) { f.home->withdraw_hungry(); }
        if (way == 1) { f.home->release(); }
        if (way == 2) { CHECK(f.home->drain() == 0); }
        elsewhere([&] { f.home->give_back(frames[0]); });
        CHECK(counter.wakes == 0);
        f.home->adopt();
        CHECK(f.home->drain() == 1);
        f.home->set_waker({});
        f.home->give_back(frames[1]);
        f.home->release();
    }
}

TEST_CASE("hunger outlasts its owner when that asks for it, and a census") {
    home_fixture f(2);
    wake_counter counter;
    f.home->adopt();
    f.home->set_waker(counter.waker());
    const auto frames = f.take_all();
    REQUIRE(f.home->publish_hungry());
    f.home->release_hungry();
    CHECK_FALSE(f.home->owned_here());
    REQUIRE(f.home->begin_count());
    CHECK(f.home->drain() == 0);
    f.home->end_count();
    elsewhere([&] { f.home->give_back(frames[0]); });
    CHECK(counter.wakes == 1);
    REQUIRE(f.home->begin_count());
    CHECK(f.home->drain() == 1);
    f.home->end_count();
    elsewhere([&] {
        f.home->adopt();
        f.home->withdraw_hungry();
        REQUIRE(f.home->publish_hungry());
        f.home->release_hungry();
    });
    f.home->adopt();
    f.home->withdraw_hungry();  // what the other thread published
    f.home->settle();
    f.home->set_waker({});
    f.home->give_back(frames[1]);
    CHECK(counter.wakes == 1);
    f.home->release();
}

TEST_CASE("a return by the owner wakes nobody") {
    home_fixture f(1);
    wake_counter counter;
    f.home->adopt();
    f.home->set_waker(counter.waker());
    const auto frames = f.take_all();
    REQUIRE(f.home->publish_hungry());
    f.home->give_back(frames[0]);
    CHECK(counter.wakes == 0);
    CHECK(f.home->free_count() == 1);
    f.home->withdraw_hungry();
    f.home->set_waker({});
    f.home->release();
}

TEST_CASE("hunger without a waker is harmless") {
    home_fixture f(1);
    f.home->adopt();
    const auto frames = f.take_all();
    REQUIRE(f.home->publish_hungry());
    elsewhere([&] { f.home->give_back(frames[0]); });
    CHECK(f.home->drain() == 1);
    f.home->settle();
    f.home->release();
}
