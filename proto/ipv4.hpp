// SPDX-License-Identifier: BSD-3-Clause
// IPv4 with options: `ipv4_view` reads a datagram, `mutable_ipv4_view` also writes it, `ipv4_repr` makes a header.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order; lengths and offsets are in octets.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/reason.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace fluxnet::proto {

/// Where the fields are (RFC 791 section 3.1).
namespace ipv4_offset {
inline constexpr std::size_t version_and_header_length = 0;
inline constexpr std::size_t type_of_service = 1;
inline constexpr std::size_t total_length = 2;
inline constexpr std::size_t identification = 4;
inline constexpr std::size_t flags_and_fragment = 6;
inline constexpr std::size_t time_to_live = 8;
inline constexpr std::size_t protocol = 9;
inline constexpr std::size_t checksum = 10;
inline constexpr std::size_t source = 12;
inline constexpr std::size_t destination = 16;
inline constexpr std::size_t options = 20;
}  // namespace ipv4_offset

/// The length of a header without options, in octets.
inline constexpr std::size_t ipv4_header_length = ipv4_offset::options;
/// The length of a header with all the options it can hold, in octets.
inline constexpr std::size_t ipv4_max_header_length = 60;

/// One option of a header (RFC 791 section 3.1 "Options").
struct ipv4_option {
    static constexpr std::uint8_t end_of_list = 0;
    static constexpr std::uint8_t no_operation = 1;
    static constexpr std::uint8_t record_route = 7;
    static constexpr std::uint8_t loose_source_route = 131;
    static constexpr std::uint8_t strict_source_route = 137;

    std::uint8_t kind = no_operation;
    std::span<const std::byte> data;  ///< What follows the kind and the length. Lives as long as the header.
};

/// Walks the options of one header. Total on any bytes: it stops at the end, at an end-of-list option, or where an option
/// does not fit, and each call steps at least one octet on.
class ipv4_option_reader {
public:
    /// Reads options from the front of these bytes, which outlive the reader.
    explicit ipv4_option_reader(std::span<const std::byte> options) noexcept : rest_(options) {}

    /// Returns the next option that is not padding, or std::nullopt when there is no other.
    [[nodiscard]] std::optional<ipv4_option> next() noexcept {
        while (!rest_.empty()) {
            const auto kind = std::to_integer<std::uint8_t>(rest_[0]);
            if (kind == ipv4_option::end_of_list) { break; }
            if (kind == ipv4_option::no_operation) {
                rest_ = rest_.subspan(1);
                continue;
            }
            const std::size_t length = rest_.size() < 2 ? 0 : std::to_integer<std::size_t>(rest_[1]);
            if (length < 2 || length > rest_.size()) {
                malformed_ = true;
                break;
            }
            const ipv4_option found{kind, rest_.subspan(2, length - 2)};
            rest_ = rest_.subspan(length);
            return found;
        }
        rest_ = {};
        return std::nullopt;
    }

    /// Whether the walk ended at an option that does not fit.
    [[nodiscard]] bool malformed() const noexcept { return malformed_; }

private:
    std::span<const std::byte> rest_;  // begins at an option
    bool malformed_ = false;
};

namespace detail {

/// The sum of a header without options, its checksum included.
[[nodiscard]] inline std::uint16_t sum_of_header(const std::byte* header) noexcept {
    std::uint64_t sum = load_word<std::uint64_t>(header);
    const unsigned char carry = add_word(sum, load_word<std::uint64_t>(header + 8), 0);
    sum += add_word(sum, load_word<std::uint32_t>(header + 16), carry);
    return fold_to_16(sum);
}

}  // namespace detail

/// A datagram: header, options and payload.
template <octet Byte>
class basic_ipv4_view {
public:
    /// Checks the header of a received datagram (RFC 1122 section 3.2.1): version, lengths, checksum, and that the options
    /// can be walked. Octets after the total length are padding and left out of the view. Reasons: ipv4_truncated,
    /// ipv4_bad_version, ipv4_bad_header_length, ipv4_short_total_length, ipv4_long_total_length, ipv4_bad_checksum,
    /// ipv4_bad_options.
    [[nodiscard]] static result<basic_ipv4_view> parse(std::span<Byte> packet) noexcept {
        if (packet.size() < ipv4_header_length) { return reason::ipv4_truncated; }
        const basic_ipv4_view whole(packet);
        if (whole.version() != 4) { return reason::ipv4_bad_version; }
        const std::size_t header_length = whole.header_length();
        if (header_length < ipv4_header_length || header_length > packet.size()) { return reason::ipv4_bad_header_length; }
        const std::size_t total_length = whole.total_length();
        if (total_length < header_length) { return reason::ipv4_short_total_length; }
        if (total_length > packet.size()) { return reason::ipv4_long_total_length; }
        const basic_ipv4_view view(packet.first(total_length));
        if (header_length == ipv4_header_length) [[likely]] {  // a length that the compiler knows
            if (detail::sum_of_header(packet.data()) != 0xffff) { return reason::ipv4_bad_checksum; }
            return view;
        }
        if (internet_checksum::of(packet.first(header_length)) != 0) { return reason::ipv4_bad_checksum; }
        ipv4_option_reader options = view.options();
        while (options.next()) {}
        if (options.malformed()) { return reason::ipv4_bad_options; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length; before options() and
    /// payload() are used, header length and total length must be set to what fits.
    [[nodiscard]] static basic_ipv4_view unchecked(std::span<Byte> packet) noexcept {
        assert(packet.size() >= ipv4_header_length);
        return basic_ipv4_view(packet);
    }

    /// The first octet's two numbers: 4, and the octets of the header with its options.
    [[nodiscard]] unsigned version() const noexcept { return load8(ipv4_offset::version_and_header_length) >> 4; }
    [[nodiscard]] std::size_t header_length() const noexcept {
        return (load8(ipv4_offset::version_and_header_length) & 15U) * std::size_t{4};
    }
    /// DSCP in the upper six bits (RFC 2474), ECN in the lower two (RFC 3168).
    [[nodiscard]] std::uint8_t type_of_service() const noexcept { return load8(ipv4_offset::type_of_service); }
    [[nodiscard]] std::uint16_t total_length() const noexcept { return load16(ipv4_offset::total_length); }
    [[nodiscard]] std::uint16_t identification() const noexcept { return load16(ipv4_offset::identification); }
    [[nodiscard]] bool dont_fragment() const noexcept { return (load16(ipv4_offset::flags_and_fragment) & 0x4000U) != 0; }
    [[nodiscard]] bool more_fragments() const noexcept { return (load16(ipv4_offset::flags_and_fragment) & 0x2000U) != 0; }
    [[nodiscard]] std::size_t fragment_offset() const noexcept {
        return (load16(ipv4_offset::flags_and_fragment) & 0x1fffU) * std::size_t{8};
    }
    [[nodiscard]] bool is_fragment() const noexcept { return (load16(ipv4_offset::flags_and_fragment) & 0x3fffU) != 0; }
    [[nodiscard]] std::uint8_t time_to_live() const noexcept { return load8(ipv4_offset::time_to_live); }
    /// What the datagram carries; may be none of the enumerators.
    [[nodiscard]] ip_protocol protocol() const noexcept { return ip_protocol{load8(ipv4_offset::protocol)}; }
    [[nodiscard]] std::uint16_t checksum() const noexcept { return load16(ipv4_offset::checksum); }
    [[nodiscard]] ipv4_address source() const noexcept { return ipv4_address::load(bytes_.data() + ipv4_offset::source); }
    [[nodiscard]] ipv4_address destination() const noexcept {
        return ipv4_address::load(bytes_.data() + ipv4_offset::destination);
    }
    [[nodiscard]] ipv4_option_reader options() const noexcept {
        return ipv4_option_reader(bytes_.subspan(ipv4_offset::options, header_length() - ipv4_header_length));
    }
    /// What lies between the header and the total length.
    [[nodiscard]] std::span<Byte> payload() const noexcept {
        return bytes_.subspan(header_length(), total_length() - header_length());
    }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_ipv4_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_ipv4_view<const Byte>::unchecked(bytes_);
    }

    // The setters leave the checksum behind, except where they say otherwise: fill_checksum() comes last.

    /// Writes version 4 and a header length, a multiple of 4 from 20 to 60. Invalidates a parse.
    void set_header_length(std::size_t length) noexcept
        requires writable_octet<Byte>
    {
        assert(length % 4 == 0 && length >= ipv4_header_length && length <= ipv4_max_header_length);
        store8(ipv4_offset::version_and_header_length, static_cast<std::uint8_t>(0x40U | (length / 4)));
    }
    /// Invalidates a parse.
    void set_total_length(std::uint16_t length) noexcept
        requires writable_octet<Byte>
    {
        store16(ipv4_offset::total_length, length);
    }
    void set_type_of_service(std::uint8_t value) noexcept
        requires writable_octet<Byte>
    {
        store8(ipv4_offset::type_of_service, value);
    }
    void set_identification(std::uint16_t value) noexcept
        requires writable_octet<Byte>
    {
        store16(ipv4_offset::identification, value);
    }
    /// Writes the two flags and the offset, a multiple of 8 below 65536.
    void set_fragment(bool dont_fragment, bool more_fragments, std::size_t offset) noexcept
        requires writable_octet<Byte>
    {
        assert(offset % 8 == 0 && offset < 65536);
        store16(ipv4_offset::flags_and_fragment,
                static_cast<std::uint16_t>((dont_fragment ? 0x4000U : 0U) | (more_fragments ? 0x2000U : 0U) | (offset / 8)));
    }
    void set_time_to_live(std::uint8_t hops) noexcept
        requires writable_octet<Byte>
    {
        store8(ipv4_offset::time_to_live, hops);
    }
    /// Sets the time to live and brings a correct checksum along (RFC 1624).
    void update_time_to_live(std::uint8_t hops) noexcept
        requires writable_octet<Byte>
    {
        const std::uint16_t before = load16(ipv4_offset::time_to_live);
        set_time_to_live(hops);
        store16(ipv4_offset::checksum, checksum_update16(checksum(), before, load16(ipv4_offset::time_to_live)));
    }
    void set_protocol(ip_protocol protocol) noexcept
        requires writable_octet<Byte>
    {
        store8(ipv4_offset::protocol, static_cast<std::uint8_t>(protocol));
    }
    void set_source(ipv4_address address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ipv4_offset::source);
    }
    void set_destination(ipv4_address address) noexcept
        requires writable_octet<Byte>
    {
        address.store(bytes_.data() + ipv4_offset::destination);
    }
    /// Exchanges source and destination. A sum does not depend on order: this checksum, and the transport's, stay right.
    void swap_addresses() noexcept
        requires writable_octet<Byte>
    {
        const auto addresses = bytes_.subspan(ipv4_offset::source, 2 * ipv4_address::size);
        std::ranges::swap_ranges(addresses.first(ipv4_address::size), addresses.last(ipv4_address::size));
    }
    /// Sums the header, options included, and writes the checksum.
    void fill_checksum() noexcept
        requires writable_octet<Byte>
    {
        store16(ipv4_offset::checksum, 0);
        store16(ipv4_offset::checksum, internet_checksum::of(bytes_.first(header_length())));
    }

private:
    explicit basic_ipv4_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint8_t load8(std::size_t at) const noexcept { return std::to_integer<std::uint8_t>(bytes_[at]); }
    [[nodiscard]] std::uint16_t load16(std::size_t at) const noexcept { return load_be16(bytes_.data() + at); }
    void store8(std::size_t at, std::uint8_t value) noexcept { bytes_[at] = std::byte{value}; }
    void store16(std::size_t at, std::uint16_t value) noexcept { store_be16(bytes_.data() + at, value); }

    std::span<Byte> bytes_;  // at least ipv4_header_length; exactly the total length after parse()
};

using ipv4_view = basic_ipv4_view<const std::byte>;
using mutable_ipv4_view = basic_ipv4_view<std::byte>;

/// The values of a header without options, to be written in one go.
struct ipv4_repr {
    ipv4_address source;
    ipv4_address destination;
    ip_protocol protocol = ip_protocol::udp;
    std::size_t payload_length = 0;  ///< At most 65515.
    std::uint8_t time_to_live = 64;  ///< The default of the IANA registry (RFC 1700).
    std::uint16_t identification = 0;
    bool dont_fragment = true;  ///< With it the identification means nothing (RFC 6864 section 4.1).

    /// Writes the header with its checksum at the front of `packet`, which has room for it and the payload, and returns a
    /// view of the datagram.
    mutable_ipv4_view emit(std::span<std::byte> packet) const noexcept {
        const std::size_t total_length = ipv4_header_length + payload_length;
        assert(total_length <= 0xffff && packet.size() >= total_length);
        std::array<std::uint32_t, ipv4_header_length / 4> words{
            0x45000000U | static_cast<std::uint32_t>(total_length),
            std::uint32_t{identification} << 16 | (dont_fragment ? 0x4000U : 0U),
            std::uint32_t{time_to_live} << 24 | std::uint32_t{static_cast<std::uint8_t>(protocol)} << 16,
            source.to_host_order(), destination.to_host_order()};
        // The sum is made of the values as they are written: reading them back would cost more.
        std::uint64_t sum = 0;
        for (const std::uint32_t word : words) { sum += word; }
        words[2] |= static_cast<std::uint16_t>(~detail::fold_to_16(sum));
        for (std::size_t i = 0; i != words.size(); ++i) { store_be32(packet.data() + 4 * i, words[i]); }
        return mutable_ipv4_view::unchecked(packet.first(total_length));
    }
};

}  // namespace fluxnet::proto
