// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/send_queue.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::proto::tcp {

void send_queue::clear() noexcept {
    while (front_ != nullptr) { drop_front(); }
    first_ = next_ = end_;
}

void send_queue::begin(sequence_number first) noexcept {
    assert(next_ == first_);
    sequence_number at = first;
    for (range* one = front_; one != nullptr; one = one->next) {
        one->first = at;
        at += one->extent();
    }
    first_ = next_ = highest_told_ = first;
    end_ = at;
}

range* send_queue::append_range(range* one) noexcept {
    if (one == nullptr) { return nullptr; }
    one->first = end_;
    one->previous = back_;
    (back_ == nullptr ? front_ : back_->next) = one;
    back_ = one;
    if (unsent_ == nullptr) { unsent_ = one; }
    return one;
}

std::size_t send_queue::append(std::span<const std::byte> octets, std::uint32_t segment, std::size_t limit) noexcept {
    assert(!fin_);
    const std::size_t have = size();
    std::size_t left = std::min(octets.size(), limit - std::min(limit, have));
    std::size_t taken = 0;
    while (left != 0) {
        range* one = back_;
        if (one == nullptr || one->where != range::place::unsent || one->room == 0 || one->length >= segment) {
            // The range first: a buffer that comes and goes looks like memory that has come back.
            range* const made = memory_.ranges.take(kept_ranges_);
            if (made == nullptr) { break; }
            const buffer fresh = memory_.buffers.allocate();
            if (fresh.data == nullptr) {
                memory_.ranges.give(*made, kept_ranges_);
                break;
            }
            one = append_range(made);
            one->data = fresh.data;
            one->token = fresh.token;
            one->room = fresh.size;
        }
        const std::size_t part = std::min({left, std::size_t{one->room}, std::size_t{segment} - one->length});
        std::memcpy(one->data + one->length, octets.data() + taken, part);
        one->length += static_cast<std::uint32_t>(part);
        one->room -= static_cast<std::uint32_t>(part);
        end_ += static_cast<std::uint32_t>(part);
        taken += part;
        left -= part;
    }
    return taken;
}

bool send_queue::append_buffer(const buffer& from, std::uint32_t length) noexcept {
    assert(!fin_ && length != 0 && length <= from.size);
    range* const one = append_range(memory_.ranges.take(kept_ranges_));
    if (one == nullptr) { return false; }
    one->data = from.data;
    one->token = from.token;
    one->length = length;
    one->room = 0;  // nothing is written behind what the user has put there
    end_ += length;
    return true;
}

bool send_queue::append_fin() noexcept {
    assert(!fin_);
    if (back_ == nullptr || back_->where != range::place::unsent) {
        if (append_range(memory_.ranges.take_to_cut(kept_ranges_)) == nullptr) { return false; }
        back_->data = back_->little.data();
    }
    back_->fin = true;
    back_->room = 0;
    end_ += 1;
    fin_ = true;
    return true;
}

void send_queue::land(range& one) noexcept {
    in_flight_ -= one.extent();
    (one.earlier == nullptr ? oldest_ : one.earlier->later) = one.later;
    (one.later == nullptr ? newest_ : one.later->earlier) = one.earlier;
    one.earlier = one.later = nullptr;
}

void send_queue::leave(range& one) noexcept {
    switch (one.where) {
        case range::place::unsent: break;
        case range::place::in_flight: land(one); break;
        case range::place::lost: lost_ -= one.extent(); break;
        case range::place::sacked:
            sacked_ -= one.extent();
            --sacked_ranges_;
            break;
    }
}

inline void send_queue::tell(const range& one, delivery& told) noexcept {
    const std::uint32_t extent = one.extent();
    const sequence_number end = one.first + extent;
    const bool resent = one.sendings > 1;
    told.octets += extent;
    if (!told.any || one.sent_at > told.latest_sent_at || (one.sent_at == told.latest_sent_at && end > told.latest_end)) {
        told.any = true;
        told.latest_sent_at = one.sent_at;
        told.latest_end = end;
        told.latest_resent = resent;
    }
    if (resent) {
        told.resent = true;
    } else {
        if (!told.once || one.sent_at > told.once_sent_at) { told.once_sent_at = one.sent_at; }
        if (!told.once || end < told.lowest_once) { told.lowest_once = end; }
        told.once = true;
        if (end < highest_told_) { told.below_highest = true; }
    }
    if (end > highest_told_) { highest_told_ = end; }
}

void send_queue::drop_front() noexcept {
    range& one = *front_;
    leave(one);
    front_ = one.next;
    (front_ == nullptr ? back_ : front_->previous) = nullptr;
    if (unsent_ == &one) { unsent_ = front_; }
    if (lost_from_ == &one) { lost_from_ = front_; }
    if (sack_hint_ == &one) { sack_hint_ = front_; }
    if (one.token != 0) { memory_.buffers.release(one.token); }
    memory_.ranges.give(one, kept_ranges_);
}

void send_queue::acknowledge(sequence_number to, delivery& told) noexcept {
    assert(to >= first_ && to <= next_);
    while (front_ != nullptr && front_->end() <= to && front_->where != range::place::unsent) {
        range& one = *front_;
        told.acknowledged += one.extent();
        if (one.where != range::place::sacked) { tell(one, told); }
        drop_front();
    }
    if (front_ != nullptr && front_->first < to) {  // a part of it, and not its FIN
        range& one = *front_;
        const auto part = static_cast<std::uint32_t>(to - one.first);
        told.acknowledged += part;
        switch (one.where) {
            case range::place::unsent: break;
            case range::place::in_flight: in_flight_ -= part; told.octets += part; break;
            case range::place::lost: lost_ -= part; told.octets += part; break;
            case range::place::sacked: sacked_ -= part; break;
        }
        one.first = to;
        one.data += part;
        one.length -= part;
    }
    first_ = to;
    if (highest_told_ < to) { highest_told_ = to; }
}

void send_queue::sack(sequence_number left, sequence_number right, delivery& told) noexcept {
    if (front_ == nullptr) { return; }
    range* one = sack_hint_ != nullptr && sack_hint_->first <= left ? sack_hint_ : front_;
    while (one != nullptr && one->first < left) { one = one->next; }
    range* last = nullptr;
    for (; one != nullptr && one->where != range::place::unsent && one->end() <= right; one = one->next) {
        last = one;
        if (one->where == range::place::sacked) { continue; }
        leave(*one);
        one->where = range::place::sacked;
        sacked_ += one->extent();
        ++sacked_ranges_;
        told.sacked += one->extent();
        tell(*one, told);
    }
    if (last != nullptr) { sack_hint_ = last; }
}

void send_queue::lose(range& one) noexcept {
    assert(one.where == range::place::in_flight);
    land(one);
    one.where = range::place::lost;
    lost_ += one.extent();
    if (lost_from_ == nullptr || one.first < lost_from_->first) { lost_from_ = &one; }
}

void send_queue::lose_all() noexcept {
    while (oldest_ != nullptr) { lose(*oldest_); }
}

void send_queue::find_all() noexcept {
    // Each goes back to its place in the list by time. One found after another mostly was sent after it, too, so the search
    // goes on from where the last one was put.
    range* after = oldest_;
    for (range* one = lost(); one != nullptr; one = lost()) {
        leave(*one);
        const auto earlier_than_one = [&](const range& other) {
            return other.sent_at < one->sent_at || (other.sent_at == one->sent_at && other.end() < one->end());
        };
        while (after != nullptr && earlier_than_one(*after)) { after = after->later; }
        range* before = after == nullptr ? newest_ : after->earlier;
        for (; before != nullptr && !earlier_than_one(*before); before = before->earlier) { after = before; }
        one->where = range::place::in_flight;
        in_flight_ += one->extent();
        one->earlier = before;
        one->later = after;
        (before == nullptr ? oldest_ : before->later) = one;
        (after == nullptr ? newest_ : after->earlier) = one;
        after = one;
    }
}

void send_queue::forget_sacks() noexcept {
    for (range* one = front_; one != nullptr && sacked_ != 0; one = one->next) {
        if (one->where != range::place::sacked) { continue; }
        leave(*one);
        fly(*one);
        lose(*one);
    }
    sack_hint_ = nullptr;
}

range* send_queue::lost() noexcept {
    if (lost_ == 0) {
        lost_from_ = nullptr;
        return nullptr;
    }
    while (lost_from_->where != range::place::lost) { lost_from_ = lost_from_->next; }
    return lost_from_;
}

bool send_queue::split(range& one, std::uint32_t octets) noexcept {
    assert(octets != 0 && octets < one.length);
    range* const head = memory_.ranges.take_to_cut(kept_ranges_);
    if (head == nullptr) { return false; }
    if (octets <= head->little.size()) {
        head->data = head->little.data();
    } else if (const buffer fresh = memory_.buffers.allocate(); fresh.data != nullptr && fresh.size >= octets) {
        head->data = fresh.data;
        head->token = fresh.token;
    } else {
        // Both stay in the one buffer. It is the second part that gives it back, and the first part goes before that.
        if (fresh.data != nullptr) { memory_.buffers.release(fresh.token); }
        head->data = one.data;
        one.marks |= range::shares;
    }
    if (head->data != one.data) { std::memcpy(head->data, one.data, octets); }
    head->first = one.first;
    head->length = octets;
    head->sent_at = one.sent_at;
    head->sendings = one.sendings;
    head->where = one.where;
    head->previous = one.previous;
    head->next = &one;
    (one.previous == nullptr ? front_ : one.previous->next) = head;
    one.previous = head;
    one.first += octets;
    one.data += octets;
    one.length -= octets;
    if (unsent_ == &one) { unsent_ = head; }
    if (lost_from_ == &one) { lost_from_ = head; }
    if (head->where == range::place::sacked) { ++sacked_ranges_; }
    if (head->where == range::place::in_flight) {  // beside the other part in the list by time
        head->earlier = one.earlier;
        head->later = &one;
        (one.earlier == nullptr ? oldest_ : one.earlier->later) = head;
        one.earlier = head;
    }
    return true;
}

bool send_queue::detach_fin() noexcept {
    assert(back_ != nullptr && back_->fin && back_->length != 0 && back_->where != range::place::in_flight);
    range* const tail = memory_.ranges.take_to_cut(kept_ranges_);
    if (tail == nullptr) { return false; }
    range& one = *back_;
    tail->first = one.first + one.length;
    tail->data = tail->little.data();
    tail->sent_at = one.sent_at;
    tail->sendings = one.sendings;
    tail->where = one.where;
    tail->fin = true;
    tail->previous = &one;
    one.next = tail;
    one.fin = false;
    back_ = tail;
    return true;
}

}  // namespace fluxnet::proto::tcp
