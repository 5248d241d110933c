// SPDX-License-Identifier: BSD-3-Clause
#include "examples/udp_kv/protocol.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>

using namespace kv_example;

namespace {

/// A request in one line, or why it is none.
std::string request_in(std::string_view text) {
    const auto read = read_request(text);
    if (!read) { return "(ignored)"; }
    const std::string id = std::to_string(read->id);
    if (read->wrong != nullptr) { return id + " wrong: " + std::string(read->wrong).substr(0, 9); }
    const char* const what = read->what == verb::get ? " get " : read->what == verb::set ? " set " : " erase ";
    return id + what + std::string(read->key) + (read->what == verb::set ? "=" + std::string(read->value) : "");
}

}  // namespace

TEST_CASE("a request of udp_kv is read, with and without a line end behind it") {
    CHECK(request_in("0 GET a") == "0 get a");
    CHECK(request_in("18446744073709551615 GET a\n") == "18446744073709551615 get a");
    CHECK(request_in("7 SET colour dark  blue \r\n") == "7 set colour=dark  blue ");
    CHECK(request_in("7 SET a \xc3\xa4") == "7 set a=\xc3\xa4");
    CHECK(request_in("8 DEL a") == "8 erase a");
    CHECK(request_in("8 GET " + std::string(max_key, 'k')) == "8 get " + std::string(max_key, 'k'));
    const std::string longest = "18446744073709551615 SET " + std::string(max_key, 'k') + " " + std::string(max_value, 'v');
    CHECK(request_in(longest + "\r\n") ==
          "18446744073709551615 set " + std::string(max_key, 'k') + "=" + std::string(max_value, 'v'));
    CHECK(longest.size() + 2 == max_datagram);
}

TEST_CASE("what is no request of udp_kv is ignored without a number, and called wrong with one") {
    for (const char* const text : {"", "\n", " ", "GET a", "-1 GET a", "+1 GET a", "1x GET a", "18446744073709551616 GET a",
                                   " 1 GET a", "0x1 GET a"}) {
        CAPTURE(text);
        CHECK(request_in(text) == "(ignored)");
    }
    for (const char* const text : {"1", "1 ", "1\n", "1 get a", "1  GET a", "1 BREW a", "1 OK a"}) {
        CAPTURE(text);
        CHECK(request_in(text) == "1 wrong: the reque");
    }
    for (const char* const text : {"1 GET", "1 GET ", "1 GET a b", "1 GET  a", "1 GET a ", "1 GET \x01", "1 GET \xc3\xa4",
                                   "1 SET", "1 SET ", "1 SET  v", "1 DEL a\tb", "1 GET a\n\n"}) {
        CAPTURE(text);
        CHECK(request_in(text) == "1 wrong: the key h");
    }
    for (const char* const text : {"1 SET a", "1 SET a ", "1 SET a b\tc", "1 SET a b\n\n", "1 SET a \x7f"}) {
        CAPTURE(text);
        CHECK(request_in(text) == "1 wrong: the value");
    }
    CHECK(request_in(std::string("1 SET a b\0c", 11)) == "1 wrong: the value");
    CHECK(request_in(std::string("1 GET a\0", 8)) == "1 wrong: the key h");
    CHECK(request_in("1 GET " + std::string(max_key + 1, 'k')) == "1 wrong: the key h");
    CHECK(request_in("1 SET a " + std::string(max_value + 1, 'v')) == "1 wrong: the value");
}

TEST_CASE("an answer of udp_kv is read as it was written, and no answer is taken for a request") {
    std::string text;
    for (const reply& made : {reply{outcome::ok, 7, ""}, reply{outcome::ok, 8, "dark blue "}, reply{outcome::none, 9, ""},
                              reply{outcome::error, 18446744073709551615U, "because"}}) {
        write_reply(text, made);
        CAPTURE(text);
        CHECK(text.size() <= max_datagram);
        const auto read = read_reply(text);
        REQUIRE(read.has_value());
        CHECK(read->how == made.how);
        CHECK(read->id == made.id);
        CHECK(read->text == made.text);
        CHECK(request_in(text) == "(ignored)");
    }
    for (const char* const wrong : {"", "OK", "OK ", "OK x", "OK 1x", "ok 1", "YES 1", "OK 1 a\x1b[2J", "7 GET a"}) {
        CAPTURE(wrong);
        CHECK_FALSE(read_reply(wrong).has_value());
    }
}

TEST_CASE("octets of any kind are read without harm as requests and answers of udp_kv") {
    std::mt19937_64 draw(11);
    const std::string_view letters("0129 GETSDLOKNR\r\n\0\x7f\xff", 21);
    for (int round = 0; round != 50'000; ++round) {
        std::string text(draw() % 24, ' ');
        for (char& each : text) { each = letters[draw() % letters.size()]; }
        const auto asked = read_request(text);
        if (asked && asked->wrong == nullptr) {
            REQUIRE(!asked->key.empty());
            REQUIRE(asked->key.size() <= max_key);
            REQUIRE(asked->value.empty() == (asked->what != verb::set));
        }
        static_cast<void>(read_reply(text));
    }
}
