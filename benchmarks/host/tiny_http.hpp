// SPDX-License-Identifier: BSD-3-Clause
// What both servers of this benchmark know of HTTP: enough to answer a benchmark's client, and no more. Where the work of
// a request is nearly nothing, what remains is the stack's.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace benchmark {

constexpr std::string_view tiny_answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";

/// Requests of one connection: bytes in, and how long an answer each of them asks for.
class tiny_requests {
public:
    /// Where the next bytes go. Empty when a head is larger than there is room for.
    [[nodiscard]] std::span<char> room() noexcept { return std::span(bytes_).subspan(used_); }
    void received(std::size_t count) noexcept { used_ += count; }

    /// Takes a request whose head is complete. The octets that it wants of /bytes/N; 0 for any other path.
    [[nodiscard]] std::optional<std::uint64_t> next() noexcept {
        const std::string_view all(bytes_.data(), used_);
        const std::size_t end = all.find("\r\n\r\n");
        if (end == std::string_view::npos) { return std::nullopt; }
        constexpr std::string_view counted = "GET /bytes/";
        std::uint64_t octets = 0;
        if (all.starts_with(counted)) { std::from_chars(all.data() + counted.size(), all.data() + end, octets); }
        used_ -= end + 4;
        std::memmove(bytes_.data(), bytes_.data() + end + 4, used_);
        return octets;
    }

private:
    std::array<char, 2048> bytes_;
    std::size_t used_ = 0;
};

/// The head of an answer of that many octets, which follow.
[[nodiscard]] inline std::string head_of(std::uint64_t octets) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(octets) + "\r\n\r\n";
}

}  // namespace benchmark
