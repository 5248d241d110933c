// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/sack_list.hpp"

#include <algorithm>
#include <cassert>

namespace fluxnet::proto::tcp {
namespace {

sequence_number earlier_of(sequence_number a, sequence_number b) noexcept {
    return a < b ? a : b;
}

sequence_number later_of(sequence_number a, sequence_number b) noexcept {
    return a > b ? a : b;
}

}  // namespace

bool sack_list::insert(sequence_range came) noexcept {
    assert(came.left < came.right);
    // From the end, where most octets come. Ranges from `first` to before `last` overlap or touch the new one.
    std::size_t last = count_;
    while (last != 0 && ranges_[last - 1].left > came.right) { --last; }
    std::size_t first = last;
    while (first != 0 && ranges_[first - 1].right >= came.left) { --first; }

    if (first == last) {
        if (count_ == capacity) { return false; }
        const auto at = static_cast<std::ptrdiff_t>(first);
        const auto end = static_cast<std::ptrdiff_t>(count_);
        std::copy_backward(ranges_.begin() + at, ranges_.begin() + end, ranges_.begin() + end + 1);
        std::copy_backward(changed_.begin() + at, changed_.begin() + end, changed_.begin() + end + 1);
        ++count_;
        ranges_[first] = came;
    } else {
        for (std::size_t i = last; i != first; --i) { note_overlap(came, ranges_[i - 1]); }  // the first one remains noted
        ranges_[first] = {earlier_of(ranges_[first].left, came.left), later_of(ranges_[last - 1].right, came.right)};
        erase(first + 1, last);
    }
    changed_[first] = ++changes_;
    return true;
}

void sack_list::note_overlap(sequence_range came, sequence_range kept) noexcept {
    const sequence_range both{later_of(came.left, kept.left), earlier_of(came.right, kept.right)};
    if (both.left < both.right) { duplicate_ = both; }
}

void sack_list::erase(std::size_t first, std::size_t last) noexcept {
    const auto begin = static_cast<std::ptrdiff_t>(first);
    const auto from = static_cast<std::ptrdiff_t>(last);
    const auto end = static_cast<std::ptrdiff_t>(count_);
    std::copy(ranges_.begin() + from, ranges_.begin() + end, ranges_.begin() + begin);
    std::copy(changed_.begin() + from, changed_.begin() + end, changed_.begin() + begin);
    count_ -= last - first;
}

sequence_number sack_list::pass(sequence_number next) noexcept {
    note_overlap({ranges_[0].left, next}, ranges_[0]);
    std::size_t reached = 0;
    sequence_number after = next;
    for (; reached != count_ && ranges_[reached].left <= after; ++reached) {
        after = later_of(after, ranges_[reached].right);
    }
    erase(0, reached);
    return after;
}

std::size_t sack_list::report(std::span<sequence_range> blocks) noexcept {
    std::size_t count = 0;
    if (duplicate_ && !blocks.empty()) {
        blocks[count++] = *duplicate_;
        duplicate_.reset();
    }
    std::uint32_t written = 0;  // bit n: ranges_[n] is among the blocks
    static_assert(capacity <= 32);
    const std::size_t end = std::min(blocks.size(), count + count_);
    for (; count != end; ++count) {
        std::size_t latest = count_;
        for (std::size_t i = 0; i != count_; ++i) {
            if ((written >> i & 1U) != 0) { continue; }
            if (latest == count_ || changes_ - changed_[i] < changes_ - changed_[latest]) { latest = i; }
        }
        written |= 1U << latest;
        blocks[count] = ranges_[latest];
    }
    return count;
}

std::uint32_t sack_list::octets() const noexcept {
    std::uint32_t sum = 0;
    for (const auto& range : ranges()) { sum += static_cast<std::uint32_t>(range.right - range.left); }
    return sum;
}

}  // namespace fluxnet::proto::tcp
