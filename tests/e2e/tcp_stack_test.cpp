// SPDX-License-Identifier: BSD-3-Clause
// tcp_stack_async, TCP in user space, with the kernel's TCP and the programs of others at the other end of a veth pair.
#include "tests/e2e/tcp_stack_process.hpp"
#include "tests/support/deadline.hpp"
#include "tests/support/programs.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

void check_ab(const finished& done, const std::string& count) {
    CHECK_MESSAGE(done.success(), done.output);
    CHECK_MESSAGE(has(done.output, "Complete requests:      " + count + "\nFailed requests:        0\n"), done.output);
    CHECK_MESSAGE(!has(done.output, "Non-2xx"), done.output);
}

}  // namespace

TEST_CASE("curl gets files from TCP in user space as they are, over both versions, and is told what there is not") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        stack_testbed bed;
        process server = bed.serve(v4);
        get_and_compare(bed, v4, "little");
        get_and_compare(bed, v4, "large");
        const finished head = bed.peer_run({"curl", "--silent", "--head", bed.url(v4, "large")});
        CHECK(has(head.output, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n"));
        CHECK(has(bed.peer_run({"curl", "--silent", "--include", bed.url(v4, "other")}).output, " 404 Not Found\r\n"));
        const finished outside =
            bed.peer_run({"curl", "--silent", "--include", "--path-as-is", bed.url(v4, "../../../etc/passwd")});
        CHECK(has(outside.output, " 404 Not Found\r\n"));
        const finished posted = bed.peer_run({"curl", "--silent", "--include", "--data", "a=b", bed.url(v4, "large")});
        CHECK(has(posted.output, " 405 Method Not Allowed\r\n"));
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "6 connections, 6 requests"), said);
        CHECK(bed.is_free_of_xdp(side::host));
    }
}

TEST_CASE("ab has an answer from TCP in user space to every request, from 1, 64 and 1000 connections at a time") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        stack_testbed bed;
        process server = bed.serve(v4);
        for (const char* const at_a_time : {"1", "64", "1000"}) {
            CAPTURE(at_a_time);
            check_ab(bed.peer_run({"ab", "-q", "-n", "2000", "-c", at_a_time, bed.url(v4, "little")}), "2000");
        }
        check_ab(bed.peer_run({"ab", "-q", "-k", "-n", "5000", "-c", "64", bed.url(v4, "little")}), "5000");
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "11000 requests"), said);
    }
}

TEST_CASE("wrk has no error from TCP in user space, with 1, 64 and 1000 connections") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(why_no_program({"wrk"}));
    for (const bool v4 : {true, false}) {
        stack_testbed bed;
        process server = bed.serve(v4);
        for (const char* const connections : {"1", "64", "1000"}) {
            CAPTURE(v4);
            CAPTURE(connections);
            // It ends by the clock, and not by a count, and on a busy machine before the first answer: then it has more time.
            // No request is to be late in between.
            unsigned long answered = 0;
            for (const char* const duration : {"1s", "5s", "25s"}) {
                if (answered != 0) { break; }
                const finished done = bed.peer_run({"wrk", "--threads", "1", "--connections", connections, "--duration",
                                                    duration, "--timeout", "60s", bed.url(v4, "little")});
                CHECK_MESSAGE(done.success(), done.output);
                CHECK_MESSAGE(!has(done.output, "Socket errors"), done.output);
                CHECK_MESSAGE(!has(done.output, "Non-2xx"), done.output);
                const std::size_t counted = done.output.find(" requests in ");
                REQUIRE_MESSAGE(counted != std::string::npos, done.output);
                const std::size_t number = done.output.find_last_of(' ', counted - 1) + 1;
                answered = std::stoul(done.output.substr(number));
            }
            CHECK(answered != 0);
        }
        static_cast<void>(stop(server));
        CHECK(bed.is_free_of_xdp(side::host));
    }
}

TEST_CASE("TCP in user space gets pages from the kernel's, and says how that went") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.spawn(
        side::peer, {FLUXNET_TCP_STACK_ASYNC, "--kernel", "--address", "10.77.0.2", "--quiet", "--root", bed.files.path()});
    REQUIRE(server.read_until("listening on ", 10s));
    const auto get = [&](const std::string& path) {
        return bed.run(side::host,
                       {FLUXNET_TCP_STACK_ASYNC, "--interface", "flux0", "--address", "10.77.0.1", "--skip-probe", "--get",
                        "10.77.0.2:80/" + path},
                       60s);
    };
    const finished large = get("large");
    CHECK_MESSAGE(large.success(), large.output);
    CHECK(has(large.output, "status 200, 1048576 octets in "));
    CHECK(has(large.output, "round trips: "));
    const finished none = get("none");
    CHECK(none.exit_code == 1);
    CHECK(has(none.output, "status 404, "));
    const std::string said = stop(server);
    CHECK_MESSAGE(has(said, "2 connections, 2 requests"), said);
    const finished refused = get("large");
    CHECK(refused.exit_code == 1);
    CHECK_MESSAGE(has(refused.output, "connect to 10.77.0.2:80: Connection refused"), refused.output);
}

TEST_CASE("with --share TCP in user space serves and calls at an address of the kernel's, which keeps the rest of it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    const finished added = bed.run(side::host, {"ip", "address", "add", "10.77.0.1/24", "dev", "flux0"}, 10s);
    REQUIRE_MESSAGE(added.success(), added.output);
    {
        process server = bed.serve(true, {"--share"});
        get_and_compare(bed, true, "large");
        const finished pinged = bed.peer_run({"ping", "-c", "5", "-i", "0.01", "-w", "20", "10.77.0.1"});
        CHECK_MESSAGE(pinged.success(), pinged.output);
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "1 requests"), said);
        CHECK_MESSAGE(has(said, " 0 echo requests, 0 ARP"), said);
    }
    process server = bed.spawn(
        side::peer, {FLUXNET_TCP_STACK_ASYNC, "--kernel", "--address", "10.77.0.2", "--quiet", "--root", bed.files.path()});
    REQUIRE(server.read_until("listening on ", 10s));
    const auto get_shared = [&](const char* address) {
        return bed.run(side::host,
                       {FLUXNET_TCP_STACK_ASYNC, "--interface", "flux0", "--address", address, "--share", "--get",
                        "10.77.0.2:80/large"},
                       60s);
    };
    const finished got = get_shared("10.77.0.1");
    CHECK_MESSAGE(got.success(), got.output);
    CHECK(has(got.output, "status 200, 1048576 octets in "));
    static_cast<void>(stop(server));
    CHECK(bed.is_free_of_xdp(side::host));
    const finished on_nothing = bed.run(side::host, {FLUXNET_TCP_STACK_ASYNC, "--sim", "--share"}, 10s);
    CHECK(on_nothing.exit_code == 2);
    CHECK_MESSAGE(has(on_nothing.output, "give --interface"), on_nothing.output);
}

TEST_CASE("peers that are killed in the middle leave nothing in TCP in user space") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.serve(true, {"--echo-port", "7"});
    for (int round = 0; round != 5; ++round) {
        const std::string part = bed.files.at("part" + std::to_string(round));
        process client = bed.spawn(
            side::peer, {"curl", "--silent", "--limit-rate", "100k", "--output", part, bed.url(true, "bytes/100000000")});
        const deadline limit = 20s;
        while (!limit.passed() && (!std::filesystem::exists(part) || std::filesystem::file_size(part) == 0)) {
            std::this_thread::sleep_for(5ms);
        }
        client.signal(9);
        REQUIRE(client.wait(5s));
    }
    get_and_compare(bed, true, "large");
    const std::string said = stop(server);
    CHECK_MESSAGE(has(said, "6 connections, 6 requests"), said);
}

TEST_CASE("tcp_stack_async tells what is wrong with its arguments, and what would be right") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const auto said = [](const std::vector<std::string>& arguments, int code) {
        std::vector<std::string> argv{FLUXNET_TCP_STACK_ASYNC};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        const finished done = run(argv, {}, 10s);
        CHECK_MESSAGE(done.exit_code == code, done.output);
        return done.output;
    };
    CHECK(has(said({"--interface", "flux0", "--address", "nonsense"}, 2), "check --address 'nonsense': not an IP address"));
    CHECK(has(said({"--interface", "flux0", "--address", "192.0.2.1/33"}, 2), "the prefix length is not a number"));
    CHECK(has(said({"--kernel", "--get", "nowhere"}, 2), "check --get 'nowhere'"));
    CHECK(has(said({"--interface", "none0", "--address", "192.0.2.1"}, 1), "none0"));
}
