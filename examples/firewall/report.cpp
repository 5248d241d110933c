// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/report.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace firewall {

using namespace fluxnet;

namespace {

/// What the ports did with the packets that passed.
port_counts sum_of_ports(engine& loop) {
    port_counts sum;
    for (std::size_t i = 0; i < loop.ports(); ++i) {
        const port_counts one = loop.port(i).counts();
        sum.received += one.received;
        sum.sent += one.sent;
        sum.no_room += one.no_room;
        sum.refused += one.refused;
    }
    return sum;
}

}  // namespace

void print_counts(engine& loop, const filter& rules) {
    for (std::size_t i = 0; i < rules.rules().size(); ++i) {
        std::printf("rule %zu: hits %llu  %s\n", i + 1, 0ULL + rules.hits(i), rules.rules().text(i).c_str());
    }
    const filter_counts& all = rules.counts();
    std::printf("malformed:");
    for (std::size_t i = 0; i < flaw_names.size(); ++i) { std::printf(" %s %llu", flaw_names[i], 0ULL + all.flaws[i]); }
    const port_counts ports = sum_of_ports(loop);
    std::printf(
        "\nsummary: rx %llu allowed %llu arp %llu denied %llu malformed %llu non_ip %llu | sent %llu no_room %llu "
        "refused %llu | former_hits %llu\n",
        0ULL + all.frames, 0ULL + all.allowed, 0ULL + all.arp, 0ULL + all.denied, 0ULL + all.malformed, 0ULL + all.other,
        0ULL + ports.sent, 0ULL + ports.no_room, 0ULL + ports.refused, 0ULL + all.former_hits);
}

bool print_accounts(engine& loop, const filter& rules) {
    for (std::size_t i = 0; i < loop.ports(); ++i) {
        engine_port& port = loop.port(i);
        port.sending().drain(std::chrono::milliseconds(200));
        const socket_statistics kernel = port.receiving().statistics();
        std::printf(
            "kernel %s: rx_dropped %llu rx_ring_full %llu fill_ring_empty %llu tx_invalid_descs %llu tx_dropped %llu\n",
            port.receiving().interface().name.c_str(), 0ULL + kernel.rx_dropped, 0ULL + kernel.rx_ring_full,
            0ULL + kernel.fill_ring_empty, 0ULL + kernel.tx_invalid_descs, 0ULL + port.sending().dropped_by_kernel());
    }
    const frame_census census = loop.port(0).receiving().pool().census();
    std::printf("census: frames %lld sum %lld free %lld fill %lld rx %lld tx %lld completion %lld user %lld %s\n",
                0LL + census.frames, 0LL + census.sum(), 0LL + census.free, 0LL + census.fill, 0LL + census.rx,
                0LL + census.tx, 0LL + census.completion, 0LL + census.user, census.exact ? "exact" : "snapshot");
    const filter_counts& all = rules.counts();
    const port_counts ports = sum_of_ports(loop);
    std::uint64_t hits = all.former_hits;
    for (std::size_t i = 0; i < rules.rules().size(); ++i) { hits += rules.hits(i); }
    return census.exact && census.sum() == census.frames && census.user == 0 && ports.received == all.frames &&
           all.frames == all.passed() + all.denied + all.malformed + all.other && all.allowed + all.denied == hits &&
           all.passed() == ports.sent + ports.no_room + ports.refused;
}

}  // namespace firewall
