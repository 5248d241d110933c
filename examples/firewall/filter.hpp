// SPDX-License-Identifier: BSD-3-Clause
// `filter`: the rules in force, applied to frames one by one, and the counters of what came of it.
//
// ARP always passes: without it nobody finds anybody, and rules speak of IPv4 only. What is neither IPv4 nor ARP does not
// pass, for the same reason. Belongs to one thread, which replaces the rules between two packets. passes() allocates
// nothing.
#pragma once

#include "examples/firewall/datagram.hpp"
#include "examples/firewall/rules.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace firewall {

/// `frames` is the sum of the five that follow it.
struct filter_counts {
    std::uint64_t frames = 0;
    std::uint64_t allowed = 0;  ///< By a rule.
    std::uint64_t arp = 0;      ///< Passed, too.
    std::uint64_t denied = 0;   ///< By a rule.
    std::uint64_t malformed = 0;
    std::uint64_t other = 0;                               ///< Neither IPv4 nor ARP.
    std::array<std::uint64_t, flaw_names.size()> flaws{};  ///< Of the malformed ones, by flaw.
    /// Hits of rules that are no longer in force. With those of the rules that are: allowed + denied.
    std::uint64_t former_hits = 0;

    [[nodiscard]] std::uint64_t passed() const noexcept { return allowed + arp; }
};

class filter {
public:
    explicit filter(rule_set first) : rules_(std::move(first)), hits_(rules_.size()) {}

    /// Tells whether a frame passes, and counts it.
    [[nodiscard]] bool passes(std::span<const std::byte> frame) noexcept;

    /// Puts other rules in force. A rule that was there before, in the same words, keeps its hits.
    void replace(rule_set next);

    [[nodiscard]] const filter_counts& counts() const noexcept { return counts_; }
    [[nodiscard]] const rule_set& rules() const noexcept { return rules_; }
    [[nodiscard]] std::uint64_t hits(std::size_t rule) const noexcept { return hits_[rule]; }

private:
    rule_set rules_;
    std::vector<std::uint64_t> hits_;  // of rules_
    filter_counts counts_;
};

inline bool filter::passes(std::span<const std::byte> frame) noexcept {
    ++counts_.frames;
    const dissection found = dissect(frame);
    switch (found.kind) {
        case frame_kind::arp: ++counts_.arp; return true;
        case frame_kind::other: ++counts_.other; return false;
        case frame_kind::malformed:
            ++counts_.malformed;
            ++counts_.flaws[static_cast<std::size_t>(found.where)];
            return false;
        case frame_kind::ipv4: break;
    }
    const std::size_t number = rules_.find(found.packet);
    ++hits_[number];
    const bool allowed = rules_[number].what == verdict::allow;
    ++(allowed ? counts_.allowed : counts_.denied);
    return allowed;
}

}  // namespace firewall
