// SPDX-License-Identifier: BSD-3-Clause
#include "examples/redis_lite/commands.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>

namespace redis_example {
namespace {

using store_example::bounded_store;
using time_point = bounded_store::time_point;
using words = std::span<const std::string_view>;

constexpr std::string_view not_a_number = "ERR value is not an integer or out of range";
constexpr std::string_view no_room = "OOM command not allowed when used memory > 'maxmemory'.";

/// Longer than anybody waits, and little enough for every clock.
constexpr std::int64_t longest_life_ms = std::int64_t{100} * 365 * 24 * 3600 * 1000;

void write_simple(std::string& out, std::string_view text) {
    out.append("+").append(text).append("\r\n");
}
void write_number(std::string& out, std::int64_t number) {
    out.append(":").append(std::to_string(number)).append("\r\n");
}
void write_bulk(std::string& out, std::string_view text) {
    out.append("$").append(std::to_string(text.size())).append("\r\n").append(text).append("\r\n");
}

std::optional<std::int64_t> number_in(std::string_view text) noexcept {
    std::int64_t number = 0;
    const auto [at, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || at != text.data() + text.size()) { return std::nullopt; }
    return number;
}

bool is_named(std::string_view word, std::string_view upper) noexcept {
    const auto same = [](char left, char right) {
        return (left >= 'a' && left <= 'z' ? left - ('a' - 'A') : left) == right;
    };
    return std::ranges::equal(word, upper, same);
}

void ping(bounded_store&, words given, time_point, std::string& out) {
    if (given.size() == 2) { return write_bulk(out, given[1]); }
    write_simple(out, "PONG");
}

void echo(bounded_store&, words given, time_point, std::string& out) {
    write_bulk(out, given[1]);
}

void get(bounded_store& store, words given, time_point now, std::string& out) {
    const std::string* const value = store.find(given[1], now);
    if (value == nullptr) {
        out.append("$-1\r\n");
    } else {
        write_bulk(out, *value);
    }
}

void set(bounded_store& store, words given, time_point now, std::string& out) {
    time_point until = bounded_store::never;
    if (given.size() > 3) {
        const bool in_seconds = is_named(given[3], "EX");
        if (given.size() != 5 || (!in_seconds && !is_named(given[3], "PX"))) { return write_error(out, "ERR syntax error"); }
        const auto life = number_in(given[4]);
        if (!life) { return write_error(out, not_a_number); }
        const std::int64_t unit = in_seconds ? 1000 : 1;
        if (*life <= 0 || *life > longest_life_ms / unit) {
            return write_error(out, "ERR invalid expire time in 'set' command");
        }
        until = now + std::chrono::milliseconds(*life * unit);
    }
    if (!store.set(given[1], given[2], until, now)) { return write_error(out, no_room); }
    write_simple(out, "OK");
}

void del(bounded_store& store, words given, time_point now, std::string& out) {
    write_number(out, std::ranges::count_if(given.subspan(1), [&](std::string_view key) { return store.erase(key, now); }));
}

void exists(bounded_store& store, words given, time_point now, std::string& out) {
    const auto is_there = [&](std::string_view key) { return store.find(key, now) != nullptr; };
    write_number(out, std::ranges::count_if(given.subspan(1), is_there));
}

void incr(bounded_store& store, words given, time_point now, std::string& out) {
    const std::string* const old = store.find(given[1], now);
    const auto number = old == nullptr ? 0 : number_in(*old);
    if (!number) { return write_error(out, not_a_number); }
    if (*number == std::numeric_limits<std::int64_t>::max()) {
        return write_error(out, "ERR increment or decrement would overflow");
    }
    if (!store.set(given[1], std::to_string(*number + 1), store.expiry_of(given[1]), now)) {
        return write_error(out, no_room);
    }
    write_number(out, *number + 1);
}

struct command {
    std::string_view name;
    std::size_t least;  // words, with the name
    std::size_t most;
    void (*run)(bounded_store&, words, time_point, std::string&);
};

constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();
constexpr command commands[] = {
    {"GET", 2, 2, get},   {"SET", 3, any_number, set},       {"PING", 1, 2, ping}, {"DEL", 2, any_number, del},
    {"INCR", 2, 2, incr}, {"EXISTS", 2, any_number, exists}, {"ECHO", 2, 2, echo},
};

/// A word as it may stand in an error.
std::string shown(std::string_view word) {
    std::string text(word.substr(0, 64));
    std::ranges::replace_if(
        text, [](char each) { return each < 0x20 || each > 0x7e || each == '\''; }, '?');
    return text;
}

}  // namespace

void write_error(std::string& out, std::string_view text) {
    out.append("-").append(text).append("\r\n");
}

void execute(bounded_store& store, words given, time_point now, std::string& out) {
    for (const command& each : commands) {
        if (!is_named(given[0], each.name)) { continue; }
        if (given.size() >= each.least && given.size() <= each.most) { return each.run(store, given, now, out); }
        return write_error(out, "ERR wrong number of arguments for '" + shown(given[0]) + "' command");
    }
    write_error(out, "ERR unknown command '" + shown(given[0]) + "'");
}

}  // namespace redis_example
