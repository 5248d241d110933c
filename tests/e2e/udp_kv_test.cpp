// SPDX-License-Identifier: BSD-3-Clause
// udp_kv on a host in user space, with the kernel's UDP at the other end of a veth pair; and the program, as a service and
// as a client, on either.
#include "examples/udp_kv/asking.hpp"
#include "examples/udp_kv/server.hpp"

#include "tests/runtime/host_testbed.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace kv_example;
using namespace std::chrono_literals;

namespace {

/// A service on a host, in the background.
struct kv_host : host_testbed {
    kv_host() {
        loop.spawn_background([](kv_host& in) -> task<void> { static_cast<void>(co_await serve(in.door, in.of)); }(*this));
    }

    kv_service of;
    host::udp_endpoint door = here->open_udp({proto::ip_address(proto::ipv6_address()), 7777}).value();
};

task<void> expect_answer(udp_socket& socket, proto::ip_endpoint to, std::uint64_t id, std::string what, std::string answer) {
    const asked got = co_await ask(socket, to, id, what);
    CHECK_FALSE(got.ec);
    CHECK(got.text == answer);
    CHECK(got.how == outcome::ok);
}

task<void> use_kernel_socket(udp_socket& socket, proto::ip_endpoint to) {
    const std::string longest(max_value, 'v');
    for (std::uint64_t id = 1; id < 200; id += 3) {
        co_await expect_answer(socket, to, id, "SET a " + longest, "");
        co_await expect_answer(socket, to, id + 1, "GET a", longest);
        co_await expect_answer(socket, to, id + 2, "DEL a", "");
    }
}

/// The program as a service, when it has said that it listens.
process start_kv(const network_namespace& place, const std::vector<std::string>& more) {
    std::vector<std::string> argv{FLUXNET_UDP_KV};
    argv.insert(argv.end(), more.begin(), more.end());
    process child(argv, {.netns_fd = place.fd()});
    REQUIRE_MESSAGE(child.read_until("listening on 7777\n", 20s), child.output());
    return child;
}

void check_kv_end(process& service, const std::string& said) {
    service.signal(15);
    const auto ended = service.wait(20s);
    CHECK_MESSAGE((ended && ended->success()), service.output());
    CHECK_MESSAGE(service.output().find(said) != std::string::npos, service.output());
}

const std::vector<std::string> three_asks{"--ask", "SET colour dark blue", "GET colour", "DEL colour"};
const std::string three_answers = "SET colour dark blue: OK\nGET colour: OK dark blue\nDEL colour: OK\n";

std::vector<std::string> asking_at(const std::vector<std::string>& own, const std::string& to) {
    std::vector<std::string> argv{FLUXNET_UDP_KV};
    argv.insert(argv.end(), own.begin(), own.end());
    argv.insert(argv.end(), three_asks.begin(), three_asks.end());
    argv.insert(argv.end(), {"--to", to});
    return argv;
}

}  // namespace

TEST_CASE("the kernel's UDP sockets are answered by udp_kv on a host, over both versions of IP") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        kv_host bed;
        udp_socket socket = bed.kernel_socket(v4);
        bed.loop.run(use_kernel_socket(socket, {ip(host_text(v4)), 7777}));
        CHECK(bed.of.counts().requests == 201);
        CHECK(bed.of.counts().ignored == 0);
        CHECK(bed.of.clients().size() == 1);
    }
}

TEST_CASE("the program udp_kv asks by the kernel's UDP what serves on a host") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    kv_host bed;
    CHECK(bed.run_at_peer(asking_at({"--kernel"}, "10.77.0.1:7777")) == three_answers);
    CHECK(bed.run_at_peer(asking_at({"--kernel"}, "[fd77::1]:7777")) == three_answers);
}

TEST_CASE("the program udp_kv serves on an interface of its own, and asks there") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    {
        process service =
            start_kv(bed.host(), {"--interface", bed.name(side::host), "--address", "10.77.0.1/24", "--skip-probe"});
        const finished asking = bed.run(side::peer, asking_at({"--kernel"}, "10.77.0.1:7777"), 60s);
        CHECK_MESSAGE(asking.output == three_answers, asking.output);
        check_kv_end(service, "3 requests, ");
    }
    const char* const addresses =
        "echo 0 >/proc/sys/net/ipv6/conf/peer0/disable_ipv6; ip -6 address add fd77::2/64 dev peer0 nodad";
    REQUIRE(bed.run(side::peer, {"sh", "-e", "-c", addresses}, 10s).success());
    process service = start_kv(bed.peer(), {"--kernel", "--address", "fd77::2"});
    const finished asking =
        bed.run(side::host, asking_at({"--interface", bed.name(side::host), "--address", "fd77::1"}, "[fd77::2]:7777"), 60s);
    CHECK_MESSAGE((asking.success() && asking.output.find(three_answers) != std::string::npos), asking.output);
    check_kv_end(service, "3 requests, ");
}

TEST_CASE("the program udp_kv ends with its interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    process service = start_kv(bed.host(), {"--interface", bed.name(side::host), "--address", "10.77.0.1/24"});
    bed.delete_link();
    const auto ended = service.wait(20s);
    REQUIRE_MESSAGE(ended.has_value(), service.output());
    CHECK(ended->exit_code == 1);
    CHECK_MESSAGE(service.output().find("stopped") != std::string::npos, service.output());
}

TEST_CASE("udp_kv says what is wrong with how it was started, and talks to itself on a simulated wire") {
    const auto ended_as = [](std::vector<std::string> arguments, int code, const std::string& said) {
        arguments.insert(arguments.begin(), FLUXNET_UDP_KV);
        const finished done = run(arguments, {}, 60s);
        CHECK_MESSAGE((done.exit_code == code && done.output.find(said) != std::string::npos), done.output);
    };
    ended_as({"--kernel", "--address", "here"}, 2, "check --address 'here'");
    ended_as({"--kernel", "--ask", "GET a"}, 2, "check --ask and --to");
    ended_as({"--kernel", "--ask", "GET a", "--to", "here"}, 2, "check --to 'here'");
    ended_as({"--interface", "none0", "--address", "10.0.0.1"}, 1, "none0");
    ended_as({"--sim", "--loss", "0.05"}, 0, "40 requests, ");
    ended_as({"--sim", "--loss", "0", "--ask", "GET a"}, 1, "GET a: NONE\n");
}
