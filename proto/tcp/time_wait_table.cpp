// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/time_wait_table.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace fluxnet::proto::tcp {
namespace {

// The wait is counted in steps of 2^24 ns. An entry keeps 30 bits of the count above two flags: enough as long as waits are
// at most a day and the table is called once in 100 days.
constexpr unsigned wait_step_bits = 24;
constexpr std::uint32_t v6_wait = 1;
constexpr std::uint32_t timestamps_wait = 2;
constexpr std::uint32_t wait_flags = v6_wait | timestamps_wait;

/// How far a timestamp is ahead of another (RFC 7323 section 5.2).
std::int32_t timestamp_distance(std::uint32_t of, std::uint32_t from) noexcept {
    return static_cast<std::int32_t>(of - from);
}

}  // namespace

time_wait_table::time_wait_table(const options& wanted, std::span<const std::byte, 16> secret)
    : hash_(proto::detail::hash_key(secret)), length_(moment(time_point(wanted.length)) + 1), entries_(wanted.capacity),
      slots_(std::bit_ceil(wanted.capacity) * 2), shift_(32 - static_cast<unsigned>(std::countr_zero(slots_.size()))) {
    assert(wanted.capacity >= 1 && wanted.capacity <= std::size_t{1} << 30);
    assert(wanted.length.count() >= 0 && wanted.length <= std::chrono::hours(24));
    for (std::size_t i = 0; i + 1 != entries_.size(); ++i) { entries_[i].newer = static_cast<std::uint32_t>(i + 1); }
}

std::uint64_t time_wait_table::moment(time_point at) noexcept {
    const std::int64_t count = at.time_since_epoch().count();
    return count < 0 ? 0 : static_cast<std::uint64_t>(count) >> wait_step_bits;
}

void time_wait_table::note(time_point now) noexcept {
    now_ = std::max(now_, moment(now));
}

bool time_wait_table::is_over(const entry& waiting) const noexcept {
    return static_cast<std::int32_t>((waiting.end & ~wait_flags) - (static_cast<std::uint32_t>(now_) << 2)) <= 0;
}

four_tuple time_wait_table::name_of(const entry& waiting) const noexcept {
    const std::uint64_t version = waiting.end & v6_wait;
    const auto& words = waiting.addresses;
    return four_tuple::from_words({version << 32 | waiting.ports, words[0], words[1], words[2], words[3]});
}

std::size_t time_wait_table::find(const four_tuple& name, std::uint32_t hash) const noexcept {
    std::size_t place = hash >> shift_;
    while (slots_[place].index != none) {
        if (slots_[place].hash == hash && name_of(entries_[slots_[place].index]) == name) { break; }
        place = (place + 1) % slots_.size();
    }
    return place;
}

std::uint32_t time_wait_table::find_waiting(const four_tuple& name, time_point now) noexcept {
    note(now);
    const std::uint32_t index = slots_[find(name, hash_(name))].index;
    if (index == none || !is_over(entries_[index])) { return index; }
    drop(index);
    return none;
}

bool time_wait_table::contains(const four_tuple& name, time_point now) noexcept {
    return find_waiting(name, now) != none;
}

bool time_wait_table::add(const connection& closed, time_point now) noexcept {
    if (const std::uint32_t old = find_waiting(closed.name, now); old != none) { drop(old); }
    const bool evicts = free_ == none;
    if (evicts) { drop(oldest_); }
    const std::uint32_t index = free_;
    entry& made = entries_[index];
    free_ = made.newer;

    const auto& words = closed.name.words();
    made.addresses = {words[1], words[2], words[3], words[4]};
    made.ports = static_cast<std::uint32_t>(words[0]);
    made.next_to_send = closed.next_to_send.value();
    made.next_to_receive = closed.next_to_receive.value();
    made.last_timestamp = closed.last_timestamp;
    made.timestamp_offset = closed.timestamp_offset;
    made.end = (closed.name.is_v4() ? 0 : v6_wait) | (closed.timestamps ? timestamps_wait : 0);
    begin_wait(index);

    const std::uint32_t hash = hash_(closed.name);
    slots_[find(closed.name, hash)] = {hash, index};
    ++size_;
    return evicts;
}

void time_wait_table::begin_wait(std::uint32_t index) noexcept {
    entry& waiting = entries_[index];
    // From the latest time that a call had: the list stays in the order of ends, also when a clock goes back.
    const std::uint64_t end = now_ + length_ + 1;
    waiting.end = (static_cast<std::uint32_t>(end) << 2) | (waiting.end & wait_flags);
    waiting.older = newest_;
    waiting.newer = none;
    (newest_ == none ? oldest_ : entries_[newest_].newer) = index;
    newest_ = index;
}

void time_wait_table::unlink(std::uint32_t index) noexcept {
    const entry& leaving = entries_[index];
    (leaving.older == none ? oldest_ : entries_[leaving.older].newer) = leaving.newer;
    (leaving.newer == none ? newest_ : entries_[leaving.newer].older) = leaving.older;
}

void time_wait_table::drop(std::uint32_t index) noexcept {
    const four_tuple name = name_of(entries_[index]);
    erase_slot(find(name, hash_(name)));
    unlink(index);
    entries_[index].newer = free_;
    free_ = index;
    --size_;
}

bool time_wait_table::erase(const four_tuple& name) noexcept {
    const std::uint32_t index = slots_[find(name, hash_(name))].index;
    if (index == none) { return false; }
    drop(index);
    return true;
}

void time_wait_table::erase_slot(std::size_t place) noexcept {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t next = (place + 1) & mask; slots_[next].index != none; next = (next + 1) & mask) {
        // An entry may move forward to the hole when the hole is not before its first place.
        const std::size_t from_home = (next - (slots_[next].hash >> shift_)) & mask;
        if (from_home < ((next - place) & mask)) { continue; }
        slots_[place] = slots_[next];
        place = next;
    }
    slots_[place].index = none;
}

std::optional<time_wait_table::answer> time_wait_table::reusable(const four_tuple& name, time_point now,
                                                                 std::chrono::nanoseconds least) noexcept {
    const std::uint32_t index = find_waiting(name, now);
    if (index == none || (entries_[index].end & timestamps_wait) == 0) { return std::nullopt; }
    const std::uint32_t left = ((entries_[index].end & ~wait_flags) - (static_cast<std::uint32_t>(now_) << 2)) / 4;
    if (left + moment(time_point(least)) > length_) { return std::nullopt; }
    return answer_for(entries_[index], verdict::open);
}

std::size_t time_wait_table::expire(time_point now) noexcept {
    note(now);
    std::size_t count = 0;
    while (oldest_ != none && is_over(entries_[oldest_])) {
        drop(oldest_);
        ++count;
    }
    return count;
}

std::optional<time_wait_table::time_point> time_wait_table::next_deadline() const noexcept {
    if (oldest_ == none) { return std::nullopt; }
    const std::uint32_t end = entries_[oldest_].end & ~wait_flags;
    const std::int32_t left = static_cast<std::int32_t>(end - (static_cast<std::uint32_t>(now_) << 2)) / 4;
    const std::int64_t count = static_cast<std::int64_t>(now_) + left;
    return time_point(std::chrono::nanoseconds(count << wait_step_bits));
}

bool time_wait_table::opens(const entry& old, const segment& syn) noexcept {
    const bool is_later = syn.sequence >= sequence_number(old.next_to_receive);  // beyond the last number that was seen
    if ((old.end & timestamps_wait) == 0) { return syn.timestamps || is_later; }
    if (!syn.timestamps) { return is_later; }
    const std::int32_t distance = timestamp_distance(syn.timestamp, old.last_timestamp);
    return distance > 0 || (distance == 0 && is_later);
}

time_wait_table::verdict time_wait_table::judge(std::uint32_t index, const segment& came) noexcept {
    entry& waiting = entries_[index];
    if (came.rst) { return verdict::ignore; }  // RFC 1337 section 3, its first remedy
    if (came.syn) {
        const bool asks = !came.ack && !came.fin;
        return asks && opens(waiting, came) ? verdict::open : verdict::challenge;
    }
    const sequence_number next(waiting.next_to_receive);
    const sequence_number end = came.sequence + came.length + (came.fin ? 1U : 0U);
    if (came.fin && end == next) {
        if (came.timestamps && timestamp_distance(came.timestamp, waiting.last_timestamp) > 0) {
            waiting.last_timestamp = came.timestamp;
        }
        unlink(index);
        begin_wait(index);
        return verdict::acknowledge;
    }
    if (end != came.sequence) { return end <= next ? verdict::acknowledge : verdict::challenge; }
    // A bare ACK. One that is in order gets nothing: two ends in TIME-WAIT would answer each other for ever.
    if (came.sequence != next) { return verdict::challenge; }
    const bool is_ahead = came.ack && came.acknowledgment > sequence_number(waiting.next_to_send);
    return is_ahead ? verdict::challenge : verdict::ignore;
}

time_wait_table::answer time_wait_table::receive(const four_tuple& name, const segment& came, time_point now) noexcept {
    const std::uint32_t index = find_waiting(name, now);
    if (index == none) { return {}; }
    const verdict what = judge(index, came);
    return answer_for(entries_[index], what);
}

time_wait_table::answer time_wait_table::answer_for(const entry& waiting, verdict what) noexcept {
    return {.what = what,
            .sequence = sequence_number(waiting.next_to_send),
            .acknowledgment = sequence_number(waiting.next_to_receive),
            .timestamps = (waiting.end & timestamps_wait) != 0,
            .timestamp_offset = waiting.timestamp_offset,
            .timestamp_echo = waiting.last_timestamp};
}

}  // namespace fluxnet::proto::tcp
