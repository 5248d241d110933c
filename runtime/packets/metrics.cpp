// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace fluxnet {
namespace {

/// A label's value: backslash, quote and line feed are escaped.
std::string escaped(std::string_view value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') { text += '\\'; }
        if (c == '\n') {
            text += "\\n";
        } else {
            text += c;
        }
    }
    return text;
}

double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

void metrics::sample(std::string_view name, std::string_view help, kind type, std::string_view label, std::string_view of,
                     double value, std::string_view second_label, std::string_view second) {
    auto found = std::ranges::find(families_, name, &family::name);
    if (found == families_.end()) { found = families_.insert(families_.end(), {name, help, type, {}}); }
    std::string& samples = found->samples;
    samples.append(name).append("{").append(label).append("=\"").append(escaped(of)).append("\"");
    if (!second_label.empty()) { samples.append(",").append(second_label).append("=\"").append(second).append("\""); }
    char number[32];
    // Counts are whole numbers, which a double holds exactly up to 2^53.
    std::snprintf(number, sizeof number, std::floor(value) == value ? "} %.0f\n" : "} %.6g\n", value);
    samples.append(number);
}

void metrics::count(std::string_view name, std::string_view help, std::string_view label, std::string_view of,
                    std::uint64_t value) {
    sample(name, help, kind::counter, label, of, static_cast<double>(value));
}

void metrics::add(std::string_view name, const executor& from) {
    count("fluxnet_executor_turns_total", "Rounds of the run loop.", "executor", name, from.turns());
    count("fluxnet_executor_sleeps_total", "Times it slept in the kernel.", "executor", name, from.sleeps());
    count("fluxnet_executor_spins_total", "Rounds that found nothing to do and did not sleep.", "executor", name,
          from.spins());
    count("fluxnet_executor_resumptions_total", "Coroutines and other nodes resumed.", "executor", name, from.resumptions());
    count("fluxnet_executor_completions_total", "Operations of the reactor that fired.", "executor", name,
          from.reactor_completions());
}

void metrics::add(std::string_view name, const async_rx& from) {
    const rx& socket = from.socket();
    const std::uint64_t packets = socket.home().received();
    count("fluxnet_rx_packets_total", "Packets received.", "socket", name, packets);
    count("fluxnet_rx_wakeups_total", "Times that arriving packets woke the executor.", "socket", name, from.wakeups());
    sample("fluxnet_rx_packets_per_wakeup", "Packets received for each wake-up.", kind::gauge, "socket", name,
           ratio(packets, from.wakeups()));
    const socket_statistics kernel = socket.statistics();
    for (const auto& [reason, value] :
         {std::pair<std::string_view, std::uint64_t>{"too_large_or_dropped", kernel.rx_dropped},
          {"rx_ring_full", kernel.rx_ring_full},
          {"fill_ring_empty", kernel.fill_ring_empty}}) {
        sample("fluxnet_rx_kernel_drops_total", "Packets that the kernel dropped, by reason.", kind::counter, "socket", name,
               static_cast<double>(value), "reason", reason);
    }
}

void metrics::add(std::string_view name, const async_tx& from) {
    const tx& socket = from.socket();
    sample("fluxnet_tx_in_flight", "Packets queued or taken whose frames have not come back.", kind::gauge, "socket", name,
           socket.in_flight());
    count("fluxnet_tx_kernel_drops_total", "Packets that the kernel dropped instead of sending them.", "socket", name,
          socket.dropped_by_kernel());
}

void metrics::add(std::string_view name, const engine_port& from) {
    const port_counts counts = from.counts();
    for (const auto& [outcome, value] : {std::pair<std::string_view, std::uint64_t>{"recycled", counts.recycled},
                                         {"sent", counts.sent},
                                         {"extracted", counts.extracted}}) {
        sample("fluxnet_port_packets_total", "Packets received by the port, by what became of them.", kind::counter, "port",
               name, static_cast<double>(value), "outcome", outcome);
    }
    for (const auto& [reason, value] :
         {std::pair<std::string_view, std::uint64_t>{"no_room", counts.no_room}, {"refused", counts.refused}}) {
        sample("fluxnet_port_drops_total", "Packets that were to be sent and were recycled, by reason.", kind::counter,
               "port", name, static_cast<double>(value), "reason", reason);
    }
}

void metrics::add(std::string_view name, frame_pool& from) {
    const frame_census census = from.census();
    for (const auto& [state, value] : {std::pair<std::string_view, std::int64_t>{"free", census.free},
                                       {"fill", census.fill},
                                       {"rx", census.rx},
                                       {"tx", census.tx},
                                       {"completion", census.completion},
                                       {"user", census.user}}) {
        sample("fluxnet_frames", "Frames of the UMEM, by where they are.", kind::gauge, "umem", name,
               static_cast<double>(value), "state", state);
    }
}

std::string metrics::text() const {
    std::string all;
    for (const family& one : families_) {
        all.append("# HELP ").append(one.name).append(" ").append(one.help).append("\n# TYPE ").append(one.name);
        all.append(one.type == kind::counter ? " counter\n" : " gauge\n").append(one.samples);
    }
    return all;
}

}  // namespace fluxnet
