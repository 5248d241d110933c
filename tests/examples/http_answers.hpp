// SPDX-License-Identifier: BSD-3-Clause
// `http_answers`: takes the bytes that an HTTP client has received apart into answers, and notes what cannot be one.
//
// For tests of http_counters, whose answers all have a length. An answer counts when the last byte of it is there. A value.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace fluxnet::test {

struct http_answer {
    unsigned status = 0;
    std::string header;  ///< With the status line and the empty line.
    std::string body;

    [[nodiscard]] bool has(std::string_view line) const {
        return header.find("\r\n" + std::string(line) + "\r\n") != std::string::npos;
    }
};

class http_answers {
public:
    void received(std::span<const std::byte> bytes) {
        text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    void received(std::string_view text) { text_.append(text); }

    /// The next answer, if it is whole. `head`: it is one to HEAD, which has no body.
    [[nodiscard]] std::optional<http_answer> next(bool head = false) {
        const std::size_t end = text_.find("\r\n\r\n");
        if (end == std::string::npos) { return std::nullopt; }
        http_answer made;
        made.header = text_.substr(0, end + 4);
        if (made.header.rfind("HTTP/1.", 0) != 0) { return std::nullopt; }
        made.status = static_cast<unsigned>(std::strtoul(made.header.c_str() + 9, nullptr, 10));
        constexpr std::string_view field = "\r\nContent-Length: ";
        const std::size_t at = made.header.find(field);
        if (at == std::string::npos) { return std::nullopt; }
        const std::size_t size = head ? 0 : std::strtoul(made.header.c_str() + at + field.size(), nullptr, 10);
        if (text_.size() < end + 4 + size) { return std::nullopt; }
        made.body = text_.substr(end + 4, size);
        text_.erase(0, end + 4 + size);
        return made;
    }

    /// What has come of an answer that is not whole.
    [[nodiscard]] const std::string& rest() const noexcept { return text_; }

private:
    std::string text_;
};

}  // namespace fluxnet::test
