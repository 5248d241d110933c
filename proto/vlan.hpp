// SPDX-License-Identifier: BSD-3-Clause
// VLAN tags: `vlan_view` reads one, `mutable_vlan_view` also writes it, `vlan_repr` makes one; link_payload() finds what
// a frame carries behind its tags.
//
//     const auto frame = ethernet_view::parse(bytes);
//     const auto found = link_payload(*frame);
//     if (found && found->tag_count == 0 && found->type == ethertype::ipv6) { use(found->payload); }
//
// A view is a span and owns nothing: the bytes outlive it. parse() is the entry for bytes off the wire; what it returns can
// be read without further checks. unchecked() is for bytes that this program makes. Accessors and setters take and give
// host order.
//
// Threads: any that may touch the bytes.
#pragma once

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/reason.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fluxnet::proto {

/// Where the fields are, counted from behind the type that announces the tag (IEEE 802.1Q section 9.6).
namespace vlan_offset {
inline constexpr std::size_t control = 0;  // priority: 3 bits, drop eligible: 1 bit, identifier: 12 bits
inline constexpr std::size_t type = 2;
inline constexpr std::size_t payload = 4;
}  // namespace vlan_offset

/// The length of a tag, in octets.
inline constexpr std::size_t vlan_tag_length = vlan_offset::payload;
/// How many tags a frame may have: one of the provider and one of the customer (IEEE 802.1ad).
inline constexpr std::size_t max_vlan_tags = 2;

/// What a tag says.
struct vlan_tag {
    static constexpr std::uint16_t no_vlan = 0;       ///< The tag has a priority and no VLAN.
    static constexpr std::uint16_t reserved = 0xfff;  ///< No frame has this identifier (IEEE 802.1Q table 9-2).

    ethertype kind = ethertype::vlan;  ///< What announces it: `vlan`, or `service_vlan` for a provider's.
    std::uint16_t identifier = no_vlan;
    std::uint8_t priority = 0;  ///< 0 to 7.
    bool drop_eligible = false;

    friend bool operator==(const vlan_tag&, const vlan_tag&) = default;
};

/// A tag and what follows it: the payload of an Ethernet frame of type 0x8100 or 0x88a8.
template <octet Byte>
class basic_vlan_view {
public:
    /// Checks a received tag: it is complete, its identifier is none that is reserved, and it is followed by a type and not
    /// by an 802.3 length. Reasons: vlan_truncated, vlan_reserved_identifier, vlan_length_field.
    [[nodiscard]] static result<basic_vlan_view> parse(std::span<Byte> payload) noexcept {
        if (payload.size() < vlan_tag_length) { return reason::vlan_truncated; }
        const basic_vlan_view view(payload);
        if (view.identifier() == vlan_tag::reserved) { return reason::vlan_reserved_identifier; }
        if (static_cast<std::uint16_t>(view.type()) < ethernet_first_type) { return reason::vlan_length_field; }
        return view;
    }

    /// Views bytes that need no checks because this program writes them. At least a tag's length.
    [[nodiscard]] static basic_vlan_view unchecked(std::span<Byte> payload) noexcept {
        assert(payload.size() >= vlan_tag_length);
        return basic_vlan_view(payload);
    }

    /// Which VLAN the frame is in; 0: none.
    [[nodiscard]] std::uint16_t identifier() const noexcept { return control() & 0xfffU; }
    /// 0 to 7, the order of which is no order of numbers (IEEE 802.1Q annex I).
    [[nodiscard]] std::uint8_t priority() const noexcept { return static_cast<std::uint8_t>(control() >> 13); }
    /// Whether the frame is dropped before others when there is no room.
    [[nodiscard]] bool is_drop_eligible() const noexcept { return (control() & drop_eligible_bit) != 0; }
    /// What follows the tag: another tag, or what the frame carries.
    [[nodiscard]] ethertype type() const noexcept { return ethertype{load_be16(bytes_.data() + vlan_offset::type)}; }
    [[nodiscard]] std::span<Byte> payload() const noexcept { return bytes_.subspan(vlan_offset::payload); }
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }
    /// A view that may be written is also one that may be read.
    operator basic_vlan_view<const Byte>() const noexcept
        requires writable_octet<Byte>
    {
        return basic_vlan_view<const Byte>::unchecked(bytes_);
    }

    /// Writes the three numbers of a tag: an identifier below 4096 and a priority below 8. Invalidates a parse when the
    /// identifier is reserved.
    void set_tag(std::uint16_t identifier, std::uint8_t priority, bool drop_eligible) noexcept
        requires writable_octet<Byte>
    {
        assert(identifier <= 0xfff && priority <= 7);
        const unsigned numbers = unsigned{priority} << 13 | (drop_eligible ? drop_eligible_bit : 0U) | identifier;
        store_be16(bytes_.data() + vlan_offset::control, static_cast<std::uint16_t>(numbers));
    }
    /// Invalidates a parse when the number is below 0x0600.
    void set_type(ethertype type) noexcept
        requires writable_octet<Byte>
    {
        store_be16(bytes_.data() + vlan_offset::type, static_cast<std::uint16_t>(type));
    }

private:
    static constexpr unsigned drop_eligible_bit = 0x1000;

    explicit basic_vlan_view(std::span<Byte> bytes) noexcept : bytes_(bytes) {}

    [[nodiscard]] unsigned control() const noexcept { return load_be16(bytes_.data() + vlan_offset::control); }

    std::span<Byte> bytes_;  // at least vlan_tag_length
};

using vlan_view = basic_vlan_view<const std::byte>;
using mutable_vlan_view = basic_vlan_view<std::byte>;

/// The values of a tag, to be written in one go. The type before it, which announces the tag, is the caller's.
struct vlan_repr {
    std::uint16_t identifier = vlan_tag::no_vlan;
    std::uint8_t priority = 0;
    bool drop_eligible = false;
    ethertype type = ethertype::ipv4;  ///< What follows the tag.

    /// Writes the tag at the front of `payload`, which has room for it, and returns a view of all of `payload`.
    mutable_vlan_view emit(std::span<std::byte> payload) const noexcept {
        mutable_vlan_view view = mutable_vlan_view::unchecked(payload);
        view.set_tag(identifier, priority, drop_eligible);
        view.set_type(type);
        return view;
    }
};

/// What a frame carries, and the tags before it.
template <octet Byte>
struct basic_link_content {
    ethertype type = ethertype::ipv4;            ///< Of the payload: no tag, and often none of the enumerators.
    std::span<Byte> payload;                     ///< With the padding of a short frame.
    std::array<vlan_tag, max_vlan_tags> tags{};  ///< From the outermost to the innermost.
    std::size_t tag_count = 0;
};

using link_content = basic_link_content<const std::byte>;
using mutable_link_content = basic_link_content<std::byte>;

/// Tells whether a tag follows a type.
[[nodiscard]] constexpr bool announces_tag(ethertype type) noexcept {
    return type == ethertype::vlan || type == ethertype::service_vlan;
}

/// Finds what a parsed frame carries behind at most max_vlan_tags tags, in whatever order their kinds come. Reasons: those
/// of vlan_view::parse(), vlan_too_many_tags.
template <octet Byte>
[[nodiscard]] result<basic_link_content<Byte>> link_payload(basic_ethernet_view<Byte> frame) noexcept {
    basic_link_content<Byte> found{.type = frame.type(), .payload = frame.payload()};
    while (announces_tag(found.type)) {
        if (found.tag_count == max_vlan_tags) { return reason::vlan_too_many_tags; }
        const auto tag = basic_vlan_view<Byte>::parse(found.payload);
        if (!tag) { return tag.error(); }
        found.tags[found.tag_count++] = {found.type, tag->identifier(), tag->priority(), tag->is_drop_eligible()};
        found.type = tag->type();
        found.payload = tag->payload();
    }
    return found;
}

}  // namespace fluxnet::proto
