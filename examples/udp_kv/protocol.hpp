// SPDX-License-Identifier: BSD-3-Clause
// The datagrams of udp_kv, which are text:
//
//     17 SET colour dark blue       OK 17
//     18 GET colour                 OK 18 dark blue
//     19 DEL colour                 OK 19
//     20 GET colour                 NONE 20
//     21 BREW tea                   ERROR 21 the request is GET, SET or DEL
//
// A request is a number, a verb, a key of 1 to 64 printable characters without spaces, and for SET a value of 1 to 1024
// octets without control characters, with one space between them. A line end behind it is not looked at. An answer has the
// number of its request. Nothing is both: a service that is sent an answer says nothing, so that two of them cannot be made
// to talk to each other for ever by a datagram with a forged source.
//
// Functions of their arguments. What they return refers to the text that it was read from. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kv_example {

constexpr std::size_t max_key = 64;
constexpr std::size_t max_value = 1024;
constexpr std::size_t max_datagram = 20 + 1 + 3 + 1 + max_key + 1 + max_value + 2;  ///< Of a request or an answer.

enum class verb : std::uint8_t { get, set, erase };

struct request {
    std::uint64_t id = 0;
    verb what = verb::get;
    std::string_view key;
    std::string_view value;       ///< Of SET.
    const char* wrong = nullptr;  ///< Why it is no request, though it has a number.
};

/// Reads a request. Nothing: it does not even begin with a number, and is not answered.
[[nodiscard]] std::optional<request> read_request(std::string_view text) noexcept;

enum class outcome : std::uint8_t { ok, none, error };

struct reply {
    outcome how = outcome::error;
    std::uint64_t id = 0;
    std::string_view text;  ///< The value, or what is wrong.
};

[[nodiscard]] std::optional<reply> read_reply(std::string_view text) noexcept;

/// Writes an answer over what `into` has.
void write_reply(std::string& into, const reply& made);

}  // namespace kv_example
