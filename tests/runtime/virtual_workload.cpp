// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/virtual_workload.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "tests/runtime/dice.hpp"

#include <array>
#include <cstring>
#include <exception>
#include <span>
#include <utility>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;
using end = simulated_wire::end;

constexpr std::chrono::nanoseconds duration = 1s;
constexpr std::chrono::nanoseconds never = std::chrono::nanoseconds::max();
constexpr std::size_t flows = 4;  // of each host: two that it makes up, two that its workers echo

/// What a packet consists of.
class message {
public:
    static constexpr std::size_t size = 48;

    message() = default;
    message(std::uint64_t flow, std::uint64_t number, std::uint64_t sent_at) : words_{0, 0, flow, number, sent_at} {
        words_[5] = sum();
    }
    explicit message(const packet& from) { std::memcpy(words_.data(), from.data().data(), size); }

    [[nodiscard]] bool write_to(packet& into) const { return into.assign(std::as_bytes(std::span(words_))); }
    [[nodiscard]] bool intact() const noexcept { return words_[5] == sum(); }
    [[nodiscard]] std::uint64_t flow() const noexcept { return words_[2]; }
    [[nodiscard]] std::uint64_t number() const noexcept { return words_[3]; }
    [[nodiscard]] std::uint64_t sent_at() const noexcept { return words_[4]; }

private:
    [[nodiscard]] std::uint64_t sum() const noexcept {
        std::uint64_t all = 1;
        for (std::size_t i = 0; i < 5; ++i) { all = all * 0x100000001b3ULL + words_[i]; }
        return all;
    }

    std::array<std::uint64_t, size / 8> words_{};  // the first two stand for the Ethernet header
};

/// One of two ways that a wire treats its packets.
wire_profile draw_profile(dice& chance) {
    wire_profile profile;
    if (chance.one_in(2)) { profile.loss = 0.05; }
    if (chance.one_in(3)) { profile.duplication = 0.03; }
    if (chance.one_in(3)) { profile.corruption = 0.02; }
    if (chance.one_in(3)) { profile.reordering = 0.05; }
    profile.reordering_delay = 3 * dice::tick;
    if (!chance.one_in(4)) { profile.delay = chance.ticks(1, 9); }
    if (chance.one_in(4)) { profile.jitter = 300us; }
    if (chance.one_in(4)) { profile.bits_per_second = 10'000'000; }
    return profile;
}

/// One of many kinds of driver, and what may befall it. Completions may end on the way to the right only.
void draw_drivers(wire_options& options, dice& chance) {
    options.zero_copy = chance.one_in(2);
    if (chance.one_in(2)) { options.temper = driver_temper::waits_for_kicks; }
    if (chance.one_in(2)) { options.first_index = ~static_cast<std::uint32_t>(chance.below(1000)); }
    for (wire_profile* const profile : {&options.to_right, &options.to_left}) {
        if (chance.one_in(3)) { profile->withheld = 0.05; }
        profile->withheld_for = chance.ticks(1, 20);
    }
    if (chance.one_in(8)) { options.to_right.completions_end = duration / 4 + chance.ticks(0, 2000); }
}

builder small_socket(simulated_wire& wire, end which, std::uint32_t frames) {
    builder options = wire.socket_on(which);
    options.frames(frames).rx_ring(64).tx_ring(64).fill_ring(64).completion_ring(64);
    return options;
}

/// What the coroutines of a host wait for beside sockets. Outlives the executor, on which they may be left over.
struct meeting_points {
    channel<packet> outbox{16};
    channel<packet> inbox{8};
    mutex one_at_a_time;
};

/// One end of the wire and the coroutines there.
class host {
public:
    host(executor& loop, simulated_wire& wire, end which, const wire_options& options, dice& chance, meeting_points& points,
         std::uint32_t frames, outcome& result)
        : loop_(loop), wire_(wire), which_(which), incoming_(which == end::left ? options.to_left : options.to_right),
          forgets_(which == end::left && options.to_right.completions_end != never), chance_(chance), result_(result),
          outbox_(points.outbox), inbox_(points.inbox), mutex_(points.one_at_a_time),
          sockets_(open_async(loop, small_socket(wire, which, frames)).value()) {}

    /// Lives in sessions, each cancelled after a while, until its time is over.
    task<void> live(executor::time_point until) {
        while (loop_.now() < until) {
            const std::chrono::nanoseconds limit = chance_.ticks(160, 1000);
            const timed<void> ended = co_await timeout(std::min(limit, until - loop_.now()), session());
            if (ended.expired) { ++result_.cancels; }
        }
    }

    /// Sends until a packet has come to the other end, which shows that nothing has stopped for good. Hosts that cannot send
    /// or receive any more, because their driver has forgotten too much, are excused.
    task<void> reach(host& other) {
        const std::uint64_t before = wire_.counts(which_).delivered;
        for (int tries = 0; tries != 40 && wire_.counts(which_).delivered == before && !cannot_send(); ++tries) {
            packet one;
            static_cast<void>(sockets_.tx.try_allocate(std::span(&one, 1)));
            stamp(one, 0);
            const io_result put = co_await sockets_.tx.send(one);
            sent_ += put.n;
            task<void> listening = other.listen();
            static_cast<void>(co_await timeout(5ms, std::move(listening)));
        }
        if (wire_.counts(which_).delivered != before) {
            result_.reached += forgets_ || other.forgets_ ? 1U : 0U;
        } else if (cannot_send() || other.cannot_receive()) {
            ++result_.excused;
        } else {
            ++result_.stalls;
            expect(false, "packets do not arrive any more, for good");
        }
    }

    /// Takes what the run has left behind, and checks that nothing is missing.
    void settle(const host& other) {
        std::array<packet, 16> rest;
        while (const std::size_t count = outbox_.try_recv(rest)) { sending_ += count; }
        while (const std::size_t count = inbox_.try_recv(rest)) { worked_ += count; }
        while (const std::uint32_t count = sockets_.rx.socket().try_recv(rest)) { received_ += count; }
        for (packet& one : rest) { one.reset(); }
        const wire_counts out = wire_.counts(which_);
        const wire_counts in = wire_.counts(other.which_);
        expect(queued_ == sending_, "a packet was lost in the outbox");
        expect(forwarded_ == worked_, "a packet was lost in the inbox");
        tx& sender = sockets_.tx.socket();
        expect(sender.drain(0ms) || forgets_, "packets stayed in the TX ring");
        expect(sender.pending() == 0, "packets were not taken out of the TX ring");
        expect(out.offered == sent_, "the wire did not get what was sent");
        expect(out.offered + out.duplicated == out.accounted(), "the wire's counts do not add up");
        expect(out.in_transit == 0, "packets stayed under way");
        expect(in.delivered == received_, "received is not what the wire delivered");
        expect(damaged_ <= in.corrupted, "more packets are damaged than the wire has damaged");
        expect(misordered_ == 0, "a flow lost its order");
        expect(early_ == 0, "a packet was faster than the wire");
        expect(!holding_, "a mutex was held by two, or never given back");
        const frame_census census = sockets_.rx.socket().pool().census();
        expect(census.exact && census.sum() == census.frames, "the census is wrong");
        expect(census.user == 0 && census.tx + census.completion == sender.in_flight(), "frames stayed away");
        result_.starved += in.fill_ring_empty;
        result_.forgotten += sender.in_flight();
        result_.packets += out.offered;
        result_.channel_items += queued_ + forwarded_;
    }

private:
    /// A driver that completes nothing any more keeps what its host has sent for ever. Tells whether that fills the
    /// completion ring, or leaves no frame to send.
    [[nodiscard]] bool cannot_send() {
        tx& sender = sockets_.tx.socket();
        return forgets_ && (sender.credit() == 0 || sender.home().free_count() == 0);
    }

    /// Tells whether it keeps frames of the receiving half too, and neither the host nor the fill ring has one.
    [[nodiscard]] bool cannot_receive() {
        const frame_home& home = sockets_.rx.socket().home();
        return forgets_ && sockets_.tx.socket().in_flight() != 0 && home.free_count() == 0 &&
               home.given() == home.received();
    }

    void expect(bool holds, const char* text) {
        if (!holds) { result_.problems += std::string(simulated_wire::name(which_)) + ": " + text + '\n'; }
    }

    task<void> session() {
        scope children;
        children.spawn(produce(0));
        children.spawn(produce(1));
        children.spawn(transmit());
        children.spawn(receive());
        children.spawn(work(2));
        children.spawn(work(3));
        static_cast<void>(co_await children.join());
    }

    /// Makes numbered packets, a few at a time.
    task<void> produce(std::size_t flow) {
        std::array<packet, 8> burst;
        for (;;) {
            const std::error_code ended = co_await sleep_for(chance_.ticks(44, 116));
            if (ended) { co_return; }
            const std::uint64_t count = is_behind() ? burst.size() : 1 + chance_.below(burst.size());
            const std::uint32_t made = sockets_.tx.try_allocate(std::span(burst).first(count));
            for (packet& one : std::span(burst).first(made)) { stamp(one, flow); }
            const io_result put = co_await outbox_.send(std::span(burst).first(made));
            queued_ += put.n;
            if (put.ec) { co_return; }
        }
    }

    /// Tells whether fewer packets were made than a thousand a second, of both hosts.
    [[nodiscard]] bool is_behind() const noexcept {
        return static_cast<std::int64_t>(queued_) * 1s < 550 * std::chrono::nanoseconds(wire_.now());
    }

    task<void> transmit() {
        std::array<packet, 8> batch;
        for (;;) {
            const io_result got = co_await outbox_.recv(batch);
            sending_ += got.n;
            if (got.ec) { co_return; }
            const io_result put = co_await sockets_.tx.send(std::span(batch).first(got.n));
            sent_ += put.n;
            if (put.ec) { co_return; }
        }
    }

    task<void> receive() {
        std::array<packet, 8> burst;
        for (;;) {
            const io_result got = co_await sockets_.rx.recv(burst);
            received_ += got.n;
            for (const packet& one : std::span(burst).first(got.n)) { check(one); }
            if (got.ec) { co_return; }
            const io_result put = co_await inbox_.send(std::span(burst).first(got.n));
            forwarded_ += put.n;
            if (put.ec) { co_return; }
        }
    }

    /// Receives until it is cancelled.
    task<void> listen() {
        std::array<packet, 8> burst;
        for (;;) {
            const io_result got = co_await sockets_.rx.recv(burst);
            received_ += got.n;
            if (got.ec) { co_return; }
        }
    }

    /// Drops, keeps or echoes what was received.
    task<void> work(std::size_t flow) {
        std::array<packet, 4> some;
        for (;;) {
            io_result got;
            if (chance_.one_in(4)) {
                const timed<io_result> limited = co_await timeout(chance_.ticks(1, 12), take(some));
                if (limited.expired) { ++result_.expired; }
                got = limited.value;
                if (limited.expired && got.ec) { continue; }
            } else {
                got = co_await take(some);
            }
            if (got.ec) { co_return; }
            const std::uint64_t fate = chance_.below(6);
            if (fate == 0) {
                const std::error_code ended = co_await sleep_for(chance_.ticks(1, 7));
                if (ended) { co_return; }
            } else if (fate == 1) {
                const std::error_code ended = co_await use_mutex();
                if (ended) { co_return; }
            } else if (fate == 2) {
                const auto echoes = std::span(some).first(got.n);
                for (packet& one : echoes) { stamp(one, flow); }
                const io_result put = co_await outbox_.send(echoes);
                queued_ += put.n;
                if (put.ec) { co_return; }
            }
            for (packet& one : some) { one.reset(); }
        }
    }

    task<io_result> take(std::span<packet> into) {
        const io_result got = co_await inbox_.recv(into);
        worked_ += got.n;
        co_return got;
    }

    task<std::error_code> use_mutex() {
        const mutex::guard held = co_await mutex_.lock();
        if (!held) { co_return held.error(); }
        expect(!holding_, "two hold one mutex");
        holding_ = true;
        const std::error_code ended = co_await sleep_for(chance_.ticks(1, 3));
        holding_ = false;
        co_return ended;
    }

    void stamp(packet& one, std::size_t flow) {
        const message content(flow, ++numbers_[flow], static_cast<std::uint64_t>(wire_.now().count()));
        expect(content.write_to(one), "a message does not fit into a packet");
    }

    void check(const packet& one) {
        const message content(one);
        if (one.size() != message::size || !content.intact() || content.flow() >= flows) {
            ++damaged_;
            return;
        }
        const auto travelled = wire_.now() - std::chrono::nanoseconds(content.sent_at());
        if (travelled < incoming_.delay) { ++early_; }
        std::uint64_t& last = last_[content.flow()];
        const bool again = incoming_.duplication > 0 && content.number() == last;
        // Jitter keeps the order.
        if (incoming_.reordering == 0 && content.number() <= last && !again) { ++misordered_; }
        last = content.number();
    }

    executor& loop_;
    simulated_wire& wire_;
    const end which_;
    const wire_profile& incoming_;
    const bool forgets_;  // the driver comes to forget what it has sent
    dice& chance_;
    outcome& result_;
    channel<packet>& outbox_;
    channel<packet>& inbox_;
    mutex& mutex_;
    async_sockets sockets_;
    bool holding_ = false;
    std::array<std::uint64_t, flows> numbers_{};  // of the last packet made
    std::array<std::uint64_t, flows> last_{};     // of the last packet received
    std::uint64_t queued_ = 0;
    std::uint64_t sending_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t forwarded_ = 0;
    std::uint64_t worked_ = 0;
    std::uint64_t damaged_ = 0;
    std::uint64_t misordered_ = 0;
    std::uint64_t early_ = 0;
};

task<void> live_together(executor& loop, host& left, host& right) {
    const auto until = loop.now() + duration;
    scope hosts;
    hosts.spawn(left.live(until));
    hosts.spawn(right.live(until));
    static_cast<void>(co_await hosts.join());
    static_cast<void>(co_await sleep_for(20ms));  // for what is under way
    co_await left.reach(right);
    co_await right.reach(left);
}

}  // namespace

outcome mixed_workload(std::uint64_t seed, wake_order order) {
    outcome result;
    dice chance(seed);
    wire_options options;
    options.seed = seed;
    options.transit_capacity = 64;
    options.to_right = draw_profile(chance);
    options.to_left = draw_profile(chance);
    draw_drivers(options, chance);
    std::array<meeting_points, 2> points;
    simulated_wire wire(options);
    virtual_clock clock(seed, order);
    clock.attach(wire);
    executor loop(clock);
    const std::uint32_t frames = chance.one_in(3) ? 32 : 128;  // few run out
    host left(loop, wire, end::left, options, chance, points[0], frames, result);
    host right(loop, wire, end::right, options, chance, points[1], frames, result);
    loop.spawn(live_together(loop, left, right));
    try {
        loop.run();
    } catch (const std::exception& failure) { result.problems += failure.what() + std::string(1, '\n'); }
    left.settle(right);
    right.settle(left);
    result.digest = clock.digest();
    result.elapsed = clock.elapsed();
    result.resumptions = clock.resumptions();
    result.forgets = options.to_right.completions_end != never;
    return result;
}

}  // namespace fluxnet::test
