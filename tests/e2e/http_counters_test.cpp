// SPDX-License-Identifier: BSD-3-Clause
// http_counters over the kernel's TCP, with the clients of others and with bytes that no client would send.
#include "tests/e2e/http_process.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// What http_counters is told to wait with: not with an io_uring where the kernel refuses one.
std::vector<std::string> http_reactors() {
    // No ring is made, for the end of one interrupts calls of this thread: without parameters the kernel answers EFAULT.
    if (::syscall(SYS_io_uring_setup, 1, nullptr) == -1 && errno != EFAULT) { return {"epoll"}; }
    return {"io_uring", "epoll"};
}

/// The value of a sample; -1 when there is none.
long long sample(const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size() + 2));
}

std::string counters_of(const http_process& server) {
    const finished got = server.run({"curl", "--silent", "--show-error", "--fail", server.url("/metrics")});
    REQUIRE_MESSAGE(got.success(), got.output);
    return got.output;
}

}  // namespace

TEST_CASE("curl gets the counters of http_counters, which rise, and its page") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        CAPTURE(reactor);
        http_process server(place, {"--reactor", reactor});
        const std::string first = counters_of(server);
        std::string second = counters_of(server);
        for (int round = 0; round < 100 && sample(second, "host_replies_total{protocol=\"udp\"}") <= 100; ++round) {
            std::this_thread::sleep_for(50ms);
            second = counters_of(server);
        }
        CHECK(sample(second, "host_replies_total{protocol=\"udp\"}") > 100);
        CHECK(sample(second, "host_replies_total{protocol=\"arp\"}") > 0);
        CHECK(sample(second, "http_connections_total") > sample(first, "http_connections_total"));
        CHECK(sample(second, "http_answers_total{code=\"200\"}") > 0);
        CHECK(contains(second, "# TYPE fluxnet_frames gauge\n"));

        const finished page = server.run({"curl", "--silent", "--include", server.url("/")});
        CHECK(contains(page.output, "HTTP/1.1 200 OK\r\n"));
        CHECK(contains(page.output, "Content-Type: text/html; charset=utf-8\r\n"));
        CHECK(contains(page.output, "\r\nDate: "));
        CHECK(page.output.ends_with("</html>\n"));
        const finished head = server.run({"curl", "--silent", "--head", server.url("/metrics")});
        CHECK(contains(head.output, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        CHECK(head.output.ends_with("\r\n\r\n"));
        CHECK(contains(server.run({"curl", "--silent", "--include", server.url("/other")}).output, " 404 Not Found\r\n"));
        const finished posted = server.run({"curl", "--silent", "--include", "--data", "a=b", server.url("/")});
        CHECK(contains(posted.output, " 405 Method Not Allowed\r\n"));
        CHECK(contains(posted.output, "Allow: GET, HEAD\r\n"));
        CHECK(contains(server.stop(), ", by " + reactor));
    }
}

TEST_CASE("ab has an answer from http_counters to every request, over connections that last and that do not") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        CAPTURE(reactor);
        http_process server(place, {"--reactor", reactor});
        const finished kept = server.run({"ab", "-q", "-k", "-n", "3000", "-c", "50", server.url("/")});
        CHECK_MESSAGE(kept.success(), kept.output);
        CHECK_MESSAGE(contains(kept.output, "Complete requests:      3000\nFailed requests:        0\n"), kept.output);
        CHECK_MESSAGE(contains(kept.output, "Keep-Alive requests:    3000\n"), kept.output);
        const finished once = server.run({"ab", "-q", "-l", "-n", "1000", "-c", "50", server.url("/metrics")});
        CHECK_MESSAGE(contains(once.output, "Complete requests:      1000\nFailed requests:        0\n"), once.output);
        const std::string counters = counters_of(server);
        CHECK(sample(counters, "http_answers_total{code=\"200\"}") == 4000);
        CHECK(sample(counters, "http_connections_ended_total{reason=\"cut_off\"}") == 0);
        static_cast<void>(server.stop());
    }
}

TEST_CASE("http_counters works where io_uring is refused") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server(place, {}, {FLUXNET_WITHOUT_IO_URING, "EPERM", FLUXNET_HTTP_COUNTERS});
    CHECK(sample(counters_of(server), "http_connections_total") == 1);
    CHECK(contains(server.stop(), "1 connections, 1 answers, by epoll"));
}

TEST_CASE("http_counters answers bad input with its status, ends that connection, and goes on") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const std::vector<std::pair<std::string, unsigned>> inputs{
        {"nonsense\r\n\r\n", 400},
        {std::string("\0\1\2\377\376 / HTTP/1.1\r\n\r\n", 20), 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {request("GET /", "Host: b\r\n"), 400},
        {request("GET /", "Content-Length: 1\r\nContent-Length: 2\r\n") + "xx", 400},
        {request("GET /", "Content-Length: -1\r\n"), 400},
        {request("POST /", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
        {request("POST /", "Transfer-Encoding: chunked\r\n") + "zz\r\n\r\n", 400},
        {request("POST /", "Transfer-Encoding: gzip\r\n"), 501},
        {request("GET /", "name with spaces: x\r\n"), 400},
        {request("POST /", "Content-Length: 18446744073709551615\r\n"), 413},
        {request("POST /", "Transfer-Encoding: chunked\r\n") + "fffffff\r\n", 413},
        {request("GET /", "X: " + std::string(100'000, 'x') + "\r\n"), 431},
        {"GET /" + std::string(100'000, 'x'), 431},
        {request("GET /", "Expect: tea\r\n"), 417},
        {"GET / HTTP/3.0\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    };
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        http_process server(place, {"--reactor", reactor});
        for (const auto& [bytes, status] : inputs) {
            CAPTURE(reactor);
            CAPTURE(bytes.substr(0, 80));
            http_peer peer(server);
            CHECK(peer.send(request("GET /nothing") + bytes));
            const std::optional<http_answer> good = peer.answer();
            CHECK(good.has_value());
            const std::optional<http_answer> bad = peer.answer();
            CHECK(bad.has_value());
            if (!good || !bad) { continue; }
            CHECK(good->status == 404);
            CHECK(bad->status == status);
            CHECK(bad->has("Connection: close"));
            CHECK(peer.ends_here());
        }
        CHECK(sample(counters_of(server), "http_answers_total{code=\"404\"}") == static_cast<long long>(inputs.size()));
        static_cast<void>(server.stop());
    }
}

TEST_CASE("http_counters reads a request that comes byte by byte, and answers a client that has ended its side") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        CAPTURE(reactor);
        http_process server(place, {"--reactor", reactor});
        http_peer peer(server);
        for (const char each : request("HEAD /") + request("PUT /", "Transfer-Encoding: chunked\r\n") +
                                   "3\r\nabc\r\n0\r\n\r\n" + request("GET /")) {
            CHECK(peer.send({&each, 1}));
        }
        peer.shut_down_write();
        for (const auto& [status, is_head] : {std::pair{200U, true}, std::pair{405U, false}, std::pair{200U, false}}) {
            const std::optional<http_answer> got = peer.answer(is_head);
            REQUIRE(got.has_value());
            CHECK(got->status == status);
        }
        CHECK(peer.ends_here());
        static_cast<void>(server.stop());
    }
}

TEST_CASE("a client that does not read takes no memory of http_counters, and has every answer when it does") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        CAPTURE(reactor);
        http_process server(place, {"--reactor", reactor});
        static_cast<void>(counters_of(server));
        const long before = resident_kb(server);
        http_peer slow(server);
        // Long, so that fewer of them fill the buffers of both kernels.
        const std::string ask = request("GET /", "Padding: " + std::string(4000, 'x') + "\r\n");
        ::fcntl(slow.fd(), F_SETFL, O_NONBLOCK);
        std::size_t sent = 0;
        std::size_t full = 0;  // times in a row that nothing more was taken
        while (full < 20) {
            const std::string_view rest = std::string_view(ask).substr(sent % ask.size());
            const ssize_t taken = ::send(slow.fd(), rest.data(), rest.size(), MSG_NOSIGNAL);
            if (taken > 0) {
                sent += static_cast<std::size_t>(taken);
                full = 0;
                continue;
            }
            ++full;
            std::this_thread::sleep_for(10ms);
        }
        CHECK(sample(counters_of(server), "http_connections_open") == 2);  // others are served
        CHECK(resident_kb(server) - before < growth_kb);
        CHECK(sent / ask.size() > 1000);
        ::fcntl(slow.fd(), F_SETFL, 0);
        slow.shut_down_write();
        std::size_t answers = 0;
        while (slow.answer()) { ++answers; }
        CHECK(answers == sent / ask.size());
        static_cast<void>(server.stop());
    }
}

TEST_CASE("http_counters answers what is under way when it is asked to end, and nobody else") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    for (const std::string& reactor : http_reactors()) {
        CAPTURE(reactor);
        http_process server(place, {"--reactor", reactor});
        http_peer idle(server);
        http_peer busy(server);
        for (http_peer* const each : {&idle, &busy}) {
            CHECK(each->send(request("GET /")));
            CHECK(each->answer().has_value());
        }
        const std::string ask = request("GET /metrics");
        CHECK(busy.send(ask.substr(0, 10)));
        // What was sent before has been read when an answer to a later request is there.
        CHECK(sample(counters_of(server), "http_connections_open") == 3);
        CHECK(server.child().signal(15));
        CHECK(idle.ends_here());
        CHECK(refuses_soon(server));
        CHECK(busy.send(ask.substr(10)));
        const std::optional<http_answer> last = busy.answer();
        REQUIRE(last.has_value());
        CHECK(last->status == 200);
        CHECK(last->has("Connection: close"));
        CHECK(busy.ends_here());
        const auto ended = server.child().wait(20s);
        REQUIRE(ended.has_value());
        CHECK(ended->success());
    }
}

TEST_CASE("http_counters makes room for a new connection by ending the one that was idle for longest") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server(place, {"--connections", "2"});
    http_peer first(server);
    http_peer second(server);
    for (http_peer* const each : {&second, &first}) {
        CHECK(each->send(request("GET /")));
        CHECK(each->answer().has_value());
    }
    http_peer third(server);
    CHECK(second.ends_here());
    for (http_peer* const each : {&first, &third}) {
        CHECK(each->send(request("GET /")));
        CHECK(each->answer().has_value());
    }
    static_cast<void>(server.stop());
}

TEST_CASE("http_counters on an interface counts the packets that come there") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    http_process server(bed.host(), {"--interface", bed.name(side::host), "--host", bed.options().host_address});
    const finished ping = bed.run(side::peer, {"ping", "-c", "5", "-i", "0.01", "-q", bed.options().host_address}, 20s);
    CHECK_MESSAGE(ping.success(), ping.output);
    CHECK(sample(counters_of(server), "host_replies_total{protocol=\"icmp\"}") == 5);
    bed.delete_link();
    const auto ended = server.child().wait(20s);
    REQUIRE(ended.has_value());
    CHECK(ended->exit_code == 1);
    CHECK_MESSAGE(contains(server.child().output(), "stopped on " + bed.name(side::host)), server.child().output());
}

TEST_CASE("http_counters serves by TCP in user space what the host there counts, over both versions") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    const finished prepared = bed.run(
        side::peer,
        {"sh", "-ec", "echo 0 >/proc/sys/net/ipv6/conf/peer0/disable_ipv6; ip -6 address add fd77::2/64 dev peer0 nodad"}, 10s);
    REQUIRE_MESSAGE(prepared.success(), prepared.output);
    for (const std::string& address : {bed.options().host_address, std::string("fd77::1")}) {
        const bool v4 = address != "fd77::1";
        for (const std::string& reactor : http_reactors()) {
            CAPTURE(address);
            CAPTURE(reactor);
            http_process server(bed.host(), {"--reactor", reactor, "--interface", bed.name(side::host), "--host", address,
                                             "--tcp", "host"});
            const std::string url =
                "http://" + (v4 ? address : "[" + address + "]") + ":" + std::to_string(server.port());
            // The host first asks whether the address is free; it answers nothing until then.
            const auto get = [&](const std::string& path) {
                return bed.run(side::peer,
                               {"curl", "--silent", "--include", "--retry", "60", "--retry-delay", "1", "--retry-all-errors",
                                "--max-time", "60", url + path},
                               90s);
            };
            const finished first = get("/metrics");
            CHECK_MESSAGE(contains(first.output, "HTTP/1.1 200 OK\r\n"), first.output);
            const finished ping =
                bed.run(side::peer, {"ping", v4 ? "-4" : "-6", "-c", "5", "-i", "0.01", "-q", address}, 20s);
            CHECK_MESSAGE(ping.success(), ping.output);
            const std::string counted = get("/metrics").output;
            CAPTURE(counted);
            CHECK(sample(counted, "fluxnet_host_received_total{host=\"host\",kind=\"echo\"}") == 5);
            CHECK(sample(counted, "fluxnet_host_received_total{host=\"host\",kind=\"segment\"}") > 5);
            CHECK(sample(counted, "fluxnet_tcp_accepted_total{host=\"host\"}") >= 2);
            CHECK(sample(counted, "fluxnet_rx_packets_total{socket=\"host\"}") > 5);
            CHECK(sample(counted, "http_answers_total{code=\"200\"}") >= 1);
            CHECK(get("/").output.ends_with("</html>\n"));
            CHECK(contains(get("/other").output, " 404 Not Found\r\n"));
            CHECK(contains(server.stop(), ", by " + reactor));
        }
    }
}

TEST_CASE("http_counters says what is wrong with how it was started") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server(place);
    const auto ended_as = [&](std::vector<std::string> arguments, int code, const std::string& said) {
        arguments.insert(arguments.begin(), FLUXNET_HTTP_COUNTERS);
        const finished done = server.run(arguments);
        CHECK_MESSAGE((done.exit_code == code && contains(done.output, said)), done.output);
    };
    ended_as({"--port", std::to_string(server.port())}, 1, "EADDRINUSE");
    ended_as({"--address", "here"}, 2, "check --address 'here'");
    ended_as({"--interface", "lo"}, 2, "--host");
    ended_as({"--host", "10.0.0.1"}, 2, "--interface");
    ended_as({"--tcp", "host", "--interface", "lo"}, 2, "--host");
    ended_as({"--tcp", "host", "--host", "10.0.0.1"}, 2, "--interface");
    ended_as({"--tcp", "host", "--interface", "lo", "--host", "10.0.0.1/33"}, 2, "check --host '10.0.0.1/33'");
    ended_as({"--tcp", "host", "--interface", "lo", "--host", "10.0.0.1", "--address", "10.0.0.1"}, 2, "check --address");
    ended_as({"--port", "0", "--interface", "none0", "--host", "10.0.0.1"}, 1, "none0");
}
