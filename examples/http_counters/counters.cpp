// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/counters.hpp"

#include "fluxnet/proto/reason.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

using namespace fluxnet;

namespace http_example {
namespace {

/// Asks for /metrics once a second, and shows each sample beside what it has gained since.
constexpr std::string_view live_page = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>FluxNet counters</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; }
td { padding: 0 1.5em 0 0; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
td + td { text-align: right; }
</style>
</head>
<body>
<h1>FluxNet counters</h1>
<p id="state">Waiting for the first sample. Without scripts: <a href="/metrics">/metrics</a>.</p>
<table><tbody id="samples"></tbody></table>
<script>
"use strict";
const former = new Map();
async function show() {
  const state = document.getElementById("state");
  try {
    const answer = await fetch("/metrics");
    if (!answer.ok) { throw new Error("status " + answer.status); }
    const rows = [];
    for (const line of (await answer.text()).split("\n")) {
      if (line === "" || line.startsWith("#")) { continue; }
      const at = line.lastIndexOf(" ");
      const name = line.slice(0, at), value = Number(line.slice(at + 1));
      const gain = former.has(name) ? value - former.get(name) : 0;
      former.set(name, value);
      const row = document.createElement("tr");
      for (const text of [name, line.slice(at + 1), gain === 0 ? "" : (gain > 0 ? "+" : "") + gain]) {
        row.appendChild(document.createElement("td")).textContent = text;
      }
      rows.push(row);
    }
    document.getElementById("samples").replaceChildren(...rows);
    state.textContent = new Date().toLocaleTimeString();
  } catch (failure) { state.textContent = "no answer: " + failure.message; }
  setTimeout(show, 1000);
}
show();
</script>
</body>
</html>
)";

void add_family(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
    text.append("# HELP ").append(name).append(" ").append(help);
    text.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void add_sample(std::string& text, std::string_view name, std::string_view label, std::string_view value,
                std::uint64_t count) {
    text.append(name).append("{").append(label).append("=\"").append(value).append("\"} ");
    text.append(std::to_string(count)).append("\n");
}

void add_host(std::string& text, const proto::echo_host::counters& count) {
    add_family(text, "host_replies_total", "counter", "Packets answered, by protocol.");
    add_sample(text, "host_replies_total", "protocol", "arp", count.arp_replies);
    add_sample(text, "host_replies_total", "protocol", "icmp", count.icmp_replies);
    add_sample(text, "host_replies_total", "protocol", "udp", count.udp_replies);
    add_family(text, "host_drops_total", "counter", "Packets without an answer, by reason.");
    for (std::size_t i = 0; i < proto::reason_count; ++i) {
        if (count.dropped[i] == 0) { continue; }
        add_sample(text, "host_drops_total", "reason", name(static_cast<proto::reason>(i)), count.dropped[i]);
    }
}

void add_server(std::string& text, const server_counts& count) {
    add_family(text, "http_connections_total", "counter", "Connections accepted.");
    text.append("http_connections_total ").append(std::to_string(count.connections)).append("\n");
    add_family(text, "http_connections_open", "gauge", "Connections served now.");
    text.append("http_connections_open ").append(std::to_string(count.open)).append("\n");
    add_family(text, "http_connections_ended_total", "counter", "Connections that the server ended, by reason.");
    add_sample(text, "http_connections_ended_total", "reason", "dismissed", count.dismissed);
    add_sample(text, "http_connections_ended_total", "reason", "cut_off", count.cut_off);
    add_family(text, "http_answers_total", "counter", "Answers written to their end, by status.");
    for (const auto& [status, answers] : count.answers) {
        add_sample(text, "http_answers_total", "code", std::to_string(status), answers);
    }
}

}  // namespace

std::string counters::text() const {
    metrics all;
    all.add("main", *loop);
    packets->add_to(all);
    std::string text = all.text();
    add_host(text, packets->host().count());
    add_server(text, server->counts());
    return text;
}

std::optional<page> counters::page_at(std::string_view path) const {
    if (path == "/metrics") { return page{"text/plain; version=0.0.4; charset=utf-8", text()}; }
    if (path == "/") { return page{"text/html; charset=utf-8", std::string(live_page)}; }
    return std::nullopt;
}

}  // namespace http_example
