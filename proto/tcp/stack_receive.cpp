// SPDX-License-Identifier: BSD-3-Clause
// What a stack does with a segment: whose it is, and what becomes of it when it is nobody's (RFC 9293 section 3.10.7).
#include "fluxnet/proto/tcp/stack.hpp"

#include "fluxnet/proto/tcp/segment_writer.hpp"

#include <algorithm>

namespace fluxnet::proto::tcp {

bool stack::is_one_host(const ip_address& address) noexcept {
    return !address.is_unspecified() && !address.is_multicast() && !(address.is_v4() && address.v4().is_broadcast());
}

inline arrival stack::deliver(slot& one, segment& came, std::uint64_t token, time_point now) noexcept {
    if (one.role == slot_role::embryonic && came.has(tcp_flag::ack) && !came.has(tcp_flag::rst) &&
        listeners_[one.listener].is_full()) {
        // The handshake stays as it is: the SYN-ACK is sent again, and the client acknowledges it again.
        drop(reason::tcp_accept_queue_full);
        return {};
    }
    buffers_.serve(one.buffers);
    if (!came.payload.empty() && !buffers_.has_room(came.sequence <= one.c.receive_next())) {
        // What the segment acknowledges counts. Its octets come again, and the connection answers them as it does all others:
        // a peer that hears nothing would wait for ever longer, and give the connection up in the end.
        ++counters_.payloads_refused;
        came.no_room = true;
    }
    ++counters_.delivered;
    arrival told;
    told.kept = one.c.receive(came, token, now);
    if (told.kept) { buffers_.came(); }
    told.answer_now = one.c.owes_duplicate();
    touched_ = &one;
    if (one.role == slot_role::orphan) [[unlikely]] { note_progress(one, now); }
    settle(one);
    return told;
}

arrival stack::receive(const ip_address& source, const ip_address& destination, std::span<const std::byte> octets,
                       std::uint64_t token, time_point now, checksum_state checked) noexcept {
    ++counters_.segments;
    touched_ = nullptr;
    const auto parsed = tcp_view::parse_unsummed(octets);
    if (!parsed) {
        drop(parsed.error());
        return {};
    }
    const tcp_view view = *parsed;
    const four_tuple name(destination, view.destination_port(), source, view.source_port());
    if (checked == checksum_state::unchecked && !detail::has_right_checksum(name, octets)) {
        drop(reason::tcp_bad_checksum);
        return {};
    }
    segment came = segment::of(view);
    if (slot* const one = place_of(name)) { return deliver(*one, came, token, now); }
    if (!is_one_host(destination)) {
        drop(reason::tcp_broadcast);
        return {};
    }
    const bool from_itself = source == destination && view.source_port() == view.destination_port();
    if (!is_one_host(source) || view.source_port() == 0 || from_itself) {
        drop(reason::tcp_bad_source);
        return {};
    }
    return receive_unknown(name, came, token, now);
}

arrival stack::receive_unknown(const four_tuple& name, segment& came, std::uint64_t token, time_point now) noexcept {
    if (time_wait_.size() != 0) {
        const auto told = time_wait_.receive(name,
                                             {.sequence = came.sequence,
                                              .acknowledgment = came.acknowledgment,
                                              .length = static_cast<std::uint32_t>(came.payload.size()),
                                              .syn = came.has(tcp_flag::syn),
                                              .fin = came.has(tcp_flag::fin),
                                              .rst = came.has(tcp_flag::rst),
                                              .ack = came.has(tcp_flag::ack),
                                              .timestamps = came.options.timestamps && options_for(name).timestamps,
                                              .timestamp = came.options.timestamp},
                                             now);
        if (told.what != time_wait_table::verdict::unknown) {
            receive_waiting(name, came, told, now);
            return {};
        }
    }
    listener* const at = listeners_.find(name.local_address(), name.local_port());
    if (at == nullptr || came.has(tcp_flag::rst)) { return refuse(name, came, at != nullptr, now); }
    if (came.has(tcp_flag::ack)) {
        if (const auto told = take_cookie(*at, name, came, token, now)) { return *told; }
        return refuse(name, came, true, now);
    }
    if (came.has(tcp_flag::syn) && !came.has(tcp_flag::fin)) {
        if (admit(*at, name, came, numbers_.make(name, now), options_.syn_cookies, now)) { ++counters_.opened; }
    } else {
        drop(reason::tcp_bad_opening);
    }
    return {};
}

void stack::receive_waiting(const four_tuple& name, const segment& came, const time_wait_table::answer& told,
                            time_point now) noexcept {
    using enum time_wait_table::verdict;
    time_wait_table::verdict what = told.what;
    if (what == open) {
        if (listener* const at = listeners_.find(name.local_address(), name.local_port())) {
            // A cookie could not begin beyond the old connection's numbers.
            if (admit(*at, name, came, told.initial_sequence(numbers_.make(name, now)), false, now)) {
                ++counters_.opened;
                time_wait_.erase(name);
            }
            return;
        }
        what = challenge;
    }
    ++counters_.time_wait;
    if (what == ignore || (what == challenge && !challenges_.take(now))) { return; }
    outgoing out;
    out.sequence = told.sequence;
    out.acknowledgment = told.acknowledgment;
    out.flags = tcp_flag::ack;
    if (told.timestamps) {
        out.options.timestamps = true;
        out.options.timestamp = connection::timestamp_clock(now) + told.timestamp_offset;
        out.options.timestamp_echo = told.timestamp_echo;
    }
    answer(name, out);
}

bool stack::admit(listener& at, const four_tuple& name, const segment& syn, sequence_number initial, bool may_use_cookie,
                  time_point now) noexcept {
    // While nobody accepts, a handshake more than the backlog could only wait: its client tries again by itself.
    if (at.is_full() && at.embryonic >= at.options.backlog) {
        drop(reason::tcp_accept_queue_full);
        return false;
    }
    const bool full = at.embryonic >= at.options.syn_queue || embryonic_.size() >= options_.embryonic;
    if (!full && embryonic_.empty()) { make_room(now); }
    if (full || free_.empty()) {
        if (may_use_cookie && !at.is_full()) {
            send_cookie(name, syn, now);
        } else {
            drop(full ? reason::tcp_syn_queue_full : reason::tcp_no_connection_free);
        }
        return false;
    }
    slot* const one = open(name, initial, slot_role::embryonic);
    one->listener = listeners_.index_of(at);
    embryonic_.push_back(*one);
    ++at.embryonic;
    one->c.accept(syn, now);
    settle(*one);
    return true;
}

void stack::send_cookie(const four_tuple& name, const segment& syn, time_point now) noexcept {
    const connection_options& options = options_for(name);
    const bool times = syn.options.timestamps && options.timestamps;
    const std::uint16_t asked = syn.options.mss != 0 ? syn.options.mss : options.default_segment;
    outgoing out;
    out.sequence = (times ? cookies_with_times_ : cookies_).make(name, syn.sequence, asked, now);
    out.acknowledgment = syn.sequence + 1;
    out.flags = tcp_flag::syn | tcp_flag::ack;
    out.window = options.syn_window();
    out.options.mss = options.maximum_segment;
    if (times) {
        syn_cookie::options offered;
        if (options.window_scaling && syn.options.window_scale != tcp_options::no_scale) {
            offered.window_scale = std::min(syn.options.window_scale, connection::most_window_scale);
            out.options.window_scale = connection::offered_scale(options);
        }
        offered.sack_permitted = out.options.sack_permitted = options.sack && syn.options.sack_permitted;
        out.options.timestamps = true;
        out.options.timestamp = syn_cookie::with_options(connection::timestamp_clock(now) + timestamp_offset(name), offered);
        out.options.timestamp_echo = syn.options.timestamp;
    }
    last_cookie_at_ = now;
    ++counters_.cookies_sent;
    answer(name, out);
}

std::optional<arrival> stack::take_cookie(listener& at, const four_tuple& name, segment& came, std::uint64_t token,
                                          time_point now) noexcept {
    if (!last_cookie_at_ || now - *last_cookie_at_ > 2 * syn_cookie::counter_length) { return std::nullopt; }
    if (came.has(tcp_flag::syn)) { return std::nullopt; }
    const auto check = [&](const syn_cookie& with) { return with.check(name, came.sequence, came.acknowledgment, now); };
    const std::optional<std::uint16_t> with_times = check(cookies_with_times_);
    const std::optional<std::uint16_t> size = with_times ? with_times : check(cookies_);
    if (!size) { return std::nullopt; }
    tcp_options agreed;
    agreed.mss = *size;
    if (with_times) {
        if (!came.options.timestamps) {
            // Its window scale is lost with them, and without them it would be dropped in a connection, too (RFC 7323
            // section 3.2). The client sends more, with timestamps.
            drop(reason::tcp_lost_timestamps);
            return arrival{};
        }
        const syn_cookie::options had = syn_cookie::options_of(came.options.timestamp_echo);
        agreed.timestamps = true;
        agreed.window_scale = had.window_scale;
        agreed.sack_permitted = had.sack_permitted;
    }
    if (at.is_full()) {
        drop(reason::tcp_accept_queue_full);
        return arrival{};
    }
    make_room(now);
    slot* const one = open(name, came.acknowledgment - 1U, slot_role::embryonic);
    if (one == nullptr) {
        drop(reason::tcp_no_connection_free);
        return arrival{};
    }
    one->listener = listeners_.index_of(at);
    embryonic_.push_back(*one);
    ++at.embryonic;
    ++counters_.cookies_accepted;
    one->c.accept_cookie(came, agreed, now);
    return deliver(*one, came, token, now);
}

/// Of a segment that is for nothing here.
arrival stack::refuse(const four_tuple& name, const segment& came, bool listens, time_point now) noexcept {
    if (leaves_strangers_) {
        ++counters_.strangers;
        return {.stranger = true, .listens = listens};
    }
    turn_away(name, came, now);
    return {};
}

void stack::turn_away(const four_tuple& name, const segment& came, time_point now) noexcept {
    if (came.has(tcp_flag::rst)) {
        drop(reason::tcp_unknown_reset);
    } else {
        reset(name, came, now);
    }
}

void stack::answer_stranger(const ip_address& source, const ip_address& destination, std::span<const std::byte> octets,
                            time_point now) noexcept {
    --counters_.strangers;  // it counts as what is dropped
    const auto view = tcp_view::unchecked(octets);
    turn_away(four_tuple(destination, view.destination_port(), source, view.source_port()), segment::of(view), now);
}

void stack::reset(const four_tuple& name, const segment& came, time_point now) noexcept {
    if (!resets_.take(now)) { return drop(reason::tcp_reset_limited); }
    drop(reason::tcp_not_connected);
    answer(name, reset_for(came));
}

// What ICMP says.

bool stack::on_icmp_error(const four_tuple& name, sequence_number quoted, bool hard, time_point now) noexcept {
    slot* const found = place_of(name);
    if (found == nullptr || !found->c.has_outstanding(quoted)) { return false; }
    slot& one = *found;
    buffers_.serve(one.buffers);
    one.c.on_unreachable(quoted, hard, now);
    settle(one);
    return true;
}

bool stack::on_packet_too_big(const four_tuple& name, sequence_number quoted, std::uint32_t mtu, time_point now) noexcept {
    slot* const found = place_of(name);
    if (found == nullptr || !found->c.has_outstanding(quoted)) { return false; }
    slot& one = *found;
    const std::uint32_t least = name.is_v4() ? 552 : 1280;  // the former as other stacks do; RFC 8201 section 4
    const std::uint32_t headers = name.is_v4() ? 40 : 60;
    buffers_.serve(one.buffers);
    one.c.on_too_big(quoted, static_cast<std::uint16_t>(std::clamp<std::uint32_t>(mtu, least, 65'535) - headers), now);
    settle(one);
    return true;
}

}  // namespace fluxnet::proto::tcp
