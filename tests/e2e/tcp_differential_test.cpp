// SPDX-License-Identifier: BSD-3-Clause
// The kernel's TCP and this library's are told the same, and have to answer the same: where they do not, a list says why.
#include "tests/e2e/tcp_differential/kernel_subject.hpp"
#include "tests/e2e/tcp_differential/script.hpp"
#include "tests/e2e/tcp_differential/stack_subject.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace tcp_differential;
namespace flag = fluxnet::proto::tcp_flag;

struct explanation {
    const char* text;
    bool (*holds)(const difference& what);
};

bool is_segment_with(const difference& what, std::uint8_t some) {
    return what.at.what == step::kind::segment && (what.at.segment.flags & some) != 0;
}

bool only_kernel_resets(const difference& what) {
    return what.kernel_said.resets != 0 && what.stack_said.resets == 0;
}

bool is_in_handshake(const difference& what) {
    return what.at.what == step::kind::segment && !what.before.established;
}

constexpr std::array<explanation, 9> explanations{{
    {"a reset behind a FIN is told to the user; the kernel calls it the end of the stream",
     [](const difference& what) {
         return what.at.what == step::kind::read && what.before.over &&
                what.kernel_returned.what == call_result::kind::end_of_stream &&
                what.stack_returned.what == call_result::kind::ended;
     }},
    {"accept() gives no connection that was reset meanwhile; the kernel's does",
     [](const difference& what) {
         return what.at.what == step::kind::accept && what.before.over &&
                what.stack_returned.what == call_result::kind::nothing;
     }},
    {"octets beyond a gap are octets that the user has not read, so that close() resets (RFC 9293 section 3.6.1); the kernel "
     "waits for the gap to be filled, and resets then",
     [](const difference& what) {
         return what.at.what == step::kind::close && what.before.highest > what.before.expected &&
                what.stack_said.resets != 0 && what.kernel_said.resets == 0;
     }},
    {"where both ends have sent a FIN, nothing is said of octets that are not read any more (RFC 9293 section 3.10.5); the kernel "
     "resets",
     [](const difference& what) {
         const bool ends = what.at.what == step::kind::close || what.at.what == step::kind::abort;
         return ends && what.before.has_heard_end() && what.before.shut &&
                what.kernel_said.resets == what.stack_said.resets + 1;
     }},
    {"behind a FIN, too, a reset has the number that is expected (RFC 5961 section 3.2); the kernel takes that of the FIN as well",
     [](const difference& what) {
         return is_segment_with(what, flag::rst) && what.before.has_heard_end() &&
                what.at.segment.sequence == *what.before.end && only_kernel_resets(what);
     }},
    {"a reset does not end TIME-WAIT (RFC 1337); it ends the kernel's, by default",
     [](const difference& what) {
         return is_segment_with(what, flag::rst) && what.before.is_in_time_wait() && only_kernel_resets(what);
     }},
    {"a SYN in the window of a handshake is answered by an ACK, as later (RFC 5961 section 4.2); the kernel resets",
     [](const difference& what) {
         return is_in_handshake(what) && is_segment_with(what, flag::syn) && only_kernel_resets(what);
     }},
    {"in a handshake, too, the sequence number is looked at first (RFC 9293 section 3.10.7.4); the kernel first looks at what is "
     "acknowledged, and resets",
     [](const difference& what) {
         return is_in_handshake(what) && what.at.segment.acknowledgment != 1 && only_kernel_resets(what);
     }},
    {"what was never sent cannot be acknowledged: the segment counts for nothing; the kernel's short way still takes its octets",
     [](const difference& what) {
         return what.at.what == step::kind::segment && what.at.segment.acknowledgment == 0 &&
                what.kernel_said.acknowledged > what.stack_said.acknowledged;
     }},
}};

}  // namespace

TEST_CASE("the kernel's TCP and ours answer random scripts alike, or differ as a list says") {
    FLUXNET_SKIP_IF(fluxnet::test::testbed::why_not_available());
    kernel_subject kernel;
    stack_subject stack(1);
    const char* const from = std::getenv("FLUXNET_SCRIPT_SEED");
    const std::uint64_t first = from == nullptr ? 1 : std::strtoull(from, nullptr, 10);
    const std::uint64_t last = from == nullptr ? fluxnet::test::rounds(5'000, 10) : first;
    std::array<std::uint64_t, explanations.size()> found{};
    std::uint64_t steps = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        script one(kernel, stack, seed);
        const auto what = one.play();
        steps += one.steps();
        kernel.clear();
        stack.clear();
        if (!what) { continue; }
        bool explained = false;
        for (std::size_t i = 0; i != explanations.size() && !explained; ++i) {
            explained = explanations[i].holds(*what);
            found[i] += explained ? 1 : 0;
        }
        if (!explained) { FAIL_CHECK("seed " << seed << "\n" << one.text()); }
    }
    for (std::size_t i = 0; i != explanations.size(); ++i) { MESSAGE(found[i] << " times: " << std::string(explanations[i].text)); }
    MESSAGE((last - first + 1) << " scripts, " << steps << " steps");
}
