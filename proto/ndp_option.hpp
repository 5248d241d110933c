// SPDX-License-Identifier: BSD-3-Clause
// The options of neighbour discovery: `ndp_option_reader` walks them, `ndp_prefix` is one of them as a value.
//
// A reader refers to the message and owns nothing: the bytes outlive it. It is total on any bytes. One thread uses a reader
// at a time.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// How many options a message may have. An Ethernet frame has room for 46 prefixes.
inline constexpr std::size_t max_ndp_options = 64;
/// What an option with an Ethernet address takes, and so does one with an MTU, in octets (RFC 2464 section 6).
inline constexpr std::size_t ndp_short_option_length = 8;
/// What an option with a prefix takes, in octets (RFC 4861 section 4.6.2).
inline constexpr std::size_t ndp_prefix_option_length = 32;

/// One option (RFC 4861 section 4.6).
struct ndp_option {
    static constexpr std::uint8_t source_link_address = 1;
    static constexpr std::uint8_t target_link_address = 2;
    static constexpr std::uint8_t prefix = 3;
    static constexpr std::uint8_t redirected_header = 4;
    static constexpr std::uint8_t mtu = 5;

    std::uint8_t kind = 0;
    std::span<const std::byte> data;  ///< What follows kind and length, at least 6 octets. Lives as long as the message.

    /// Why an option of this kind may not have these data, if so. Reasons: ndp_bad_option_length,
    /// ndp_multicast_link_address.
    [[nodiscard]] std::optional<reason> refuse() const noexcept {
        const std::size_t length = data.size() + 2;
        switch (kind) {
            case source_link_address:
            case target_link_address:
                if (length != ndp_short_option_length) { return reason::ndp_bad_option_length; }
                if (link_address().is_multicast()) { return reason::ndp_multicast_link_address; }
                return std::nullopt;
            case mtu:
                if (length != ndp_short_option_length) { return reason::ndp_bad_option_length; }
                return std::nullopt;
            case prefix:
                if (length != ndp_prefix_option_length) { return reason::ndp_bad_option_length; }
                return std::nullopt;
            default: return std::nullopt;
        }
    }

    /// Of an option that carries one.
    [[nodiscard]] mac_address link_address() const noexcept { return mac_address::load(data.data()); }
    [[nodiscard]] std::uint32_t mtu_value() const noexcept { return load_be32(data.data() + 2); }
};

/// Walks the options of one message. It stops at the end or where an option cannot be, and each call steps at least eight
/// octets on.
class ndp_option_reader {
public:
    /// Reads options from the front of these bytes, which outlive the reader.
    explicit ndp_option_reader(std::span<const std::byte> options) noexcept : rest_(options) {}

    /// Says why a message with these options is refused, if it is. Reasons: ndp_truncated_option, ndp_zero_option_length,
    /// ndp_too_many_options, ndp_bad_option_length, ndp_multicast_link_address.
    [[nodiscard]] static std::optional<reason> refuse(std::span<const std::byte> options) noexcept {
        ndp_option_reader reader(options);
        for (std::size_t count = 0; const auto option = reader.next(); ++count) {
            if (count == max_ndp_options) { return reason::ndp_too_many_options; }
            if (const auto why = option->refuse()) { return why; }
        }
        return reader.problem();
    }

    /// Returns the next option, or std::nullopt when there is no other.
    [[nodiscard]] std::optional<ndp_option> next() noexcept {
        if (rest_.empty()) { return std::nullopt; }
        const std::size_t length = rest_.size() < 2 ? 1 : std::to_integer<std::size_t>(rest_[1]) * 8;
        if (length == 0) { return stop(reason::ndp_zero_option_length); }
        if (length == 1 || length > rest_.size()) { return stop(reason::ndp_truncated_option); }
        const ndp_option found{std::to_integer<std::uint8_t>(rest_[0]), rest_.subspan(2, length - 2)};
        rest_ = rest_.subspan(length);
        return found;
    }

    /// Goes on to the next option of that kind, and returns it; std::nullopt when there is none.
    [[nodiscard]] std::optional<ndp_option> next(std::uint8_t kind) noexcept {
        std::optional<ndp_option> option = next();
        while (option && option->kind != kind) { option = next(); }
        return option;
    }

    /// Why the walk ended before the end, if it did.
    [[nodiscard]] std::optional<reason> problem() const noexcept { return problem_; }

private:
    std::nullopt_t stop(reason why) noexcept {
        problem_ = why;
        rest_ = {};
        return std::nullopt;
    }

    std::span<const std::byte> rest_;  // begins at an option
    std::optional<reason> problem_;
};

/// A prefix that a router advertises (RFC 4861 section 4.6.2).
struct ndp_prefix {
    static constexpr std::uint32_t infinite = 0xffffffff;

    ipv6_address prefix;
    std::uint8_t length = 64;                ///< In bits, at most 128.
    bool on_link = true;                     ///< Addresses with this prefix are neighbours.
    bool autonomous = true;                  ///< Hosts may make themselves an address with it (RFC 4862).
    std::uint32_t valid_lifetime_s = 0;      ///< Or `infinite`.
    std::uint32_t preferred_lifetime_s = 0;  ///< Or `infinite`.

    /// Reads an option of the kind `prefix`. Returns std::nullopt when its length in bits cannot be.
    [[nodiscard]] static std::optional<ndp_prefix> read(const ndp_option& option) noexcept {
        if (option.kind != ndp_option::prefix || option.data.size() + 2 != ndp_prefix_option_length) { return std::nullopt; }
        const std::byte* const at = option.data.data();
        ndp_prefix found;
        found.length = std::to_integer<std::uint8_t>(at[0]);
        if (found.length > 128) { return std::nullopt; }
        found.on_link = (at[1] & on_link_bit) != std::byte{0};
        found.autonomous = (at[1] & autonomous_bit) != std::byte{0};
        found.valid_lifetime_s = load_be32(at + 2);
        found.preferred_lifetime_s = load_be32(at + 6);
        found.prefix = ipv6_address::load(at + 14);
        return found;
    }

    /// Writes the option at the front of `to`, which has room for ndp_prefix_option_length octets.
    void emit(std::span<std::byte> to) const noexcept {
        assert(to.size() >= ndp_prefix_option_length && length <= 128);
        store_be16(to.data(), std::uint16_t{ndp_option::prefix << 8 | ndp_prefix_option_length / 8});
        to[2] = std::byte{length};
        to[3] = (on_link ? on_link_bit : std::byte{0}) | (autonomous ? autonomous_bit : std::byte{0});
        store_be32(to.data() + 4, valid_lifetime_s);
        store_be32(to.data() + 8, preferred_lifetime_s);
        store_be32(to.data() + 12, 0);
        prefix.store(to.data() + 16);
    }

    friend bool operator==(const ndp_prefix&, const ndp_prefix&) = default;

private:
    static constexpr std::byte on_link_bit{0x80};
    static constexpr std::byte autonomous_bit{0x40};
};

namespace detail {

/// Writes an option with an Ethernet address at the front of `to`, which has room for ndp_short_option_length octets.
inline void emit_ndp_link_address(std::span<std::byte> to, std::uint8_t kind, mac_address address) noexcept {
    assert(to.size() >= ndp_short_option_length);
    to[0] = std::byte{kind};
    to[1] = std::byte{1};
    address.store(to.data() + 2);
}

/// Does the same for an MTU.
inline void emit_ndp_mtu(std::span<std::byte> to, std::uint32_t mtu) noexcept {
    assert(to.size() >= ndp_short_option_length);
    store_be32(to.data(), std::uint32_t{ndp_option::mtu} << 24 | 1U << 16);
    store_be32(to.data() + 4, mtu);
}

}  // namespace detail
}  // namespace fluxnet::proto
