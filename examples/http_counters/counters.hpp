// SPDX-License-Identifier: BSD-3-Clause
// `counters`: the pages of http_counters: what an executor, a packet program and a server of pages have counted.
//
// Refers to all three; asked for a page on their thread, while they live.
#pragma once

#include "examples/http_counters/packet_program.hpp"
#include "examples/http_counters/server.hpp"
#include "fluxnet/runtime/core/executor.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace http_example {

struct counters {
    const fluxnet::executor* loop = nullptr;
    packet_program* packets = nullptr;
    const http_server* server = nullptr;

    /// /metrics, in Prometheus' text format, and /, which shows them as they change.
    [[nodiscard]] std::optional<page> page_at(std::string_view path) const;

    /// What is at /metrics.
    [[nodiscard]] std::string text() const;
};

}  // namespace http_example
