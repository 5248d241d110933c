// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/counters.hpp"

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

void add_server(metrics& all, const server_counts& count) {
    all.add_counter("http_connections_total", "Connections accepted.", count.connections);
    all.add_gauge("http_connections_open", "Connections served now.", static_cast<double>(count.open));
    constexpr std::string_view ended = "Connections that the server ended, by reason.";
    all.add_counter("http_connections_ended_total", ended, count.dismissed, {{"reason", "dismissed"}});
    all.add_counter("http_connections_ended_total", ended, count.cut_off, {{"reason", "cut_off"}});
    for (const auto& [status, answers] : count.answers) {
        all.add_counter("http_answers_total", "Answers written to their end, by status.", answers,
                        {{"code", std::to_string(status)}});
    }
}

}  // namespace

std::string counters::text() const {
    metrics all;
    all.add("main", *loop);
    add_packets(all);
    add_server(all, server->counts());
    return all.text();
}

std::optional<page> counters::page_at(std::string_view path) const {
    if (path == "/metrics") { return page{"text/plain; version=0.0.4; charset=utf-8", text()}; }
    if (path == "/") { return page{"text/html; charset=utf-8", std::string(live_page)}; }
    return std::nullopt;
}

}  // namespace http_example
