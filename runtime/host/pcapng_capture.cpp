// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/pcapng_capture.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace fluxnet::host {
namespace {

using proto::pcapng_direction;

constexpr std::size_t least_memory = 65'536;

constexpr std::string_view dropped = "dropped: ";
constexpr std::size_t longest_comment = 64;
constexpr std::size_t room_for_one_comment = proto::detail::pcapng_option_length(longest_comment);

constexpr std::size_t room_for_statistics = proto::pcapng_statistics_repr{.received = 0, .missed = 0}.length();

std::chrono::nanoseconds utc_at_zero(executor& on, const pcapng_options& options) noexcept {
    const bool is_virtual = fluxnet::detail::inside(on).clock() != nullptr;
    if (!options.begin && is_virtual) { return std::chrono::nanoseconds::zero(); }
    const auto begin = options.begin.value_or(std::chrono::system_clock::now());
    return begin.time_since_epoch() - on.now().time_since_epoch();
}

}  // namespace

/// The sink of one host.
struct pcapng_capture::port final : frame_sink {
    port(pcapng_capture& capture, std::string called) noexcept : of(capture), name(std::move(called)) {}

    void on_received(std::span<const std::byte> octets, time_point at) noexcept override { of.received(*this, octets, at); }
    void on_verdict(const frame_verdict& what) noexcept override { of.judged(*this, what); }
    void on_sent(std::span<const std::byte> octets, time_point at) noexcept override { of.sent(*this, octets, at); }

    pcapng_capture& of;
    const std::string name;
    std::optional<std::uint32_t> number;  // once the file tells of the interface
    std::uint64_t seen = 0;
    std::uint64_t missed = 0;
};

pcapng_capture::pcapng_capture(executor& on, const pcapng_options& options)
    : on_(on), options_(options), utc_at_zero_(utc_at_zero(on, options)), size_(std::max(options.memory, least_memory)),
      memory_(std::make_unique_for_overwrite<std::byte[]>(size_)) {}

pcapng_capture::~pcapng_capture() = default;

frame_sink& pcapng_capture::interface(std::string name) {
    port& made = *ports_.emplace_back(std::make_unique<port>(*this, std::move(name)));
    // Without room it is told of with its first frame for which there is some.
    if (describe(made)) { on_blocks(); }
    return made;
}

void pcapng_capture::clear() noexcept {
    used_ = 0;
    open_.of = nullptr;
}

std::span<const std::byte> pcapng_capture::take(std::unique_ptr<std::byte[]>& spare) noexcept {
    std::swap(memory_, spare);
    const std::size_t taken = used_;
    clear();
    return {spare.get(), taken};
}

void pcapng_capture::leave() noexcept {
    for (const auto& one : ports_) { one->leave(); }
}

std::uint64_t pcapng_capture::seen() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& one : ports_) { sum += one->seen; }
    return sum;
}

std::uint64_t pcapng_capture::missed() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& one : ports_) { sum += one->missed; }
    return sum;
}

/// Beside what is kept for the statistics, and for a comment that may come.
bool pcapng_capture::has_room(std::size_t octets) const noexcept {
    const std::size_t kept = ports_.size() * room_for_statistics + (open_.of != nullptr ? room_for_one_comment : 0);
    return used_ + kept + octets <= size_;
}

std::uint64_t pcapng_capture::utc_of(time_point at) const noexcept {
    const std::chrono::nanoseconds utc = utc_at_zero_ + at.time_since_epoch();
    return static_cast<std::uint64_t>(utc.count());
}

/// Begins the file, and tells of the interface, where that has not been done. False: there was no room.
bool pcapng_capture::describe(port& one) noexcept {
    if (one.number) { return true; }
    const proto::pcapng_section_repr section{options_.application};
    const proto::pcapng_interface_repr interface { one.name, options_.snap_length };
    if (!has_room(interface.length() + (begun_ ? 0 : section.length()))) { return false; }
    if (!std::exchange(begun_, true)) { append(section); }
    append(interface);
    one.number = described_++;
    return true;
}

/// Adds a frame, and counts. False: there was no room.
bool pcapng_capture::add(port& of, std::span<const std::byte> octets, time_point at, pcapng_direction direction,
                         std::size_t room_for_comment, open_block& block) noexcept {
    ++of.seen;
    const std::size_t kept =
        options_.snap_length == 0 ? octets.size() : std::min<std::size_t>(octets.size(), options_.snap_length);
    block.repr = {.time_ns = utc_of(at),
                  .octets = octets.first(kept),
                  .original_length = static_cast<std::uint32_t>(octets.size()),
                  .direction = direction,
                  .comment = {}};
    if (!describe(of) || !has_room(block.repr.length() + room_for_comment)) {
        ++of.missed;
        return false;
    }
    block.repr.interface = *of.number;
    block.at = used_;
    append(block.repr);
    on_blocks();
    return true;
}

void pcapng_capture::received(port& by, std::span<const std::byte> octets, time_point at) noexcept {
    open_.of = nullptr;
    if (add(by, octets, at, pcapng_direction::inbound, room_for_one_comment, open_)) { open_.of = &by; }
}

/// Makes the block anew with a comment, and moves what was sent meanwhile.
void pcapng_capture::judged(const port& by, const frame_verdict& what) noexcept {
    if (std::exchange(open_.of, nullptr) != &by) { return; }
    const std::string_view why = why_dropped(what);
    if (why.empty()) { return; }
    std::array<char, longest_comment> text;
    const std::size_t length = std::min(why.size(), text.size() - dropped.size());
    std::ranges::copy(dropped, text.begin());
    std::ranges::copy(why.substr(0, length), text.begin() + dropped.size());

    proto::pcapng_packet_repr& repr = open_.repr;
    std::byte* const block = memory_.get() + open_.at;
    repr.octets = {block + proto::pcapng_packet_repr::octets_at, repr.octets.size()};
    const std::size_t before = repr.length();
    repr.comment = {text.data(), dropped.size() + length};
    const std::size_t after = repr.length();
    const std::size_t behind = used_ - open_.at - before;
    if (behind != 0) { std::memmove(block + after, block + before, behind); }
    repr.emit({block, after});
    used_ += after - before;
}

void pcapng_capture::sent(port& by, std::span<const std::byte> octets, time_point at) noexcept {
    open_block unused;
    static_cast<void>(add(by, octets, at, pcapng_direction::outbound, 0, unused));
}

bool pcapng_capture::add_statistics() noexcept {
    const std::uint64_t now = utc_of(on_.now());
    for (const auto& one : ports_) {
        if (!describe(*one)) { return false; }
        const proto::pcapng_statistics_repr block{
            .interface = *one->number, .time_ns = now, .received = one->seen, .missed = one->missed};
        if (used_ + block.length() > size_) { return false; }
        append(block);
    }
    on_blocks();
    return true;
}

}  // namespace fluxnet::host
