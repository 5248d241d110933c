// SPDX-License-Identifier: BSD-3-Clause
#include "examples/redis_lite/command_reader.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace redis_example;

namespace {

/// What a reader has made of some bytes: commands with their words between bars, and why it has ended.
struct read_commands {
    std::vector<std::string> commands;
    std::string refusal;
    std::size_t taken = 0;  ///< Bytes that were received before that.
};

/// Lets a reader read, as many bytes at a time as `piece` says.
read_commands read_by(std::string_view bytes, const std::function<std::size_t()>& piece, const reader_limits& limits = {}) {
    command_reader reader(limits);
    read_commands made;
    while (made.taken != bytes.size()) {
        const std::size_t count = std::min({piece(), bytes.size() - made.taken, reader.room().size()});
        std::memcpy(reader.room().data(), bytes.data() + made.taken, count);
        reader.received(count);
        made.taken += count;
        while (reader.next()) {
            std::string text;
            for (const std::string_view word : reader.words()) { text.append("|").append(word); }
            made.commands.push_back(text + "|");
        }
        if (reader.refusal() != nullptr) {
            made.refusal = reader.refusal();
            CHECK_FALSE(reader.next());
            CHECK(reader.words().empty());
            break;
        }
    }
    return made;
}

read_commands read_all(std::string_view bytes, const reader_limits& limits = {}) {
    return read_by(
        bytes, [] { return std::size_t{1 << 20}; }, limits);
}

std::string resp(const std::vector<std::string>& words) {
    std::string text = "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words) { text += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n"; }
    return text;
}

using lines = std::vector<std::string>;

}  // namespace

TEST_CASE("commands of RESP and inline ones are read in their order, however the bytes come in") {
    const std::string bytes = resp({"SET", "a", "b\r\nc"}) + "PING\r\n" + "  get \t a  \n" + resp({"GET", "a"}) +
                              resp({"GET", ""}) + "\r\n\n \n" + "*0\r\n" + "*-1\r\n" + "ECHO *1\r\n" +
                              resp({std::string("\0\xff", 2)}) + "*x" + "\n";
    const lines expected{"|SET|a|b\r\nc|",          "|PING|", "|get|a|", "|GET|a|", "|GET||", "|ECHO|*1|",
                         std::string("|\0\xff|", 4)};
    for (const std::size_t piece : {1U, 2U, 3U, 5U, 7U, 1000U}) {
        CAPTURE(piece);
        const read_commands made = read_by(bytes, [&] { return piece; });
        CHECK(made.commands == expected);
        CHECK(made.refusal == "");  // what is last has no whole line end
    }
}

TEST_CASE("what is no command is refused at once, and those before it are there") {
    const reader_limits limits{.argument_bytes = 100, .arguments = 5, .command_bytes = 150, .line_bytes = 50};
    const std::string count = "invalid multibulk length";
    const std::string length = "expected '$' and a length that is allowed";
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"*6\r\n", count},
        {"*-2\r\n", count},
        {"*1x\r\n", count},
        {"*x\r\n", count},
        {"*\r\n", count},
        {"*+1\r\n", count},
        {"*01\r\n", count},
        {"*2147483648\r\n", count},
        {"*9223372036854775808\r\n", count},
        {"*123456789012345678901234", count},
        {"*1\n*1\n*1\n*1\n*1\n*1\n*1\n*1\n*1", count},
        {"*1\r\n$101\r\n", length},
        {"*1\r\n$-1\r\n", length},
        {"*1\r\n$9223372036854775807\r\n", length},
        {"*1\r\n$18446744073709551615\r\n", length},
        {"*1\r\n$-9223372036854775808\r\n", length},
        {"*1\r\n$1x\r\n", length},
        {"*1\r\n$\r\n", length},
        {"*1\r\n$0000000000000000000000000001", length},
        {"*1\r\n$4\r\nPINGxx", length},
        {"*2\r\n$100\r\n" + std::string(100, 'x') + "\r\n$51\r\n", length},
        {"*1\r\n*1\r\n", "expected '$'"},
        {"*1\r\n:1\r\n", "expected '$'"},
        {"*1\r\n+PING\r\n", "expected '$'"},
        {"*1\r\n-PING\r\n", "expected '$'"},
        {"*1\r\nPING\r\n", length},
        {std::string(51, 'x'), "too big inline request"},
        {"a b c d e f\r\n", "too many words"},
        {"POST / HTTP/1.1\r\n", "this is not HTTP"},
        {"Host: a\r\n", "this is not HTTP"},
    };
    for (const auto& [bytes, why] : wrong) {
        CAPTURE(bytes);
        const std::string before = resp({"GET", "a"}) + "PING\r\n";
        for (const bool by_octets : {false, true}) {
            const read_commands made = read_by(
                before + bytes + resp({"GET", "b"}), [&] { return by_octets ? std::size_t{1} : std::size_t{10'000}; },
                limits);
            CHECK(made.commands == lines{"|GET|a|", "|PING|"});
            CHECK(made.refusal == why);
            if (by_octets) { CHECK(made.taken <= before.size() + bytes.size()); }
        }
    }
}

TEST_CASE("commands as large as the limits are read") {
    const reader_limits limits{.argument_bytes = 100'000, .arguments = 3, .command_bytes = 150'000, .line_bytes = 50};
    const std::string large(100'000, 'x');
    const std::string rest(50'000, 'y');
    CHECK(read_all(resp({large, rest, ""}), limits).commands == lines{"|" + large + "|" + rest + "||"});
    CHECK(read_all(resp({large, rest, "z"}), limits).refusal == "expected '$' and a length that is allowed");
    CHECK(read_all(std::string(50, 'a') + "\n", limits).commands == lines{"|" + std::string(50, 'a') + "|"});
}

TEST_CASE("a client that announces much and sends little has little kept for it") {
    // Refused when the header is there, so that nothing of what follows is waited for.
    const read_commands made = read_by("*1\r\n$999999999\r\n" + std::string(100'000, 'x'), [] { return std::size_t{15}; });
    CHECK(made.refusal == "expected '$' and a length that is allowed");
    CHECK(made.taken <= 30);
}

TEST_CASE("any mixture of commands is read as it was written, in pieces of any size") {
    std::mt19937_64 draw(3);
    for (int round = 0; round != 300; ++round) {
        std::string bytes;
        lines expected;
        for (std::size_t i = draw() % 200; i != 0; --i) {
            lines words(1 + draw() % 4);
            const bool is_inline = draw() % 2 == 0;
            for (std::string& word : words) {
                word.assign(draw() % 50 == 0 ? 3000 / words.size() : 1 + draw() % 9, static_cast<char>('a' + draw() % 26));
                if (!is_inline && draw() % 4 == 0) { word = "\r\n*1\r\n$1\r\n"; }
            }
            std::string text = "|";
            for (const std::string& word : words) {
                text += word + "|";
                if (is_inline) { bytes += word + " "; }
            }
            bytes += is_inline ? "\r\n" : resp(words);
            expected.push_back(text);
        }
        const std::size_t most = 1 + draw() % 3000;
        const read_commands made = read_by(bytes, [&] { return 1 + draw() % most; });
        REQUIRE(made.refusal == "");
        REQUIRE(made.commands == expected);
    }
}

TEST_CASE("octets of any kind are read without harm as commands") {
    std::mt19937_64 draw(5);
    const std::string_view letters("*$0123+-:\r\n\r\n aP\0\xff", 19);
    const reader_limits limits{.argument_bytes = 20, .arguments = 4, .command_bytes = 30, .line_bytes = 20};
    std::size_t commands = 0;
    for (int round = 0; round != 30'000; ++round) {
        std::string bytes(1 + draw() % 40, ' ');
        for (char& each : bytes) { each = letters[draw() % letters.size()]; }
        if (draw() % 2 == 0) { bytes.insert(0, "*2\r\n$1\r\na\r\n"); }
        commands += read_by(
                        bytes, [&] { return 1 + draw() % 9; }, limits)
                        .commands.size();
    }
    CHECK(commands > 1000);
}
