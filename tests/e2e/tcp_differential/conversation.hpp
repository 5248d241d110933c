// SPDX-License-Identifier: BSD-3-Clause
// `conversation`: the far end of one connection with a subject. It sends what a script says, and sees what is answered in
// numbers that count from the initial ones, which differ from subject to subject.
#pragma once

#include "fluxnet/proto/tcp.hpp"
#include "tests/e2e/tcp_differential/subject.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tcp_differential {

/// A segment of the tester's. A SYN has the number 0, the first octet 1.
struct tester_segment {
    std::uint8_t flags = fluxnet::proto::tcp_flag::ack;
    std::uint32_t sequence = 1;
    std::uint32_t acknowledgment = 1;
    std::uint16_t window = 0xffff;
    std::size_t octets = 0;  ///< Of the tester's stream, those that belong to the numbers.
    fluxnet::proto::tcp_options options = {};

    [[nodiscard]] std::string text() const;
};

/// What a subject has answered to a step.
struct reply {
    unsigned resets = 0;
    std::optional<std::uint32_t> reset_sequence;  ///< Of the last one.
    std::optional<std::uint32_t> acknowledged;    ///< By the last segment that is no reset.
    std::optional<std::uint32_t> sent_up_to;      ///< The number behind all that it has ever sent.
    bool finished = false;                        ///< Its FIN has come, ever.

    [[nodiscard]] std::string text() const;
};

class conversation {
public:
    /// `initial`: the tester's initial sequence number.
    conversation(subject& with, std::uint16_t port, std::uint32_t initial) : with_(with), port_(port), initial_(initial) {}

    void say(const tester_segment& one);
    /// What was answered since. Throws when octets are not those of the subject's stream.
    [[nodiscard]] reply listen();
    /// A step's end: asks with a segment that every TCP answers, wherever it stands, and tells what was said to that and before.
    [[nodiscard]] reply ask();

private:
    void take(const fluxnet::proto::tcp_view& segment, reply& into);

    subject& with_;
    const std::uint16_t port_;
    const std::uint32_t initial_;
    std::optional<std::uint32_t> their_initial_;
    std::optional<std::uint32_t> sent_up_to_;
    bool finished_ = false;
};

/// The octet of a stream with that number.
[[nodiscard]] constexpr std::byte octet_of(std::uint32_t number, bool testers) noexcept {
    const std::uint32_t mixed = (number + (testers ? 77'777U : 0U)) * 2'654'435'761U;
    return static_cast<std::byte>(mixed >> 24);
}
[[nodiscard]] std::vector<std::byte> octets_of(std::uint32_t first, std::size_t count, bool testers);

}  // namespace tcp_differential
