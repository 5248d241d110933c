// SPDX-License-Identifier: BSD-3-Clause
// `content`: what the server of tcp_stack_async answers a request with: a file, octets that are made, or why there is
// nothing.
//
// Move-only; owns its file. Threads: that of the executor where it is awaited.
#pragma once

#include "examples/http_counters/http_request.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/file.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace tcp_example {

class content {
public:
    /// A status with a line that says so.
    explicit content(unsigned status);
    /// Octets that are made.
    static content made(std::uint64_t length);
    /// A file of that many octets.
    static content of(fluxnet::file source, std::uint64_t length);

    [[nodiscard]] std::uint64_t length() const noexcept { return length_; }
    /// The head of the response.
    [[nodiscard]] std::string head(const http_example::http_request& asked) const;
    /// Fills `into` with what lies from `offset` on; completes with how much that was, 0 when there is no more.
    [[nodiscard]] fluxnet::task<std::size_t> fill(std::span<std::byte> into, std::uint64_t offset);

private:
    unsigned status_ = 200;
    std::uint64_t length_ = 0;
    std::string text_;
    std::optional<fluxnet::file> file_;
};

/// Finds what a request asks for. No path leads out of the root, through links neither.
[[nodiscard]] fluxnet::task<content> find_content(const std::string& root, const http_example::http_request& asked);

}  // namespace tcp_example
