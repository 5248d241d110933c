// SPDX-License-Identifier: BSD-3-Clause
#include "examples/tcp_stack/content.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace tcp_example {
namespace {

using http_example::http_request;

const char* phrase_of(unsigned status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 413: return "Content Too Large";
        case 417: return "Expectation Failed";
        case 431: return "Request Header Fields Too Large";
        case 501: return "Not Implemented";
        case 505: return "HTTP Version Not Supported";
        default: return "Error";
    }
}

/// The octets that /bytes/N has from an offset on: they repeat themselves, and no shift of them looks the same.
void make_octets(std::span<std::byte> into, std::uint64_t offset) noexcept {
    for (std::size_t i = 0; i != into.size(); ++i) { into[i] = static_cast<std::byte>((offset + i) % 251); }
}

std::optional<std::uint64_t> number_in(std::string_view text) noexcept {
    std::uint64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size()) { return std::nullopt; }
    return value;
}

/// The file that a path names below the root, if it names one.
std::optional<std::string> file_below(const std::string& root, std::string_view path) {
    namespace fs = std::filesystem;
    std::error_code failed;
    const fs::path top = fs::canonical(root, failed);
    if (failed) { return std::nullopt; }
    const fs::path found = fs::canonical(top / fs::path(path).relative_path(), failed);
    if (failed || !fs::is_regular_file(found, failed)) { return std::nullopt; }
    const auto [in_root, in_found] = std::mismatch(top.begin(), top.end(), found.begin(), found.end());
    if (in_root != top.end() || in_found == found.end()) { return std::nullopt; }
    return found.string();
}

}  // namespace

content::content(unsigned status)
    : status_(status), text_(std::to_string(status).append(" ").append(phrase_of(status)).append("\n")) {
    length_ = text_.size();
}

content content::made(std::uint64_t length) {
    content one(200);
    one.text_.clear();
    one.length_ = length;
    return one;
}

content content::of(fluxnet::file source, std::uint64_t length) {
    content one = made(length);
    one.file_.emplace(std::move(source));
    return one;
}

std::string content::head(const http_request& asked) const {
    std::string text = asked.version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
    text.append(std::to_string(status_)).append(" ").append(phrase_of(status_));
    text.append("\r\nContent-Length: ").append(std::to_string(length_));
    text.append(text_.empty() ? "\r\nContent-Type: application/octet-stream" : "\r\nContent-Type: text/plain");
    if (status_ == 405) { text.append("\r\nAllow: GET, HEAD"); }
    text.append(asked.keep_alive ? "\r\nConnection: keep-alive\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
    return text;
}

fluxnet::task<std::size_t> content::fill(std::span<std::byte> into, std::uint64_t offset) {
    if (file_) {
        const fluxnet::io_result got = co_await file_->read_at(into, offset);
        co_return got.n;
    }
    if (text_.empty()) {
        make_octets(into, offset);
        co_return into.size();
    }
    const std::size_t count = std::min<std::size_t>(into.size(), text_.size() - offset);
    std::memcpy(into.data(), text_.data() + offset, count);
    co_return count;
}

fluxnet::task<content> find_content(const std::string& root, const http_request& asked) {
    using verb = http_request::verb;
    if (asked.refusal != 0) { co_return content(asked.refusal); }
    if (asked.method == verb::unknown) { co_return content(501); }
    if (asked.method == verb::other) { co_return content(405); }
    const std::string_view path = std::string_view(asked.target).substr(0, asked.target.find('?'));
    constexpr std::string_view made = "/bytes/";
    if (path.starts_with(made)) {
        const auto length = number_in(path.substr(made.size()));
        if (length) { co_return content::made(*length); }
        co_return content(404);
    }
    const auto found = file_below(root, path);
    if (!found) { co_return content(404); }
    auto opened = co_await fluxnet::file::open(*found);
    if (!opened) { co_return content(404); }
    const auto length = co_await opened->size();
    if (!length) { co_return content(404); }
    co_return content::of(std::move(*opened), *length);
}

}  // namespace tcp_example
