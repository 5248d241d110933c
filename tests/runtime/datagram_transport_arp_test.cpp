// SPDX-License-Identifier: BSD-3-Clause
// How a datagram_transport over frames finds stations by ARP: over a simulated wire, in virtual time.
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/transport/datagram_transport.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

constexpr std::uint8_t near_host = 1;
constexpr std::uint8_t far_host = 2;
constexpr std::uint8_t nobody = 99;

proto::ip_endpoint at_host(std::uint8_t host) {
    return {proto::ipv4_address(192, 0, 2, host), 7000};
}

/// A wire with a transport at its near end, and one at its far end when the test opens it. Neither was told of the other.
struct two_stations {
    two_stations() { clock.attach(wire); }

    datagram_options options(simulated_wire::end which, std::uint8_t host, unsigned requests = 3) {
        datagram_options wanted;
        wanted.local = at_host(host);
        wanted.order = {datagram_rung::af_xdp};
        wanted.frames = wire.socket_on(which).frames(64).tx_frames(16);
        wanted.hardware = proto::mac_address({0x02, 0, 0, 0, 1, host});
        wanted.arp_requests = requests;
        return wanted;
    }
    datagram_transport open(simulated_wire::end which, std::uint8_t host, unsigned requests = 3) {
        return datagram_transport::open(loop, options(which, host, requests)).value();
    }
    void open_far() { far.emplace(open(simulated_wire::end::right, far_host)); }

    /// The time that has passed.
    [[nodiscard]] std::chrono::nanoseconds elapsed() const { return clock.elapsed(); }
    /// Frames that the near end has sent.
    [[nodiscard]] std::uint64_t sent() const { return wire.counts(simulated_wire::end::left).offered; }

    simulated_wire wire;
    virtual_clock clock{1};
    executor loop{clock};
    datagram_transport near = open(simulated_wire::end::left, near_host);
    std::optional<datagram_transport> far;
};

/// Sends one octet, and expects that to end so.
task<void> send_octet(datagram_transport& from, std::uint8_t host, std::error_code expected = {}, std::uint8_t octet = 1) {
    const std::array bytes{std::byte{octet}};
    const io_result sent = co_await from.send_to(bytes, at_host(host));
    CHECK(sent.ec == expected);
    CHECK(sent.n == (expected ? 0 : 1));
}

const std::error_code unreachable = std::make_error_code(std::errc::host_unreachable);

/// Receives one octet.
task<std::uint8_t> receive_octet(datagram_transport& at) {
    std::array<std::byte, 4> room{};
    const datagram_result got = co_await at.recv_from(room);
    CHECK_FALSE(got.ec);
    CHECK(got.n == 1);
    co_return std::to_integer<std::uint8_t>(room[0]);
}

task<void> expect_octet(datagram_transport& at, std::uint8_t expected) {
    const std::uint8_t got = co_await receive_octet(at);
    CHECK(got == expected);
}

task<void> wait_until(two_stations& here, std::chrono::nanoseconds time) {
    static_cast<void>(co_await sleep_for(time - here.elapsed()));
}

}  // namespace

TEST_CASE("two transports that were told nothing exchange datagrams after one request") {
    two_stations here;
    here.open_far();
    here.loop.spawn([&]() -> task<void> {
        co_await expect_octet(*here.far, 5);
        co_await send_octet(*here.far, near_host, {}, 6);
    });
    here.loop.spawn([&]() -> task<void> {
        co_await send_octet(here.near, far_host, {}, 5);
        co_await expect_octet(here.near, 6);
    });
    here.loop.run();
    CHECK(here.near.count().arp_answers == 1);
    CHECK(here.far->count().arp_replies == 1);
    CHECK(here.far->count().arp_answers == 0);  // it had heard who asked
    CHECK(here.sent() == 2);
}

TEST_CASE("a send asks three times and gives up after three seconds, and the next one begins anew") {
    two_stations here;
    for (unsigned round = 1; round <= 2; ++round) {
        here.loop.run(send_octet(here.near, nobody, unreachable));
        CHECK(here.elapsed() == round * 3s);
        CHECK(here.sent() == round * 3);
    }
}

TEST_CASE("many sends to one address ask as often as one") {
    two_stations here;
    for (int i = 0; i != 10; ++i) { here.loop.spawn(send_octet(here.near, nobody, unreachable)); }
    here.loop.run();
    CHECK(here.elapsed() == 3s);
    CHECK(here.sent() == 3);
}

TEST_CASE("sends to many addresses wait for one another's answers and each gets its own") {
    two_stations here;
    here.open_far();
    here.loop.spawn(expect_octet(*here.far, 1));
    for (std::uint8_t host = 60; host != 70; ++host) { here.loop.spawn(send_octet(here.near, host, unreachable)); }
    here.loop.spawn(send_octet(here.near, far_host));
    here.loop.run();
    CHECK(here.elapsed() == 3s);
    CHECK(here.sent() == 32);
}

TEST_CASE("a peer that comes late is found by a later request") {
    two_stations here;
    here.loop.spawn([&]() -> task<void> {
        co_await wait_until(here, 1500ms);
        here.open_far();
        co_await expect_octet(*here.far, 1);
        CHECK(here.elapsed() == 2s);
    });
    here.loop.spawn(send_octet(here.near, far_host));
    here.loop.run();
    CHECK(here.sent() == 4);
}

TEST_CASE("what cannot be asked for is unreachable at once") {
    two_stations here;
    here.near = here.open(simulated_wire::end::right, near_host, 0);
    here.loop.run(send_octet(here.near, nobody, unreachable));
    here.near = here.open(simulated_wire::end::left, near_host);
    here.loop.run(send_octet(here.near, near_host, unreachable));
    here.loop.run([](two_stations& in) -> task<void> {
        const std::array<std::byte, 1> bytes{};
        for (const char* const address : {"127.0.0.1:7", "0.0.0.1:7"}) {
            const io_result sent = co_await in.near.send_to(bytes, *proto::ip_endpoint::parse(address));
            CHECK(sent.ec == unreachable);
        }
        const io_result forbidden = co_await in.near.send_to(bytes, *proto::ip_endpoint::parse("255.255.255.255:7"));
        CHECK(forbidden.ec == std::errc::permission_denied);
    }(here));
    CHECK(here.elapsed() == 0s);
    CHECK(here.sent() == 0);
}

TEST_CASE("datagrams to groups and to broadcast addresses go to the link at once") {
    two_stations here;
    { const datagram_transport gone = std::move(here.near); }
    datagram_options wanted = here.options(simulated_wire::end::left, near_host);
    wanted.kernel.broadcast = true;
    wanted.prefix_length = 24;
    wanted.gateway = proto::mac_address({0x02, 0, 0, 0, 1, 77});  // not theirs
    here.near = datagram_transport::open(here.loop, std::move(wanted)).value();
    async_sockets wire = open_async(here.loop, here.wire.socket_on(simulated_wire::end::right).frames(64)).value();
    here.loop.run([](two_stations& in, async_sockets& far) -> task<void> {
        const std::array<std::byte, 1> bytes{};
        const auto all = proto::mac_address::broadcast();
        const std::array<std::pair<const char*, proto::mac_address>, 4> cases{{
            {"255.255.255.255:7", all},
            {"192.0.2.255:7", all},
            {"224.0.0.1:7", proto::mac_address({0x01, 0, 0x5e, 0, 0, 1})},
            {"239.129.2.3:7", proto::mac_address({0x01, 0, 0x5e, 0x01, 2, 3})},
        }};
        for (const auto& [address, hardware] : cases) {
            CAPTURE(address);
            const io_result sent = co_await in.near.send_to(bytes, *proto::ip_endpoint::parse(address));
            CHECK_FALSE(sent.ec);
            packet one;
            const io_result got = co_await far.rx.recv(one);
            REQUIRE(got.n == 1);
            const auto frame = proto::ethernet_view::parse(std::as_const(one).data());
            REQUIRE(frame.has_value());
            CHECK(frame->destination() == hardware);
            const auto datagram = proto::ipv4_view::parse(frame->payload());
            REQUIRE(datagram.has_value());
            CHECK(datagram->time_to_live() == (hardware == all ? 64 : 1));
        }
    }(here, wire));
    CHECK(here.elapsed() == 0s);
}

TEST_CASE("a network's broadcast address is not asked for where broadcast is not allowed") {
    two_stations here;
    { const datagram_transport gone = std::move(here.near); }
    datagram_options wanted = here.options(simulated_wire::end::left, near_host);
    wanted.prefix_length = 24;
    here.near = datagram_transport::open(here.loop, std::move(wanted)).value();
    here.loop.run(send_octet(here.near, 255, std::make_error_code(std::errc::permission_denied)));
    CHECK(here.elapsed() == 0s);
    wanted = here.options(simulated_wire::end::left, near_host);
    wanted.prefix_length = 33;
    CHECK(datagram_transport::open(here.loop, std::move(wanted)).error().code == errc::invalid_option);
}

TEST_CASE("a send to an unknown peer says that the link is down, at once and when it goes down meanwhile") {
    two_stations here;
    here.wire.set_link(simulated_wire::end::left, wire_link::down);
    here.loop.run(send_octet(here.near, nobody, errc::link_down));
    CHECK(here.elapsed() == 0s);
    here.wire.set_link(simulated_wire::end::left, wire_link::up);
    here.loop.spawn(send_octet(here.near, nobody, errc::link_down));
    here.loop.spawn([](two_stations& in) -> task<void> {
        co_await wait_until(in, 500ms);
        in.wire.set_link(simulated_wire::end::left, wire_link::down);
    }(here));
    here.loop.run();
    CHECK(here.elapsed() == 3s);
}

TEST_CASE("a send that waits for an answer is cancelled at once") {
    two_stations here;
    here.loop.run([](two_stations& in) -> task<void> {
        const std::array<std::byte, 1> bytes{};
        const timed<io_result> sent = co_await timeout(100ms, in.near.send_to(bytes, at_host(nobody)));
        CHECK(sent.expired);
        CHECK(sent.value.ec == errc::operation_canceled);
        CHECK(in.elapsed() == 100ms);
    }(here));
    CHECK(here.sent() == 1);
}

TEST_CASE("datagrams that come while only a send waits are kept for the next receives as far as there is room") {
    two_stations here;
    here.open_far();
    here.loop.spawn(send_octet(here.near, nobody, unreachable));
    here.loop.spawn([&]() -> task<void> {
        for (std::uint8_t octet = 0; octet != 20; ++octet) { co_await send_octet(*here.far, near_host, {}, octet); }
    });
    here.loop.run();
    CHECK(here.near.count().arp_replies == 1);  // the far end was answered meanwhile
    std::vector<std::uint8_t> got;
    here.loop.run([](two_stations& in, std::vector<std::uint8_t>& all) -> task<void> {
        for (;;) {
            const timed<std::uint8_t> one = co_await timeout(1ms, [](datagram_transport& at) -> task<std::uint8_t> {
                std::array<std::byte, 4> room{};
                const datagram_result received = co_await at.recv_from(room);
                co_return received.ec ? std::uint8_t{255} : std::to_integer<std::uint8_t>(room[0]);
            }(in.near));
            if (one.expired) { co_return; }
            all.push_back(one.value);
        }
    }(here, got));
    const proto::udp_station::counters count = here.near.count();
    CHECK(count.datagrams == got.size());
    CHECK(count.datagrams + count.unseen == 20);
    CHECK(got.size() == 15);
    for (std::size_t i = 0; i != got.size(); ++i) { CHECK(got[i] == i); }
}

TEST_CASE("a receive that begins while a send waits gets what comes without delay") {
    two_stations here;
    here.open_far();
    here.loop.spawn(send_octet(here.near, nobody, unreachable));
    here.loop.spawn([&]() -> task<void> {
        co_await wait_until(here, 100ms);
        co_await expect_octet(here.near, 7);
        CHECK(here.elapsed() == 250ms);
    });
    here.loop.spawn([&]() -> task<void> {
        co_await wait_until(here, 250ms);
        co_await send_octet(*here.far, near_host, {}, 7);
    });
    here.loop.run();
    CHECK(here.elapsed() == 3s);
}

TEST_CASE("a send finds its peer though the receive that would have heard the answer is given up") {
    two_stations here;
    here.loop.spawn([&]() -> task<void> {
        std::array<std::byte, 4> room{};
        const timed<datagram_result> got = co_await timeout(500ms, here.near.recv_from(room));
        CHECK(got.expired);
        here.open_far();
        co_await expect_octet(*here.far, 1);
        CHECK(here.elapsed() == 1s);
    });
    here.loop.spawn(send_octet(here.near, far_host));
    here.loop.run();
}

TEST_CASE("a transport that is destroyed while a send waits for an answer goes on until that has ended") {
    two_stations here;
    std::optional<datagram_transport> near(std::move(here.near));
    here.loop.spawn(send_octet(*near, nobody, unreachable));
    here.loop.spawn([&]() -> task<void> {
        co_await wait_until(here, 10ms);
        near.reset();
    });
    here.loop.run();
    CHECK(here.elapsed() == 3s);
}
