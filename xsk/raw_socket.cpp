// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/raw_socket.hpp"

#include "fluxnet/xsk/base/detail/tell.hpp"
#include "fluxnet/xsk/detail/bind_ladder.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"

#include <cassert>
#include <cerrno>
#include <utility>

namespace fluxnet {

result<raw_socket> raw_socket::open(const fluxnet::umem& memory, const socket_options& options, frame_home* stock) {
    auto climbed = detail::climb(memory, options, stock);
    if (!climbed) { return climbed.error(); }
    for (const error& refused : climbed->refusals) {
        detail::tell_made(log_kind::fallback, [&] { return refused.message(); });
    }
    for (const std::string& note : climbed->notes) { detail::tell(log_kind::note, note); }
    return raw_socket(std::move(climbed->core), std::move(climbed->refusals), std::move(climbed->notes));
}

raw_socket::raw_socket(std::shared_ptr<detail::socket_core> core, std::vector<error> refusals,
                       std::vector<std::string> notes)
    : umem(core->memory), rx(core->rx), fill(core->fill), tx(core->tx), comp(core->comp), core_(std::move(core)),
      refusals_(std::move(refusals)), notes_(std::move(notes)) {}

std::error_code raw_socket::wakeup_rx() noexcept {
    return classify_kick(core_->calls.kick_rx(core_->fd));
}

std::error_code raw_socket::wakeup_tx() noexcept {
    return classify_kick(core_->calls.kick_tx(core_->fd));
}

std::error_code raw_socket::check() noexcept {
    return detail::why_ended(*core_, true);
}

socket_statistics raw_socket::statistics() const noexcept {
    return detail::read_statistics(*core_);
}

namespace {

/// A ring that was found corrupt once stays so, whatever its indices say now.
template <class Ring>
ring_state state_of(const Ring& ring) noexcept {
    ring_state state = ring_state::of(ring.memory());
    state.corrupt = state.corrupt || ring.corrupt();
    return state;
}

}  // namespace

raw_rings_state raw_socket::rings() const noexcept {
    return {state_of(rx), state_of(fill), state_of(tx), state_of(comp)};
}

frame_census raw_socket::census(std::uint32_t in_hand) const noexcept {
    const raw_socket* const self = this;
    return census_of(std::span(&self, 1), in_hand);
}

frame_census census_of(std::span<const raw_socket* const> sockets, std::uint32_t in_hand) noexcept {
    assert(!sockets.empty());
    frame_census result;
    result.frames = sockets.front()->umem.config().frame_count;
    result.exact = true;
    result.user = in_hand;
    for (const raw_socket* const socket : sockets) {
        assert(socket->umem == sockets.front()->umem && "a census is of one UMEM");
        const raw_rings_state rings = socket->rings();
        result.rx += rings.rx.waiting;
        result.completion += rings.comp.waiting;
        result.fill += rings.fill.producer - rings.rx.producer;  // modulo 2^32, as the indices run
        result.tx += rings.tx.producer - rings.comp.producer;
        result.exact = result.exact && !rings.rx.corrupt && !rings.fill.corrupt && !rings.tx.corrupt && !rings.comp.corrupt;
    }
    return result;
}

std::error_code classify_kick(int answer) noexcept {
    switch (-answer) {
        case 0:
        case EAGAIN:   // more to send than one kick takes, or no room in the completion ring
        case EBUSY:    // this packet was dropped and completed, or the device queue is full
        case ENOBUFS:  // throttled by SO_SNDBUF
        case EINTR: return {};
        case ENETDOWN: return errc::link_down;
        case ENXIO:
        case ENODEV:
        case EBADF: return errc::interface_gone;
        default: return answer > 0 ? std::error_code() : errc::system_failure;
    }
}

namespace detail {

result<void> set_filter(const socket_core& core, const packet_filter& filter) {
    if (core.redirect != nullptr) { return core.redirect->set_filter(filter); }
    const std::string step = "change the filter of " + core.interface.name;
    if (!core.calls.filters()) {
        return make_error(errc::invalid_option, step, "no XDP program of ours directs packets to this socket",
                          "open it with builder::only()");
    }
    if (auto valid = filter.validate(); !valid) { return valid.error(); }
    const int r = core.calls.set_filter(core.fd, filter);
    if (r < 0) { return make_error(errc::system_failure, step, "the model answered " + errno_text(-r), "open it anew"); }
    return {};
}

socket_statistics read_statistics(const socket_core& core) noexcept {
    xdp_statistics answer{};
    std::uint32_t size = sizeof answer;
    if (core.calls.get_option(core.fd, XDP_STATISTICS, &answer, &size) < 0) { return {}; }
    return {answer.rx_dropped,   answer.rx_invalid_descs,         answer.tx_invalid_descs,
            answer.rx_ring_full, answer.rx_fill_ring_empty_descs, answer.tx_ring_empty_descs};
}

std::error_code why_ended(const socket_core& core, bool receiving) noexcept {
    // An interface that is being deleted goes down, then loses its program, then unbinds its sockets, which answer ENXIO to
    // a kick. So the kick comes last: a program that is missing from an interface that is up was detached.
    const bool detached = receiving && core.redirect != nullptr && core.redirect->displaced();
    const std::error_code kicked = classify_kick(core.calls.look(core.fd));
    if (kicked == errc::interface_gone) { return kicked; }
    return detached && kicked != errc::link_down ? std::error_code(errc::program_detached) : std::error_code();
}

}  // namespace detail
}  // namespace fluxnet
