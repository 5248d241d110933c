// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/detail/checked.hpp"

#include "fluxnet/xsk/memory/packet.hpp"
#include "fluxnet/xsk/memory/umem.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <utility>

using namespace fluxnet;
using detail::checked_build;
using detail::frame_state;

namespace {

struct checked_fixture {
    checked_fixture() {
        umem_config config;
        config.frame_count = 4;
        memory = umem::create(config).value();
        home = memory.pool().make_home(4);
        home->adopt();
    }
    ~checked_fixture() { home->release(); }

    packet make() {
        const frame_index frame = *home->take();
        return packet::from_raw(*home, {home->addr_of(home->at(frame)), 64, 0});
    }

    umem memory;
    frame_home* home = nullptr;
};

}  // namespace

TEST_CASE("the checked build counts the frames in each state") {
    checked_fixture f;
    const packet held = f.make();
    auto& checker = f.memory.pool().checker();
    CHECK(checker.count(frame_state::user) == (checked_build ? 1U : 0U));
    CHECK(checker.count(frame_state::free) == (checked_build ? 3U : 0U));
    CHECK(checker.count(frame_state::fill) == 0);
    CHECK(checker.count(frame_state::tx) == 0);
}

TEST_CASE("the checked build stops a frame that is returned twice") {
    FLUXNET_SKIP_IF(test::why_not_checked());
    CHECK(test::dies([] {
        checked_fixture f;
        packet one = f.make();
        const fluxnet::xdp_desc desc = std::move(one).into_raw();
        { const packet first = packet::from_raw(*f.home, desc); }
        { const packet second = packet::from_raw(*f.home, desc); }
    }));
}

TEST_CASE("the checked build stops a frame that is submitted twice") {
    FLUXNET_SKIP_IF(test::why_not_checked());
    CHECK(test::dies([] {
        checked_fixture f;
        packet one = f.make();
        const frame_index frame = f.home->index_of(std::move(one).into_raw().addr);
        f.home->submitted(frame);
        f.home->submitted(frame);
    }));
}

TEST_CASE("the checked build stops a frame that is returned while the kernel has it") {
    FLUXNET_SKIP_IF(test::why_not_checked());
    CHECK(test::dies([] {
        checked_fixture f;
        packet one = f.make();
        f.home->submitted(f.home->index_of(f.home->addr_of(one.data().data())));
        one.reset();
    }));
}

TEST_CASE("the checked build stops a frame outside the UMEM") {
    FLUXNET_SKIP_IF(test::why_not_checked());
    CHECK(test::dies([] {
        checked_fixture f;
        f.home->submitted(frame_index{4});
    }));
}

#if defined(FLUXNET_ADDRESS_SANITIZER) && defined(FLUXNET_CHECKED)
TEST_CASE("bytes of a frame that is not the user's are poisoned") {
    checked_fixture f;
    std::byte* bytes = nullptr;
    {
        packet one = f.make();
        bytes = one.data().data();
        CHECK_FALSE(__asan_address_is_poisoned(bytes));
        const fluxnet::xdp_desc desc = std::move(one).into_raw();
        f.home->submitted(f.home->index_of(desc.addr));
        CHECK(__asan_address_is_poisoned(bytes));
        CHECK(__asan_address_is_poisoned(bytes + 2047));
        CHECK(f.home->completed(f.home->index_of(desc.addr)));
        f.home->give_back({0, 0, 1});
    }
    CHECK(__asan_address_is_poisoned(bytes));
}

TEST_CASE("memory that is unmapped leaves no poison behind") {
    const std::byte* bytes = nullptr;
    {
        const checked_fixture f;
        bytes = f.memory.base();
        CHECK(__asan_address_is_poisoned(bytes));
    }
    CHECK_FALSE(__asan_address_is_poisoned(bytes));
}
#endif
