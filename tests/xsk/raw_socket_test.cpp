// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/raw_socket.hpp"

#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cerrno>
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
                const xdp_desc desc = claim.next();
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
