// SPDX-License-Identifier: BSD-3-Clause
// Starts that cannot work: each ends with a message that names the value, the step and the remedy, and leaves nothing.
#include "tests/e2e/echo_process.hpp"

#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/support/capabilities.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <linux/capability.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

struct bad_start {
    const char* what;
    std::vector<std::string> arguments;
    std::vector<std::string> message;  // all of these must be in it: value, step, remedy
    std::function<void()> in_child = {};
    unsigned mtu = 1500;
    bool queue_taken = false;
};

std::vector<bad_start> bad_starts() {
    return {
        {.what = "unknown interface",
         .arguments = {"--interface", "nosuch0", "--address", "10.77.0.1"},
         .message = {"look up interface 'nosuch0'", "ENODEV", "ip link"}},
        {.what = "queue out of range",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1", "--queue", "7"},
         .message = {"bind to flux0 queue 7", "has 1 queue", "use queue 0"}},
        {.what = "no privilege",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1"},
         .message = {"open an AF_XDP socket", "EPERM", "CAP_NET_RAW"},
         .in_child = [] { drop_all_capabilities(); }},
        {.what = "no privilege to load programs",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1"},
         .message = {"load the XDP program for flux0", "EPERM", "CAP_BPF"},
         .in_child =
             [] {
                 drop_capability(CAP_BPF);
                 drop_capability(CAP_SYS_ADMIN);
             }},
        {.what = "native mode forced on lo",
         .arguments = {"--interface", "lo", "--address", "127.0.0.1", "--mode", "native"},
         .message = {"lo", "native mode", "EOPNOTSUPP", "use mode auto"}},
        {.what = "queue already taken",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1"},
         .message = {"bind to flux0 queue 0", "EBUSY", "echo_async pid", "another queue"},
         .queue_taken = true},
        {.what = "memlock too small",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1"},
         .message = {"register a UMEM of 4194304 bytes", "ENOBUFS", "ulimit -l"},
         .in_child =
             [] {
                 set_memlock_limit(1 << 20);
                 drop_capability(CAP_IPC_LOCK);
             }},
        {.what = "MTU larger than a frame holds",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1"},
         .message = {"check the MTU 3000 of flux0", "a frame of 2048 bytes holds 1536", "frames of 4096 bytes"},
         .mtu = 3000},
        {.what = "bad address",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.256"},
         .message = {"--address '10.77.0.256'", "not an IPv4 address", "192.0.2.1"}},
        {.what = "unknown mode",
         .arguments = {"--interface", "flux0", "--address", "10.77.0.1", "--mode", "turbo"},
         .message = {"--mode", "turbo"}},
        {.what = "missing interface", .arguments = {"--address", "10.77.0.1"}, .message = {"--interface is required"}},
    };
}

}  // namespace

TEST_CASE("each bad start names the value and the step and the remedy and leaves nothing") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bad_start& start : bad_starts()) {
        CAPTURE(start.what);
        testbed bed({.mtu = start.mtu});
        std::optional<process> holder;
        if (start.queue_taken) { holder.emplace(start_echo(bed)); }
        const auto program_before = bed.xdp_program_id(side::host);
        std::vector<std::string> argv{FLUXNET_ECHO_ASYNC};
        argv.insert(argv.end(), start.arguments.begin(), start.arguments.end());
        process_options options;
        options.in_child = start.in_child;
        process child = bed.spawn(side::host, argv, options);
        const auto ended = child.wait(10s);
        REQUIRE(ended);
        const std::string output = child.output();
        CHECK(ended->exit_code > 0);
        for (const std::string& part : start.message) {
            CHECK_MESSAGE(output.find(part) != std::string::npos, "no '", part, "' in: ", output);
        }
        CHECK(bed.xdp_program_id(side::host) == program_before);
        if (holder) { CHECK(stop_echo(*holder).frames_are_whole()); }
    }
}

TEST_CASE("a frame size that is not a power of two is refused with the value and the remedy") {
    fluxnet::executor loop;
    const auto opened = fluxnet::open_async(loop, fluxnet::builder("flux0").frame_size(3000));
    REQUIRE(!opened);
    CHECK(opened.error().code == fluxnet::errc::invalid_option);
    const std::string message = opened.error().message();
    CHECK_MESSAGE(message.find("frame size 3000") != std::string::npos, message);
    CHECK_MESSAGE(message.find("power of two") != std::string::npos, message);
    CHECK_MESSAGE(message.find("use 2048") != std::string::npos, message);
}
