// SPDX-License-Identifier: BSD-3-Clause
// `script`: what a far end and a user do to two TCPs at once, drawn at random, until they are told apart or the script is over.
//
// What comes next depends on what both have answered alike, so that most of it is to the point: segments next to the edges of
// windows and of what was sent, old ones, overlapping ones, resets and SYNs in and out of the window.
#pragma once

#include "tests/e2e/tcp_differential/conversation.hpp"
#include "tests/e2e/tcp_differential/subject.hpp"

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace tcp_differential {

/// One step: either a segment, or a call of the user's.
struct step {
    enum class kind : std::uint8_t { segment, accept, read, write, shutdown, close, abort };
    kind what = kind::segment;
    tester_segment segment;
    std::size_t octets = 0;  ///< Of read and write.

    [[nodiscard]] std::string text() const;
};

/// What both have come to, as their answers tell.
struct view {
    std::uint32_t expected = 0;   ///< The next number that they want from the tester.
    std::uint32_t sent = 0;       ///< The number behind what they have sent.
    std::uint32_t written = 0;    ///< Octets that their users have written.
    std::uint32_t told = 1;       ///< The highest number that the tester has acknowledged.
    std::uint32_t highest = 0;    ///< The number behind the last octet that the tester has sent into the window.
    std::optional<std::uint32_t> end;  ///< The number of the tester's FIN.
    bool established = false;     ///< The tester has acknowledged the SYN.
    bool accepted = false;
    bool shut = false;   ///< The user writes no more.
    bool gone = false;   ///< The user has closed.
    bool over = false;   ///< A reset was sent or heard: nothing but resets is left.
    std::uint32_t unread = 0;     ///< Octets that wait for the user, as far as both have acknowledged them.

    /// Whether they have received the tester's FIN and all before it.
    [[nodiscard]] bool has_heard_end() const noexcept { return end && expected == *end + 1; }
    /// Whether both ends have sent a FIN that the other one has acknowledged.
    [[nodiscard]] bool is_in_time_wait() const noexcept { return has_heard_end() && (shut || gone) && told == sent; }
};

/// Why two subjects may part.
struct difference {
    step at;
    view before;
    reply kernel_said;
    reply stack_said;
    call_result kernel_returned;
    call_result stack_returned;
};

class script {
public:
    script(subject& kernel, subject& stack, std::uint64_t seed);

    /// Plays it. Returns what tells the two apart; nothing when nothing does.
    [[nodiscard]] std::optional<difference> play();

    /// All steps so far, with what was answered, a line each.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] std::size_t steps() const noexcept { return steps_; }

private:
    [[nodiscard]] std::uint32_t draw(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
    [[nodiscard]] bool chance(std::uint32_t percent) { return draw(100) < percent; }
    [[nodiscard]] step next_step();
    [[nodiscard]] step next_call();
    [[nodiscard]] tester_segment next_segment();
    [[nodiscard]] std::uint32_t next_acknowledgment();
    [[nodiscard]] call_result call(subject& who, const step& what, std::vector<std::byte>& read);
    [[nodiscard]] std::optional<difference> take(const step& what, bool in_the_end = false);
    void note_segment(const tester_segment& said);
    void note(const step& what, const reply& said, const call_result& returned);
    [[nodiscard]] std::optional<difference> end();

    std::mt19937_64 random_;
    subject& kernel_;
    subject& stack_;
    const std::uint16_t port_;
    const std::uint32_t initial_;
    conversation with_kernel_;
    conversation with_stack_;
    view view_;
    std::uint32_t read_ = 0;
    std::size_t steps_ = 0;
    std::string text_;
};

}  // namespace tcp_differential
