// SPDX-License-Identifier: BSD-3-Clause
#include "examples/udp_kv/protocol.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace kv_example {
namespace {

/// Takes the word before the next space, and the space, off the text.
std::string_view take_word(std::string_view& text) noexcept {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

std::optional<std::uint64_t> read_id(std::string_view word) noexcept {
    std::uint64_t id = 0;
    const char* const end = word.data() + word.size();
    const auto [at, failed] = std::from_chars(word.data(), end, id);
    if (failed != std::errc() || at != end) { return std::nullopt; }
    return id;
}

bool is_control(char each) noexcept {
    return static_cast<unsigned char>(each) < 0x20 || each == 0x7f;
}

bool is_key(std::string_view word) noexcept {
    const auto is_printable = [](char each) { return each > 0x20 && each < 0x7f; };
    return !word.empty() && word.size() <= max_key && std::ranges::all_of(word, is_printable);
}

bool is_value(std::string_view text) noexcept {
    return !text.empty() && text.size() <= max_value && std::ranges::none_of(text, is_control);
}

}  // namespace

std::optional<request> read_request(std::string_view text) noexcept {
    if (text.ends_with('\n')) { text.remove_suffix(text.ends_with("\r\n") ? 2 : 1); }
    const auto id = read_id(take_word(text));
    if (!id) { return std::nullopt; }
    request made;
    made.id = *id;
    const std::string_view verb_text = take_word(text);
    if (verb_text == "GET") {
        made.what = verb::get;
    } else if (verb_text == "SET") {
        made.what = verb::set;
    } else if (verb_text == "DEL") {
        made.what = verb::erase;
    } else {
        made.wrong = "the request is GET, SET or DEL";
        return made;
    }
    if (made.what == verb::set) {
        made.key = take_word(text);
        made.value = text;
        if (!is_value(made.value)) { made.wrong = "the value has 1 to 1024 octets and no control characters"; }
    } else {
        made.key = text;
    }
    if (!is_key(made.key)) { made.wrong = "the key has 1 to 64 printable characters and no spaces"; }
    return made;
}

std::optional<reply> read_reply(std::string_view text) noexcept {
    const std::string_view how = take_word(text);
    reply made;
    if (how == "OK") {
        made.how = outcome::ok;
    } else if (how == "NONE") {
        made.how = outcome::none;
    } else if (how != "ERROR") {
        return std::nullopt;
    }
    const auto id = read_id(take_word(text));
    if (!id || std::ranges::any_of(text, is_control)) { return std::nullopt; }
    made.id = *id;
    made.text = text;
    return made;
}

void write_reply(std::string& into, const reply& made) {
    into = made.how == outcome::ok ? "OK " : made.how == outcome::none ? "NONE " : "ERROR ";
    into.append(std::to_string(made.id));
    if (!made.text.empty()) { into.append(" ").append(made.text); }
}

}  // namespace kv_example
