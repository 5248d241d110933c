// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/tcp_differential/script.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace tcp_differential {
namespace {

namespace flag = fluxnet::proto::tcp_flag;

constexpr std::size_t longest_script = 40;
// So that neither window nor congestion hold anything back: what a TCP sends is then what its user has written.
constexpr std::uint32_t most_unacknowledged = 8'000;
constexpr std::uint32_t most_unread = 24'000;
constexpr std::uint32_t segment_octets = 1'460;
constexpr std::uint32_t beyond_all_windows = 10U << 20;

/// Whether both have said the same. When something is sent is for each one's congestion control to decide; only `in_the_end`
/// all must have been.
bool are_alike(const reply& kernel, const reply& stack, bool in_the_end) {
    const bool same_numbers = kernel.sent_up_to == stack.sent_up_to;
    return kernel.acknowledged == stack.acknowledged && kernel.resets == stack.resets &&
           (!in_the_end || (same_numbers && kernel.finished == stack.finished)) &&
           (!same_numbers || kernel.reset_sequence == stack.reset_sequence);
}

}  // namespace

std::string step::text() const {
    switch (what) {
        case kind::segment: return "segment " + segment.text();
        case kind::accept: return "accept";
        case kind::read: return "read " + std::to_string(octets);
        case kind::write: return "write " + std::to_string(octets);
        case kind::shutdown: return "shutdown";
        case kind::close: return "close";
        case kind::abort: return "abort";
    }
    return "?";
}

script::script(subject& kernel, subject& stack, std::uint64_t seed)
    : random_(seed), kernel_(kernel), stack_(stack), port_(static_cast<std::uint16_t>(10'000 + seed % 50'000)),
      initial_(std::array<std::uint32_t, 3>{0xffff'fff0, 0x7fff'fff0, 0}[seed % 3]), with_kernel_(kernel, port_, initial_),
      with_stack_(stack, port_, initial_) {}

std::uint32_t script::next_acknowledgment() {
    const std::uint32_t kind = draw(100);
    if (kind < 75) { return view_.sent; }
    if (kind < 88) { return view_.told + draw(view_.sent - view_.told + 1); }
    if (kind < 95) { return view_.told - std::min(view_.told, 1 + draw(2'000)); }
    return view_.written + 3 + draw(2'000);  // behind all, and the FIN
}

tester_segment script::next_segment() {
    tester_segment made;
    made.acknowledgment = next_acknowledgment();
    const std::uint32_t kind = draw(100);
    if (kind < 60) {
        made.sequence = view_.expected;
    } else if (kind < 75) {
        made.sequence = view_.expected - std::min(view_.expected - 1, draw(3'000));
    } else if (kind < 95) {
        made.sequence = view_.expected + draw(4'000);
    } else {
        made.sequence = view_.expected + beyond_all_windows;
    }
    if (chance(60)) { made.octets = chance(40) ? segment_octets : draw(segment_octets + 1); }
    if (view_.unread > most_unread) { made.octets = 0; }
    if (chance(3)) { made.flags = 0; }
    if (chance(30)) { made.flags |= flag::psh; }
    if (chance(4)) {
        made.flags |= flag::rst;
        made.octets = 0;
        if (chance(50)) { made.sequence = view_.expected; }
    } else if (chance(3) && !view_.over && !view_.is_in_time_wait()) {  // then it would begin another connection
        made.flags |= flag::syn;
    } else if (const std::uint32_t end = made.sequence + static_cast<std::uint32_t>(made.octets);
               chance(8) && !view_.end && end >= view_.highest && end - view_.expected < beyond_all_windows) {
        view_.end = end;
    }
    if (!view_.end || (made.flags & (flag::rst | flag::syn)) != 0) { return made; }
    // Nothing of the stream lies behind its end, but for what is far away.
    if (made.sequence > *view_.end && made.sequence - view_.expected < beyond_all_windows) { made.sequence = *view_.end; }
    if (made.sequence > *view_.end) { return made; }
    made.octets = std::min<std::size_t>(made.octets, *view_.end - made.sequence);
    if (made.sequence + made.octets == *view_.end && chance(70)) { made.flags |= flag::fin; }
    return made;
}

step script::next_call() {
    if (!view_.accepted) { return {.what = step::kind::accept, .segment = {}}; }
    const std::uint32_t kind = draw(100);
    if (kind < 45) { return {.what = step::kind::read, .segment = {}, .octets = chance(50) ? 65'536U : 1 + draw(3'000)}; }
    const std::uint32_t waits = view_.written + 1 - std::min(view_.written + 1, view_.told);
    if (kind < 85 && !view_.shut && waits < most_unacknowledged) {
        return {.what = step::kind::write, .segment = {}, .octets = 1 + draw(most_unacknowledged - waits)};
    }
    if (kind < 92) { return {.what = view_.shut ? step::kind::read : step::kind::shutdown, .segment = {}, .octets = 100}; }
    return {.what = kind < 98 ? step::kind::close : step::kind::abort, .segment = {}};
}

step script::next_step() {
    if (steps_ == 0) {
        step made;
        made.segment = {.flags = flag::syn, .sequence = 0, .acknowledgment = 0};
        if (chance(80)) { made.segment.options.mss = segment_octets; }
        made.segment.options.sack_permitted = chance(60);
        if (chance(60)) { made.segment.options.window_scale = static_cast<std::uint8_t>(draw(8)); }
        return made;
    }
    if (!view_.established && chance(50)) { return {.what = step::kind::segment, .segment = {}}; }
    if (view_.established && !view_.gone && chance(view_.accepted ? 45 : 60)) { return next_call(); }
    return {.what = step::kind::segment, .segment = next_segment()};
}

call_result script::call(subject& who, const step& what, std::vector<std::byte>& read) {
    switch (what.what) {
        case step::kind::segment: break;
        case step::kind::accept: return who.accept();
        case step::kind::read: return who.read(what.octets, read);
        case step::kind::write: return who.write(octets_of(view_.written + 1, what.octets, false));
        case step::kind::shutdown: who.shutdown_write(); break;
        case step::kind::close: who.close(); break;
        case step::kind::abort: who.abort(); break;
    }
    return {};
}

std::optional<difference> script::take(const step& what, bool in_the_end) {
    ++steps_;
    const view before = view_;
    std::vector<std::byte> read_kernel;
    std::vector<std::byte> read_stack;
    if (what.what == step::kind::segment) {
        with_kernel_.say(what.segment);
        with_stack_.say(what.segment);
    }
    const call_result kernel_returned = call(kernel_, what, read_kernel);
    const call_result stack_returned = call(stack_, what, read_stack);
    const reply kernel_said = steps_ == 1 ? with_kernel_.listen() : with_kernel_.ask();
    const reply stack_said = steps_ == 1 ? with_stack_.listen() : with_stack_.ask();
    const auto judge = [&](const std::vector<std::byte>& octets) {
        if (octets != octets_of(read_ + 1, octets.size(), true)) {
            throw std::runtime_error("what was read is not what was sent");
        }
    };
    judge(read_kernel);
    judge(read_stack);
    read_ += static_cast<std::uint32_t>(read_kernel.size());
    text_ += what.text() + "\n    kernel: " + kernel_said.text() + "; " + kernel_returned.text() +
             "\n    stack:  " + stack_said.text() + "; " + stack_returned.text() + "\n";
    view_.written += what.what == step::kind::write ? static_cast<std::uint32_t>(kernel_returned.octets) : 0U;
    if (!are_alike(kernel_said, stack_said, in_the_end) || kernel_returned != stack_returned) {
        return difference{what, before, kernel_said, stack_said, kernel_returned, stack_returned};
    }
    reply both = kernel_said;
    both.sent_up_to = std::min(kernel_said.sent_up_to, stack_said.sent_up_to);
    note(what, both, kernel_returned);
    return std::nullopt;
}

void script::note(const step& what, const reply& said, const call_result& returned) {
    if (what.what == step::kind::segment) { note_segment(what.segment); }
    if (said.acknowledged) {
        const std::uint32_t octets = std::min(*said.acknowledged, view_.end.value_or(*said.acknowledged));
        view_.unread = octets == 0 ? 0 : octets - 1 - read_;
        view_.expected = *said.acknowledged;
    }
    view_.sent = said.sent_up_to.value_or(view_.sent);
    view_.over = view_.over || said.resets != 0;
    switch (what.what) {
        case step::kind::segment: break;
        case step::kind::accept: view_.accepted = returned.what == call_result::kind::done; break;
        case step::kind::read: break;
        case step::kind::write: break;
        case step::kind::shutdown: view_.shut = true; break;
        case step::kind::close:
        case step::kind::abort: view_.gone = true; break;
    }
}

void script::note_segment(const tester_segment& said) {
    const bool in_window = said.sequence - view_.expected < beyond_all_windows || said.sequence <= view_.expected;
    if (in_window) { view_.highest = std::max(view_.highest, said.sequence + static_cast<std::uint32_t>(said.octets)); }
    if ((said.flags & (flag::ack | flag::rst | flag::syn)) != flag::ack || said.acknowledgment > view_.sent) { return; }
    view_.told = std::max(view_.told, said.acknowledgment);
    view_.established = view_.established || (said.acknowledgment == 1 && in_window && said.sequence >= view_.expected);
}

/// All that was written arrives, and the end.
std::optional<difference> script::end() {
    constexpr int enough = 16;
    for (int i = 0; i != enough && !view_.over && view_.established; ++i) {
        step acknowledges;
        acknowledges.segment.sequence = view_.expected;
        acknowledges.segment.acknowledgment = view_.sent;
        if (auto found = take(acknowledges, i + 1 == enough)) { return found; }
    }
    step resets;
    resets.segment = {.flags = flag::rst, .sequence = view_.expected, .acknowledgment = view_.sent};
    if (auto found = take(resets)) { return found; }
    if (view_.accepted && !view_.gone) { return take({.what = step::kind::read, .segment = {}, .octets = 65'536}); }
    return std::nullopt;
}

std::optional<difference> script::play() {
    int after = 0;
    while (steps_ != longest_script && after != 3) {
        if (auto found = take(next_step())) { return found; }
        if (view_.over) { ++after; }
    }
    return end();
}

}  // namespace tcp_differential
