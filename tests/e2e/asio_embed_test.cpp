// SPDX-License-Identifier: BSD-3-Clause
// The pages of asio_embed over the kernel's TCP, with the clients of others and with bytes that no client would send.
#include "tests/e2e/feed_viewer.hpp"
#include "tests/e2e/http_process.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

http_process start_embed(const network_namespace& place, const std::vector<std::string>& more = {}) {
    return http_process(place, more, {FLUXNET_ASIO_EMBED});
}

std::string file_of_page(const std::string& name) {
    std::ifstream file(FLUXNET_ASIO_EMBED_FILES "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("curl gets the files of asio_embed's page as they lie in the tree") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_embed(place);
    const std::vector<std::vector<std::string>> files{{"/", "page.html", "text/html; charset=utf-8"},
                                                      {"/page.css", "page.css", "text/css; charset=utf-8"},
                                                      {"/page.js?x=1", "page.js", "text/javascript; charset=utf-8"}};
    for (const auto& file : files) {
        CAPTURE(file[0]);
        const std::string text = file_of_page(file[1]);
        CHECK(text.size() > 1000);
        CHECK(server.run({"curl", "--silent", "--show-error", "--fail", server.url(file[0])}).output == text);
        const finished head = server.run({"curl", "--silent", "--head", server.url(file[0])});
        CHECK(contains(head.output, "HTTP/1.1 200 OK\r\n"));
        CHECK(contains(head.output, "Content-Type: " + file[2] + "\r\n"));
        CHECK(contains(head.output, "Content-Length: " + std::to_string(text.size()) + "\r\n"));
        CHECK(contains(head.output, "Content-Security-Policy: default-src 'none'; script-src 'self';"));
        CHECK(contains(head.output, "\r\nDate: "));
        CHECK(head.output.ends_with("\r\n\r\n"));
    }
    CHECK(contains(server.run({"curl", "--silent", "--include", server.url("/other")}).output, " 404 Not Found\r\n"));
    const finished posted = server.run({"curl", "--silent", "--include", "--data", "a=b", server.url("/")});
    CHECK(contains(posted.output, " 405 Method Not Allowed\r\n"));
    CHECK(contains(posted.output, "Allow: GET, HEAD\r\n"));
    CHECK(contains(server.stop(), "served: connections 8 answers 8 refused 2 viewers 0 frames 0"));
}

TEST_CASE("ab has an answer from asio_embed to every request, over connections that last and that do not") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_embed(place);
    feed_viewer viewer(server);
    const long long before = number_at(viewer.sample(), {"rx", "packets"});
    const finished kept = server.run({"ab", "-q", "-k", "-n", "3000", "-c", "50", server.url("/")});
    CHECK_MESSAGE(kept.success(), kept.output);
    CHECK_MESSAGE(contains(kept.output, "Complete requests:      3000\nFailed requests:        0\n"), kept.output);
    CHECK_MESSAGE(contains(kept.output, "Keep-Alive requests:    3000\n"), kept.output);
    const finished once = server.run({"ab", "-q", "-n", "1000", "-c", "50", server.url("/page.js")});
    CHECK_MESSAGE(contains(once.output, "Complete requests:      1000\nFailed requests:        0\n"), once.output);
    // Packets go on meanwhile.
    const auto has_moved = [&](const std::string& sample) { return number_at(sample, {"rx", "packets"}) > before; };
    CHECK_FALSE(viewer.sample_where(has_moved).empty());
    CHECK(contains(server.stop(), " answers 4000 refused 0 viewers 1 "));
}

TEST_CASE("asio_embed answers bad input with its status, ends that connection, and goes on") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const std::vector<std::pair<std::string, unsigned>> inputs{
        {"nonsense\r\n\r\n", 400},
        {std::string("\0\1\2\377\376 / HTTP/1.1\r\n\r\n", 20), 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {request("GET /", "Host: b\r\n"), 400},
        {request("GET /", "Content-Length: 1\r\nContent-Length: 2\r\n") + "xx", 400},
        {request("GET /", "Content-Length: -1\r\n"), 400},
        {request("POST /", "Content-Length: 18446744073709551615\r\n"), 405},
        {request("POST /", "Transfer-Encoding: chunked\r\n") + "zz\r\n\r\n", 405},
        {request("GET /", "Transfer-Encoding: chunked\r\n") + "0\r\n", 200},
        {request("GET /", "name with spaces: x\r\n"), 400},
        {request("GET /", "X: " + std::string(100'000, 'x') + "\r\n"), 431},
        {"GET /" + std::string(100'000, 'x'), 431},
        {"GET / HTTP/3.0\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {request("GET /feed"), 426},
        {upgrade_request("", "12"), 426},
        {upgrade_request("Origin: http://elsewhere.example\r\n"), 403},
        {upgrade_request("Origin: http://a.elsewhere.example\r\n"), 403},
        {upgrade_request("Origin: null\r\n"), 403},
        {upgrade_request("Content-Length: 1\r\n") + "x", 400},
    };
    const network_namespace place;
    http_process server = start_embed(place);
    for (const auto& [bytes, status] : inputs) {
        CAPTURE(bytes.substr(0, 200));
        http_peer peer(server);
        CHECK(peer.send(request("GET /nothing") + bytes));
        const std::optional<http_answer> good = peer.answer();
        CHECK(good.has_value());
        const std::optional<http_answer> bad = peer.answer();
        CHECK(bad.has_value());
        if (!good || !bad) { continue; }
        CHECK(good->status == 404);
        CHECK(bad->status == status);
        CHECK(peer.ends_here());
    }
    http_peer same_site(server);
    CHECK(same_site.send(upgrade_request("Origin: http://a\r\n")));
    std::string begin(13, '\0');
    CHECK(::recv(same_site.fd(), begin.data(), begin.size(), MSG_WAITALL) == 13);
    CHECK(begin == "HTTP/1.1 101 ");
    CHECK(contains(server.stop(), " viewers 1 "));
}

TEST_CASE("asio_embed accepts no more connections than it was told, and the next when one ends") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_embed(place, {"--connections", "2"});
    feed_viewer viewer(server);
    std::optional<http_peer> first(server);
    CHECK(first->send(request("GET /")));
    CHECK(first->answer().has_value());
    http_peer second(server);
    CHECK(second.send(request("GET /")));
    // While samples pass it is not answered.
    for (int i = 0; i < 3; ++i) { CHECK_FALSE(viewer.sample().empty()); }
    char none = 0;
    CHECK(::recv(second.fd(), &none, 1, MSG_DONTWAIT) == -1);
    first.reset();
    CHECK(second.answer().has_value());
    static_cast<void>(server.stop());
}

TEST_CASE("asio_embed ends by itself when its time is over, with every frame accounted for") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_embed(place, {"--duration", "0.2"});
    const auto ended = server.child().wait(20s);
    REQUIRE(ended.has_value());
    CHECK(ended->success());
    CHECK_MESSAGE(contains(server.child().output(), "census: frames 2048 sum 2048 user 0 exact\n"), server.child().output());
}

TEST_CASE("asio_embed says what is wrong with how it was started") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace place;
    http_process server = start_embed(place);
    const auto ended_as = [&](std::vector<std::string> arguments, int code, const std::string& said) {
        arguments.insert(arguments.begin(), FLUXNET_ASIO_EMBED);
        const finished done = server.run(arguments);
        CHECK_MESSAGE((done.exit_code == code && contains(done.output, said)), done.output);
    };
    ended_as({"--port", std::to_string(server.port())}, 1, "EADDRINUSE");
    ended_as({"--port", std::to_string(server.port())}, 1, "choose another --port");
    ended_as({"--port", "0", "--address", "192.0.2.77"}, 1, "EADDRNOTAVAIL");
    ended_as({"--address", "here"}, 2, "check --address 'here'");
    ended_as({"--interface", "lo"}, 2, "--host");
    ended_as({"--host", "10.0.0.1"}, 2, "--interface");
    ended_as({"--port", "0", "--interface", "none0", "--host", "10.0.0.1"}, 1, "none0");
    ended_as({"--interval", "0"}, 105, "--interval");
    static_cast<void>(server.stop());
}
