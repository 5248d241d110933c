// SPDX-License-Identifier: BSD-3-Clause
#include "examples/redis_lite/commands.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

using namespace redis_example;
using namespace std::chrono_literals;
using store_example::bounded_store;

namespace {

constexpr bounded_store::time_point origin{1000s};

struct redis_bed {
    bounded_store store;
    bounded_store::time_point now = origin;

    explicit redis_bed(const store_example::store_limits& limits = {}) : store(limits) {}

    std::string run(const std::vector<std::string_view>& words) {
        std::string out;
        execute(store, words, now, out);
        return out;
    }
};

}  // namespace

TEST_CASE("redis_lite answers PING and ECHO in any case of letters") {
    redis_bed bed;
    CHECK(bed.run({"PING"}) == "+PONG\r\n");
    CHECK(bed.run({"ping", "a b"}) == "$3\r\na b\r\n");
    CHECK(bed.run({"Echo", ""}) == "$0\r\n\r\n");
}

TEST_CASE("redis_lite sets, gets, counts and deletes keys") {
    redis_bed bed;
    CHECK(bed.run({"GET", "a"}) == "$-1\r\n");
    CHECK(bed.run({"SET", "a", "b\r\nc"}) == "+OK\r\n");
    CHECK(bed.run({"GET", "a"}) == "$4\r\nb\r\nc\r\n");
    CHECK(bed.run({"SET", "", ""}) == "+OK\r\n");
    CHECK(bed.run({"GET", ""}) == "$0\r\n\r\n");
    CHECK(bed.run({"EXISTS", "a", "b", "a"}) == ":2\r\n");
    CHECK(bed.run({"DEL", "a", "b", "a", ""}) == ":2\r\n");
    CHECK(bed.run({"EXISTS", "a"}) == ":0\r\n");
}

TEST_CASE("redis_lite's keys end after EX seconds and PX milliseconds, and INCR and SET change that or not") {
    redis_bed bed;
    CHECK(bed.run({"SET", "a", "1", "EX", "2"}) == "+OK\r\n");
    CHECK(bed.run({"SET", "b", "1", "px", "1500"}) == "+OK\r\n");
    CHECK(bed.run({"SET", "c", "1", "EX", "2"}) == "+OK\r\n");
    CHECK(bed.run({"SET", "c", "1"}) == "+OK\r\n");
    bed.now += 1499ms;
    CHECK(bed.run({"INCR", "a"}) == ":2\r\n");
    CHECK(bed.run({"EXISTS", "a", "b", "c"}) == ":3\r\n");
    bed.now += 1ms;
    CHECK(bed.run({"EXISTS", "a", "b", "c"}) == ":2\r\n");
    bed.now += 500ms;
    CHECK(bed.run({"EXISTS", "a", "b", "c"}) == ":1\r\n");
    CHECK(bed.run({"INCR", "a"}) == ":1\r\n");
    bed.now += 1h;
    CHECK(bed.run({"GET", "a"}) == "$1\r\n1\r\n");
}

TEST_CASE("redis_lite refuses times that cannot be and options that it does not have") {
    redis_bed bed;
    const std::string expire = "-ERR invalid expire time in 'set' command\r\n";
    const std::string number = "-ERR value is not an integer or out of range\r\n";
    const std::string syntax = "-ERR syntax error\r\n";
    for (const char* const time : {"0", "-1", "3153600001", "9223372036854775807"}) {
        CHECK(bed.run({"SET", "a", "1", "EX", time}) == expire);
    }
    CHECK(bed.run({"SET", "a", "1", "PX", "3153600000001"}) == expire);
    for (const char* const time : {"", "x", "1x", "1.5", " 1", "+1", "9223372036854775808"}) {
        CHECK(bed.run({"SET", "a", "1", "PX", time}) == number);
    }
    CHECK(bed.run({"SET", "a", "1", "EX"}) == syntax);
    CHECK(bed.run({"SET", "a", "1", "NX"}) == syntax);
    CHECK(bed.run({"SET", "a", "1", "XX", "1"}) == syntax);
    CHECK(bed.run({"SET", "a", "1", "EX", "1", "PX", "1"}) == syntax);
    CHECK(bed.store.size() == 0);
    CHECK(bed.run({"SET", "a", "1", "EX", "3153600000"}) == "+OK\r\n");
}

TEST_CASE("redis_lite's INCR counts up to the largest number and refuses what is none") {
    redis_bed bed;
    CHECK(bed.run({"INCR", "a"}) == ":1\r\n");
    CHECK(bed.run({"SET", "a", "-1"}) == "+OK\r\n");
    CHECK(bed.run({"INCR", "a"}) == ":0\r\n");
    CHECK(bed.run({"SET", "a", "9223372036854775806"}) == "+OK\r\n");
    CHECK(bed.run({"INCR", "a"}) == ":9223372036854775807\r\n");
    CHECK(bed.run({"INCR", "a"}) == "-ERR increment or decrement would overflow\r\n");
    for (const char* const value : {"", "x", "1 ", "9223372036854775808"}) {
        CHECK(bed.run({"SET", "a", value}) == "+OK\r\n");
        CHECK(bed.run({"INCR", "a"}) == "-ERR value is not an integer or out of range\r\n");
    }
}

TEST_CASE("redis_lite names a command that it does not have, and writes nothing of a client's as lines of its own") {
    redis_bed bed;
    CHECK(bed.run({"COMMAND", "DOCS"}) == "-ERR unknown command 'COMMAND'\r\n");
    CHECK(bed.run({""}) == "-ERR unknown command ''\r\n");
    CHECK(bed.run({"a'\r\n+OK\r\n\xff"}) ==
          "-ERR unknown command 'a?"
          "?"
          "?+OK?"
          "?"
          "?'\r\n");
    CHECK(bed.run({std::string(1000, 'x')}) == "-ERR unknown command '" + std::string(64, 'x') + "'\r\n");
    CHECK(bed.run({"GETT"}) == "-ERR unknown command 'GETT'\r\n");
}

TEST_CASE("redis_lite says when a command has too few or too many arguments") {
    redis_bed bed;
    for (const std::vector<std::string_view>& words : std::vector<std::vector<std::string_view>>{{"get"},
                                                                                                 {"get", "a", "b"},
                                                                                                 {"set"},
                                                                                                 {"set", "a"},
                                                                                                 {"ping", "a", "b"},
                                                                                                 {"del"},
                                                                                                 {"exists"},
                                                                                                 {"incr"},
                                                                                                 {"echo"}}) {
        CHECK(bed.run(words) == "-ERR wrong number of arguments for '" + std::string(words[0]) + "' command\r\n");
    }
}

TEST_CASE("redis_lite takes no more than its memory, and goes on when there is room again") {
    redis_bed bed({.keys = 2, .octets = 10'000});
    const std::string full = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    CHECK(bed.run({"SET", "a", std::string(20'000, 'x')}) == full);
    CHECK(bed.run({"SET", "a", "1", "PX", "10"}) == "+OK\r\n");
    CHECK(bed.run({"SET", "b", "1"}) == "+OK\r\n");
    CHECK(bed.run({"SET", "c", "1"}) == full);
    CHECK(bed.run({"INCR", "c"}) == full);
    CHECK(bed.run({"INCR", "b"}) == ":2\r\n");
    bed.now += 10ms;
    CHECK(bed.run({"SET", "c", "1"}) == "+OK\r\n");
}
