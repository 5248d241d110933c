// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/detail/host_tcp.hpp"

#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/tcp/segment_writer.hpp"
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace fluxnet::host::detail {
namespace {

namespace tcp = proto::tcp;
using proto::ethertype;
using proto::ip_address;

constexpr std::size_t longest_tcp_header = 60;
constexpr std::size_t most_looped = 64;

/// The headers of IP and TCP, without options (RFC 9293 section 3.7.1).
constexpr std::uint32_t headers_of(bool v4) noexcept {
    return static_cast<std::uint32_t>((v4 ? proto::ipv4_header_length : proto::ipv6_header_length) +
                                      proto::tcp_header_length);
}

tcp::stack_options options_for(const host_options& options, std::uint32_t mtu, const sibling_place& place) noexcept {
    tcp::stack_options chosen = options.tcp;
    if (options.only_ports && options.only_ports->chosen) {
        chosen.ports.first = options.only_ports->chosen->first;
        chosen.ports.last = options.only_ports->chosen->last;
    }
    if (place) {
        chosen.ports.every = static_cast<std::uint16_t>(place.count());
        chosen.ports.rest = static_cast<std::uint16_t>(place.number());
    }
    chosen.v4.maximum_segment = static_cast<std::uint16_t>(mtu - headers_of(true));
    chosen.v6.maximum_segment = static_cast<std::uint16_t>(mtu - headers_of(false));
    return chosen;
}

/// Room for the longest segment that a peer may send, or the host to itself.
std::size_t buffer_size(std::uint32_t mtu) noexcept {
    constexpr std::size_t line = 64;
    return (mtu + longest_tcp_header + line - 1) / line * line;
}

/// The connection whose segment an ICMP error quotes, as this host sees it.
tcp::four_tuple name_in(const proto::quoted_packet& quoted) noexcept {
    return {quoted.source, quoted.source_port(), quoted.destination, quoted.destination_port()};
}

void write_segment(std::span<std::byte> to, const tcp::stack_segment& out) noexcept {
    const std::size_t header = tcp::emit_header(to, out.name, out.segment);
    if (!out.segment.payload.empty()) {
        std::memcpy(to.data() + header, out.segment.payload.data(), out.segment.payload.size());
    }
}

}  // namespace

host_tcp::host_tcp(host_core& core, const host_options& options, std::span<const std::byte, 32> secrets)
    : core_(core), buffers_(core.rx_->socket().home(), buffer_size(core.mtu_), options.tcp.buffers + most_looped),
      stack_(std::in_place, options_for(options, core.mtu_, core.place_), buffers_, secrets, core.now()) {
    stack_->use_limits(this);
    if (core_.place_) { stack_->leave_strangers(); }
    looped_.reserve(most_looped);
}

std::uint16_t host_tcp::maximum_segment(const ip_address& remote) noexcept {
    const auto path = core_.paths_.lookup(remote, core_.mtu_, now());
    return static_cast<std::uint16_t>(path.octets - headers_of(remote.is_v4()));
}

host_tcp::time_point host_tcp::now() noexcept {
    return core_.now();
}

void host_tcp::touch() noexcept {
    core_.dirty_ = true;
    // By the loop that drives the executor, while that sleeps: nothing else would end the sleep.
    auto& loop = fluxnet::detail::inside(core_.on_);
    if (loop.asleep()) [[unlikely]] { loop.wake(); }
}

proto::ip_endpoint host_tcp::endpoint(const ip_address& address, std::uint16_t port) const noexcept {
    return {address, port, core_.scope_of(address)};
}

// Arrivals

frame_outcome host_tcp::receive(const ip_payload& got) noexcept {
    touch();
    if (!stack_) { return frame_outcome::segment; }
    const bool short_header = got.bytes.size() < proto::tcp_header_length;
    const bool has_data = !short_header && got.bytes.size() > proto::tcp_view::unchecked(got.bytes).header_length();
    if (has_data && (got.frame == nullptr || !core_.may_keep())) { return receive_copy(got); }
    const std::uint64_t token = has_data ? tcp_buffers::token_of(*got.frame) : 0;
    const tcp::arrival told = stack_->receive(got.source, got.destination, got.bytes, token, now(), checksums());
    if (told.kept) { buffers_.keep(std::move(*got.frame)); }
    if (told.answer_now) { answer_now(); }
    return told.stranger ? hand_on(got, told) : frame_outcome::segment;
}

/// For a segment whose octets do not stay where they are.
frame_outcome host_tcp::receive_copy(const ip_payload& got) noexcept {
    if (got.bytes.size() > buffers_.size()) { return frame_outcome::queue_full; }  // no peer was told of so long ones
    const tcp::buffer copy = buffers_.allocate();
    if (copy.data == nullptr) { return frame_outcome::queue_full; }
    std::memcpy(copy.data, got.bytes.data(), got.bytes.size());
    const std::span<const std::byte> octets{copy.data, got.bytes.size()};
    const tcp::arrival told = stack_->receive(got.source, got.destination, octets, copy.token, now(), checksums());
    if (!told.kept) { buffers_.release(copy.token); }
    if (told.answer_now) { answer_now(); }
    return told.stranger ? hand_on(got, told) : frame_outcome::segment;
}

/// Gives a segment that is for nothing here to another host, or answers it. Where a listener serves the port here, what the
/// card gives to this queue is this host's, but what answers a connection that another host has opened.
frame_outcome host_tcp::hand_on(const ip_payload& got, const tcp::arrival& told) noexcept {
    const bool by_card = core_.taken_ == nullptr && !got.from_ip_on.empty();
    const port_use use = told.listens && by_card ? port_use::tcp_connection : port_use::tcp;
    const std::uint16_t port = proto::tcp_view::unchecked(got.bytes).destination_port();
    if (const auto handed = core_.hand_on(got, use, port)) { return *handed; }
    stack_->answer_stranger(got.source, got.destination, got.bytes, now());
    return frame_outcome::segment;
}

tcp::checksum_state host_tcp::checksums() const noexcept {
    return core_.trust_checksums_ ? tcp::checksum_state::right : tcp::checksum_state::unchecked;
}

/// Sends what the last segment must be answered with before the next one is looked at, if there is a frame for it.
void host_tcp::answer_now() noexcept {
    way_ = {};
    tcp::stack_segment out;
    while (core_.has_frame() && core_.tx_->socket().credit() != 0 && stack_->next_immediate(out, now())) { dispatch(out); }
}

bool host_tcp::receive_error(const proto::quoted_packet& quoted, std::error_code what,
                             const std::optional<proto::path_mtu::too_big>& too_big) noexcept {
    if (!stack_) { return false; }
    const tcp::four_tuple name = name_in(quoted);
    const tcp::sequence_number sequence(quoted.tcp_sequence());
    touch();
    if (!too_big) { return stack_->on_icmp_error(name, sequence, what == std::errc::connection_refused, now()); }
    // Whether it is believed is told first: what a forger says does not narrow the path.
    const auto before = core_.paths_.lookup(quoted.destination, core_.mtu_, now()).octets;
    if (!stack_->on_packet_too_big(name, sequence, before, now())) { return false; }
    if (core_.paths_.lower(*too_big, core_.mtu_, now())) {
        const auto narrowed = core_.paths_.lookup(quoted.destination, core_.mtu_, now()).octets;
        static_cast<void>(stack_->on_packet_too_big(name, sequence, narrowed, now()));
    }
    return true;
}

void host_tcp::undeliverable(std::span<const std::byte> packet) noexcept {
    if (!stack_ || packet.empty()) { return; }
    const bool v4 = std::to_integer<unsigned>(packet[0]) >> 4 == 4;
    const auto quoted = v4 ? proto::quoted_packet::parse_ipv4(packet) : proto::quoted_packet::parse_ipv6(packet);
    if (!quoted || quoted->protocol != proto::ip_protocol::tcp) { return; }
    static_cast<void>(stack_->on_icmp_error(name_in(*quoted), tcp::sequence_number(quoted->tcp_sequence()), true, now()));
    touch();
}

// Departures

bool host_tcp::send() noexcept {
    has_more_ = false;
    if (!stack_) { return false; }
    way_ = {};
    bool queued = false;
    tcp::stack_segment out;
    while (stack_->may_have_next() || !looped_.empty()) {
        if (looped_.size() == most_looped || !stack_->may_have_next()) {
            receive_looped();
        } else if (!core_.has_frame() || !core_.has_credit()) {
            has_more_ = true;
            receive_looped();
            // Their time goes on: it may be over before a frame comes.
            if (!queued) { stack_->arm_ready(); }
            break;
        } else if (stack_->next(out, now())) {
            queued = dispatch(out) || queued;
        }
    }
    return queued;
}

/// Sends a segment; there is a frame for it. Returns whether that was queued.
bool host_tcp::dispatch(const tcp::stack_segment& out) noexcept {
    switch (find_way(out.name).what) {
        case way::kind::neighbour: transmit(out, core_.take_spare()); return true;
        case way::kind::self: loop_back(out); return false;
        default: ++core_.counters_.undeliverable; return false;
    }
}

const host_tcp::way& host_tcp::find_way(const tcp::four_tuple& name) noexcept {
    const ip_address local = name.local_address();
    const ip_address remote = name.remote_address();
    if (way_.what != way::kind::none && way_.remote == remote && way_.local == local) { return way_; }
    way_ = way();
    way_.local = local;
    way_.remote = remote;
    const auto hop = remote.is_loopback() ? std::nullopt : core_.routes_.next_hop(remote);
    if (!core_.own_.owns(local)) {
        way_.what = way::kind::nowhere;
    } else if (const auto own = core_.own_.state_of(remote); own != proto::own_addresses::state::none) {
        way_.what = own == proto::own_addresses::state::in_use ? way::kind::self : way::kind::nowhere;
    } else if (hop) {
        way_.what = way::kind::neighbour;
        way_.hop = *hop;
        way_.dont_fragment = !core_.paths_.lookup(remote, core_.mtu_, now()).may_fragment;
    } else {
        way_.what = way::kind::nowhere;
    }
    return way_;
}

/// Writes a segment's packet into the frame and sends it on its way, which is that of way_.
void host_tcp::transmit(const tcp::stack_segment& out, packet frame) noexcept {
    const bool v4 = out.name.is_v4();
    const std::size_t header = v4 ? proto::ipv4_header_length : proto::ipv6_header_length;
    const std::size_t length = tcp::header_length(out.segment) + out.segment.payload.size();
    if (!frame.set_len(proto::ethernet_header_length + header + length)) {
        ++core_.counters_.no_room;
        return;
    }
    const auto packet = frame.data().subspan(proto::ethernet_header_length);
    if (v4) {
        proto::ipv4_repr head{way_.local.v4(), way_.remote.v4(), proto::ip_protocol::tcp, length};
        head.dont_fragment = way_.dont_fragment;
        if (!head.dont_fragment) { head.identification = static_cast<std::uint16_t>(core_.random_.next32()); }
        head.emit(packet);
    } else {
        proto::ipv6_repr{way_.local.v6(), way_.remote.v6(), proto::ip_protocol::tcp, length}.emit(packet);
    }
    write_segment(packet.subspan(header), out);
    core_.transmit_to(way_.hop, std::move(frame), v4 ? ethertype::ipv4 : ethertype::ipv6, core_.counters_.segments_sent);
}

/// What is lost here, for want of memory, is sent again as what the wire has lost.
void host_tcp::loop_back(const tcp::stack_segment& out) noexcept {
    if (looped_.size() == most_looped) { return; }
    const tcp::buffer room = buffers_.allocate();
    if (room.data == nullptr) { return; }
    const std::size_t length = tcp::header_length(out.segment) + out.segment.payload.size();
    write_segment({room.data, length}, out);
    looped_.push_back({out.name, {room.data, length}, room.token});
    ++core_.counters_.segments_sent;
}

void host_tcp::receive_looped() noexcept {
    for (std::size_t i = 0; i != looped_.size(); ++i) {  // answers come to its end
        const looped one = looped_[i];
        const ip_address from = one.name.local_address();
        const ip_address to = one.name.remote_address();
        // Given back only when it has been answered.
        const tcp::arrival told = stack_->receive(from, to, one.octets, one.token, now(), tcp::checksum_state::right);
        if (told.stranger) { stack_->answer_stranger(from, to, one.octets, now()); }
        if (!told.kept) { buffers_.release(one.token); }
        if (told.answer_now) { answer_now(); }
    }
    looped_.clear();
}

// Time, news and the end

void host_tcp::advance() noexcept {
    if (stack_) { stack_->advance(now()); }  // which costs less than to ask whether it is due
}

std::optional<host_tcp::time_point> host_tcp::deadline() const noexcept {
    const auto due = stack_ ? stack_->deadline() : std::nullopt;
    return short_of_memory_ && (!due || look_again_at_ < *due) ? look_again_at_ : due;
}

/// Memory that is not the host's own may be there again without anybody telling, and so may ranges.
void host_tcp::wait_for_memory() noexcept {
    constexpr std::chrono::milliseconds wait{20};
    if (std::exchange(short_of_memory_, true)) { return; }
    look_again_at_ = now() + wait;
}

void host_tcp::look_at_waiters() noexcept {
    for (auto next = waiters_.begin(); next != waiters_.end();) { (next++)->look(); }
}

void host_tcp::tell() noexcept {
    if (!stack_) { return; }
    look_at_waiters();
    tcp::connection_event news;
    while (stack_->next_event(news)) {
        auto* const end = reinterpret_cast<tcp_end*>(static_cast<std::uintptr_t>(news.user));
        if (end == nullptr) { continue; }
        if (news.what.connected) { end->set_connected(); }
        end->look();
    }
    tcp::listener_handle at;
    while (stack_->next_acceptable(at)) {
        for (tcp_door& door : doors_) {
            if (door.which() == at) { door.look(); }
        }
    }
    if (!short_of_memory_ || (!buffers_.take_news() && now() < look_again_at_)) { return; }
    short_of_memory_ = false;
    for (tcp_end& end : ends_) {
        if (end.writer != nullptr) { end.writer->look(); }
    }
    if (!ends_.empty()) { ends_.splice(ends_.end(), ends_, ends_.begin()); }  // another one is the first next time
}

bool host_tcp::is_awaited() const noexcept {
    const auto waits_at_end = [](const tcp_end& one) {
        return one.opener != nullptr || one.reader != nullptr || one.writer != nullptr;
    };
    return !waiters_.empty() || std::ranges::any_of(ends_, waits_at_end) ||
           std::ranges::any_of(doors_, [](const tcp_door& one) { return one.acceptor != nullptr; });
}

void host_tcp::end() noexcept {
    for (tcp_end& one : ends_) { one.look(); }
    for (tcp_door& one : doors_) { one.look(); }
    look_at_waiters();
}

void host_tcp::close() noexcept {
    if (!stack_) { return; }
    stack_->abort_unreleased(now());  // first, since its octets go nowhere any more
    send_out();                       // what was closed in order and fits still ends so
    stack_->abort_all(now());
    send_out();
    stack_.reset();
    for (const looped& one : looped_) { buffers_.release(one.token); }
    looped_.clear();
}

/// Sends for as long as frames come back at once.
void host_tcp::send_out() noexcept {
    constexpr int most_rounds = 64;
    for (int round = 0; round != most_rounds; ++round) {
        const bool queued = send();
        if (queued || has_more_) { core_.tx_->socket().flush(); }
        // The first time frames may be on their way back that nobody has looked for yet.
        if (!has_more_ || (!queued && round != 0)) { return; }
    }
}

std::error_code host_tcp::listen(proto::ip_endpoint& local, const tcp_options& options,
                                 tcp::listener_handle& made) noexcept {
    if (core_.ended()) { return core_.ended(); }
    const bool any = local.address.is_unspecified();
    if (!any && core_.own_.state_of(local.address) == proto::own_addresses::state::none) {
        return std::make_error_code(std::errc::address_not_available);
    }
    if (!core_.given_.has_tcp(local.port)) { return std::make_error_code(std::errc::address_not_available); }
    local.scope = core_.scope_of(local.address);
    tcp::listen_options wanted;
    if (!any || local.address.is_v4()) { wanted.address = local.address; }
    wanted.backlog = std::max(options.backlog, std::uint32_t{1});
    tcp::refusal why = tcp::refusal::address_in_use;
    const auto try_port = [&](std::uint16_t port) {
        wanted.port = port;
        const auto tried = stack_->listen(wanted);
        if (!tried) {
            why = tried.error();
            return false;
        }
        made = *tried;
        local.port = port;
        return true;
    };
    if (local.port == 0 ? core_.choose_port(port_use::tcp, try_port) : try_port(local.port)) { return {}; }
    return std::make_error_code(why == tcp::refusal::no_listener_free ? std::errc::no_buffer_space
                                                                      : std::errc::address_in_use);
}

void host_tcp::add(tcp_door& one) noexcept {
    doors_.push_back(one);
    core_.place_.serve(port_use::tcp_listener, one.local().port);
}

void host_tcp::use_port(std::uint16_t port) noexcept {
    core_.place_.serve(port_use::tcp_connection, port);
}

tcp_buffer host_tcp::lend(tcp::connection_handle from) noexcept {
    lent_octets lent;
    lent.from = from;
    if (!stack_) { return {}; }
    const auto got = stack_->lend(from, lent.few);
    if (!got) { return {}; }
    lent.count = static_cast<std::uint32_t>(got->octets.size());
    if (got->token != 0) {
        lent.octets = got->octets.data();
        if (tcp_buffers::is_frame(got->token)) {
            lent.frame = buffers_.lend(got->token);
            lent.in_frame = true;
        } else {
            lent.token = got->token;
            buffers_.lend_buffer();
        }
        if (short_of_memory_) { touch(); }
    }
    return {boost::intrusive_ptr<host_core>(&core_), std::move(lent)};
}

void host_tcp::take_back(const lent_octets& lent) noexcept {
    if (lent.token != 0) { buffers_.release(lent.token); }
    if (lent.in_frame) { buffers_.frame_given_back(); }
    if (!stack_) { return; }
    stack_->returned(lent.from, lent.count, now());
    touch();
}

}  // namespace fluxnet::host::detail
