// SPDX-License-Identifier: BSD-3-Clause
// `counters`: the pages of http_counters: what an executor, what answers packets, and a server of pages have counted.
//
// Refers to all three; asked for a page on their thread, while they live.
#pragma once

#include "examples/http_counters/server.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace http_example {

struct counters {
    const fluxnet::executor* loop = nullptr;
    std::function<void(fluxnet::metrics&)> add_packets;  ///< Adds what answers packets has counted.
    const http_server* server = nullptr;

    /// /metrics, in Prometheus' text format, and /, which shows them as they change.
    [[nodiscard]] std::optional<page> page_at(std::string_view path) const;

    /// What is at /metrics.
    [[nodiscard]] std::string text() const;
};

}  // namespace http_example
