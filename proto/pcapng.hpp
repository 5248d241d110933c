// SPDX-License-Identifier: BSD-3-Clause
// The blocks of a pcapng file, which tcpdump, Wireshark and their kin read: `pcapng_section_repr` begins a section of the
// file, `pcapng_interface_repr` tells of an interface, `pcapng_packet_repr` has a frame, and `pcapng_statistics_repr` says
// how many frames there were.
//
//     std::vector<std::byte> file(4096);
//     std::size_t used = pcapng_section_repr{"my program"}.emit(file);
//     used += pcapng_interface_repr{"eth0"}.emit(std::span(file).subspan(used));  // the first: number 0
//     used += pcapng_packet_repr{.interface = 0, .time_ns = now, .octets = frame}.emit(std::span(file).subspan(used));
//
// Values that own nothing: texts and octets outlive them. length() says how much room emit() needs; there is no other
// state, so that blocks may be made in any memory and put together in any way that keeps their order: a section before its
// interfaces, an interface before its frames. Interfaces are numbered from 0 in the order in which the section tells of
// them. Nothing is allocated or written to a file here. Numbers are in the byte order of the machine, which the section
// says.
//
// Threads: any that may touch the bytes.
// Source: draft-ietf-opsawg-pcapng, sections 3.5 (options) and 4.1 to 4.6.
#pragma once

#include "fluxnet/export.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace fluxnet::proto {

/// The longest text of an option, in octets; what is longer is cut.
inline constexpr std::size_t pcapng_longest_text = 0xffff;

namespace detail {

/// The type and the two lengths of a block.
inline constexpr std::size_t pcapng_frame_length = 12;
inline constexpr std::size_t pcapng_end_of_options = 4;

[[nodiscard]] constexpr std::size_t pcapng_padded(std::size_t octets) noexcept {
    return (octets + 3) & ~std::size_t{3};
}
[[nodiscard]] constexpr std::size_t pcapng_option_length(std::size_t octets) noexcept {
    return 4 + pcapng_padded(octets);
}
/// Of an option that is left out where there is no text.
[[nodiscard]] constexpr std::size_t pcapng_text_length(std::string_view text) noexcept {
    return text.empty() ? 0 : pcapng_option_length(text.substr(0, pcapng_longest_text).size());
}
[[nodiscard]] constexpr std::size_t pcapng_options_length(std::size_t options) noexcept {
    return options == 0 ? 0 : options + pcapng_end_of_options;
}

}  // namespace detail

/// The Section Header Block.
struct FLUXNET_EXPORT pcapng_section_repr {
    std::string_view application;  ///< Which program writes the file (shb_userappl), UTF-8; empty: not told.

    /// What emit() writes, in octets.
    [[nodiscard]] constexpr std::size_t length() const noexcept {
        return detail::pcapng_frame_length + 16 + detail::pcapng_options_length(detail::pcapng_text_length(application));
    }

    /// Writes the block at the front of `into`, which has room for it, and returns its length.
    std::size_t emit(std::span<std::byte> into) const noexcept;
};

/// The Interface Description Block of an Ethernet (LINKTYPE_ETHERNET) whose times are in nanoseconds (if_tsresol).
struct FLUXNET_EXPORT pcapng_interface_repr {
    std::string_view name;          ///< if_name, UTF-8; empty: not told.
    std::uint32_t snap_length = 0;  ///< How many octets of a frame are kept at most; 0: all.

    /// What emit() writes, in octets.
    [[nodiscard]] constexpr std::size_t length() const noexcept {
        return detail::pcapng_frame_length + 8 +
               detail::pcapng_options_length(detail::pcapng_text_length(name) + detail::pcapng_option_length(1));
    }

    /// As above.
    std::size_t emit(std::span<std::byte> into) const noexcept;
};

/// Where a frame went (epb_flags, bits 0 and 1).
enum class pcapng_direction : std::uint8_t { unknown = 0, inbound = 1, outbound = 2 };

/// The Enhanced Packet Block.
struct FLUXNET_EXPORT pcapng_packet_repr {
    /// Where the octets of the frame are in the block.
    static constexpr std::size_t octets_at = 28;

    std::uint32_t interface = 0;
    std::uint64_t time_ns = 0;          ///< Since 1970-01-01 00:00 UTC.
    std::span<const std::byte> octets;  ///< What is kept of the frame: fewer than 2^32 - 2^17.
    std::uint32_t original_length = 0;  ///< That the frame had; what is less than the octets means these.
    pcapng_direction direction = pcapng_direction::unknown;
    std::string_view comment;  ///< opt_comment, UTF-8; empty: none.

    /// What emit() writes, in octets.
    [[nodiscard]] constexpr std::size_t length() const noexcept {
        const std::size_t flags = direction == pcapng_direction::unknown ? 0 : detail::pcapng_option_length(4);
        return detail::pcapng_frame_length + 20 + detail::pcapng_padded(octets.size()) +
               detail::pcapng_options_length(flags + detail::pcapng_text_length(comment));
    }

    /// As above. The octets may lie where they are to be, at `octets_at` of `into`: so a block is made anew that has got a
    /// comment.
    std::size_t emit(std::span<std::byte> into) const noexcept;
};

/// The Interface Statistics Block.
struct FLUXNET_EXPORT pcapng_statistics_repr {
    std::uint32_t interface = 0;
    std::uint64_t time_ns = 0;              ///< When they were counted, since 1970-01-01 00:00 UTC.
    std::optional<std::uint64_t> received;  ///< Frames that there were (isb_ifrecv).
    std::optional<std::uint64_t> missed;    ///< Those of them that are not in the file for want of memory (isb_ifdrop).

    /// What emit() writes, in octets.
    [[nodiscard]] constexpr std::size_t length() const noexcept {
        const std::size_t counts = (received ? 1U : 0U) + (missed ? 1U : 0U);
        return detail::pcapng_frame_length + 12 + detail::pcapng_options_length(counts * detail::pcapng_option_length(8));
    }

    /// As above.
    std::size_t emit(std::span<std::byte> into) const noexcept;
};

}  // namespace fluxnet::proto
