// SPDX-License-Identifier: BSD-3-Clause
// TCP over IPv4 and IPv6: `tcp_view` reads a segment, `mutable_tcp_view` also writes it, `tcp_repr` makes a header with its
// options.
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order; lengths are in octets.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/tcp_options.hpp"

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// The control bits (RFC 9293 section 3.1). One octet holds them all.
namespace tcp_flag {
inline constexpr std::uint8_t fin = 1;
inline constexpr std::uint8_t syn = 2;
inline constexpr std::uint8_t rst = 4;
inline constexpr std::uint8_t psh = 8;
inline constexpr std::uint8_t ack = 16;
inline constexpr std::uint8_t urg = 32;
inline constexpr std::uint8_t ece = 64;
inline constexpr std::uint8_t cwr = 128;
}  // namespace tcp_flag

/// Where the fields are (RFC 9293 section 3.1).
namespace tcp_offset {
inline constexpr std::size_t source_port = 0;
inline constexpr std::size_t destination_port = 2;
inline constexpr std::size_t sequence = 4;
inline constexpr std::size_t acknowledgment = 8;
inline constexpr std::size_t data_offset = 12;  // in the upper four bits; the lower four are reserved
inline constexpr std::size_t flags = 13;
inline constexpr std::size_t window = 14;
inline constexpr std::size_t checksum = 16;
inline constexpr std::size_t urgent_pointer = 18;
inline constexpr std::size_t options = 20;
}  // namespace tcp_offset

/// The length of a header without options.
inline constexpr std::size_t tcp_header_length = tcp_offset::options;
/// The length of a header with all the options it can hold.
inline constexpr std::size_t tcp_max_header_length = tcp_header_length + tcp_options::max_length;

/// A TCP segment: the payload of an IP packet of protocol 6.
template <octet Byte>
class basic_tcp_view {
public:
    static constexpr std::uint8_t protocol_number = 6;

    /// Checks a received segment, which is all of `segment`: the header's length, and the checksum, which also covers the
    /// addresses of the IP header; both have one version. The options are not looked at: see read_options(). Reasons:
    /// tcp_truncated, tcp_short_header_length, tcp_long_header_length, tcp_bad_checksum.
    [[nodiscard]] static result<basic_tcp_view> parse(std::span<Byte> segment, const ip_address& source,
                                                      const ip_address& destination) noexcept {
        const result<basic_tcp_view> view = parse_unsummed(segment);
        if (view && view->sum(source, destination) != 0) { return reason::tcp_bad_checksum; }
        return view;
    }

    /// Does the same without the checksum, which somebody has already checked: the network card, say.
    [[nodiscard]] static result<basic_tcp_view> parse_unsummed(std::span<Byte> segment) noexcept {
        if (segment.size() < tcp_header_length) { return reason::tcp_truncated; }
        const basic_tcp_view view(segment);
        if (view.header_length() < tcp_header_length) { return reason::tcp_short_header_length; }
        if (view.header_length() > segment.size()) { return reason::tcp_long_header_length; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a header's length; before
    /// option_bytes(), read_options() and payload() are used, the header's length must be set to what fits.
    [[nodiscard]] static basic_tcp_view unchecked(std::span<Byte> segment) noexcept {
        assert(segment.size() >= tcp_header_length);
        return basic_tcp_view(segment);
    }

    /// The port of the sender.
    [[nodiscard]] std::uint16_t source_port() const noexcept { return load16(tcp_offset::source_port); }
    /// The port of the receiver.
    [[nodiscard]] std::uint16_t destination_port() const noexcept { return load16(tcp_offset::destination_port); }
    /// The number of the first octet of data, or of the SYN where there is one.
    [[nodiscard]] std::uint32_t sequence() const noexcept { return load32(tcp_offset::sequence); }
    /// The number of the octet that the sender expects next. Means nothing without tcp_flag::ack.
    [[nodiscard]] std::uint32_t acknowledgment() const noexcept { return load32(tcp_offset::acknowledgment); }
    /// The header with its options.
    [[nodiscard]] std::size_t header_length() const noexcept {
        return (std::to_integer<std::size_t>(bytes_[tcp_offset::data_offset]) >> 4) * 4;
    }
    /// Some of tcp_flag, added up.
    [[nodiscard]] std::uint8_t flags() const noexcept { return std::to_integer<std::uint8_t>(bytes_[tcp_offset::flags]); }
    /// As it stands in the header; the scale that the connection has agreed on is not applied.
    [[nodiscard]] std::uint16_t window() const noexcept { return load16(tcp_offset::window); }
    [[nodiscard]] std::uint16_t checksum() const noexcept { return load16(tcp_offset::checksum); }
    /// Means nothing without tcp_flag::urg.
    [[nodiscard]] std::uint16_t urgent_pointer() const noexcept { return load16(tcp_offset::urgent_pointer); }
    [[nodiscard]] std::span<Byte> option_bytes() const noexcept {
        return bytes_.subspan(tcp_offset::options, header_length() - tcp_header_length);
    }
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(header_length()); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// Reads the options as tcp_options::read() does.
    [[nodiscard]] tcp_options read_options() const noexcept { return tcp_options::read(option_bytes()); }
    /// A view that may be written is also one that may be read.
    operator basic_tcp_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_tcp_view<const Byte>::unchecked(bytes_);
    }

    // The setters leave the checksum behind: fill_checksum() comes last.

    /// Writes the port of the sender.
    void set_source_port(std::uint16_t port) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + tcp_offset::source_port, port);
    }
    /// Writes the port of the receiver.
    void set_destination_port(std::uint16_t port) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + tcp_offset::destination_port, port);
    }
    /// Writes the number of the first octet of data, or of the SYN.
    void set_sequence(std::uint32_t sequence) noexcept
        requires writable_octet<Byte>
    {
        store_be32(bytes_.data() + tcp_offset::sequence, sequence);
    }
    /// Writes the number of the octet that is expected next.
    void set_acknowledgment(std::uint32_t acknowledgment) noexcept
        requires writable_octet<Byte>
    {
        store_be32(bytes_.data() + tcp_offset::acknowledgment, acknowledgment);
    }
    /// Writes a header length, a multiple of 4 from 20 to 60, and clears the reserved bits. Invalidates a parse.
    void set_header_length(std::size_t length) noexcept
        requires writable_octet<Byte>
    {
        assert(length % 4 == 0 && length >= tcp_header_length && length <= tcp_max_header_length);
        bytes_[tcp_offset::data_offset] = static_cast<std::byte>(length / 4 << 4);
    }
    /// Writes some of tcp_flag, added up.
    void set_flags(std::uint8_t flags) noexcept
        requires writable_octet<Byte>
    {
        bytes_[tcp_offset::flags] = std::byte{flags};
    }
    /// Writes the window as it stands in the header, already scaled.
    void set_window(std::uint16_t window) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + tcp_offset::window, window);
    }
    /// Writes the urgent pointer, which means nothing without tcp_flag::urg.
    void set_urgent_pointer(std::uint16_t pointer) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + tcp_offset::urgent_pointer, pointer);
    }
    /// Writes 0 where the checksum belongs.
    void clear_checksum() noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + tcp_offset::checksum, 0);
    }
    /// Sums pseudo-header, header and payload, and writes the checksum. Both addresses have one version.
    void fill_checksum(const ip_address& source, const ip_address& destination) noexcept
        requires writable_octet<Byte>
    {
        clear_checksum();
        store_be16(bytes_.data() + tcp_offset::checksum, sum(source, destination));
    }

private:
    explicit basic_tcp_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] std::uint16_t load16(std::size_t at) const noexcept { return load_be16(bytes_.data() + at); }
    [[nodiscard]] std::uint32_t load32(std::size_t at) const noexcept { return load_be32(bytes_.data() + at); }

    [[nodiscard]] std::uint16_t sum(const ip_address& source, const ip_address& destination) const noexcept {
        const auto length = static_cast<std::uint32_t>(bytes_.size());
        return internet_checksum().add_pseudo_header(source, destination, protocol_number, length).add(bytes_).finish();
    }

    std::span<Byte> bytes_;  // at least tcp_header_length; after parse() at least header_length()
};

using tcp_view = basic_tcp_view<const std::byte>;
using mutable_tcp_view = basic_tcp_view<std::byte>;

/// The values of a header with its options, to be written in one go.
struct tcp_repr {
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint32_t sequence = 0;
    std::uint32_t acknowledgment = 0;
    std::uint8_t flags = 0;  ///< Some of tcp_flag, added up.
    std::uint16_t window = 0;
    std::uint16_t urgent_pointer = 0;
    tcp_options options = {};
    std::size_t payload_length = 0;

    /// What emit() puts before the payload.
    [[nodiscard]] std::size_t header_length() const noexcept { return tcp_header_length + options.length(); }

    /// Writes the header at the front of `segment`, which has room for it and the payload, and returns a view of the
    /// segment. There is no checksum yet: fill_checksum() on the view adds it once the payload is there.
    mutable_tcp_view emit(std::span<std::byte> segment) const noexcept {
        const std::size_t header = header_length();
        assert(segment.size() >= header + payload_length);
        mutable_tcp_view view = mutable_tcp_view::unchecked(segment.first(header + payload_length));
        view.set_source_port(source_port);
        view.set_destination_port(destination_port);
        view.set_sequence(sequence);
        view.set_acknowledgment(acknowledgment);
        view.set_header_length(header);
        view.set_flags(flags);
        view.set_window(window);
        view.clear_checksum();
        view.set_urgent_pointer(urgent_pointer);
        options.emit(segment.subspan(tcp_offset::options, header - tcp_header_length));
        return view;
    }
};

}  // namespace fluxnet::proto
