// SPDX-License-Identifier: BSD-3-Clause
// `host_testbed`: an ip_host on one end of a veth pair, and the kernel's stack at the other, in network namespaces.
//
// Owned by one test case and used on its thread.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/host_filter.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "tests/support/deadline.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/ping.hpp"
#include "tests/support/process.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::test {

[[nodiscard]] inline proto::ip_address ip(const char* text) {
    return proto::ip_address::parse(text).value();
}

/// The addresses of the host, and of the kernel at the other end.
[[nodiscard]] inline const char* host_text(bool v4) {
    return v4 ? "10.77.0.1" : "fd77::1";
}
[[nodiscard]] inline const char* peer_text(bool v4) {
    return v4 ? "10.77.0.2" : "fd77::2";
}

/// A host on the host side of a testbed whose peer speaks IPv6 too.
struct host_testbed {
    /// The host's addresses are those of host_text(), used at once, unless `options` has others. `beside_kernel`: the kernel
    /// has addresses of its own on the host's interface, 10.77.0.5 and fd77::5, and all that is not for the host.
    explicit host_testbed(host::host_options options = {}, xdp_mode mode = xdp_mode::automatic, bool beside_kernel = false) {
        shell(side::peer,
              "echo 0 >/proc/sys/net/ipv6/conf/peer0/disable_ipv6; ip -6 address add fd77::2/64 dev peer0 nodad");
        if (options.addresses.empty()) {
            options.addresses = {{ip("10.77.0.1"), 24}, {ip("fd77::1"), 64}};
            options.probe_addresses = false;
        }
        builder sockets = builder(bed.name(side::host)).mode(mode).frames(1024).tx_frames(256);
        if (beside_kernel) {
            shell(side::host,
                  "echo 0 >/proc/sys/net/ipv6/conf/flux0/disable_ipv6; ip address add 10.77.0.5/24 dev flux0; "
                  "ip -6 address add fd77::5/64 dev flux0 nodad");
            sockets.only(host::filter_for(options));
        }
        auto opened = open_async(loop, sockets).value();
        redirect = opened.rx.socket().redirect();
        pool = &opened.rx.socket().pool();
        here.emplace(host::ip_host::open(loop, std::move(opened.rx), std::move(opened.tx), options).value());
    }

    void shell(side where, const std::string& line) {
        const finished done = bed.run(where, {"sh", "-e", "-c", line}, std::chrono::seconds(10));
        REQUIRE_MESSAGE(done.success(), done.output);
    }

    /// Runs a program at the peer while the host works, and returns what it wrote.
    std::string run_at_peer(const std::vector<std::string>& argv) {
        process child = bed.spawn(side::peer, argv);
        loop.spawn([](process& running) -> task<void> {
            const fluxnet::test::deadline limit = std::chrono::seconds(60);
            while (running.running() && !limit.passed()) { static_cast<void>(co_await sleep_for(std::chrono::milliseconds(2))); }
        }(child));
        loop.run();
        const auto ended = child.wait(std::chrono::seconds(1));
        const std::string output = child.output();
        CHECK_MESSAGE((ended && ended->success()), output);
        return output;
    }

    void ping(bool v4, std::size_t count, const char* size) { ping(host_text(v4), count, size); }
    void ping(const char* address, std::size_t count, const char* size) {
        const std::string output =
            run_at_peer({"ping", "-c", std::to_string(count), "-i", "0.005", "-w", "40", "-s", size, address});
        CHECK_MESSAGE(ping_answers(output).are_the_first(count), output);
    }

    /// Tells whether no frame is with users or on its way out, but for the few that a host has ready to be sent.
    [[nodiscard]] bool frames_are_home() const {
        constexpr std::int64_t ready = 4;
        const frame_census census = pool->census();
        return census.exact && census.user <= ready && census.tx == 0 && census.sum() == census.frames;
    }

    [[nodiscard]] udp_socket kernel_socket(bool v4) {
        return bed.peer().call([v4] { return udp_socket::bind({ip(peer_text(v4)), 0}).value(); });
    }

    testbed bed;
    network_namespace::scoped_enter inside{bed.host()};
    executor loop;
    std::shared_ptr<program> redirect;
    frame_pool* pool = nullptr;  // lives as long as the host
    std::optional<host::ip_host> here;
};

}  // namespace fluxnet::test
