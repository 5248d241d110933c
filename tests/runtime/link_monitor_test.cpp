// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/detail/link_monitor.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/xsk/program.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/veth_port.hpp"
#include "tests/support/foreign_program.hpp"
#include "tests/support/log_recorder.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<fluxnet::detail::link_monitor>);
static_assert(std::is_abstract_v<fluxnet::detail::link_listener>);

namespace {

using clock_type = std::chrono::steady_clock;

class recorder final : public fluxnet::detail::link_listener {
public:
    explicit recorder(int index) { interface_index = index; }
    void on_interface_gone() noexcept override { ++gone; }
    void on_link(bool is_up) noexcept override { up.push_back(is_up); }
    void on_program_lost() noexcept override { ++lost; }
    void on_address(const std::array<std::uint8_t, 6>& told) noexcept override { address = told; }

    std::array<std::uint8_t, 6> address{};
    int gone = 0;
    int lost = 0;
    std::vector<bool> up;
};

}  // namespace

TEST_CASE("an executor has one monitor for a network namespace") {
    executor loop;
    CHECK(&loop.use_service<fluxnet::detail::link_monitors>().here() ==
          &loop.use_service<fluxnet::detail::link_monitors>().here());
}

TEST_CASE("a listener learns at once that its interface is there or not") {
    executor loop;
    recorder loopback(1);
    recorder nobody(0x7000'0000);
    loop.use_service<fluxnet::detail::link_monitors>().here().add(loopback);
    loop.use_service<fluxnet::detail::link_monitors>().here().add(nobody);
    loop.spawn([]() -> task<void> { static_cast<void>(co_await sleep_for(20ms)); });
    loop.run();
    CHECK(loopback.gone == 0);
    CHECK(loopback.up.size() >= 1);
    CHECK(nobody.gone == 1);
    CHECK(nobody.up.empty());
}

TEST_CASE("an executor has a monitor of its own for every network namespace") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    executor loop;
    fluxnet::detail::link_monitor& outside = loop.use_service<fluxnet::detail::link_monitors>().here();
    const network_namespace place;
    const network_namespace::scoped_enter inside(place);
    CHECK(&loop.use_service<fluxnet::detail::link_monitors>().here() != &outside);
    CHECK(&loop.use_service<fluxnet::detail::link_monitors>().here() ==
          &loop.use_service<fluxnet::detail::link_monitors>().here());
}

TEST_CASE("a listener hears its link go down and up and its interface disappear") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    executor loop;
    recorder ours(static_cast<int>(testbed::ifindex(side::host)));
    loop.use_service<fluxnet::detail::link_monitors>().here().add(ours);
    std::thread other([&] {
        std::this_thread::sleep_for(10ms);
        bed.set_link(side::host, false);
        std::this_thread::sleep_for(10ms);
        bed.set_link(side::host, true);
        bed.wait_until_up(2s);
        std::this_thread::sleep_for(10ms);
        bed.delete_link();
    });
    loop.spawn([&]() -> task<void> {
        while (ours.gone == 0) { static_cast<void>(co_await sleep_for(5ms)); }
    });
    loop.run();
    other.join();
    CHECK(ours.gone >= 1);
    CHECK(ours.lost == 0);
    CHECK(ours.up.front());
    CHECK(std::find(ours.up.begin(), ours.up.end(), false) != ours.up.end());
    CHECK(std::find(std::find(ours.up.begin(), ours.up.end(), false), ours.up.end(), true) != ours.up.end());
}

TEST_CASE("a listener hears the link address of its interface, and a new one") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    executor loop;
    recorder ours(static_cast<int>(testbed::ifindex(side::host)));
    loop.use_service<fluxnet::detail::link_monitors>().here().add(ours);
    const auto wait_for = [&](std::array<std::uint8_t, 6> address) {
        loop.spawn([](recorder& told, std::array<std::uint8_t, 6> expected) -> task<void> {
            while (told.address != expected) { static_cast<void>(co_await sleep_for(1ms)); }
        }(ours, address));
        loop.run();
    };
    wait_for(testbed::mac(side::host));
    const finished done = bed.run(side::host, {"ip", "link", "set", "flux0", "address", "02:00:00:99:00:43"}, 5s);
    REQUIRE_MESSAGE(done.success(), done.output);
    wait_for({0x02, 0, 0, 0x99, 0, 0x43});
    CHECK(ours.gone == 0);
}

TEST_CASE("a monitor survives more messages than its socket holds") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const network_namespace::scoped_enter inside(bed.host());
    executor loop;
    recorder ours(static_cast<int>(testbed::ifindex(side::host)));
    loop.use_service<fluxnet::detail::link_monitors>().here().add(ours);
    // The executor does not look while links change.
    for (int i = 0; i < 200; ++i) {
        bed.set_link(side::host, false);
        bed.set_link(side::host, true);
    }
    bed.delete_link();
    loop.spawn([&]() -> task<void> {
        while (ours.gone == 0) { static_cast<void>(co_await sleep_for(5ms)); }
    });
    loop.run();
    CHECK(ours.gone >= 1);
}

// The kernel tells nobody that a bpf_link was detached, so it is the next message about the interface that tells.
TEST_CASE("a program that somebody else detached ends a waiting receive at the next news of its interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const xdp_mode mode : {xdp_mode::native, xdp_mode::generic}) {
        veth_port port(mode);
        std::error_code seen[2];
        port.loop.spawn([&]() -> task<void> {
            std::array<packet, 8> burst;
            for (std::error_code& one : seen) {
                const auto [ec, n] = co_await port.sockets.rx.recv(burst);
                one = ec;
            }
            port.loop.request_stop();
        });
        port.loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(20ms));
            detach_link_of(port.sockets.rx.socket().redirect()->id());
            CHECK(port.bed.run(side::host, {"ip", "link", "set", "dev", "flux0", "alias", "news"}, 5s).success());
            static_cast<void>(co_await sleep_for(1h));
        });
        port.loop.run();
        CHECK(seen[0] == errc::program_detached);
        CHECK(seen[1] == errc::program_detached);
        // What only sends goes on.
        CHECK_FALSE(port.sockets.tx.socket().failure());
        check_nothing_lost(port.sockets);
    }
}

TEST_CASE("what was asked for a socket that has gone says nothing of the one opened after it in the same turn") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    port.loop.run([](veth_port& on) -> task<void> {
        for (int i = 0; i != 3; ++i) {
            { const async_sockets gone = std::move(on.sockets); }
            on.sockets = open_async(on.loop, on.options(xdp_mode::native)).value();
        }
        std::array<packet, 8> burst;
        // Time for every answer to be heard.
        const auto quiet = co_await timeout(50ms, on.sockets.rx.recv(burst));
        CHECK(quiet.expired);
        const std::vector<std::byte> frame(60);
        on.peer.send(frame);
        const io_result got = co_await on.sockets.rx.recv(burst);
        CHECK(!got.ec);
        CHECK(got.n == 1);
    }(port));
    CHECK_FALSE(port.sockets.rx.socket().failure());
    check_nothing_lost(port.sockets);
}

TEST_CASE("links that change elsewhere do not disturb a receive") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    std::error_code seen;
    port.loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        const auto [ec, n] = co_await port.sockets.rx.recv(burst);
        seen = ec;
    });
    std::thread other([&] {
        for (int i = 0; i < 5; ++i) {
            for (const char* step : {"link add name brief0 type veth peer name brief1", "link del brief0"}) {
                CHECK(port.bed.run(side::host, {"sh", "-c", std::string("ip ") + step}, 5s).success());
            }
        }
        CHECK(port.bed.run(side::host, {"ip", "link", "set", "dev", "flux0", "mtu", "1400"}, 5s).success());
        CHECK(port.bed.run(side::host, {"ip", "link", "set", "dev", "flux0", "alias", "x"}, 5s).success());
        std::this_thread::sleep_for(20ms);
        port.loop.request_stop();
    });
    port.loop.run();
    other.join();
    CHECK(seen == errc::operation_canceled);
    check_nothing_lost(port.sockets);
}

TEST_CASE("the log hears once of each change of a link, of a program that is gone and of the end of an interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_port port;
    log_recorder log;
    port.loop.spawn([&]() -> task<void> {
        const auto hears = [&](long times, const char* text) -> task<void> {
            while (log.count(text) != times) { static_cast<void>(co_await sleep_for(1ms)); }
        };
        static_cast<void>(co_await sleep_for(20ms));
        port.bed.set_link(side::peer, false);
        co_await hears(1, "link: flux0: the link is down");
        port.bed.set_link(side::peer, true);
        co_await hears(1, "link: flux0: the link is up");
        detach_link_of(port.sockets.rx.socket().redirect()->id());
        for (const char* news : {"some", "more"}) {
            CHECK(port.bed.run(side::host, {"ip", "link", "set", "dev", "flux0", "alias", news}, 5s).success());
            co_await hears(1, "link: flux0: the XDP program of a socket is attached no more");
        }
        port.bed.delete_link();
        co_await hears(1, "link: flux0: gone");
        port.loop.request_stop();
    });
    port.loop.run();
    CHECK(log.told().size() >= 4);
    CHECK(log.count("the XDP program") == 1);
    CHECK(log.count("gone") == 1);
}
