// SPDX-License-Identifier: BSD-3-Clause
// `lossy_link`: a link that loses packets, by BPF programs at the tc hooks of the kernel's interface at one of its ends.
//
//     const lossy_link link(bed.peer(), testbed::ifindex(side::peer), {.sent_per_mille = 10, .seed = 7});
//     ...
//     CHECK(link.sent().lost != 0);
//
// Packets of every kind are lost, those that look for neighbours too; by their number and the seed, so that a run that sends
// as many packets loses as many. TCP of this end hands its segments over one by one. The kernel that sends is not told of
// losses. What is sent by an AF_XDP socket of this end passes by.
//
// Owned by one test case; the programs stay until the interface goes. Any thread. Needs CAP_BPF and
// CAP_NET_ADMIN. Uses the program ip.
#pragma once

#include "tests/support/network_namespace.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fluxnet::test {

/// How many of a thousand packets are lost, by the sight of the kernel at that end.
struct loss_rates {
    unsigned sent_per_mille = 0;
    unsigned received_per_mille = 0;
    std::uint64_t seed = 1;
};

class lossy_link {
public:
    /// What went one way.
    struct packets {
        std::uint64_t seen = 0;
        std::uint64_t lost = 0;  ///< Of those.
    };

    /// Returns why packets cannot be lost here; nothing when they can. Tried out once per process.
    static std::optional<std::string> why_not_available();

    /// Begins to lose packets of the interface of that number in `place`, which has no qdisc clsact yet. Throws
    /// std::system_error naming the step.
    lossy_link(const network_namespace& place, unsigned interface_index, const loss_rates& rates);
    ~lossy_link();
    lossy_link(lossy_link&&) noexcept;
    lossy_link& operator=(lossy_link&&) noexcept;

    [[nodiscard]] packets sent() const noexcept;
    [[nodiscard]] packets received() const noexcept;

private:
    struct loaded;
    std::unique_ptr<loaded> programs_;
};

}  // namespace fluxnet::test
