// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/filter.hpp"

#include <algorithm>
#include <string_view>

namespace fluxnet {
namespace {

constexpr std::uint16_t type_ipv4 = 0x0800;
constexpr std::uint16_t type_ipv6 = 0x86dd;
constexpr std::uint16_t type_arp = 0x0806;
constexpr std::uint8_t next_fragment = 44;
constexpr std::uint8_t next_authentication = 51;

constexpr bool has_ports(std::uint8_t protocol) noexcept {
    constexpr std::array<std::uint8_t, 5> with_ports{6, 17, 33, 132, 136};  // TCP, UDP, DCCP, SCTP, UDP-Lite
    return std::ranges::find(with_ports, protocol) != with_ports.end();
}

/// RFC 8200 section 4; the mobility header, HIP and Shim6 have the same form.
constexpr bool is_extension(std::uint8_t next) noexcept {
    constexpr std::array<std::uint8_t, 8> extensions{0, 43, next_fragment, next_authentication, 60, 135, 139, 140};
    return std::ranges::find(extensions, next) != extensions.end();
}

bool asks_about_ip(const filter_rule& rule) noexcept {
    return rule.ip_version || rule.protocol || rule.destination || rule.source;
}

/// Bytes of a frame that has an end.
class reader {
public:
    explicit reader(std::span<const std::byte> frame) noexcept : frame_(frame) {}

    [[nodiscard]] bool has(std::size_t offset, std::size_t size) const noexcept {
        return offset <= frame_.size() && size <= frame_.size() - offset;
    }
    [[nodiscard]] std::uint8_t byte(std::size_t offset) const noexcept { return static_cast<std::uint8_t>(frame_[offset]); }
    [[nodiscard]] std::uint16_t word(std::size_t offset) const noexcept {
        return static_cast<std::uint16_t>(byte(offset) << 8 | byte(offset + 1));
    }
    [[nodiscard]] std::span<const std::byte> bytes(std::size_t offset, std::size_t size) const noexcept {
        return frame_.subspan(offset, size);
    }

private:
    std::span<const std::byte> frame_;
};

/// What a frame shows of itself. What has no value is not there, unless `hidden` says that nobody can tell.
struct shown {
    std::uint16_t ether_type = 0;
    std::optional<unsigned> version = 0;  // of IP; 0: it is not IP
    std::optional<std::uint8_t> protocol;
    std::optional<std::pair<std::uint16_t, std::uint16_t>> ports;  // source and destination
    std::span<const std::byte> source;
    std::span<const std::byte> destination;
    filter_reason hidden = filter_reason::unmatched;  // why something is hidden; unmatched: nothing is
};

void show_ports(const reader& frame, std::size_t offset, std::size_t end, shown& what) noexcept {
    if (offset + 4 > end || !frame.has(offset, 4)) {
        what.hidden = filter_reason::unreadable;
        return;
    }
    what.ports = {frame.word(offset), frame.word(offset + 2)};
}

void show_arp(const reader& frame, shown& what) noexcept {
    constexpr std::size_t at = 14;
    what.hidden = filter_reason::unreadable;
    if (!frame.has(at, 28) || frame.word(at) != 1 || frame.word(at + 2) != type_ipv4 || frame.word(at + 4) != 0x0604) {
        return;
    }
    what.hidden = filter_reason::unmatched;
    what.source = frame.bytes(at + 14, 4);
    what.destination = frame.bytes(at + 24, 4);
}

void show_ipv4(const reader& frame, shown& what) noexcept {
    what.version = 4;
    constexpr std::size_t at = 14;
    what.hidden = filter_reason::unreadable;
    if (!frame.has(at, 20) || frame.byte(at) >> 4 != 4) { return; }
    const std::size_t size = (frame.byte(at) & 15U) * 4U;
    const std::size_t length = frame.word(at + 2);
    if (size < 20 || length < size) { return; }
    what.hidden = filter_reason::unmatched;
    what.protocol = frame.byte(at + 9);
    what.source = frame.bytes(at + 12, 4);
    what.destination = frame.bytes(at + 16, 4);
    if (!has_ports(*what.protocol)) { return; }
    if ((frame.word(at + 6) & 0x3fff) != 0) {  // more fragments, or an offset
        what.hidden = filter_reason::fragment;
        return;
    }
    show_ports(frame, at + size, at + length, what);
}

void show_ipv6(const reader& frame, shown& what) noexcept {
    what.version = 6;
    constexpr std::size_t at = 14;
    what.hidden = filter_reason::unreadable;
    if (!frame.has(at, 40) || frame.byte(at) >> 4 != 6) { return; }
    what.source = frame.bytes(at + 8, 16);
    what.destination = frame.bytes(at + 24, 16);
    std::size_t offset = at + 40;
    const std::size_t end = offset + frame.word(at + 4);
    std::uint8_t next = frame.byte(at + 6);
    for (unsigned i = 0; i < packet_filter::most_extensions && is_extension(next); ++i) {
        if (offset + 8 > end || !frame.has(offset, 8)) { return; }
        const std::uint8_t following = frame.byte(offset);
        std::size_t size = (frame.byte(offset + 1) + 1U) * 8U;
        if (next == next_fragment) {
            if ((frame.word(offset + 2) & 0xfff9) != 0) {  // an offset, or more fragments
                what.hidden = filter_reason::fragment;
                if (!is_extension(following)) { what.protocol = following; }
                return;
            }
            size = 8;
        } else if (next == next_authentication) {
            size = (frame.byte(offset + 1) + 2U) * 4U;
        }
        offset += size;
        if (offset > end) { return; }
        next = following;
    }
    if (is_extension(next)) { return; }
    what.hidden = filter_reason::unmatched;
    what.protocol = next;
    if (has_ports(next)) { show_ports(frame, offset, end, what); }
}

shown look_at(const reader& frame) noexcept {
    shown what;
    what.ether_type = frame.word(12);
    switch (what.ether_type) {
        case type_ipv4: show_ipv4(frame, what); break;
        case type_ipv6: show_ipv6(frame, what); break;
        case type_arp: show_arp(frame, what); break;
        case 0x8100:
        case 0x88a8:
            what.version.reset();
            what.hidden = filter_reason::tagged;
            break;
        default: break;
    }
    return what;
}

enum class answer { no, yes, unknown };

/// Answers one condition. `is_hidden`: the frame cannot tell.
template <class Condition>
answer ask(bool wanted, bool known, bool is_hidden, Condition holds) noexcept {
    if (!wanted) { return answer::yes; }
    if (known) { return holds() ? answer::yes : answer::no; }
    return is_hidden ? answer::unknown : answer::no;
}

answer ask_all(const filter_rule& rule, const shown& what) noexcept {
    const bool hides = what.hidden != filter_reason::unmatched;
    const auto within = [](const std::optional<port_range>& range, std::uint16_t port) {
        return !range || (port >= range->first && port <= range->last);
    };
    const auto begins_with = [&](const std::optional<ip_prefix>& prefix, std::span<const std::byte> address) {
        return ask(prefix.has_value(), !address.empty(), hides,
                   [&] { return prefix->version == (address.size() == 4 ? 4U : 6U) && prefix->contains(address); });
    };
    const bool of_arp = rule.ether_type == type_arp;
    const auto of_version = [&](const std::optional<ip_prefix>& prefix) {
        return ask(prefix.has_value() && !of_arp, what.version.has_value(), hides,
                   [&] { return what.version == prefix->version; });
    };
    const std::array answers{
        ask(rule.ether_type.has_value(), true, false, [&] { return *rule.ether_type == what.ether_type; }),
        ask(rule.ip_version.has_value(), what.version.has_value(), hides,
            [&] { return what.version == unsigned{*rule.ip_version}; }),
        of_version(rule.destination),
        of_version(rule.source),
        ask(rule.protocol.has_value(), what.version.has_value(), hides, [&] { return what.version != 0U; }),
        ask(rule.protocol.has_value(), what.protocol.has_value(), hides, [&] { return *rule.protocol == *what.protocol; }),
        ask(rule.destination_ports || rule.source_ports, what.ports.has_value(), hides,
            [&] {
                return within(rule.source_ports, what.ports->first) && within(rule.destination_ports, what.ports->second);
            }),
        begins_with(rule.destination, what.destination),
        begins_with(rule.source, what.source),
    };
    if (std::ranges::find(answers, answer::no) != answers.end()) { return answer::no; }
    return std::ranges::find(answers, answer::unknown) != answers.end() ? answer::unknown : answer::yes;
}

/// What is wrong with a rule, and what to do about it; nothing when all is well.
struct contradiction {
    std::string cause;
    std::string remedy;
};

std::optional<contradiction> check_prefix(const char* which, const std::optional<ip_prefix>& prefix,
                                          std::optional<unsigned> version) {
    if (!prefix) { return std::nullopt; }
    const std::string name = std::string("its ") + which + " prefix";
    if (prefix->version != 4 && prefix->version != 6) {
        return contradiction{name + " is of IP version " + std::to_string(prefix->version), "use ip_prefix::v4() or v6()"};
    }
    const unsigned bits = prefix->version == 4 ? 32 : 128;
    if (prefix->length > bits) {
        return contradiction{name + " has " + std::to_string(prefix->length) + " bits",
                             "an address of that version has " + std::to_string(bits)};
    }
    for (unsigned bit = prefix->length; bit < 128; ++bit) {
        if ((prefix->address[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return contradiction{name + " has bits behind its length of " + std::to_string(prefix->length),
                                 "clear them, or make the prefix longer"};
        }
    }
    if (version && *version != prefix->version) {
        return contradiction{name + " is of IP version " + std::to_string(prefix->version) + ", the rule is about version " +
                                 std::to_string(*version),
                             "make a rule for each version"};
    }
    return std::nullopt;
}

std::optional<contradiction> check_ports(const filter_rule& rule) {
    if (!rule.destination_ports && !rule.source_ports) { return std::nullopt; }
    if (!rule.protocol) {
        return contradiction{"it asks for ports and names no protocol", "set protocol, to 6 for TCP or 17 for UDP"};
    }
    if (!has_ports(*rule.protocol)) {
        return contradiction{
            "it asks for ports, which protocol " + std::to_string(*rule.protocol) + " does not have",
            "leave the ports out, or set protocol to 6 (TCP), 17 (UDP), 33 (DCCP), 132 (SCTP) or 136 (UDP-Lite)"};
    }
    for (const auto& range : {rule.destination_ports, rule.source_ports}) {
        if (range && range->first > range->last) {
            return contradiction{
                "its ports from " + std::to_string(range->first) + " to " + std::to_string(range->last) + " are none",
                "put the lower port first"};
        }
    }
    return std::nullopt;
}

/// `version`: the only IP version that the rule can match, if there is only one.
std::optional<contradiction> check_version(const filter_rule& rule, std::optional<unsigned>& version) {
    if (rule.ip_version) {
        version = *rule.ip_version;
        if (version != 4U && version != 6U) {
            return contradiction{"it is about IP version " + std::to_string(*version), "use 4 or 6"};
        }
    }
    if (!rule.ether_type) { return std::nullopt; }
    if (*rule.ether_type < 0x600) {
        return contradiction{
            "its EtherType " + std::to_string(*rule.ether_type) + " is below 0x600: such a number is a length",
            "use the EtherType of a protocol"};
    }
    if (!asks_about_ip(rule)) { return std::nullopt; }
    if (*rule.ether_type == type_arp && !rule.ip_version && !rule.protocol) {
        version = 4;
        return std::nullopt;
    }
    if (*rule.ether_type != type_ipv4 && *rule.ether_type != type_ipv6) {
        return contradiction{"it asks for something of IP behind an EtherType that is not IP's",
                             "leave the EtherType out: behind a VLAN tag nothing is looked at"};
    }
    const unsigned of_type = *rule.ether_type == type_ipv4 ? 4 : 6;
    if (version.value_or(of_type) != of_type) {
        return contradiction{"its EtherType is that of IP version " + std::to_string(of_type) +
                                 ", the rule is about version " + std::to_string(*version),
                             "leave one of the two out"};
    }
    version = of_type;
    return std::nullopt;
}

std::optional<contradiction> check(const filter_rule& rule) {
    std::optional<unsigned> version;
    if (auto found = check_version(rule, version)) { return found; }
    if (auto found = check_ports(rule)) { return found; }
    if (auto found = check_prefix("destination", rule.destination, version)) { return found; }
    if (rule.destination) { version = rule.destination->version; }
    return check_prefix("source", rule.source, version);
}

}  // namespace

bool ip_prefix::contains(std::span<const std::byte> wanted) const noexcept {
    for (unsigned bit = 0; bit < length; ++bit) {
        const unsigned shift = 7 - bit % 8;
        if (((std::to_integer<unsigned>(wanted[bit / 8]) ^ address[bit / 8]) >> shift & 1U) != 0) { return false; }
    }
    return true;
}

result<void> packet_filter::validate() const {
    if (rules_.size() > most_rules) {
        return make_error(errc::invalid_option, "check the filter", "it has " + std::to_string(rules_.size()) + " rules",
                          "use " + std::to_string(most_rules) + " at most");
    }
    for (std::size_t i = 0; i < rules_.size(); ++i) {
        if (auto found = check(rules_[i])) {
            return make_error(errc::invalid_option, "check rule " + std::to_string(i) + " of the filter",
                              std::move(found->cause), std::move(found->remedy));
        }
    }
    return {};
}

filter_decision packet_filter::judge(std::span<const std::byte> frame) const noexcept {
    const reader bytes(frame);
    if (!bytes.has(0, 14)) { return {filter_verdict::pass, filter_reason::unreadable, 0}; }
    const shown what = look_at(bytes);
    for (std::size_t i = 0; i < rules_.size(); ++i) {
        const answer found = ask_all(rules_[i], what);
        if (found == answer::yes) { return {rules_[i].verdict, filter_reason::rule, i}; }
        if (found == answer::unknown) { return {filter_verdict::pass, what.hidden, i}; }
    }
    return {};
}

}  // namespace fluxnet
