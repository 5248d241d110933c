// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ipv6_address.hpp"

#include <charconv>

namespace fluxnet::proto {
namespace {

constexpr std::size_t group_count = 8;

/// Reads up to four hexadecimal digits; nothing if there is none, or one more.
std::optional<std::uint16_t> read_group(std::string_view text) noexcept {
    std::uint16_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    const bool whole = failure == std::errc{} && end == text.data() + text.size();
    return whole && text.size() <= 4 ? std::optional(value) : std::nullopt;
}

/// The groups on one side of "::", or all of them.
struct group_list {
    std::array<std::uint16_t, group_count> groups{};
    std::size_t count = 0;

    [[nodiscard]] bool add(std::uint16_t group) noexcept {
        if (count == group_count) { return false; }
        groups[count++] = group;
        return true;
    }

    /// Reads groups with colons between them; the last may be an IPv4 address if `last` is set.
    [[nodiscard]] bool read(std::string_view text, bool last) noexcept {
        while (!text.empty()) {
            const std::size_t colon = text.find(':');
            const std::string_view part = text.substr(0, colon);
            text.remove_prefix(colon == text.npos ? text.size() : colon + 1);
            if (colon != std::string_view::npos && text.empty()) { return false; }
            if (last && text.empty() && part.find('.') != part.npos) {
                const auto embedded = ipv4_address::parse(part);
                if (!embedded) { return false; }
                const std::uint32_t value = embedded->to_host_order();
                return add(static_cast<std::uint16_t>(value >> 16)) && add(static_cast<std::uint16_t>(value));
            }
            const auto group = read_group(part);
            if (!group || !add(*group)) { return false; }
        }
        return true;
    }
};

}  // namespace

std::optional<ipv6_address> ipv6_address::parse(std::string_view text) noexcept {
    const std::size_t gap = text.find("::");
    group_list head;
    group_list tail;
    if (gap == text.npos) {
        if (!head.read(text, true) || head.count != group_count) { return std::nullopt; }
    } else {
        const std::string_view behind = text.substr(gap + 2);
        if (behind.starts_with(':') || !head.read(text.substr(0, gap), false) || !tail.read(behind, true)) {
            return std::nullopt;
        }
        if (head.count + tail.count >= group_count) { return std::nullopt; }
    }
    ipv6_address address;
    const auto put = [&address](std::size_t index, std::uint16_t group) {
        address.octets_[2 * index] = static_cast<std::uint8_t>(group >> 8);
        address.octets_[2 * index + 1] = static_cast<std::uint8_t>(group);
    };
    for (std::size_t i = 0; i != head.count; ++i) { put(i, head.groups[i]); }
    for (std::size_t i = 0; i != tail.count; ++i) { put(group_count - tail.count + i, tail.groups[i]); }
    return address;
}

std::string ipv6_address::to_string() const {
    if (is_v4_mapped()) { return "::ffff:" + ipv4_address(octets_[12], octets_[13], octets_[14], octets_[15]).to_string(); }
    std::array<unsigned, group_count> groups{};
    for (std::size_t i = 0; i != group_count; ++i) { groups[i] = octets_[2 * i] * 256U + octets_[2 * i + 1]; }
    std::size_t begin = group_count;  // of the longest run of zeros, the first of equals
    std::size_t length = 1;
    for (std::size_t i = 0; i != group_count;) {
        std::size_t run = 0;
        while (i + run != group_count && groups[i + run] == 0) { ++run; }
        if (run > length) {
            begin = i;
            length = run;
        }
        i += run + 1 - (i + run == group_count ? 1 : 0);
    }
    std::string text;
    for (std::size_t i = 0; i != group_count;) {
        if (i == begin) {
            text += "::";
            i += length;
            continue;
        }
        if (!text.empty() && text.back() != ':') { text += ':'; }
        std::array<char, 4> digits{};
        const auto [end, failure] = std::to_chars(digits.data(), digits.data() + digits.size(), groups[i], 16);
        text.append(digits.data(), end);
        ++i;
    }
    return text;
}

}  // namespace fluxnet::proto
