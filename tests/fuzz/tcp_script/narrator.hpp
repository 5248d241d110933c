// SPDX-License-Identifier: BSD-3-Clause
// `narrator`: tells on stderr what a TCP script does, where FLUXNET_TELL_SCRIPT is in the environment: for somebody who
// looks for the cause of a broken promise.
//
// Threads: one at a time.
#pragma once

#include "fluxnet/proto/tcp.hpp"
#include "tests/fuzz/tcp_script/profile.hpp"

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

namespace tcp_script::narrator {

[[nodiscard]] inline bool speaks() {
    static const bool asked = std::getenv("FLUXNET_TELL_SCRIPT") != nullptr;
    return asked;
}

inline void tell_time(time_point now) {
    std::fprintf(stderr, "%12.6f ", std::chrono::duration<double>(now - script_start).count());
}

/// Tells a segment that a host has sent, or that it gets.
inline void tell_segment(time_point now, unsigned host, const char* what, std::span<const std::byte> octets) {
    if (!speaks()) { return; }
    tell_time(now);
    const auto parsed = proto::tcp_view::parse_unsummed(octets);
    if (!parsed) {
        std::fprintf(stderr, "host %u %s no segment\n", host, what);
        return;
    }
    std::string flags;
    const char* const names = "FSRPAUEC";
    for (unsigned i = 0; i != 8; ++i) {
        if ((parsed->flags() >> i & 1) != 0) { flags += names[i]; }
    }
    std::fprintf(stderr, "host %u %s %u > %u %s seq %08x ack %08x win %u len %zu", host, what, parsed->source_port(),
                 parsed->destination_port(), flags.c_str(), parsed->sequence(), parsed->acknowledgment(), parsed->window(),
                 parsed->payload().size());
    const proto::tcp_options options = parsed->read_options();
    if (options.mss != 0) { std::fprintf(stderr, " mss %u", options.mss); }
    if (options.window_scale != proto::tcp_options::no_scale) { std::fprintf(stderr, " scale %u", options.window_scale); }
    if (options.timestamps) { std::fprintf(stderr, " ts %u %u", options.timestamp, options.timestamp_echo); }
    for (unsigned i = 0; i != options.sack_count; ++i) {
        std::fprintf(stderr, " sack %08x-%08x", options.sack[i].left, options.sack[i].right);
    }
    std::fprintf(stderr, "\n");
}

/// Tells a step.
inline void tell_step(time_point now, unsigned host, const char* what) {
    if (!speaks()) { return; }
    tell_time(now);
    std::fprintf(stderr, "host %u: %s\n", host, what);
}

}  // namespace tcp_script::narrator
