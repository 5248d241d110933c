// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/tcp_differential/conversation.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace tcp_differential {
namespace {

namespace proto = fluxnet::proto;
namespace flag = fluxnet::proto::tcp_flag;

std::string names_of(std::uint8_t flags) {
    constexpr std::array<char, 6> letters{'F', 'S', 'R', 'P', 'A', 'U'};
    std::string said;
    for (std::size_t i = 0; i != letters.size(); ++i) {
        if ((flags >> i & 1U) != 0) { said += letters[i]; }
    }
    return said;
}

std::string text_of(const std::optional<std::uint32_t>& number) {
    return number ? std::to_string(*number) : "none";
}

}  // namespace

std::string tester_segment::text() const {
    return names_of(flags) + " seq " + std::to_string(sequence) + " ack " + std::to_string(acknowledgment) + " octets " +
           std::to_string(octets) + " window " + std::to_string(window);
}

std::string reply::text() const {
    std::string said = "acknowledged " + text_of(acknowledged) + ", sent up to " + text_of(sent_up_to);
    if (finished) { said += ", FIN"; }
    if (resets != 0) { said += ", reset " + std::to_string(resets) + " times, at " + text_of(reset_sequence); }
    return said;
}

std::vector<std::byte> octets_of(std::uint32_t first, std::size_t count, bool testers) {
    std::vector<std::byte> made(count);
    for (std::byte& one : made) { one = octet_of(first++, testers); }
    return made;
}

void conversation::say(const tester_segment& one) {
    const std::vector<std::byte> octets = octets_of(one.sequence, one.octets, true);
    const proto::tcp_repr head{.source_port = port_,
                               .destination_port = server_port,
                               .sequence = initial_ + one.sequence,
                               .acknowledgment =
                                   (one.flags & flag::ack) != 0 ? their_initial_.value_or(0) + one.acknowledgment : 0,
                               .flags = one.flags,
                               .window = one.window,
                               .options = one.options,
                               .payload_length = octets.size()};
    std::vector<std::byte> segment(head.header_length() + octets.size());
    std::ranges::copy(octets, segment.begin() + static_cast<std::ptrdiff_t>(head.header_length()));
    head.emit(segment).fill_checksum(tester_address, server_address);
    with_.hear(segment);
}

void conversation::take(const proto::tcp_view& segment, reply& into) {
    if ((segment.flags() & flag::syn) != 0) { their_initial_ = segment.sequence(); }
    const std::uint32_t sequence = segment.sequence() - their_initial_.value_or(0);
    if ((segment.flags() & flag::rst) != 0) {
        ++into.resets;
        into.reset_sequence = sequence;
        return;
    }
    if ((segment.flags() & flag::ack) != 0) { into.acknowledged = segment.acknowledgment() - initial_; }
    const auto octets = segment.payload();
    if (!std::ranges::equal(octets, octets_of(sequence, octets.size(), false))) {
        throw std::runtime_error("octets of another place in the stream, at " + std::to_string(sequence));
    }
    finished_ = finished_ || (segment.flags() & flag::fin) != 0;
    const std::uint32_t extent = static_cast<std::uint32_t>(octets.size()) +
                                 ((segment.flags() & (flag::fin | flag::syn)) != 0 ? 1U : 0U);
    sent_up_to_ = std::max(sent_up_to_.value_or(0), sequence + extent);
}

reply conversation::listen() {
    reply made;
    for (const std::vector<std::byte>& octets : with_.answers()) {
        const auto view = proto::tcp_view::parse(std::span<const std::byte>(octets), server_address, tester_address);
        if (!view) { throw std::runtime_error("a segment whose header or checksum is wrong"); }
        if (view->destination_port() == port_) { take(*view, made); }
    }
    made.sent_up_to = sent_up_to_;
    made.finished = finished_;
    return made;
}

reply conversation::ask() {
    reply before = listen();
    // The number of the SYN again, without octets: out of every window (RFC 9293 section 3.10.7.4).
    say({.flags = flag::ack, .sequence = 0, .acknowledgment = sent_up_to_.value_or(0)});
    const reply told = listen();
    before.resets += told.resets;
    if (told.reset_sequence) { before.reset_sequence = told.reset_sequence; }
    if (told.acknowledged) { before.acknowledged = told.acknowledged; }
    before.sent_up_to = told.sent_up_to;
    before.finished = told.finished;
    return before;
}

}  // namespace tcp_differential
