// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/pcapng.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::proto {
namespace {

namespace block_type {
constexpr std::uint32_t interface = 1;
constexpr std::uint32_t statistics = 5;
constexpr std::uint32_t packet = 6;
constexpr std::uint32_t section = 0x0a0d0d0a;  // the same in either byte order
}  // namespace block_type

// What an option's number means depends on the block.
namespace option_code {
constexpr std::uint16_t end = 0;
constexpr std::uint16_t comment = 1;
constexpr std::uint16_t section_application = 4;
constexpr std::uint16_t interface_name = 2;
constexpr std::uint16_t interface_time_resolution = 9;
constexpr std::uint16_t packet_flags = 2;
constexpr std::uint16_t statistics_received = 4;
constexpr std::uint16_t statistics_dropped = 5;
}  // namespace option_code

constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint64_t unknown_section_length = ~std::uint64_t{0};
constexpr std::uint16_t link_type_ethernet = 1;
constexpr std::uint8_t nanosecond_resolution = 9;  // 10^-9 s

/// Writes a block from its beginning on.
class block_writer {
public:
    block_writer(std::span<std::byte> into, std::uint32_t type, std::size_t length) noexcept
        : begin_(into.data()), next_(into.data()), length_(length) {
        assert(length <= into.size() && length <= 0xffff'ffff && "no room for a pcapng block");
        number(type);
        number(static_cast<std::uint32_t>(length));
    }

    template <class T>
    void number(T value) noexcept {
        std::memcpy(next_, &value, sizeof value);
        next_ += sizeof value;
    }

    /// A time is two words, the more significant one first, in either byte order.
    void time(std::uint64_t value) noexcept {
        number(static_cast<std::uint32_t>(value >> 32));
        number(static_cast<std::uint32_t>(value));
    }

    /// Octets that may lie there already, and zeroes up to the next word.
    void octets(std::span<const std::byte> bytes) noexcept {
        if (!bytes.empty() && bytes.data() != next_) { std::memmove(next_, bytes.data(), bytes.size()); }
        next_ += bytes.size();
        const std::size_t padding = detail::pcapng_padded(bytes.size()) - bytes.size();
        std::fill_n(next_, padding, std::byte{0});
        next_ += padding;
    }

    void option(std::uint16_t code, std::span<const std::byte> value) noexcept {
        number(code);
        number(static_cast<std::uint16_t>(value.size()));
        octets(value);
        has_options_ = true;
    }

    template <class T>
    void number_option(std::uint16_t code, T value) noexcept {
        option(code, std::as_bytes(std::span(&value, 1)));
    }

    void text_option(std::uint16_t code, std::string_view text) noexcept {
        if (text.empty()) { return; }
        const std::string_view kept = text.substr(0, pcapng_longest_text);
        option(code, std::as_bytes(std::span(kept.data(), kept.size())));
    }

    /// Ends the block and returns its length.
    std::size_t finish() noexcept {
        if (has_options_) {
            number(option_code::end);
            number(std::uint16_t{0});
        }
        number(static_cast<std::uint32_t>(length_));
        assert(next_ == begin_ + length_ && "length() and emit() of a pcapng block disagree");
        return length_;
    }

private:
    std::byte* const begin_;
    std::byte* next_;
    const std::size_t length_;
    bool has_options_ = false;
};

}  // namespace

std::size_t pcapng_section_repr::emit(std::span<std::byte> into) const noexcept {
    block_writer block(into, block_type::section, length());
    block.number(byte_order_magic);
    block.number(std::uint16_t{1});  // version 1.0
    block.number(std::uint16_t{0});
    block.number(unknown_section_length);
    block.text_option(option_code::section_application, application);
    return block.finish();
}

std::size_t pcapng_interface_repr::emit(std::span<std::byte> into) const noexcept {
    block_writer block(into, block_type::interface, length());
    block.number(link_type_ethernet);
    block.number(std::uint16_t{0});
    block.number(snap_length);
    block.text_option(option_code::interface_name, name);
    block.number_option(option_code::interface_time_resolution, nanosecond_resolution);
    return block.finish();
}

std::size_t pcapng_packet_repr::emit(std::span<std::byte> into) const noexcept {
    block_writer block(into, block_type::packet, length());
    const auto kept = static_cast<std::uint32_t>(octets.size());
    block.number(interface);
    block.time(time_ns);
    block.number(kept);
    block.number(std::max(kept, original_length));
    block.octets(octets);
    block.text_option(option_code::comment, comment);
    if (direction != pcapng_direction::unknown) {
        block.number_option(option_code::packet_flags, static_cast<std::uint32_t>(direction));
    }
    return block.finish();
}

std::size_t pcapng_statistics_repr::emit(std::span<std::byte> into) const noexcept {
    block_writer block(into, block_type::statistics, length());
    block.number(interface);
    block.time(time_ns);
    if (received) { block.number_option(option_code::statistics_received, *received); }
    if (missed) { block.number_option(option_code::statistics_dropped, *missed); }
    return block.finish();
}

}  // namespace fluxnet::proto
