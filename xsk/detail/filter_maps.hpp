// SPDX-License-Identifier: BSD-3-Clause
// `filter_maps`: puts a packet_filter into the maps of the XDP program, and reads the counters of its rules.
//
// Owned by a `program` that was loaded with a filter. Generations of rules are maps of their own; a counter is a slot that a
// rule keeps for as long as the rule stands in the filter (bpf/rules.h says why that is so). Slots that no rule has are not
// counted in: a run of the program that began with a former generation has ended when put() returns. So the number that a
// free slot shows when a rule gets it is that rule's zero.
// Threads: any, one at a time (a mutex). In a child of fork() the maps are those of its parent: of the two, one may call
// put().
#pragma once

#include "fluxnet/xsk/filter.hpp"

#include "bpf/rules.h"

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace fluxnet::detail {

/// Writes a valid rule as the program reads it, but for its slot.
[[nodiscard]] flux_rule compile(const filter_rule& rule) noexcept;

class filter_maps {
public:
    filter_maps() = default;
    filter_maps(const filter_maps&) = delete;
    filter_maps& operator=(const filter_maps&) = delete;
    ~filter_maps();

    /// Takes the descriptors, which stay the caller's, of the maps `filter` and `rule_hits`, and maps the latter. Returns 0
    /// or a negated errno. Called once, first.
    [[nodiscard]] int open(int filter, int hits, std::uint32_t cpus) noexcept;

    /// Puts a valid filter in force. When it returns 0, no packet is judged by the former one any more. Otherwise it returns
    /// a negated errno, and nothing has changed. Three bpf calls, of which the last waits until all processors have come by
    /// (RCU): milliseconds.
    [[nodiscard]] int put(const packet_filter& next);

    [[nodiscard]] packet_filter current() const;

    /// The rules in force, each with how many packets it has decided. Reads shared memory: no system call.
    [[nodiscard]] std::vector<std::pair<filter_rule, std::uint64_t>> count() const;

private:
    struct counter {
        std::uint16_t slot = 0;
        std::uint64_t zero = 0;
    };

    [[nodiscard]] std::uint64_t sum(std::uint16_t slot) const noexcept;
    [[nodiscard]] std::vector<counter> counters_for(const packet_filter& next) const;

    int filter_ = -1;
    const volatile flux_rule_hits* hits_ = nullptr;  // one for each CPU
    std::size_t length_ = 0;
    std::uint32_t cpus_ = 0;
    mutable std::mutex mutex_;  // held to use what follows
    packet_filter current_;
    std::vector<counter> counters_;  // of its rules, in their order
};

}  // namespace fluxnet::detail
