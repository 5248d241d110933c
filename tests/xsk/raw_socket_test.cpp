// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/raw_socket.hpp"

#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(!std::is_copy_constructible_v<raw_socket> && std::is_nothrow_move_constructible_v<raw_socket>);

TEST_CASE("a raw socket receives and sends through rings that the user fills") {
    fake_kernel fake;
    fake.first_index = 0xffff'fffeU;
    {
        raw_socket socket = sim_builder(fake, 8, 8).prefill(0).build_raw().value();
        CHECK(fake.binds().back().stocked == 0);
        {
            auto slots = socket.fill.reserve(4);
            for (std::uint64_t frame = 0; frame < 4; ++frame) { CHECK(slots.push({frame * 2048})); }
        }
        for (unsigned i = 0; i < 4; ++i) { CHECK(fake.deliver(payload(60 + i, i))); }
        CHECK_FALSE(fake.deliver(payload(60, 9)));
        {
            auto claim = socket.rx.consume();
            REQUIRE(claim.size() == 4);
            auto slots = socket.tx.reserve(4);
            for (unsigned i = 0; i < 4; ++i) {
                const fluxnet::xdp_desc desc = claim.next();
                CHECK(desc.addr.value == i * 2048U + 256 + 256);
                REQUIRE(socket.umem.contains(desc.addr, desc.len));
                CHECK(same(socket.umem.bytes_unchecked(desc.addr, desc.len), payload(60 + i, i)));
                slots.push(desc);
            }
        }
        CHECK(socket.needs_wakeup_tx());
        CHECK_FALSE(socket.needs_wakeup_rx());
        CHECK_FALSE(socket.wakeup_tx());
        const auto sent = fake.take_sent();
        REQUIRE(sent.size() == 4);
        for (unsigned i = 0; i < 4; ++i) { CHECK(same(sent[i], payload(60 + i, i))); }
        CHECK(socket.comp.available() == 4);
        auto done = socket.comp.consume();
        CHECK(done.next().value == 512);
        CHECK(socket.statistics().fill_ring_empty == 1);
        CHECK(socket.statistics().rx_dropped == 1);
    }
    check_nothing_left(fake);
}

TEST_CASE("a raw socket tells what it is bound to") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 4;
    raw_socket socket = sim_builder(fake).queue(3).build_raw().value();
    CHECK(socket.fd() >= 0);
    CHECK(socket.queue() == 3);
    CHECK(socket.interface().name == "fake0");
    CHECK(socket.interface().index == 7);
    CHECK(socket.interface().mtu == 1500);
    CHECK_FALSE(socket.zero_copy());
    CHECK(socket.redirect() == nullptr);
    CHECK(socket.refusals().empty());
    CHECK(fake.binds().back().stocked == socket.fill.pending());
}

TEST_CASE("the first half of the frames stocks the fill ring of a raw socket before it is bound") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).build_raw().value();
    CHECK(fake.binds().back().stocked == 4);
    for (std::uint64_t frame = 0; frame < 4; ++frame) {
        REQUIRE(fake.deliver(payload(60, 1)));
        auto claim = socket.rx.consume();
        REQUIRE(claim.size() == 1);
        CHECK(claim.next().addr.value == frame * 2048 + 512);
    }
    CHECK_FALSE(fake.deliver(payload(60, 1)));
}

TEST_CASE("more frames than there are cannot be in the fill ring") {
    fake_kernel fake;
    const auto opened = sim_builder(fake, 8, 8).prefill(9).build_raw();
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == errc::invalid_option);
    CHECK(opened.error().message().find("prefill 9") != std::string::npos);
}

TEST_CASE("a moved raw socket stays open until the last one goes") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    {
        raw_socket first = sim_builder(fake).build_raw().value();
        const int fd = first.fd();
        raw_socket second = std::move(first);
        CHECK(second.fd() == fd);
        CHECK(fake.live_fds() == 1);
        raw_socket other = sim_builder(fake).queue(1).build_raw().value();
        CHECK(fake.live_fds() == 2);
        other = std::move(second);
        CHECK(other.fd() == fd);
        CHECK(other.queue() == 0);
        CHECK(fake.live_fds() == 1);
        CHECK(fake.live_mappings() == 4);
        CHECK(other.fill.reserve(1).push({0}));
        CHECK(fake.deliver(payload(60, 0), fd));
        CHECK(other.rx.available() == 1);
    }
    check_nothing_left(fake);
}

TEST_CASE("the answer of a kick is sorted into what ends a handle and what does not") {
    for (const int again : {0, EAGAIN, EBUSY, ENOBUFS, EINTR}) { CHECK_FALSE(classify_kick(-again)); }
    CHECK_FALSE(classify_kick(42));
    CHECK(classify_kick(-ENETDOWN) == errc::link_down);
    for (const int gone : {ENXIO, ENODEV, EBADF}) { CHECK(classify_kick(-gone) == errc::interface_gone); }
    for (const int other : {EOPNOTSUPP, EIO, EPERM, EINVAL}) { CHECK(classify_kick(-other) == errc::system_failure); }
}

TEST_CASE("wake-ups of a raw socket hand on what the kernel answered") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake).build_raw().value();
    CHECK_FALSE(socket.wakeup_rx());
    fake.set_link(false);
    CHECK(socket.wakeup_rx() == errc::link_down);
    CHECK(socket.wakeup_tx() == errc::link_down);
    fake.set_link(true);
    fake.fail(fake_call::kick_tx, 1, EOPNOTSUPP);
    CHECK(socket.wakeup_tx() == errc::system_failure);
    CHECK_FALSE(socket.wakeup_tx());
    fake.remove_interface();
    CHECK(socket.wakeup_tx() == errc::interface_gone);
    CHECK(socket.wakeup_rx() == errc::interface_gone);
}

TEST_CASE("statistics that cannot be had read as zero") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake).build_raw().value();
    CHECK_FALSE(fake.deliver(payload(2000, 0)));
    CHECK(socket.statistics().rx_dropped == 1);
    fake.fail(fake_call::statistics, 1, EOPNOTSUPP);
    CHECK(socket.statistics().rx_dropped == 0);
}

namespace {

/// Checks a census that is to be exact, number by number.
void check_frames(const frame_census& census, std::int64_t fill, std::int64_t rx, std::int64_t tx, std::int64_t completion,
                  std::int64_t user) {
    CHECK(census.exact);
    CHECK(census.free == 0);
    CHECK(census.fill == fill);
    CHECK(census.rx == rx);
    CHECK(census.tx == tx);
    CHECK(census.completion == completion);
    CHECK(census.user == user);
    CHECK(census.sum() == census.frames);
}

}  // namespace

TEST_CASE("the rings of a raw socket say where they stand") {
    fake_kernel fake;
    fake.first_index = 0xffff'fffeU;
    raw_socket socket = sim_builder(fake, 8, 8).prefill(4).build_raw().value();
    REQUIRE(fake.deliver(payload(60, 1)));
    CHECK(socket.tx.reserve(1).push({{5 * 2048}, 60, 0}));
    fake.set_needs_wakeup(fake_ring::fill, true);
    const raw_rings_state rings = socket.rings();
    CHECK(rings.fill == ring_state{8, 2, 0xffff'ffffU, 3, 5, true, false});
    CHECK(rings.rx == ring_state{8, 0xffff'ffffU, 0xffff'fffeU, 1, 7, false, false});
    CHECK(rings.tx == ring_state{8, 0xffff'ffffU, 0xffff'fffeU, 1, 7, true, false});
    CHECK(rings.comp == ring_state{8, 0xffff'fffeU, 0xffff'fffeU, 0, 8, false, false});
    CHECK(contains(to_string(rings), "fill: size 8 producer 2 consumer 4294967295 waiting 3 free 5 needs_wakeup\n"));
}

TEST_CASE("a ring that was found corrupt is reported so for good") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).build_raw().value();
    fake.write_producer(fake_ring::rx, 100);
    CHECK(socket.rings().rx.corrupt);
    CHECK_FALSE(socket.census(4).exact);
    CHECK(socket.rx.available() == 0);
    fake.write_producer(fake_ring::rx, 0);
    CHECK(socket.rings().rx.corrupt);
    CHECK_FALSE(socket.rings().fill.corrupt);
    CHECK_FALSE(socket.census(4).exact);
}

TEST_CASE("the census of a raw socket follows each frame around its rings and across the end of the index") {
    fake_kernel fake;
    fake.first_index = 0xffff'fffdU;
    raw_socket socket = sim_builder(fake, 8, 8).prefill(5).build_raw().value();
    std::uint32_t in_hand = 3;
    check_frames(socket.census(in_hand), 5, 0, 0, 0, 3);

    for (unsigned i = 0; i < 4; ++i) { REQUIRE(fake.deliver(payload(60, i))); }
    check_frames(socket.census(in_hand), 1, 4, 0, 0, 3);

    std::array<fluxnet::xdp_desc, 3> got;
    {
        auto claim = socket.rx.consume(3);
        for (fluxnet::xdp_desc& desc : got) { desc = claim.next(); }
    }
    in_hand += 3;
    check_frames(socket.census(in_hand), 1, 1, 0, 0, 6);

    fake.hold_completions(true);
    {
        auto slots = socket.tx.reserve(3);
        for (const fluxnet::xdp_desc& desc : got) { CHECK(slots.push(desc)); }
    }
    in_hand -= 3;
    check_frames(socket.census(in_hand), 1, 1, 3, 0, 3);
    CHECK_FALSE(socket.wakeup_tx());  // out of the ring and not completed: out of sight
    CHECK(socket.tx.pending() == 0);
    check_frames(socket.census(in_hand), 1, 1, 3, 0, 3);
    CHECK(fake.release_completions(2) == 2);
    check_frames(socket.census(in_hand), 1, 1, 1, 2, 3);

    std::uint32_t reaped = 0;
    {
        auto done = socket.comp.consume();
        auto slots = socket.fill.reserve(done.size());
        for (; done.remaining() != 0; ++reaped) { CHECK(slots.push(done.next())); }
    }
    CHECK(reaped == 2);
    check_frames(socket.census(in_hand), 3, 1, 1, 0, 3);
}

TEST_CASE("a packet that the kernel dropped for a full RX ring stays in the ledger of the fill ring") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).rx_ring(2).prefill(4).build_raw().value();
    REQUIRE(fake.deliver(payload(60, 0)));
    REQUIRE(fake.deliver(payload(60, 1)));
    CHECK_FALSE(fake.deliver(payload(60, 2)));
    check_frames(socket.census(4), 2, 2, 0, 0, 4);
}

TEST_CASE("a frame that is lost or held twice shows in the sum") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).build_raw().value();
    CHECK(socket.census(4).sum() == 8);
    CHECK(socket.census(3).sum() == 7);
    CHECK(socket.fill.reserve(1).push({0}));  // frame 0 is there already, and not in hand
    CHECK(socket.census(4).sum() == 9);
}

TEST_CASE("a bad address in the fill ring is swallowed by the kernel and spoils the census by one") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).prefill(0).build_raw().value();
    {
        auto slots = socket.fill.reserve(2);
        CHECK(slots.push({8 * 2048}));
        CHECK(slots.push({0}));
    }
    REQUIRE(fake.deliver(payload(60, 0)));
    CHECK(socket.rx.available() == 1);
    CHECK(socket.census(7).sum() == 9);
}

TEST_CASE("sockets on two queues share one memory and frames move between them") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    const umem memory = umem::create(sim_builder(fake, 16, 8).memory()).value();
    const builder options = sim_builder(fake, 16, 8).prefill(4);
    raw_socket first = builder(options).queue(0).over(memory).build_raw().value();
    raw_socket second = builder(options).queue(1).over(memory).build_raw().value();
    CHECK(memory.pool().unassigned() == 8);
    const std::array<const raw_socket*, 2> both{&first, &second};
    check_frames(census_of(both, 8), 8, 0, 0, 0, 8);

    std::set<std::uint32_t> seen;
    for (raw_socket* socket : {&first, &second}) {
        for (unsigned i = 0; i < 4; ++i) {
            REQUIRE(fake.deliver(payload(60, i), socket->fd()));
            auto claim = socket->rx.consume();
            REQUIRE(claim.size() == 1);
            const fluxnet::xdp_desc desc = claim.next();
            CHECK(same(memory.bytes(desc.addr, desc.len), payload(60, i)));
            seen.insert(memory.index_of(desc.addr).value);
            CHECK(second.tx.reserve(1).push(desc));
        }
    }
    CHECK(seen == std::set<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7});
    check_frames(census_of(both, 8), 0, 0, 8, 0, 8);
    CHECK_FALSE(second.wakeup_tx());
    CHECK(fake.take_sent().size() == 8);
    check_frames(census_of(both, 8), 0, 0, 0, 8, 8);
    CHECK(first.census(8).sum() == 8);  // what was sent on the second is not in its ledgers
}

TEST_CASE("a second socket cannot be given more frames than the first has left") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 2;
    const umem memory = umem::create(sim_builder(fake, 8, 8).memory()).value();
    const raw_socket first = sim_builder(fake, 8, 8).prefill(6).over(memory).build_raw().value();
    const auto refused = sim_builder(fake, 8, 8).queue(1).prefill(3).over(memory).build_raw();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::invalid_option);
    CHECK(refused.error().message().find("prefill 3") != std::string::npos);
    CHECK(fake.live_fds() == 1);
    const raw_socket second = sim_builder(fake, 8, 8).queue(1).over(memory).build_raw().value();
    CHECK(second.rings().fill.waiting == 2);
}

TEST_CASE("a check of a raw socket finds the interface gone") {
    fake_kernel fake;
    raw_socket socket = sim_builder(fake, 8, 8).build_raw().value();
    CHECK_FALSE(socket.check());
    fake.remove_interface();
    CHECK(socket.check() == errc::interface_gone);
    CHECK(socket.check() == errc::interface_gone);
}
