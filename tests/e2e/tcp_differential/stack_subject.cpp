// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/tcp_differential/stack_subject.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace tcp_differential {
namespace {

namespace tcp = stacks::tcp;

/// What the kernel is set to as well: nothing is withheld by a rate.
tcp::stack_options unlimited() {
    tcp::stack_options made = stacks::small_options();
    made.v4.challenge_interval = std::chrono::nanoseconds{0};
    made.v4.timestamps = false;
    made.v4.receive_limit = 1 << 20;
    made.resets_per_second = std::numeric_limits<std::uint32_t>::max() / 4;
    made.challenges_per_second = std::numeric_limits<std::uint32_t>::max() / 4;
    return made;
}

}  // namespace

stack_subject::stack_subject(std::uint64_t seed)
    : host_(server_address, unlimited(), seed, now_), door_(*host_.stack.listen({.port = server_port})) {}

void stack_subject::hear(std::span<const std::byte> segment) {
    const tcp::buffer came = host_.buffers.allocate();
    REQUIRE(came.data != nullptr);
    std::ranges::copy(segment, came.data);
    const tcp::arrival told =
        host_.stack.receive(tester_address, server_address, {came.data, segment.size()}, came.token, now_);
    if (!told.kept) { host_.buffers.release(came.token); }
    collect();
}

/// Takes what is to be sent, as after each call.
void stack_subject::collect() {
    for (tcp::stack_segment out; host_.stack.next(out, now_);) {
        std::vector<std::byte> segment(tcp::header_length(out.segment) + out.segment.payload.size());
        const std::size_t header = tcp::emit_header(segment, out.name, out.segment);
        std::ranges::copy(out.segment.payload, segment.begin() + static_cast<std::ptrdiff_t>(header));
        sent_.push_back(std::move(segment));
    }
    static_cast<void>(host_.events());
}

std::vector<std::vector<std::byte>> stack_subject::answers() {
    return std::exchange(sent_, {});
}

bool stack_subject::has_ended() const {
    const tcp::connection* const one = mine_ ? host_.stack.find(*mine_) : nullptr;
    return one == nullptr || (one->ending() != tcp::ending::none && one->ending() != tcp::ending::closed);
}

call_result stack_subject::accept() {
    for (tcp::listener_handle at; host_.stack.next_acceptable(at);) {}
    mine_ = host_.stack.accept(door_);
    if (!mine_) { return {}; }
    host_.stack.set_no_delay(*mine_, true, now_);
    return {call_result::kind::done};
}

call_result stack_subject::read(std::size_t most, std::vector<std::byte>& into) {
    const std::size_t before = into.size();
    into.resize(before + most);
    const std::size_t taken = host_.stack.read(*mine_, std::span(into).subspan(before), now_);
    into.resize(before + taken);
    collect();
    if (taken != 0) { return {call_result::kind::done, taken}; }
    if (has_ended()) { return {call_result::kind::ended}; }
    const tcp::connection* const one = host_.stack.find(*mine_);
    return {one != nullptr && one->peer_finished() ? call_result::kind::end_of_stream : call_result::kind::nothing};
}

call_result stack_subject::write(std::span<const std::byte> octets) {
    if (has_ended()) { return {call_result::kind::ended}; }
    const std::size_t taken = host_.stack.write(*mine_, octets, now_);
    collect();
    return {call_result::kind::done, taken};
}

void stack_subject::shutdown_write() {
    host_.stack.shutdown_write(*mine_, now_);
    collect();
}

void stack_subject::close() {
    host_.stack.release(*mine_, tcp::leaving::in_order, now_);
    mine_.reset();
    collect();
}

void stack_subject::abort() {
    host_.stack.release(*mine_, tcp::leaving::at_once, now_);
    mine_.reset();
    collect();
}

void stack_subject::clear() {
    if (mine_) { abort(); }
    while (const auto left = host_.stack.accept(door_)) { host_.stack.release(*left, tcp::leaving::at_once, now_); }
    host_.stack.abort_all(now_);
    collect();
    now_ += std::chrono::minutes(10);  // TIME-WAIT, and what is left of handshakes
    host_.stack.advance(now_);
    collect();
    sent_.clear();
}

}  // namespace tcp_differential
