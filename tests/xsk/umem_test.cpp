// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/umem.hpp"

#include "fluxnet/xsk/memory/packet.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/mapped.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using test::dies;
using test::is_mapped;
using test::why_no_assertions;

static_assert(std::is_nothrow_copy_constructible_v<umem> && std::is_nothrow_move_constructible_v<umem>);
static_assert(umem_config{}.packet_capacity() == 1536);

namespace {

umem_config small_config(std::uint32_t frames) {
    umem_config config;
    config.frame_count = frames;
    return config;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

packet make_packet(frame_home& home) {
    return packet::from_raw(home, {home.addr_of(home.at(*home.take()) + 256), 64, 0});
}

}  // namespace

TEST_CASE("a configuration that cannot work is refused by name and value with a remedy") {
    const struct {
        const char* name;
        std::uint32_t value;
        void (*spoil)(umem_config&, std::uint32_t);
    } table[] = {
        {"frame size", 0, [](umem_config& c, std::uint32_t v) { c.frame_size = v; }},
        {"frame size", 1024, [](umem_config& c, std::uint32_t v) { c.frame_size = v; }},
        {"frame size", 3000, [](umem_config& c, std::uint32_t v) { c.frame_size = v; }},
        {"frame size", 8192, [](umem_config& c, std::uint32_t v) { c.frame_size = v; }},
        {"frame count", 0, [](umem_config& c, std::uint32_t v) { c.frame_count = v; }},
        {"headroom", 1729, [](umem_config& c, std::uint32_t v) { c.headroom = v; }},
        {"headroom", 2048, [](umem_config& c, std::uint32_t v) { c.headroom = v; }},
        {"headroom", 1U << 31, [](umem_config& c, std::uint32_t v) { c.headroom = v; }},
        {"headroom", 0xffff'ff00U, [](umem_config& c, std::uint32_t v) { c.headroom = v; }},
        {"headroom", 0xffff'ffffU, [](umem_config& c, std::uint32_t v) { c.headroom = v; }},
        {"fill ring size", 0, [](umem_config& c, std::uint32_t v) { c.fill_ring = v; }},
        {"fill ring size", 1000, [](umem_config& c, std::uint32_t v) { c.fill_ring = v; }},
        {"completion ring size", 0, [](umem_config& c, std::uint32_t v) { c.completion_ring = v; }},
        {"completion ring size", 2049, [](umem_config& c, std::uint32_t v) { c.completion_ring = v; }},
    };
    for (const auto& row : table) {
        umem_config config;
        row.spoil(config, row.value);
        const auto checked = validate(config);
        const auto made = umem::create(config);
        CAPTURE(row.name);
        CAPTURE(row.value);
        REQUIRE_FALSE(checked.has_value());
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error().code == errc::invalid_option);
        CHECK(made.error().code == std::errc::invalid_argument);
        CHECK(contains(made.error().message(), row.name));
        CHECK(contains(made.error().message(), std::to_string(row.value)));
        CHECK_FALSE(made.error().cause.empty());
        CHECK_FALSE(made.error().remedy.empty());
    }
    umem_config config;
    config.frame_size = 16'384;  // for an MTU of 9000, say, which takes another remedy
    CHECK(contains(validate(config).error().remedy, "lower the MTU"));
}

TEST_CASE("the limits of a configuration are accepted") {
    umem_config config = small_config(1);
    config.headroom = 1728;  // leaves 64 bytes
    config.fill_ring = config.completion_ring = 1;
    CHECK(validate(config).has_value());
    CHECK(config.packet_capacity() == 64);
    CHECK(umem::create(config).has_value());
    config = small_config(1);
    config.headroom = 0;
    CHECK(config.packet_capacity() == 1792);
    config.frame_size = 4096;
    CHECK(validate(config).has_value());
    CHECK(config.packet_capacity() == 3840);
}

TEST_CASE("more memory than there is answers out of memory with the size") {
    umem_config config;
    config.frame_count = 0xffff'ffffU;
    config.frame_size = 4096;
    config.lock_memory = false;
    const auto made = umem::create(config);
    FLUXNET_SKIP_IF(made ? std::optional<std::string>("a machine of 16 TiB") : std::nullopt);
    CHECK(made.error().code == errc::out_of_memory);
    CHECK(contains(made.error().message(), std::to_string(std::uint64_t{0xffff'ffffU} * 4096)));
    CHECK(contains(made.error().remedy, "fewer"));
}

TEST_CASE("the memory is as long as its frames and each lies where its number says") {
    const umem memory = umem::create(small_config(10)).value();
    CHECK(memory);
    CHECK(memory.length() == 10 * 2048);
    CHECK_FALSE(memory.huge());
    CHECK(reinterpret_cast<std::uintptr_t>(memory.base()) % 4096 == 0);
    CHECK(memory.frame({3}).data() == memory.base() + 3 * 2048);
    CHECK(memory.frame({3}).size() == 2048);
    CHECK(memory.bytes_unchecked({5000}, 10).data() == memory.base() + 5000);
    CHECK_FALSE(umem());
}

TEST_CASE("an address is inside when its bytes lie in one frame") {
    const umem memory = umem::create(small_config(10)).value();
    CHECK(memory.contains({0}, 2048));
    CHECK(memory.contains({0}, 0));
    CHECK_FALSE(memory.contains({0}, 2049));
    CHECK_FALSE(memory.contains({1}, 2048));
    CHECK(memory.contains({2047}, 1));
    CHECK_FALSE(memory.contains({2047}, 2));
    CHECK(memory.contains({9 * 2048}, 2048));
    CHECK_FALSE(memory.contains({10 * 2048}, 0));
    CHECK_FALSE(memory.contains({~std::uint64_t{0}}, 1));
    CHECK_FALSE(memory.contains({~std::uint64_t{0} - 2047}, 64));
    CHECK_FALSE(memory.contains({std::uint64_t{1} << 32}, 1));
    CHECK_FALSE(memory.contains({0}, ~0U));
}

TEST_CASE("bytes by address are those of the frame around it") {
    const umem memory = umem::create(small_config(10)).value();
    CHECK(memory.bytes({5000}, 10).data() == memory.base() + 5000);
    CHECK(memory.bytes({5000}, 10).size() == 10);
    CHECK(memory.bytes({9 * 2048}, 2048).size() == 2048);
    CHECK(memory.index_of({0}).value == 0);
    CHECK(memory.index_of({2047}).value == 0);
    CHECK(memory.index_of({2048 + 512}).value == 1);
    CHECK(memory.index_of({10 * 2048 - 1}).value == 9);
    CHECK(memory.addr_of({9}).value == 9 * 2048);
    for (std::uint32_t frame = 0; frame < 10; ++frame) { CHECK(memory.index_of(memory.addr_of({frame})).value == frame); }
}

TEST_CASE("bytes and frames outside the memory are stopped by an assertion") {
    FLUXNET_SKIP_IF(why_no_assertions());
    const umem memory = umem::create(small_config(10)).value();
    CHECK(dies([&] { static_cast<void>(memory.bytes({2000}, 60)); }));
    CHECK(dies([&] { static_cast<void>(memory.bytes({10 * 2048}, 1)); }));
    CHECK(dies([&] { static_cast<void>(memory.bytes({~std::uint64_t{0}}, 1)); }));
    CHECK(dies([&] { static_cast<void>(memory.frame({10})); }));
    CHECK(dies([&] { static_cast<void>(memory.index_of({10 * 2048})); }));
    CHECK(dies([&] { static_cast<void>(memory.addr_of({10})); }));
}

TEST_CASE("huge pages are used or done without") {
    umem_config config = small_config(10);
    config.huge_pages = true;
    const umem memory = umem::create(config).value();
    CHECK(memory.length() == (memory.huge() ? std::size_t{2} << 20 : std::size_t{10 * 2048}));
    // What lies behind the last frame belongs to no frame, however long the mapping is.
    CHECK(memory.contains({9 * 2048}, 64));
    CHECK_FALSE(memory.contains({10 * 2048}, 64));
    frame_home* home = memory.pool().make_home(10);
    home->adopt();
    packet one = make_packet(*home);
    CHECK(one.set_len(1000));
    one.reset();
    home->release();
}

TEST_CASE("copies of a handle name the same memory") {
    umem first = umem::create(small_config(4)).value();
    const umem second = first;
    const umem other = umem::create(small_config(4)).value();
    CHECK(first == second);
    CHECK(first != other);
    CHECK(first.base() == second.base());
    frame_home* home = first.pool().make_home(4);
    CHECK(second.owns(*home));
    CHECK_FALSE(other.owns(*home));
    umem moved = std::move(first);
    CHECK_FALSE(first);
    CHECK(moved == second);
    umem& same = moved;
    moved = same;
    CHECK(moved == second);
    moved = other;
    CHECK(moved == other);
    CHECK(is_mapped(second.base()));
}

TEST_CASE("the last handle unmaps the memory") {
    umem first = umem::create(small_config(64)).value();
    const std::byte* base = first.base();
    REQUIRE(first.pool().make_home(64) != nullptr);
    umem second = first;
    first = {};
    CHECK(is_mapped(base));
    second = {};
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("packets keep the memory until the last of them is dropped") {
    umem memory = umem::create(small_config(64)).value();
    const std::byte* base = memory.base();
    frame_home* home = memory.pool().make_home(32);
    frame_home* other = memory.pool().make_home(32);
    home->adopt();
    std::vector<packet> held;
    held.push_back(make_packet(*home));
    held.push_back(make_packet(*home));
    home->release();
    other->adopt();
    held.push_back(make_packet(*other));
    other->release();
    memory = {};
    CHECK(is_mapped(base));
    held[0].data()[0] = std::byte{7};
    CHECK(held[0].data()[0] == std::byte{7});
    held.erase(held.begin());
    CHECK(is_mapped(base));
    std::thread([last = std::move(held[1])] {}).join();
    CHECK(is_mapped(base));
    held.clear();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("frames that were returned before the last handle went are not waited for") {
    umem memory = umem::create(small_config(64)).value();
    const std::byte* base = memory.base();
    frame_home* home = memory.pool().make_home(64);
    home->adopt();
    packet stacked = make_packet(*home);
    packet local = make_packet(*home);
    packet kept = make_packet(*home);
    local.reset();
    std::thread([one = std::move(stacked)] {}).join();  // stays on the stack
    home->release();
    memory = {};
    CHECK(is_mapped(base));
    kept.reset();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("frames that the kernel has when the last handle goes are not waited for") {
    umem memory = umem::create(small_config(64)).value();
    const std::byte* base = memory.base();
    frame_home* home = memory.pool().make_home(64);
    tx_ledger& ledger = memory.pool().make_ledger();
    home->adopt();
    packet sent = make_packet(*home);
    packet kept = make_packet(*home);
    home->submitted(home->index_of(std::move(sent).into_raw().addr));
    ledger.submitted.add(1);
    home->release();
    memory = {};
    CHECK(is_mapped(base));
    kept.reset();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("a home released while hungry lets the last handle go") {
    umem memory = umem::create(small_config(4)).value();
    const std::byte* base = memory.base();
    frame_home* home = memory.pool().make_home(4);
    home->adopt();
    packet kept = make_packet(*home);
    CHECK(home->publish_hungry());
    home->release();
    memory = {};
    CHECK(is_mapped(base));
    std::thread([one = std::move(kept)] {}).join();
    CHECK_FALSE(is_mapped(base));
}
