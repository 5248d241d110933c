// SPDX-License-Identifier: BSD-3-Clause
// What an ip_host tells `metrics`.
#include "fluxnet/runtime/host/detail/host_core.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/metrics.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace fluxnet::host {
namespace {

using named = std::pair<std::string_view, std::uint64_t>;

/// Those of a family that are told apart by a reason. What never happened is left out: there are many.
void add_drops(metrics& all, std::string_view name, std::string_view family, std::string_view help,
               const std::array<std::uint64_t, proto::reason_count>& dropped) {
    for (std::size_t i = 0; i != dropped.size(); ++i) {
        if (dropped[i] == 0) { continue; }
        all.add_counter(family, help, dropped[i],
                        {{"host", name}, {"reason", fluxnet::proto::name(static_cast<proto::reason>(i))}});
    }
}

void add_counters(metrics& all, std::string_view name, const host_counters& count) {
    for (const auto& [kind, value] : {named{"arp", count.arp},
                                      {"ndp", count.ndp},
                                      {"echo", count.echoes},
                                      {"datagram", count.datagrams},
                                      {"segment", count.segments},
                                      {"fragment", count.fragments},
                                      {"error", count.errors},
                                      {"queue_full", count.queue_full},
                                      {"handed_on", count.handed_on}}) {
        all.add_counter("fluxnet_host_received_total", "Frames received and not dropped for a reason, by what they became.",
                        value, {{"host", name}, {"kind", kind}});
    }
    add_drops(all, name, "fluxnet_host_drops_total", "Frames received and dropped, by reason.", count.dropped);
    for (const auto& [kind, value] : {named{"datagram", count.sent},
                                      {"segment", count.segments_sent},
                                      {"held", count.held_sent},
                                      {"fragment", count.pieces_sent},
                                      {"answer", count.answers_sent},
                                      {"question", count.questions_sent},
                                      {"claim", count.claims_sent},
                                      {"error", count.errors_sent}}) {
        all.add_counter("fluxnet_host_sent_total",
                        "What the host has sent, by kind; held: segments and errors that had waited for a neighbour.", value,
                        {{"host", name}, {"kind", kind}});
    }
    for (const auto& [reason, value] : {named{"undeliverable", count.undeliverable},
                                        {"no_room", count.no_room},
                                        {"errors_withheld", count.errors_withheld},
                                        {"not_told", count.not_told}}) {
        all.add_counter("fluxnet_host_unsent_total", "What the host was to send and has given up, by reason.", value,
                        {{"host", name}, {"reason", reason}});
    }
}

void add_stack(metrics& all, std::string_view name, const proto::tcp::stack& stack) {
    const proto::tcp::stack_counters& count = stack.count();
    add_drops(all, name, "fluxnet_tcp_drops_total", "Segments received and dropped, by reason.", count.dropped);
    all.add_counter("fluxnet_tcp_accepted_total", "Connections that were accepted.", count.accepted, {{"host", name}});
    all.add_counter("fluxnet_tcp_connected_total", "Connections that the host has begun.", count.connected,
                    {{"host", name}});
    all.add_counter("fluxnet_tcp_cookies_total", "SYN cookies sent.", count.cookies_sent, {{"host", name}});
    const auto gauge = [&](std::string_view family, std::string_view help, std::size_t value) {
        all.add_gauge(family, help, static_cast<double>(value), {{"host", name}});
    };
    gauge("fluxnet_tcp_connections", "Connections that take a place: all but those in TIME-WAIT.", stack.connections());
    gauge("fluxnet_tcp_embryonic", "Of these, those whose handshake a listener waits for.", stack.embryonic());
    gauge("fluxnet_tcp_orphans", "Of these, those that the program has released.", stack.orphans());
    gauge("fluxnet_tcp_time_wait", "Connections in TIME-WAIT.", stack.waiting());
}

}  // namespace

void ip_host::add_to(metrics& all, std::string_view name) const {
    if (core_->is_open()) {
        all.add(name, core_->rx());
        all.add(name, core_->sender());
        all.add(name, core_->rx().socket().pool());
    }
    add_counters(all, name, core_->counters());
    if (const proto::tcp::stack* const stack = tcp()) { add_stack(all, name, *stack); }
}

}  // namespace fluxnet::host
