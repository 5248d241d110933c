// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/request_reader.hpp"

#include "examples/http_counters/response_writer.hpp"
#include "tests/examples/http_answers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace fluxnet::test;
using namespace http_example;

namespace {

/// Gives the reader `text` in pieces, takes requests as they become ready, and stops after a refusal.
std::vector<http_request> requests_in(std::string_view text, std::size_t piece, const request_limits& limits = {}) {
    request_reader reader(limits);
    std::vector<http_request> all;
    for (;;) {
        while (reader.ready()) {
            all.push_back(reader.take());
            if (all.back().refusal != 0) { return all; }
        }
        const std::span<std::byte> room = reader.room();
        REQUIRE_FALSE(room.empty());
        const std::size_t size = std::min({piece, text.size(), room.size()});
        if (size == 0) { return all; }
        std::memcpy(room.data(), text.data(), size);
        reader.received(size);
        text.remove_prefix(size);
    }
}

std::string text_from(response_writer& writer) {
    std::string all;
    for (auto bytes = writer.next(); !bytes.empty(); bytes = writer.next()) {
        all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return all;
}

}  // namespace

TEST_CASE("requests are the same in whatever pieces they come") {
    const std::string text =
        "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
        "\r\nHEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "
        "BREW /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nTrailer: y\r\n\r\n"
        "GET /e HTTP/1.0\r\n\r\n";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        CAPTURE(piece);
        const std::vector<http_request> all = requests_in(text, piece);
        REQUIRE(all.size() == 5);
        using verb = http_request::verb;
        CHECK((all[0].method == verb::get && all[0].target == "/a?b" && all[0].keep_alive && all[0].version == 11));
        CHECK((all[1].method == verb::head && all[1].target == "/" && all[1].keep_alive && all[1].version == 10));
        CHECK((all[2].method == verb::other && all[2].target == "/c" && all[2].keep_alive));
        CHECK((all[3].method == verb::unknown && all[3].target == "/d" && all[3].keep_alive));
        CHECK((all[4].method == verb::get && all[4].target == "/e" && !all[4].keep_alive));
        CHECK(std::ranges::none_of(all, [](const http_request& each) { return each.refusal != 0; }));
    }
}

TEST_CASE("no beginning of a request is a request") {
    const std::string text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\n\r\n";
    for (std::size_t size = 0; size < text.size(); ++size) { CHECK(requests_in(text.substr(0, size), 7).empty()); }
    CHECK(requests_in(text, 7).size() == 1);
}

TEST_CASE("a header may be as large as its limit, in whatever pieces it comes, and no larger") {
    constexpr std::size_t limit = 300;
    const request_limits limits{limit, 10};
    for (const bool in_fields : {false, true}) {  // one long line, or many lines of which each alone is short
        for (const std::size_t piece : {std::size_t{1}, std::size_t{13}, std::size_t{1000}}) {
            std::string text = "GET / HTTP/1.1\r\nHost: x\r\n";
            while (in_fields && text.size() < limit - 20) { text += "A: b\r\n"; }
            const std::size_t left = limit - text.size() - 2;
            text += "X: " + std::string(left - 5, 'x') + "\r\n\r\n";
            REQUIRE(text.size() == limit);
            REQUIRE(requests_in(text, piece, limits).size() == 1);
            CHECK(requests_in(text, piece, limits).front().refusal == 0);
            text.insert(text.size() - 2, "Y: y\r\n");
            REQUIRE(requests_in(text, piece, limits).size() == 1);
            CHECK(requests_in(text, piece, limits).front().refusal == 431);
        }
    }
}

TEST_CASE("a header that never ends is refused") {
    std::string text = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 2000; ++i) { text += "A: b\r\n"; }
    for (const std::size_t piece : {std::size_t{1}, std::size_t{100}, std::size_t{100'000}}) {
        const std::vector<http_request> all = requests_in(text, piece);
        REQUIRE(all.size() == 1);
        CHECK(all.front().refusal == 431);
    }
}

TEST_CASE("bodies, chunks and trailers have limits") {
    const request_limits limits{100, 10};
    const auto refusal_of = [&](const std::string& rest, std::size_t piece) {
        const auto all = requests_in("POST / HTTP/1.1\r\nHost: x\r\n" + rest, piece, limits);
        return all.empty() ? 0U : all.front().refusal;
    };
    const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
        CAPTURE(piece);
        CHECK(refusal_of("Content-Length: 11\r\n\r\n", piece) == 413);
        CHECK(refusal_of(chunked + "6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n", piece) == 413);
        CHECK(refusal_of(chunked + "1;" + std::string(200, 'x'), piece) == 400);
        CHECK(refusal_of(chunked + "0\r\nA: " + std::string(200, 'x'), piece) == 400);
        CHECK(refusal_of(chunked + "5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n", piece) == 0);
    }
}

TEST_CASE("a client that asks before it sends a body has its answer without the body") {
    const auto all = requests_in("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", 1);
    REQUIRE(all.size() == 1);
    CHECK(all.front().refusal == 0);
    CHECK_FALSE(all.front().keep_alive);
}

TEST_CASE("requests with any bytes exchanged, lost or doubled are read or refused, in bounded memory") {
    const std::string good =
        "GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
        "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        "PUT /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;e=f\r\nab\r\n0\r\nTrailer: y\r\n\r\n";
    std::mt19937_64 random(1);
    std::size_t refused = 0;
    std::size_t read = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string text = good + good;
        for (std::uint64_t changes = 1 + random() % 4; changes != 0; --changes) {
            const std::size_t at = random() % text.size();
            switch (random() % 4) {
                case 0: text[at] = static_cast<char>(random()); break;
                case 1: text[at] = "\r\n :;,0f"[random() % 9]; break;
                case 2: text.erase(at, random() % 8); break;
                default: text.insert(at, text.substr(random() % text.size(), random() % 32)); break;
            }
        }
        for (const http_request& each : requests_in(text, 1 + random() % 200, {128, 16})) {
            ++(each.refusal != 0 ? refused : read);
        }
    }
    CHECK(refused > 1000);
    CHECK(read > 20'000);
}

TEST_CASE("a response has a length, and to HEAD no body") {
    response_writer writer;
    for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{100'000}}) {
        http_request asked;
        for (const bool head : {false, true}) {
            asked.method = head ? http_request::verb::head : http_request::verb::get;
            writer.start({200, "text/plain", std::string(size, 'b')}, asked, true, 784111777);
            http_answers came;
            came.received(text_from(writer));
            const auto answer = came.next(head);
            REQUIRE(answer.has_value());
            CHECK(came.rest().empty());
            CHECK(answer->body == std::string(head ? 0 : size, 'b'));
            CHECK(answer->has("Content-Length: " + std::to_string(size)));
            CHECK(answer->has("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
            CHECK(answer->has("Content-Type: text/plain"));
        }
    }
}

TEST_CASE("a response says whether the connection goes on, in the way of the client's version") {
    response_writer writer;
    http_request asked;
    const auto header = [&](unsigned version, bool keep_alive) {
        asked.version = version;
        writer.start({404, "text/plain", "x"}, asked, keep_alive, 0);
        return text_from(writer);
    };
    CHECK(header(11, true).find("Connection") == std::string::npos);
    CHECK(header(11, false).find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(header(10, true).find("\r\nConnection: keep-alive\r\n") != std::string::npos);
    CHECK(header(10, false).find("Connection") == std::string::npos);
    CHECK(header(10, false).rfind("HTTP/1.0 404 Not Found\r\n", 0) == 0);
    CHECK(header(11, true).find("Date") == std::string::npos);
}
