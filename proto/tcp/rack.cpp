// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/rack.hpp"

namespace fluxnet::proto::tcp {

void rack_state::update_window(const ack_facts& facts) noexcept {
    constexpr std::uint8_t most_quarters = 255;
    if (in_dsack_round_ && facts.unacknowledged >= dsack_round_) { in_dsack_round_ = false; }
    if (!in_dsack_round_ && facts.duplicate_sack) {
        in_dsack_round_ = true;
        dsack_round_ = facts.next;
        if (quarters_ != most_quarters) { ++quarters_; }
        persist_ = persistence;
    } else if (facts.leaves_recovery) {
        if (persist_ != 0) { --persist_; }
        if (persist_ == 0) { quarters_ = 1; }
    }
    const bool at_once = !reordering_seen_ && (facts.in_recovery || facts.sacked_segments >= duplicate_threshold);
    window_ = at_once ? nanoseconds(0) : std::min(facts.minimum_rtt * quarters_ / 4, facts.srtt);
}

}  // namespace fluxnet::proto::tcp
