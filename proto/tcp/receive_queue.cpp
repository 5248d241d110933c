// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/receive_queue.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::proto::tcp {

void receive_queue::drop(range& one) noexcept {
    if (one.token != 0) { memory_.buffers.release(one.token); }
    memory_.ranges.give(one, kept_ranges_);
}

void receive_queue::drop_all(range*& list) noexcept {
    while (list != nullptr) {
        range& one = *list;
        list = one.next;
        drop(one);
    }
}

void receive_queue::clear() noexcept {
    clear_beyond();
    drop_all(front_);
    back_ = nullptr;
    readable_ = 0;
}

void receive_queue::clear_beyond() noexcept {
    drop_all(beyond_front_);
    beyond_back_ = nullptr;
    beyond_octets_ = beyond_ranges_ = 0;
    block_count_ = 0;
}

/// Puts octets into a new range, which is null when there was none. `kept`: whether the buffer of the segment has been kept,
/// before and after.
inline range* receive_queue::make(range* one, sequence_number first, std::span<const std::byte> octets,
                                  std::uint64_t token, bool& kept) noexcept {
    if (one == nullptr) { return nullptr; }
    one->first = first;
    one->length = static_cast<std::uint32_t>(octets.size());
    // The segment's own buffer is kept once at most; what else there is to keep is copied.
    const bool copy = kept || octets.size() <= copy_below_;
    if (copy && octets.size() <= one->little.size()) {
        one->data = one->little.data();
        one->room = static_cast<std::uint32_t>(one->little.size()) - one->length;
        std::memcpy(one->data, octets.data(), octets.size());
        return one;
    }
    if (copy) {
        const buffer fresh = memory_.buffers.allocate();
        if (fresh.data != nullptr && fresh.size >= octets.size()) {
            one->data = fresh.data;
            one->token = fresh.token;
            one->room = fresh.size - one->length;
            std::memcpy(one->data, octets.data(), octets.size());
            return one;
        }
        if (fresh.data != nullptr) { memory_.buffers.release(fresh.token); }
        if (kept) {
            memory_.ranges.give(*one, kept_ranges_);
            return nullptr;
        }
    }
    one->data = const_cast<std::byte*>(octets.data());  // nothing writes there: room is 0
    one->token = token;
    kept = true;
    return one;
}

/// Puts few octets behind those of a range, if it has room for them, or can get some: very few octets that lie in the range
/// itself move into a buffer, so that single octets do not take a range each.
bool receive_queue::extend(range& one, std::span<const std::byte> octets) noexcept {
    const auto length = static_cast<std::uint32_t>(octets.size());
    if (length > copy_below_) { return false; }
    if (one.room < length) {
        if (one.token != 0) { return false; }
        const buffer fresh = memory_.buffers.allocate();
        if (fresh.data == nullptr) { return false; }
        if (fresh.size < one.length + length) {
            memory_.buffers.release(fresh.token);
            return false;
        }
        std::memcpy(fresh.data, one.data, one.length);
        one.data = fresh.data;
        one.token = fresh.token;
        one.room = fresh.size - one.length;
    }
    std::memcpy(one.data + one.length, octets.data(), length);
    one.length += length;
    one.room -= length;
    return true;
}

bool receive_queue::append(std::span<const std::byte> octets, std::uint64_t token, bool& kept) noexcept {
    const auto length = static_cast<std::uint32_t>(octets.size());
    if (back_ == nullptr || !extend(*back_, octets)) {
        range* const one = make(memory_.ranges.take(kept_ranges_), next_, octets, token, kept);
        if (one == nullptr) { return false; }
        (back_ == nullptr ? front_ : back_->next) = one;
        back_ = one;
    }
    next_ += length;
    readable_ += length;
    return true;
}

bool receive_queue::insert_beyond(range* behind, sequence_number first, std::span<const std::byte> octets,
                                  std::uint64_t token, outcome& told) noexcept {
    const auto length = static_cast<std::uint32_t>(octets.size());
    if (behind == nullptr || behind->end() != first || !extend(*behind, octets)) {
        range* const fresh = beyond_ranges_ < most_beyond_ ? memory_.ranges.take_beyond_gap() : nullptr;
        range* const one = make(fresh, first, octets, token, told.kept);
        if (one == nullptr) {
            told.refused = true;
            return false;
        }
        one->previous = behind;
        one->next = behind == nullptr ? beyond_front_ : behind->next;
        (one->previous == nullptr ? beyond_front_ : one->previous->next) = one;
        (one->next == nullptr ? beyond_back_ : one->next->previous) = one;
        ++beyond_ranges_;
    }
    beyond_octets_ += length;
    return true;
}

void receive_queue::fill(sequence_number first, std::span<const std::byte> octets, std::uint64_t token,
                         outcome& told) noexcept {
    // Beyond a gap a segment mostly comes behind all others: the search begins at the back.
    range* behind = beyond_back_;
    while (behind != nullptr && behind->first > first) { behind = behind->previous; }
    range* const before = behind;
    const sequence_number begin = first;
    const sequence_number end = first + static_cast<std::uint32_t>(octets.size());
    while (first < end) {
        if (behind != nullptr && behind->end() > first) {  // these are there already
            const sequence_number known = behind->end() < end ? behind->end() : end;
            if (!told.duplicate) { told.duplicate = sack_block{first.value(), known.value()}; }
            octets = octets.subspan(static_cast<std::size_t>(known - first));
            first = known;
            continue;
        }
        range* const ahead = behind == nullptr ? beyond_front_ : behind->next;
        if (ahead != nullptr && ahead->first <= first) {
            behind = ahead;
            continue;
        }
        const sequence_number stop = ahead != nullptr && ahead->first < end ? ahead->first : end;
        const auto part = static_cast<std::size_t>(stop - first);
        if (!insert_beyond(behind, first, octets.first(part), token, told)) { break; }
        octets = octets.subspan(part);
        first = stop;
    }
    if (first == begin) { return; }
    range* const follows = before == nullptr ? beyond_front_ : before->next;
    report(begin, first, before != nullptr && before->end() > begin ? *before : *follows);
}

void receive_queue::join() noexcept {
    while (beyond_front_ != nullptr && beyond_front_->first <= next_) {
        range& one = *beyond_front_;
        beyond_front_ = one.next;
        (beyond_front_ == nullptr ? beyond_back_ : beyond_front_->previous) = nullptr;
        --beyond_ranges_;
        beyond_octets_ -= one.length;
        const auto known = static_cast<std::uint32_t>(next_ - one.first);
        if (known >= one.length) {
            drop(one);
            continue;
        }
        one.data += known;
        one.length -= known;
        one.first += known;
        one.previous = one.next = nullptr;
        (back_ == nullptr ? front_ : back_->next) = &one;
        back_ = &one;
        next_ += one.length;
        readable_ += one.length;
    }
}

receive_queue::outcome receive_queue::insert_any(sequence_number first, std::span<const std::byte> octets,
                                                 std::uint64_t token) noexcept {
    outcome told;
    if (octets.empty()) { return told; }
    if (first < next_) {
        const auto known = std::min(static_cast<std::size_t>(next_ - first), octets.size());
        told.duplicate = sack_block{first.value(), (first + static_cast<std::uint32_t>(known)).value()};
        octets = octets.subspan(known);
        first = next_;
        if (octets.empty()) { return told; }
    }
    if (first != next_) {
        fill(first, octets, token, told);
        told.beyond_gap = true;
        return told;
    }
    if (beyond_front_ == nullptr) {
        told.advanced = append(octets, token, told.kept);
        told.refused = !told.advanced;
        if (told.advanced) { reach_fin(); }
        return told;
    }
    // A gap is filled. Octets that are there beyond it stay as they are; those of the segment fill only what is missing.
    told.beyond_gap = true;
    // Gap by gap, in order: ranges beyond gaps may be used up, and octets in order need none of them.
    while (!octets.empty()) {
        std::size_t part = octets.size();
        if (beyond_front_ != nullptr) { part = std::min(part, static_cast<std::size_t>(beyond_front_->first - first)); }
        if (!append(octets.first(part), token, told.kept)) {
            told.refused = true;
            break;
        }
        told.advanced = true;
        join();
        const auto known = std::min(octets.size(), static_cast<std::size_t>(next_ - first));
        if (known > part && !told.duplicate) {
            told.duplicate = sack_block{(first + static_cast<std::uint32_t>(part)).value(),
                                        (first + static_cast<std::uint32_t>(known)).value()};
        }
        octets = octets.subspan(known);
        first = next_;
    }
    forget_reported();
    reach_fin();
    return told;
}

void receive_queue::finish(sequence_number at) noexcept {
    if (fin_) { return; }
    fin_ = true;
    fin_at_ = at;
    reach_fin();
}

void receive_queue::reach_fin() noexcept {
    if (fin_ && !finished_ && next_ == fin_at_) {
        finished_ = true;
        next_ += 1;
    }
}

std::size_t receive_queue::read(std::span<std::byte> into) noexcept {
    if (into.empty()) { return 0; }
    std::size_t taken = 0;
    while (front_ != nullptr) {
        range& one = *front_;
        const std::size_t part = std::min<std::size_t>(one.length, into.size() - taken);
        std::memcpy(into.data() + taken, one.data, part);
        taken += part;
        if (part != one.length) {
            one.data += part;
            one.length -= static_cast<std::uint32_t>(part);
            break;
        }
        front_ = one.next;
        if (front_ == nullptr) { back_ = nullptr; }
        drop(one);
    }
    readable_ -= static_cast<std::uint32_t>(taken);
    return taken;
}

std::optional<lent_range> receive_queue::lend(std::span<std::byte, 8> into) noexcept {
    if (front_ == nullptr) { return std::nullopt; }
    range& one = *front_;
    lent_range lent{one.octets(), one.token};
    if (one.token == 0) {
        std::memcpy(into.data(), one.data, one.length);
        lent.octets = into.first(one.length);
    }
    front_ = one.next;
    if (front_ == nullptr) { back_ = nullptr; }
    readable_ -= one.length;
    lent_ += one.length;
    memory_.ranges.give(one, kept_ranges_);
    return lent;
}

void receive_queue::report(sequence_number first, sequence_number end, const range& holder) noexcept {
    // The block that has these octets reaches as far as ranges touch each other. Blocks that are in the list already do,
    // and this one takes those in that it touches; the ranges are asked on a side only where it touches none.
    sack_block block{first.value(), end.value()};
    bool left_known = false;
    bool right_known = false;
    std::array<sack_block, 4> kept{};
    std::uint8_t count = 0;
    for (std::uint8_t i = 0; i != block_count_; ++i) {
        const sequence_number left(blocks_[i].left);
        const sequence_number right(blocks_[i].right);
        if (left > end || right < first) {
            kept[count++] = blocks_[i];
            continue;
        }
        if (left <= first) {
            left_known = true;
            block.left = left.value();
        }
        if (right >= end) {
            right_known = true;
            block.right = right.value();
        }
    }
    if (!left_known) {
        const range* one = &holder;
        while (one->previous != nullptr && one->previous->end() == one->first) { one = one->previous; }
        block.left = one->first.value();
    }
    if (!right_known) {
        const range* one = &holder;
        while (one->next != nullptr && one->next->first == one->end()) { one = one->next; }
        block.right = one->end().value();
    }
    blocks_[0] = block;
    block_count_ = 1;
    for (std::uint8_t i = 0; i != count && block_count_ != blocks_.size(); ++i) { blocks_[block_count_++] = kept[i]; }
}

void receive_queue::forget_reported() noexcept {
    std::uint8_t count = 0;
    for (std::uint8_t i = 0; i != block_count_; ++i) {
        if (sequence_number(blocks_[i].right) > next_) { blocks_[count++] = blocks_[i]; }
    }
    block_count_ = count;
    // Those that were told earlier may have fallen off the list.
    if (count == 0 && beyond_front_ != nullptr) { report(beyond_front_->first, beyond_front_->end(), *beyond_front_); }
}

}  // namespace fluxnet::proto::tcp
