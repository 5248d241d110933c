// SPDX-License-Identifier: BSD-3-Clause
// How a stack is made, how its connections begin and end, what it sends and when.
#include "fluxnet/proto/tcp/stack.hpp"

#include "fluxnet/proto/detail/keyed_hash.hpp"
#include "fluxnet/proto/tcp/detail/tuple_input.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace fluxnet::proto::tcp {

/// The keys of all hashes, each from the secrets and a number of its own.
struct stack::secret_keys {
    using key = std::array<std::byte, 16>;

    explicit secret_keys(std::span<const std::byte> secrets) noexcept {
        assert(secrets.size() >= 32);
        const proto::detail::hash_key first(secrets.first<16>());
        const proto::detail::hash_key second(secrets.subspan<16, 16>());
        std::uint64_t number = 0;
        for (key* const made : {&table, &time_wait, &numbers, &ports, &cookies, &cookies_with_times, &offsets, &limits}) {
            for (std::size_t half = 0; half != 2; ++half) {
                const std::array<std::uint64_t, 1> input{++number};
                const std::uint64_t word = proto::detail::sip_hash<2, 4>(first, std::span<const std::uint64_t>(input)) ^
                                           proto::detail::sip_hash<2, 4>(second, std::span<const std::uint64_t>(input));
                for (std::size_t i = 0; i != 8; ++i) { (*made)[8 * half + i] = static_cast<std::byte>(word >> 8 * i); }
            }
        }
    }

    key table, time_wait, numbers, ports, cookies, cookies_with_times, offsets, limits;
};

stack::stack(const stack_options& options, buffer_source& buffers, std::span<const std::byte> secrets, time_point start)
    : stack(options, buffers, secret_keys(secrets), start) {}

stack::stack(const stack_options& options, buffer_source& buffers, const secret_keys& keys, time_point start)
    : options_(options), buffers_(buffers, options.buffers_per_connection, options.buffers),
      ranges_(options.ranges, options.connections), memory_{buffers_, ranges_}, wheel_(start),
      table_(options.connections, keys.table),
      time_wait_({.capacity = options.time_wait, .length = options.v4.time_wait}, keys.time_wait),
      listeners_(options.listeners), numbers_(keys.numbers), ports_(keys.ports, options.ports), cookies_(keys.cookies),
      cookies_with_times_(keys.cookies_with_times), offset_key_(keys.offsets),
      resets_(options.resets_per_second, proto::detail::hash_key(keys.limits), 1),
      challenges_(options.challenges_per_second, proto::detail::hash_key(keys.limits), 2),
      slots_(new slot[options.connections]), answers_(options.answers) {
    for (std::size_t i = 0; i != options.connections; ++i) { free_.push_back(slots_[i]); }
}

stack::~stack() {
    for (std::size_t i = 0; i != options_.connections; ++i) {
        slot& one = slots_[i];
        if (one.role == slot_role::free) { continue; }
        buffers_.serve(one.buffers);
        wheel_.remove(one);
        one.end();
    }
}

std::size_t stack::octets_per_connection() const noexcept {
    return sizeof(slot) + table_.memory_bytes() / options_.connections;
}

std::size_t stack::memory_octets() const noexcept {
    return sizeof(stack) + options_.connections * sizeof(slot) + ranges_.size() * sizeof(range) + table_.memory_bytes() +
           time_wait_.memory_bytes() + listeners_.memory_bytes() + answers_.size() * sizeof(stack_segment);
}

// Places.

stack::slot* stack::open(const four_tuple& name, sequence_number initial, slot_role role) noexcept {
    slot* const one = free_.front();
    if (one == nullptr) { return nullptr; }
    free_.remove(*one);
    one->name = name;
    one->role = role;
    one->begin(memory_, options_for(name), connection_secrets{initial, timestamp_offset(name)});
    if (limits_ != nullptr) { one->c.limit_segment(limits_->maximum_segment(name.remote_address())); }
    table_.insert(name, index_of(*one));
    one->named = true;
    buffers_.serve(one->buffers);
    return one;
}

void stack::make_room(time_point now) noexcept {
    if (!free_.empty()) { return; }
    slot* const one = embryonic_.empty() ? orphans_.front() : embryonic_.front();
    if (one == nullptr) { return; }
    ++counters_.evicted;
    if (one->role == slot_role::orphan) {
        abort(*one, now);
        outgoing last;
        if (one->c.next_segment(last, now)) { answer(one->name, last); }  // its reset, which its place does not wait for
    }
    put_away(*one);
}

void stack::put_away(slot& one) noexcept {
    if (one.named) { table_.erase(one.name, index_of(one)); }
    switch (one.role) {
        case slot_role::embryonic:
            embryonic_.remove(one);
            --listeners_[one.listener].embryonic;
            break;
        case slot_role::waiting: listeners_[one.listener].accepted.remove(one); break;
        case slot_role::orphan:
            if (orphans_.holds(one)) { orphans_.remove(one); }
            break;
        case slot_role::held:
        case slot_role::free: break;
    }
    if (ready_.holds(one)) { ready_.remove(one); }
    if (news_.holds(one)) { news_.remove(one); }
    if (touched_ == &one) { touched_ = nullptr; }
    wheel_.remove(one);
    buffers_.serve(one.buffers);
    one.end();
    assert(one.buffers == 0);
    one.armed = time_point::max();
    one.pending = {};
    one.user = 0;
    one.named = false;
    one.role = slot_role::free;
    ++one.generation;
    free_.push_back(one);
}

std::uint32_t stack::timestamp_offset(const four_tuple& name) const noexcept {
    // By the name, so that a connection's timestamps go on where those of the last one of that name ended (RFC 6191).
    return static_cast<std::uint32_t>(detail::sip_hash_of(offset_key_, detail::hash_use::timestamp_offset, name));
}

// After each call of a connection.

void stack::settle(slot& one) noexcept {
    const events news = one.c.take_events();
    if (news.any()) { note(one, news); }
    get_ready(one);
}

void stack::arm(slot& one) noexcept {
    // A deadline that moves later leaves the node where it is: it comes early once, and is armed again.
    const time_point due = one.c.deadline();
    if (due >= one.armed) { return; }
    wheel_.arm(one, due);
    one.armed = due;
}

void stack::note(slot& one, const events& news) noexcept {
    one.pending.add(news);
    if (one.role == slot_role::held) [[likely]] {
        if (!news_.holds(one)) { news_.push_back(one); }
    } else if (one.role == slot_role::embryonic && news.connected) {
        listener& at = listeners_[one.listener];
        embryonic_.remove(one);
        --at.embryonic;
        one.role = slot_role::waiting;
        at.accepted.push_back(one);
        if (!acceptable_.holds(at)) { acceptable_.push_back(at); }
    } else if (one.role == slot_role::orphan && news.ended && one.c.ended_short()) {
        ++(one.c.ending() == ending::timed_out ? counters_.orphans_timed_out : counters_.orphans_reset);
    }
}

void stack::drained(slot& one, time_point now) noexcept {
    if (one.c.state() == state::time_wait) {
        time_wait_.add({.name = one.name,
                        .next_to_send = one.c.send_next(),
                        .next_to_receive = one.c.receive_next(),
                        .timestamps = one.c.uses_timestamps(),
                        .last_timestamp = one.c.recent_timestamp(),
                        .timestamp_offset = one.c.timestamp_offset()},
                       now);
        one.c.leave_time_wait();
        note(one, one.c.take_events());
    }
    if (one.c.state() != state::closed) { return arm(one); }
    if (one.role != slot_role::held) { return put_away(one); }
    if (one.named) { table_.erase(one.name, index_of(one)); }  // the place stays until the user has read what is left
    one.named = false;
}

// What goes out.

bool stack::next_of_some(stack_segment& out, time_point now) noexcept {
    // Neither answers nor connections hold the others up.
    if (answer_count_ != 0 && !answered_last_) {
        answered_last_ = true;
        return take_answer(out);
    }
    answered_last_ = false;
    while (slot* const one = ready_.front()) {
        buffers_.serve(one->buffers);
        if (one->c.next_segment(out.segment, now)) {
            out.name = one->name;
            if (one->c.is_quiet()) {  // as after most segments: this spares a search for more
                assert([&] {
                    outgoing more;
                    return !one->c.next_segment(more, now);
                }());
                ready_.remove(*one);
                drained(*one, now);
            } else {
                ready_.rotate();
            }
            return true;
        }
        ready_.remove(*one);
        drained(*one, now);
    }
    return take_answer(out);
}

bool stack::next_immediate(stack_segment& out, time_point now) noexcept {
    if (touched_ == nullptr || !touched_->c.owes_duplicate()) { return false; }
    buffers_.serve(touched_->buffers);
    if (!touched_->c.next_segment(out.segment, now)) { return false; }
    out.name = touched_->name;
    return true;
}

bool stack::take_answer(stack_segment& out) noexcept {
    if (answer_count_ == 0) { return false; }
    out = answers_[first_answer_];
    first_answer_ = first_answer_ + 1 == answers_.size() ? 0 : first_answer_ + 1;
    --answer_count_;
    return true;
}

void stack::answer(const four_tuple& name, const outgoing& out) noexcept {
    if (answer_count_ == answers_.size()) {
        ++counters_.answers_lost;
        return;
    }
    const std::size_t end = first_answer_ + answer_count_;
    answers_[end < answers_.size() ? end : end - answers_.size()] = {name, out};
    ++answer_count_;
}

// Time.

std::optional<stack::time_point> stack::deadline() const noexcept {
    std::optional<time_point> first = wheel_.next_deadline();
    const auto sooner = [&](time_point at) { first = first ? std::min(*first, at) : at; };
    if (const auto waited = time_wait_.next_deadline()) { sooner(*waited); }
    if (!orphans_.empty()) { sooner(orphans_.front()->progress_at + options_.orphan_life); }
    return first;
}

void stack::arm_ready() noexcept {
    for (slot* one = ready_.front(); one != nullptr; one = ready_.after(*one)) { arm(*one); }
}

void stack::advance_wheel(time_point now) noexcept {
    wheel_.run([&](timer_node& node) {
        slot& one = static_cast<slot&>(node);
        one.armed = time_point::max();
        if (one.c.deadline() > now) { return arm(one); }
        buffers_.serve(one.buffers);
        one.c.on_deadline(now);
        settle(one);
    });
}

void stack::end_orphans(time_point now) noexcept {
    while (!orphans_.empty() && orphans_.front()->progress_at + options_.orphan_life <= now) {
        abort(*orphans_.front(), now);
    }
}

// How connections of the user begin and end.

stack_result<connection_handle> stack::connect(const ip_address& local, const ip_endpoint& remote, time_point now,
                                               const connect_options& wanted) noexcept {
    if (!is_one_host(local) || !is_one_host(remote.address) || local.is_v4() != remote.address.is_v4() || remote.port == 0) {
        return refusal::bad_address;
    }
    const auto name_with = [&](std::uint16_t port) { return four_tuple(local, port, remote.address, remote.port); };
    const auto has_name = [&](const four_tuple& name) {
        return place_of(name) != nullptr ||
               (time_wait_.contains(name, now) && !time_wait_.reusable(name, now, options_.reuse_after));
    };
    const auto in_use = [&](std::uint16_t port) {
        return listeners_.find(local, port) != nullptr || has_name(name_with(port));
    };
    std::uint16_t port = wanted.local_port;
    if (port == 0) {
        const auto chosen = ports_.choose(local, remote.address, remote.port, in_use);
        if (!chosen) { return refusal::no_port; }
        port = *chosen;
    } else if (has_name(name_with(port))) {
        return refusal::address_in_use;
    }
    make_room(now);
    const four_tuple name = name_with(port);
    sequence_number initial = numbers_.make(name, now);
    const auto old = time_wait_.reusable(name, now, options_.reuse_after);
    if (old) { initial = old->initial_sequence(initial); }
    slot* const one = open(name, initial, slot_role::held);
    if (one == nullptr) { return refusal::no_connection; }
    if (old) { time_wait_.erase(name); }
    ++counters_.connected;
    one->user = wanted.user;
    one->c.connect(now);
    settle(*one);
    return handle_of(*one);
}

void stack::release(connection_handle which, leaving how, time_point now) noexcept {
    slot* const one = held(which);
    if (one == nullptr) { return; }
    if (news_.holds(*one)) { news_.remove(*one); }
    buffers_.serve(one->buffers);
    if (how == leaving::at_once) {
        one->c.abort(now);
    } else {
        one->c.close(now);
    }
    orphan(*one, now);
}

void stack::orphan(slot& one, time_point now) noexcept {
    one.role = slot_role::orphan;
    one.pending = {};
    one.progress_at = now;
    one.progress_to = one.c.send_first();
    static_cast<void>(one.c.take_events());  // the user wants to know no more
    if (one.c.state() != state::closed) {
        orphans_.push_back(one);
        if (orphans_.size() > options_.orphans) {
            ++counters_.evicted;
            abort(*orphans_.front(), now);
        }
    }
    settle(one);
}

void stack::note_progress(slot& one, time_point now) noexcept {
    const sequence_number first = one.c.send_first();
    // Less than a segment is what probes of a closed window get through: an octet each.
    if (!orphans_.holds(one) || first - one.progress_to < static_cast<std::int32_t>(one.c.segment_size())) { return; }
    one.progress_at = now;
    one.progress_to = first;
    orphans_.remove(one);
    orphans_.push_back(one);
}

void stack::abort(slot& one, time_point now) noexcept {
    if (orphans_.holds(one) && one.role == slot_role::orphan) { orphans_.remove(one); }
    buffers_.serve(one.buffers);
    one.c.abort(now);
    settle(one);
}

bool stack::has_unsettled_orphans() const noexcept {
    for (const slot* one = orphans_.front(); one != nullptr; one = orphans_.after(*one)) {
        if (one->c.has_unacknowledged()) { return true; }
    }
    return false;
}

bool stack::has_unacknowledged() const noexcept {
    std::size_t left = connections();
    for (std::size_t i = 0; left != 0 && i != options_.connections; ++i) {
        const slot& one = slots_[i];
        if (one.role == slot_role::free) { continue; }
        --left;
        if ((one.role == slot_role::held || one.role == slot_role::orphan) && one.c.has_unacknowledged()) { return true; }
    }
    return false;
}

void stack::abort_unreleased(time_point now) noexcept {
    for (std::size_t i = 0; i != options_.connections; ++i) {
        slot& one = slots_[i];
        if (one.role != slot_role::free && one.role != slot_role::orphan) { abort(one, now); }
    }
}

void stack::abort_all(time_point now) noexcept {
    for (std::size_t i = 0; i != options_.connections; ++i) {
        slot& one = slots_[i];
        const bool leaves = one.role == slot_role::orphan && one.c.is_quiet();
        if (one.role != slot_role::free && !leaves) { abort(one, now); }
    }
}

}  // namespace fluxnet::proto::tcp
