// SPDX-License-Identifier: BSD-3-Clause
// The life of a host's core, its turns and its timer.
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include "fluxnet/xsk/base/error.hpp"

#include <algorithm>
#include <utility>

namespace fluxnet::host::detail {
namespace {

using namespace std::chrono_literals;

/// When a question or a claim is tried again for which no frame was free.
constexpr std::chrono::nanoseconds retry_wait = 1ms;

/// How many packets are held for neighbours that are asked for, at most, and no more than a quarter of the tx's frames.
constexpr std::size_t most_held = 32;

/// How much room in the rings is left to answers, questions and claims.
constexpr std::uint32_t credit_for_answers = 4;

/// How many packets may be on their way at once, of those that can have `room`.
std::uint32_t most_in_flight(std::uint32_t room) noexcept {
    return room - std::min(credit_for_answers, room / 2);
}

proto::own_addresses::options room_for(std::size_t addresses) noexcept {
    proto::own_addresses::options chosen;
    chosen.capacity = addresses;
    return chosen;
}

std::array<std::byte, 32> secrets_of(secret_numbers& random) noexcept {
    std::array<std::byte, 32> secrets;
    for (std::size_t half = 0; half != 2; ++half) { std::ranges::copy(random.secret(), secrets.begin() + 16 * half); }
    return secrets;
}

}  // namespace

host_core::host_core(executor& on, async_rx rx, async_tx tx, const host_options& options, proto::mac_address hardware,
                     std::uint32_t mtu, sibling_place place, kernel_share kernel)
    : on_(on), rx_(std::move(rx)), tx_(std::move(tx)), routes_(options), random_(options.seed),
      own_(hardware, room_for(options.addresses.size())), neighbours_(options.neighbour_table, random_.secret()),
      fragments_(options.reassembly, random_.secret()), limiter_(options.icmp_errors, random_.secret()),
      paths_(options.paths, random_.secret()), mtu_(mtu),
      scope_(static_cast<std::uint32_t>(rx_->socket().interface().index)), trust_checksums_(options.trust_checksums),
      most_queued_(rx_->socket().home().frame_count() / 2),
      most_in_flight_(most_in_flight(tx_->socket().in_flight() + tx_->socket().credit())),
      most_copied_(most_queued_ * rx_->socket().home().frame_size()), place_(std::move(place)),
      given_(options), kernel_(std::move(kernel)), held_(std::min<std::size_t>(most_held, tx_->socket().home().frame_count() / 4)),
      duties_(place_ ? receiving | taking : receiving), tcp_(*this, options, secrets_of(random_)) {
    // The kernel speaks for its addresses.
    if (!place_.leads() || !given_.are_all()) { own_.follow(); }
    for (const host_address& one : options.addresses) {
        if (place_) { addresses_.push_back(one.address); }
        if (options.probe_addresses && given_.are_all()) {
            static_cast<void>(own_.add(one.address, options.defence, now(), random_.next32()));
        } else {
            static_cast<void>(own_.add_unprobed(one.address, options.defence));
        }
    }
    for (const host_neighbour& one : options.neighbours) {
        static_cast<void>(neighbours_.add_permanent(one.address, one.hardware, now()));
    }
    if (!options.hardware && tx_->socket().link_announced()) {
        interface_index = tx_->socket().interface().index;
        interface_name = tx_->socket().interface().name;
        on_.use_service<fluxnet::detail::link_monitors>().here().add(*this);
    }
    if (kernel_.neighbours != nullptr) { kernel_.neighbours->tell(*this); }
    // After the handle that sends, whose end of the turn brings frames back.
    fluxnet::detail::inside(on_).add_handler(*this);
}

host_core::~host_core() {
    capture_to(nullptr);
    clear_timer();
}

void host_core::close() noexcept {
    if (!is_open()) { return; }
    tcp_.close();
    capture_to(nullptr);
    end(errc::closed);
    clear_timer();
    if (fluxnet::detail::turn_handler::is_linked()) { fluxnet::detail::turn_handler::unlink(); }
    if (fluxnet::detail::link_listener::is_linked()) { fluxnet::detail::link_listener::unlink(); }
    reset(batch_);
    reset(spare_);
    spares_ = 0;
    held_.clear();
    for (udp_port* chain : ports_) {
        for (; chain != nullptr; chain = chain->next_with_port) { chain->clear(); }
    }
    rx_.reset();  // a receive under way ends with `closed`, and the task with it
    tx_.reset();
    kernel_ = {};
}

bool host_core::is_awaited() const noexcept {
    const auto has_receiver = [](const udp_port* chain) {
        while (chain != nullptr && chain->receiver == nullptr) { chain = chain->next_with_port; }
        return chain != nullptr;
    };
    return !searching_.empty() || !starved_.empty() || std::ranges::any_of(ports_, has_receiver) || tcp_.is_awaited();
}

void host_core::end(std::error_code why) noexcept {
    if (ended_) { return; }
    ended_ = why;
    leave_siblings();
    if (why != errc::closed) { kernel_.ports.reset(); }  // else once nothing is redirected any more
    for (line* const waiting : {&searching_, &starved_}) {
        while (!waiting->empty()) {
            udp_send& first = waiting->front();
            waiting->pop_front();
            first.failure_ = why;
            first.complete(no_error);
        }
    }
    for (udp_port* chain : ports_) {
        for (; chain != nullptr; chain = chain->next_with_port) { chain->wake(); }
    }
    tcp_.end();
}

// The end of a turn, and time

void host_core::end_turn() noexcept {
    if (ended_) {
        now_.reset();
        return;
    }
    if (place_ && given_.are_all()) { follow_leader(); }
    // Datagrams that wait for frames and TCP take turns at being served first, since each may take all that there are.
    const bool waits = !starved_.empty();
    if (waits && dirty_) { datagrams_last_ = !datagrams_last_; }
    const bool last = waits && dirty_ && datagrams_last_;
    if (news_ || (waits && !last)) { serve(!last); }
    if (std::exchange(dirty_, false)) {
        do_due();
        if (place_ && given_.are_all()) { lead_others(); }
        if (news_) { serve(!last); }
        serve_tcp(!last);
        if (last) { serve(true); }
        if (asks_) { do_due(); }  // what has just been sent goes to a neighbour whom nobody knows
        arm();
    }
    find_failure();
    now_.reset();
}

/// Sends what TCP has. Frames that the kernel is done with at once serve for more; the others for the next turn.
void host_core::serve_tcp(bool starved_too) noexcept {
    constexpr int most_rounds = 16;  // then others have their turn
    for (int round = 0; round != most_rounds; ++round) {
        tcp_.tell();
        const bool queued = tcp_.send();
        if (queued) { tx_->socket().flush(); }
        const bool goes_on = queued && tcp_.has_more() && has_frame() && has_credit();
        if (!goes_on && !tcp_.has_news()) { break; }  // what the host sends to itself makes news
    }
    tcp_.look_at_waiters();
    if (news_) { serve(starved_too); }  // another neighbour was given up for one that was sent to
    dirty_ = tcp_.has_more() || tcp_.has_news();
}

/// A host whose tx has failed, or whose frames the kernel keeps for ever, can do nothing any more: it ends.
void host_core::find_failure() noexcept {
    const tx& socket = tx_->socket();
    if (const std::error_code why = socket.failure()) { return end(why); }
    const bool waits = !starved_.empty() || tcp_.has_more();
    const bool moved = std::exchange(taken_before_, frames_taken_) != frames_taken_;
    if (!waits || moved || socket.link_down() || socket.in_flight() == 0) {
        stuck_since_.reset();
    } else if (!stuck_since_) {
        stuck_since_ = now();
    } else if (now() - *stuck_since_ >= tx_->completion_limit()) {
        end(errc::completions_missing);
    }
}

/// A loop of the program's own may have closed a stream, or given a buffer back, since the turn.
void host_core::before_sleep() noexcept {
    if (ended_ || !dirty_ || tcp_.has_more()) { return; }
    clear_timer();
    set_to_ = now();
    fluxnet::detail::inside(on_).add_timer(*this, *set_to_);
}

/// What was written to streams, as long as somebody can acknowledge it.
bool host_core::has_unfinished() noexcept {
    if (ended_ || (running_ & receiving) == 0 || tx_->socket().link_down()) { return false; }
    const proto::tcp::stack* const stack = tcp_.stack();
    return stack != nullptr && stack->has_unacknowledged();
}

void host_core::on_address(const std::array<std::uint8_t, 6>& address) noexcept {
    const proto::mac_address told(address);
    if (ended_ || told == own_.hardware() || told.is_zero() || told.is_multicast()) { return; }
    own_.set_hardware(told, now());
    dirty_ = true;
}

/// What is sent there next asks again. One that is asked for already is given up by the table.
void host_core::on_neighbour_lost(const proto::ip_address& address) noexcept {
    using state = proto::neighbour_state;
    const state now_known = neighbours_.lookup(address, now()).state;
    if (now_known == state::incomplete || now_known == state::failed || now_known == state::permanent) { return; }
    neighbours_.forget(address);
}

/// Goes on with sends that wait for a neighbour or an address; with those that wait for frames, too, if `starved_too`.
void host_core::serve(bool starved_too) noexcept {
    const auto sent_before = tx_->socket().in_flight();
    const auto finish = [](line& waiting, udp_send& over) {
        waiting.erase(line::s_iterator_to(over));
        over.complete(no_error);
    };
    while (std::exchange(news_, false)) {
        release_held();
        for (auto next = searching_.begin(); next != searching_.end();) {
            udp_send& one = *next++;
            if (advance(one)) {
                finish(searching_, one);
            } else if (one.waits_for_ == udp_send::wait_for::frame) {
                searching_.erase(line::s_iterator_to(one));
                starved_.push_back(one);
            }
        }
    }
    while (starved_too && !starved_.empty()) {
        udp_send& first = starved_.front();
        if (advance(first)) {
            finish(starved_, first);
        } else if (first.waits_for_ == udp_send::wait_for::frame) {
            break;
        } else {
            starved_.pop_front();
            searching_.push_back(first);
        }
    }
    // The handle that sends has had its end of the turn already.
    if (tx_->socket().in_flight() != sent_before) { tx_->socket().flush(); }
}

void host_core::do_due() noexcept {
    bool sent = false;
    asks_ = false;
    while (const auto gone = neighbours_.next_failure()) {
        ++counters_.neighbours_failed;
        fail_waiting(*gone);
    }
    tcp_.advance();
    const auto due = next_deadline();
    if (!due || *due > now()) { return; }
    while (has_frame()) {
        const auto claim = own_.next_message(now(), random_.next32());
        if (!claim) { break; }
        // With its first announcement an address is in use.
        news_ = news_ || claim->what == proto::own_addresses::message::announcement;
        send_claim(*claim);
        sent = true;
    }
    while (has_frame()) {
        const auto question = neighbours_.next_probe(now());
        if (!question) { break; }
        send_question(*question);
        sent = true;
    }
    while (const auto gone = neighbours_.next_failure()) {
        ++counters_.neighbours_failed;
        fail_waiting(*gone);
    }
    while (const auto late = fragments_.next_expired(now())) {
        tell_expired(*late);
        sent = true;
    }
    if (sent) { tx_->socket().flush(); }
}

std::optional<host_core::time_point> host_core::next_deadline() const noexcept {
    std::optional<time_point> first;
    for (const auto& one : {own_.deadline(), neighbours_.deadline(), fragments_.deadline(), tcp_.deadline()}) {
        if (one && (!first || *one < *first)) { first = one; }
    }
    return first;
}

void host_core::arm() noexcept {
    // While the kernel has packets of the tx's, that looks again by itself.
    const bool goes_on = tcp_.has_news() || (tcp_.has_more() && tx_->socket().in_flight() == 0);
    auto due = goes_on ? now() : next_deadline();
    // What is overdue found no frame.
    if (due && *due <= now()) { due = now() + retry_wait; }
    if (fluxnet::detail::timer_node::is_linked() && due == set_to_) { return; }
    clear_timer();
    set_to_ = due;
    if (due) { fluxnet::detail::inside(on_).add_timer(*this, *due); }
}

/// A neighbour has not answered: what waits for it ends when it is looked at.
void host_core::fail_waiting(const proto::ip_address& hop) noexcept {
    news_ = news_ || !held_.empty();
    for (udp_send& one : searching_) {
        if (one.waits_for_ == udp_send::wait_for::neighbour && one.hop_ == hop) {
            one.failure_ = std::make_error_code(std::errc::host_unreachable);
            news_ = true;
        }
    }
}

void intrusive_ptr_add_ref(const host_core* core) noexcept {
    ++core->owners_;
}

void intrusive_ptr_release(const host_core* core) noexcept {
    if (--core->owners_ == 0) { delete core; }
}

// Frames

void host_core::count(const received& what) noexcept {
    if (!what) {
        ++counters_.dropped[static_cast<std::size_t>(what.error())];
        return;
    }
    switch (*what) {
        case outcome::arp: ++counters_.arp; return;
        case outcome::ndp: ++counters_.ndp; return;
        case outcome::echo: ++counters_.echoes; return;
        case outcome::datagram: ++counters_.datagrams; return;
        case outcome::segment: ++counters_.segments; return;
        case outcome::queue_full: ++counters_.queue_full; return;
        case outcome::fragment: ++counters_.fragments; return;
        case outcome::error: ++counters_.errors; return;
        case outcome::handed_on: ++counters_.handed_on; return;
    }
}

void host_core::receive(std::size_t count_received) noexcept {
    for (packet& one : std::span(batch_).first(count_received)) {
        ++counters_.frames;
        count(sink_ == nullptr ? receive_frame(one) : receive_captured(one));
        one.reset();
    }
}

host_core::received host_core::receive_captured(packet& frame) noexcept {
    sink_->on_received(frame.data(), now());
    const received what = receive_frame(frame);
    // Nothing that a frame sets off runs code of the program's before the turn's end, but the sink's own.
    if (sink_ != nullptr) { sink_->on_verdict(what); }
    return what;
}

void host_core::capture_to(frame_sink* sink) noexcept {
    if (sink == sink_) { return; }
    if (sink_ != nullptr) { sink_->leave(); }
    if (sink == nullptr) { return; }
    sink->leave();
    sink->told_by_ = &sink_;
    sink_ = sink;
}

}  // namespace fluxnet::host::detail
