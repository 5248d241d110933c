// SPDX-License-Identifier: BSD-3-Clause
// What a TCP script does to segments and says in the name of others: `flip()` changes a segment under way, `forge()` makes
// one by hand, `tell_icmp()` makes an ICMP error.
//
// Whatever is forged carries the octets that belong to its sequence numbers, so that the streams stay what they are.
#pragma once

#include "tests/fuzz/tcp_script/wire.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace tcp_script {

/// A number at or beside one that matters: half of the choices lie close to it.
[[nodiscard]] inline std::uint32_t beside(std::uint32_t number, std::uint8_t choice, std::uint32_t span) {
    switch (choice % 16) {
        case 0: case 1: case 2: return number;
        case 3: return number + 1;
        case 4: return number - 1;
        case 5: return number + 100;
        case 6: return number - 100;
        case 7: return number + span;
        case 8: return number + span - 1;
        case 9: return number + span + 1;
        case 10: return number - span;
        case 11: return number + span / 2;
        case 12: return number + 0x7fff'ffff;
        case 13: return number + 0x8000'0000;
        case 14: return number - 70'000;
        default: return number + (std::uint32_t{choice} >> 4) * 64;
    }
}

/// Writes the payload that belongs to the number of a segment, and its checksum.
inline void repair(proto::mutable_tcp_view view, const proto::ip_address& source, const proto::ip_address& destination) {
    const std::uint32_t key = std::uint32_t{view.source_port()} << 16 | view.destination_port();
    // A SYN takes the number before that of the octets.
    fill_octets(view.payload(), key, view.sequence() + ((view.flags() & flag::syn) != 0 ? 1U : 0U));
    view.fill_checksum(source, destination);
}

/// Changes the first segment under way to a host.
inline void flip(script_wire& wire, unsigned to, script_input& from) {
    const std::uint8_t what = from.take8();
    const std::uint8_t value = from.take8();
    if (wire.flying[to].empty()) { return; }
    std::vector<std::byte>& octets = wire.flying[to].front().octets;
    if (what % 8 == 7) {  // noise, in the checksum: of two changes elsewhere one may hide the other
        octets[proto::tcp_offset::checksum + value % 2U] ^= static_cast<std::byte>(1U << (value >> 5));
        return;
    }
    auto parsed = proto::mutable_tcp_view::parse_unsummed(octets);
    if (!parsed) { return; }
    proto::mutable_tcp_view view = *parsed;
    wire.streams.uncertain = true;
    switch (what % 8) {
        case 0: view.set_flags(view.flags() ^ static_cast<std::uint8_t>(1U << value % 8)); break;
        case 1: view.set_sequence(beside(view.sequence(), value, 1460)); break;
        case 2: view.set_acknowledgment(beside(view.acknowledgment(), value, 1460)); break;
        case 3: view.set_window(static_cast<std::uint16_t>(value < 128 ? value : (value - 127) << 9)); break;
        case 4:
            if (const auto options = view.option_bytes(); !options.empty()) {
                options[value % options.size()] ^= static_cast<std::byte>(1U << (value >> 5));
            }
            break;
        case 5: octets.resize(std::max(view.header_length(), octets.size() - value % octets.size())); break;
        default: octets[proto::tcp_offset::data_offset] ^= static_cast<std::byte>((value & 0xf0U)); break;
    }
    const auto changed = proto::mutable_tcp_view::parse_unsummed(octets);
    if (!changed) { return; }
    repair(*changed, wire.hosts[1 - to].profile.address, wire.hosts[to].profile.address);
}

/// What a segment made by hand pretends to belong to, as its receiver sees it.
struct pretext {
    tcp::four_tuple name;
    std::uint32_t sequence = 0xffff'fff0;  ///< What the receiver expects.
    std::uint32_t acknowledgment = 0;      ///< What the receiver sends next.
    std::uint32_t unacknowledged = 0;      ///< What the receiver has sent first and that is not acknowledged.
    std::uint32_t timestamp = 1;
    std::uint32_t timestamp_echo = 0;
    std::uint32_t window = 1460;
    std::uint32_t segment = 100;
};

/// Of a connection that the user of the receiver holds, or that of the sender.
[[nodiscard]] inline std::optional<pretext> pretext_of(const script_host& host, bool is_receiver, std::uint8_t which) {
    if (host.held.empty()) { return std::nullopt; }
    const held_connection& one = host.held[which % host.held.size()];
    const tcp::connection& c = *host.stack.find(one.handle);
    const tcp::connection_info info = c.info();
    const std::uint32_t clock = tcp::connection::timestamp_clock(host.now) + c.timestamp_offset();
    pretext made;
    made.window = std::max<std::uint32_t>(info.receive_window, 1);
    made.segment = std::max<std::uint32_t>(info.segment, 1);
    made.name = is_receiver ? one.name : mirrored(one.name);
    made.sequence = (is_receiver ? c.receive_next() : c.send_next()).value();
    made.acknowledgment = (is_receiver ? c.send_next() : c.receive_next()).value();
    made.unacknowledged = made.acknowledgment - (is_receiver ? info.in_flight + info.lost + info.sacked : 0);
    made.timestamp = is_receiver ? c.recent_timestamp() : clock;
    made.timestamp_echo = is_receiver ? clock : c.recent_timestamp();
    return made;
}

[[nodiscard]] inline pretext choose_pretext(const script_wire& wire, unsigned to, std::uint8_t choice) {
    const script_host& at = wire.hosts[to];
    const auto which = static_cast<std::uint8_t>(choice >> 2);
    std::optional<pretext> made;
    if (choice % 4 == 0) { made = pretext_of(at, true, which); }
    if (choice % 4 == 1) { made = pretext_of(wire.hosts[1 - to], false, which); }
    if (choice % 4 == 2 && wire.heard[to]) {
        const overheard& said = *wire.heard[to];
        made = pretext{.name = said.name,
                       .sequence = said.acknowledged.value(),
                       .acknowledgment = said.next.value(),
                       .unacknowledged = said.next.value() - 100};
    }
    if (made) { return *made; }
    // Nobody's: from the stranger, from the host itself, or from all.
    const auto port = static_cast<std::uint16_t>(which % 8 == 7 ? 0 : 2000 + which % 4);
    const proto::ip_address all = at.profile.address.is_v4() ? proto::ip_address(proto::ipv4_address::broadcast())
                                                             : proto::ip_address(proto::ipv6_address());
    const proto::ip_address from = which / 8 == 6 ? at.profile.address : which / 8 == 7 ? all : wire.profile.stranger;
    pretext nobodys;
    nobodys.name = {at.profile.address, server_port, from, which / 8 == 6 ? server_port : port};
    return nobodys;
}

[[nodiscard]] inline proto::tcp_options forged_options(const pretext& as, std::uint8_t choice, std::uint8_t blocks) {
    proto::tcp_options made;
    if ((choice & 1) != 0) {
        made.timestamps = true;
        made.timestamp = beside(as.timestamp, static_cast<std::uint8_t>(choice >> 5), 1000);
        made.timestamp_echo = as.timestamp_echo;
    }
    if ((choice & 2) != 0) {
        made.sack_count = static_cast<std::uint8_t>(1 + blocks % 3);
        for (std::uint8_t i = 0; i != made.sack_count; ++i) {
            const std::uint32_t first = as.unacknowledged + (i + (blocks >> 2 & 1U)) * as.segment;
            const std::uint32_t left = beside(first, static_cast<std::uint8_t>(blocks >> 4), as.segment);
            made.sack[i] = {left, (blocks & 8) != 0 ? as.acknowledgment : left + as.segment};
        }
    }
    if ((choice & 4) != 0) { made.mss = static_cast<std::uint16_t>(1 + choice * 6); }
    if ((choice & 8) != 0) { made.window_scale = static_cast<std::uint8_t>(choice >> 4); }
    if ((choice & 16) != 0) { made.sack_permitted = true; }
    return made;
}

/// What a connection must not lose by a segment that is none of its peer's.
struct what_counts {
    what_counts() = default;
    explicit what_counts(const tcp::connection& c)
        : state(c.state()), next_to_receive(c.receive_next()), next_to_send(c.send_next()), readable(c.readable()),
          unacknowledged(c.info().in_flight + c.info().lost + c.info().sacked), timestamps(c.uses_timestamps()) {}

    friend bool operator==(const what_counts&, const what_counts&) = default;

    tcp::state state = tcp::state::closed;
    sequence_number next_to_receive;
    sequence_number next_to_send;
    std::uint32_t readable = 0;
    std::uint32_t unacknowledged = 0;
    bool timestamps = false;
};

/// What RFC 5961 and RFC 7323 promise about a segment, whoever has sent it, to a connection that is open.
inline void judge_forgery(const tcp::segment& made, const what_counts& before, const what_counts& after) {
    const bool resets = made.has(flag::rst);
    const bool exact = made.sequence == before.next_to_receive;
    promise(after.state != tcp::state::closed || (resets && exact), "nothing but a right reset ends a connection");
    if (resets) { return promise(exact || after == before, "a reset with another number changes nothing"); }
    const bool nonsense = made.has(flag::syn) || !made.has(flag::ack) || made.acknowledgment > before.next_to_send;
    promise(!nonsense || after == before, "a SYN, a segment without ACK, or an ACK of what was never sent changes nothing");
    promise(!before.timestamps || made.options.timestamps || after == before, "without timestamps nothing changes");
}

/// Hands a segment to a host in that nobody has sent.
inline void forge(script_wire& wire, unsigned to, script_input& from) {
    const script_host& at = wire.hosts[to];
    const pretext as = choose_pretext(wire, to, from.take8());
    proto::tcp_repr made;
    made.flags = from.take8();
    made.sequence = beside(as.sequence, from.take8(), as.window);
    made.acknowledgment = beside(as.acknowledgment, from.take8(), as.segment);
    const std::uint8_t options = from.take8();
    made.options = forged_options(as, options, from.take8());
    const std::uint8_t size = from.take8();
    made.window = std::array<std::uint16_t, 4>{0xffff, 0, 1, static_cast<std::uint16_t>(size * 8)}[size & 3];
    made.payload_length = std::array<std::size_t, 8>{0, 0, 1, 9, 100, 300, 536, 1460}[size >> 2 & 7];
    made.source_port = as.name.remote_port();
    made.destination_port = as.name.local_port();
    const proto::ip_address source = as.name.remote_address();
    if (source == wire.hosts[1 - to].profile.address) { wire.streams.uncertain = true; }
    std::array<std::byte, 1600> room{};
    const auto view = made.emit(room);
    repair(view, source, at.profile.address);
    const auto same_name = [&](const held_connection& one) { return one.name == as.name; };
    const auto found = std::find_if(at.held.begin(), at.held.end(), same_name);
    const tcp::connection* const c = found == at.held.end() ? nullptr : at.stack.find(found->handle);
    const bool open = c != nullptr && c->state() >= tcp::state::established && c->state() <= tcp::state::close_wait;
    const what_counts before = open ? what_counts(*c) : what_counts{};
    wire.hand_in(to, source, view.bytes());
    if (open) { judge_forgery(tcp::segment::of(view), before, what_counts(*c)); }
}

/// Tells a host that something that it has sent, or not, has not arrived.
inline void tell_icmp(script_wire& wire, unsigned to, script_input& from) {
    const std::uint8_t what = from.take8();
    const std::uint8_t choice = from.take8();
    if (!wire.last_data[to]) { return; }
    script_host& at = wire.hosts[to];
    const auto& [name, number] = *wire.last_data[to];
    const sequence_number quoted((what & 1) == 0 ? number.value() : beside(number.value(), choice, 1460));
    bool taken = false;
    if ((what & 2) == 0) {
        taken = at.stack.on_icmp_error(name, quoted, (what & 4) != 0, at.now);
    } else {
        taken = at.stack.on_packet_too_big(name, quoted, std::uint32_t{choice} * ((what & 8) != 0 ? 8 : 300), at.now);
    }
    wire.sum.add(taken ? 1 : 0);
}

}  // namespace tcp_script
