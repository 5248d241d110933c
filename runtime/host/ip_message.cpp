// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/ip_message.hpp"

#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/udp.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fluxnet::host::detail {

ip_message::piece ip_message::piece_at(std::size_t offset, std::size_t mtu) const noexcept {
    const bool v4 = destination.is_v4();
    const std::size_t headers = v4 ? proto::ipv4_header_length : proto::ipv6_header_length;
    const std::size_t left = size() - offset;
    if (offset == 0 && headers + left <= mtu) { return {0, left, false, headers + left}; }
    const std::size_t with_fragment = headers + (v4 ? 0 : proto::ipv6_fragment_header_length);
    const bool last = with_fragment + left <= mtu;
    const std::size_t length = last ? left : (mtu - with_fragment) & ~std::size_t{7};
    return {offset, length, !last, with_fragment + length};
}

void ip_message::copy(std::span<std::byte> to, std::size_t offset) const noexcept {
    if (offset < header.size()) {
        const std::size_t part = std::min(header.size() - offset, to.size());
        std::memcpy(to.data(), header.data() + offset, part);
        to = to.subspan(part);
        offset = header.size();
    }
    if (!to.empty()) { std::memcpy(to.data(), payload.data() + (offset - header.size()), to.size()); }
}

void ip_message::emit(std::span<std::byte> packet, const piece& what) const noexcept {
    assert(packet.size() >= what.packet_length);
    if (destination.is_v4()) {
        proto::ipv4_repr head{source.v4(), destination.v4(), protocol, what.length, hops};
        head.identification = what.is_fragment() || !dont_fragment ? static_cast<std::uint16_t>(identification) : 0;
        head.dont_fragment = dont_fragment && !what.is_fragment();
        auto view = head.emit(packet);
        if (what.is_fragment()) {
            view.set_fragment(false, what.more, what.offset);
            view.fill_checksum();
        }
        copy(view.payload(), what.offset);
        return;
    }
    const std::size_t extra = what.is_fragment() ? proto::ipv6_fragment_header_length : 0;
    proto::ipv6_repr head{source.v6(), destination.v6(), protocol, extra + what.length, hops};
    if (what.is_fragment()) { head.next_header = proto::ip_protocol::ipv6_fragment; }
    const auto view = head.emit(packet);
    if (what.is_fragment()) {
        proto::ipv6_fragment_repr{protocol, what.offset, what.more, identification}.emit(view.payload());
    }
    copy(view.payload().subspan(extra), what.offset);
}

void ip_message::sum_udp() noexcept {
    auto view = proto::mutable_udp_view::unchecked(header);
    view.clear_checksum();
    const std::uint16_t sum =
        proto::internet_checksum()
            .add_pseudo_header(source, destination, proto::udp_view::protocol_number, static_cast<std::uint32_t>(size()))
            .add(header)
            .add(payload)
            .finish();
    proto::store_be16(header.data() + proto::udp_offset::checksum, sum == 0 ? std::uint16_t{0xffff} : sum);
}

}  // namespace fluxnet::host::detail
