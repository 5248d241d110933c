// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include "fluxnet/runtime/transport/detail/datagram_ladder.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

namespace fluxnet {
namespace {

using detail::datagram_ladder;
using owned_ladder = boost::intrusive_ptr<datagram_ladder>;
using proto::udp_station;

/// Tells whether a rung that ends an await with this has ended for good.
bool ends_rung(std::error_code why) noexcept {
    return why == errc::interface_gone || why == errc::program_detached;
}

/// Marks that a coroutine receives, for as long as its frame lives.
class receiving_mark {
public:
    explicit receiving_mark(bool& mark) noexcept : mark_(mark) { mark_ = true; }
    receiving_mark(const receiving_mark&) = delete;
    receiving_mark& operator=(const receiving_mark&) = delete;
    ~receiving_mark() { mark_ = false; }

private:
    bool& mark_;
};

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

task<datagram_result> receive(owned_ladder ladder, std::span<std::byte> into) {
    if (ladder->receiving) { co_return failed(errc::handle_in_use); }
    const receiving_mark mark(ladder->receiving);
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
        const std::uint64_t rung = ladder->climbs();
        const io_result got = co_await ladder->frames().rx.recv(ladder->room());
        ladder->arrived(got.n);
        if (!got.ec || ladder->climbs() != rung) { continue; }
        if (!ends_rung(got.ec)) { co_return failed(got.ec); }
        ladder->move_on(got.ec);
    }
}

/// Why frames cannot carry a datagram; no error when they can.
std::error_code refuse(const datagram_ladder& ladder, std::size_t size, const proto::ip_endpoint& peer) noexcept {
    if (!peer.address.is_v4()) { return std::make_error_code(std::errc::address_family_not_supported); }
    if (peer.port == 0) { return std::make_error_code(std::errc::invalid_argument); }
    if (size > ladder.longest_datagram()) { return std::make_error_code(std::errc::message_size); }
    if (!ladder.station()->next_hop(peer.address.v4())) { return std::make_error_code(std::errc::host_unreachable); }
    return no_error;
}

task<io_result> transmit(owned_ladder ladder, std::span<const std::byte> from, proto::ip_endpoint peer) {
    for (;;) {
        if (ladder->ended()) { co_return io_result{ladder->ended(), 0}; }
        if (udp_socket* const kernel = ladder->kernel()) {
            const io_result sent = co_await kernel->send_to(from, peer);
            co_return sent;
        }
        if (const std::error_code why = refuse(*ladder, from.size(), peer)) { co_return io_result{why, 0}; }
        const proto::mac_address hop = *ladder->station()->next_hop(peer.address.v4());
        const std::uint64_t rung = ladder->climbs();
        packet one;
        io_result done = co_await ladder->frames().tx.allocate(std::span(&one, 1));
        if (ladder->climbs() != rung) { continue; }
        if (!done.ec) {
            if (!one.set_len(udp_station::overhead + from.size())) {
                co_return io_result{std::make_error_code(std::errc::message_size), 0};
            }
            static_cast<void>(ladder->station()->emit(one.data(), hop, {peer.address.v4(), peer.port}, from));
            done = co_await ladder->frames().tx.send(one);
            if (!done.ec) { co_return io_result{no_error, from.size()}; }
            if (ladder->climbs() != rung) { continue; }
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
    return ladder_->local_endpoint();
}

std::optional<datagram_rung> datagram_transport::took() const noexcept {
    return ladder_->took();
}

const std::vector<datagram_refusal>& datagram_transport::refusals() const noexcept {
    return ladder_->refusals();
}

const std::vector<std::string>& datagram_transport::notes() const noexcept {
    return ladder_->notes();
}

std::size_t datagram_transport::longest_datagram() const noexcept {
    return ladder_->longest_datagram();
}

udp_station::counters datagram_transport::count() const noexcept {
    return ladder_->station() ? ladder_->station()->count() : udp_station::counters{};
}

}  // namespace fluxnet
