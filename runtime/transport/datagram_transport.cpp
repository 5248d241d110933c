// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sync/detail/claim.hpp"
#include "fluxnet/runtime/transport/detail/datagram_ladder.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

namespace fluxnet {
namespace {

using detail::claim;
using detail::datagram_ladder;
using owned_ladder = boost::intrusive_ptr<datagram_ladder>;
using proto::udp_station;

/// Tells whether a rung that ends an await with this has ended for good.
bool ends_rung(std::error_code why) noexcept {
    return why == errc::interface_gone || why == errc::program_detached;
}

datagram_result give(const udp_station::arrival& got, std::span<std::byte> into) noexcept {
    datagram_result given;
    given.size = got.payload.size();
    given.n = std::min(given.size, into.size());
    given.from = {got.from.address, got.from.port};
    if (given.n != 0) { std::memcpy(into.data(), got.payload.data(), given.n); }
    if (given.n != given.size) { given.ec = std::make_error_code(std::errc::message_size); }
    return given;
}

/// Makes of a received ARP request, which the station has turned into a reply, a packet to be sent. False: nothing to send.
bool is_answer(const datagram_ladder& ladder, const udp_station::arrival& got, packet& one) noexcept {
    // Without frames there is nobody to answer to: the packet came by a rung that has ended since.
    return got.what == udp_station::arrival::arp_reply && ladder.has_frames() && one.set_len(got.length);
}

datagram_result failed(std::error_code why) noexcept {
    datagram_result nothing;
    nothing.ec = why;
    return nothing;
}

/// Waits until the coroutine that waits for frames has gone on.
task<std::error_code> overhear(datagram_ladder& ladder) {
    ladder.heard.reset();
    const wait_result ended = co_await ladder.heard.wait();
    co_return ended;
}

task<datagram_result> receive(owned_ladder ladder, std::span<std::byte> into) {
    if (ladder == nullptr) { co_return failed(errc::closed); }
    const claim only(ladder->receiving);
    if (!only.is_mine()) { co_return failed(errc::handle_in_use); }
    if (into.empty()) { co_return datagram_result(); }
    for (;;) {
        packet one = ladder->take();
        if (one) {
            const udp_station::arrival got = ladder->station()->receive(one.data());
            if (got.what == udp_station::arrival::datagram) { co_return give(got, into); }
            if (is_answer(*ladder, got, one)) {
                // Who asks asks again if this fails.
                static_cast<void>(co_await ladder->frames().tx.send(one));
            }
            continue;
        }
        if (ladder->ended()) { co_return failed(ladder->ended()); }
        if (udp_socket* const kernel = ladder->kernel()) {
            const datagram_result got = co_await kernel->recv_from(into);
            co_return got;
        }
        if (ladder->is_filled) {
            const std::error_code ended = co_await overhear(*ladder);
            if (ended) { co_return failed(ended); }
            continue;
        }
        const std::uint64_t rung = ladder->climbs();
        io_result got;
        {
            const claim filling(ladder->is_filled, &ladder->heard);
            got = co_await ladder->frames().rx.recv(ladder->room());
        }
        ladder->arrived(got.n);
        if (!got.ec || ladder->climbs() != rung) { continue; }
        if (!ends_rung(got.ec)) { co_return failed(got.ec); }
        ladder->move_on(got.ec);
    }
}

/// Has the station look at the ARP packets that wait, and answers them. Tells whether there were any.
task<bool> look_at_arp(datagram_ladder& ladder) {
    bool any = false;
    for (packet one = ladder.take_arp(); one; one = ladder.take_arp()) {
        any = true;
        const udp_station::arrival got = ladder.station()->receive(one.data());
        if (is_answer(ladder, got, one)) { static_cast<void>(co_await ladder.frames().tx.send(one)); }
    }
    co_return any;
}

/// Waits until somebody has looked at ARP packets, this coroutine where no other one waits for frames, or `until` has come.
/// May return before, and when the rung was left.
task<std::error_code> listen_for_arp(datagram_ladder& ladder, std::chrono::steady_clock::time_point until) {
    const bool there = co_await look_at_arp(ladder);
    if (there) { co_return no_error; }
    if (ladder.is_filled) {
        const timed<std::error_code> told = co_await deadline(until, overhear(ladder));
        co_return told.expired ? no_error : told.value;
    }
    if (!ladder.has_frames()) { co_return no_error; }
    const std::uint64_t rung = ladder.climbs();
    timed<io_result> got;
    {
        const claim filling(ladder.is_filled, &ladder.heard);
        got = co_await deadline(until, ladder.frames().rx.recv(ladder.room()));
    }
    ladder.arrived(got.value.n);
    if (ladder.climbs() != rung) { co_return no_error; }
    const std::error_code ended = got.value.ec;
    if (ends_rung(ended)) {
        ladder.move_on(ended);
        co_return no_error;
    }
    const bool is_over = got.expired && ended == errc::operation_canceled;
    if (ended && !is_over) { co_return ended; }
    static_cast<void>(co_await look_at_arp(ladder));
    co_return no_error;
}

/// Why frames cannot carry a datagram; no error when they can, once its next hop is known.
std::error_code refuse(const datagram_ladder& ladder, std::size_t size, const proto::ip_endpoint& peer) noexcept {
    if (!peer.address.is_v4()) { return std::make_error_code(std::errc::address_family_not_supported); }
    if (peer.port == 0) { return std::make_error_code(std::errc::invalid_argument); }
    if (ladder.station()->is_broadcast(peer.address.v4()) && !ladder.may_broadcast()) {
        return std::make_error_code(std::errc::permission_denied);
    }
    if (size > ladder.longest_datagram()) { return std::make_error_code(std::errc::message_size); }
    return no_error;
}

/// What a coroutine that sends has to do about a next hop that is not known.
class search {
public:
    explicit search(datagram_ladder& ladder) noexcept : ladder_(ladder) {}

    /// Why it is in vain; no error while it is not.
    [[nodiscard]] std::error_code refuse(proto::ipv4_address address) {
        const bool asks = ladder_.arp_requests() != 0 && ladder_.station()->is_askable(address);
        now_ = ladder_.loop().now();
        const bool begins = !begin_;
        if (begins) { begin_ = now_; }
        const bool goes_on = now_ - *begin_ < ladder_.arp_requests() * ladder_.arp_wait();
        if (asks && (begins || !goes_on) && ladder_.is_link_down()) { return errc::link_down; }
        return asks && goes_on ? no_error : std::make_error_code(std::errc::host_unreachable);
    }

    /// Tells whether a request is to be sent now.
    [[nodiscard]] bool may_ask(proto::ipv4_address address) {
        return ladder_.station()->may_ask(address, now_, ladder_.arp_wait());
    }

    /// When to look again, if nothing is heard: each time that an answer was waited for long enough.
    [[nodiscard]] std::chrono::steady_clock::time_point next() const {
        const std::chrono::nanoseconds wait = ladder_.arp_wait();
        return now_ + (wait - (now_ - *begin_) % wait);
    }

private:
    datagram_ladder& ladder_;
    std::chrono::steady_clock::time_point now_{};
    std::optional<std::chrono::steady_clock::time_point> begin_;
};

/// Makes the frame of a datagram, or of an ARP request where the next hop is not known.
bool fill_frame(const datagram_ladder& ladder, packet& one, const std::optional<proto::mac_address>& hop,
                udp_station::peer to, std::span<const std::byte> from) noexcept {
    const udp_station& station = *ladder.station();
    if (!one.set_len(hop ? udp_station::overhead + from.size() : udp_station::arp_request_length)) { return false; }
    static_cast<void>(hop ? station.emit(one.data(), *hop, to, from) : station.emit_arp_request(one.data(), to.address));
    return true;
}

task<io_result> transmit(owned_ladder ladder, std::span<const std::byte> from, proto::ip_endpoint peer) {
    if (ladder == nullptr) { co_return io_result{errc::closed, 0}; }
    search searching(*ladder);
    for (;;) {
        if (ladder->ended()) { co_return io_result{ladder->ended(), 0}; }
        if (udp_socket* const kernel = ladder->kernel()) {
            const io_result sent = co_await kernel->send_to(from, peer);
            co_return sent;
        }
        if (const std::error_code why = refuse(*ladder, from.size(), peer)) { co_return io_result{why, 0}; }
        const udp_station::peer to{peer.address.v4(), peer.port};
        const std::optional<proto::mac_address> hop = ladder->station()->next_hop(to.address);
        if (!hop) {
            if (const std::error_code why = searching.refuse(to.address)) { co_return io_result{why, 0}; }
            if (!searching.may_ask(to.address)) {
                const std::error_code ended = co_await listen_for_arp(*ladder, searching.next());
                if (ended) { co_return io_result{ended, 0}; }
                continue;
            }
        }
        const std::uint64_t rung = ladder->climbs();
        packet one;
        io_result done = co_await ladder->frames().tx.allocate(one);
        if (ladder->climbs() != rung) { continue; }
        if (!done.ec) {
            if (!fill_frame(*ladder, one, hop, to, from)) {
                co_return io_result{std::make_error_code(std::errc::message_size), 0};
            }
            done = co_await ladder->frames().tx.send(one);
            if (!done.ec && hop) { co_return io_result{no_error, from.size()}; }
            if (!done.ec || ladder->climbs() != rung) { continue; }
        }
        if (!ends_rung(done.ec)) { co_return io_result{done.ec, 0}; }
        ladder->move_on(done.ec);
    }
}

}  // namespace

result<datagram_transport> datagram_transport::open(executor& on, datagram_options options) {
    owned_ladder ladder(new datagram_ladder(on, std::move(options)));
    if (!ladder->climb()) { return ladder->all_refused(); }
    return datagram_transport(std::move(ladder));
}

datagram_transport::datagram_transport(owned_ladder ladder) noexcept : ladder_(std::move(ladder)) {}
datagram_transport::datagram_transport(datagram_transport&&) noexcept = default;
datagram_transport& datagram_transport::operator=(datagram_transport&&) noexcept = default;
datagram_transport::~datagram_transport() = default;

task<datagram_result> datagram_transport::recv_from(std::span<std::byte> into) {
    return receive(ladder_, into);
}

task<io_result> datagram_transport::send_to(std::span<const std::byte> from, proto::ip_endpoint peer) {
    return transmit(ladder_, from, peer);
}

proto::ip_endpoint datagram_transport::local_endpoint() const noexcept {
    return ladder_ == nullptr ? proto::ip_endpoint() : ladder_->local_endpoint();
}

std::optional<datagram_rung> datagram_transport::took() const noexcept {
    return ladder_ == nullptr ? std::nullopt : ladder_->took();
}

const std::vector<datagram_refusal>& datagram_transport::refusals() const noexcept {
    static const std::vector<datagram_refusal> none;
    return ladder_ == nullptr ? none : ladder_->refusals();
}

const std::vector<std::string>& datagram_transport::notes() const noexcept {
    static const std::vector<std::string> none;
    return ladder_ == nullptr ? none : ladder_->notes();
}

std::size_t datagram_transport::longest_datagram() const noexcept {
    return ladder_ == nullptr ? 0 : ladder_->longest_datagram();
}

udp_station::counters datagram_transport::count() const noexcept {
    return ladder_ != nullptr && ladder_->station() ? ladder_->station()->count() : udp_station::counters{};
}

}  // namespace fluxnet
