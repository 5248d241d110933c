// SPDX-License-Identifier: BSD-3-Clause
// `script_wire`: two hosts and what lies between them, in virtual time: segments wait on it until the script says what
// becomes of them.
#pragma once

#include "fluxnet/proto/tcp/segment_writer.hpp"
#include "tests/fuzz/tcp_script/host.hpp"
#include "tests/fuzz/tcp_script/narrator.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace tcp_script {

/// A segment under way.
struct flight {
    std::vector<std::byte> octets;
    time_point sent_at;
};

/// What a host has last said to the stranger.
struct overheard {
    tcp::four_tuple name;  ///< As the host sees it.
    sequence_number next;  ///< Behind the segment.
    sequence_number acknowledged;
};

class script_wire {
public:
    static constexpr auto delay = 1ms;                 ///< Of a wire that is left alone.
    static constexpr auto segment_life = 25s;          ///< MSL: what is older is gone.
    static constexpr auto longest_hold = 3s;           ///< A device's queue is not full for longer.
    static constexpr std::size_t most_flights = 256;   ///< To one host.

    explicit script_wire(const script_profile& wanted)
        : profile(wanted), memory_(shared_memory()),
          hosts{script_host(wanted, 0, half(0), streams, sum), script_host(wanted, 1, half(1), streams, sum)} {
        streams.all.reserve(64);
    }

    /// Takes what the hosts have to send.
    void send() {
        for (unsigned i = 0; i != 2; ++i) {
            if (!hosts[i].withholds) { send_all(i); }
        }
    }
    /// The same, and checks the hosts.
    void flush() {
        send();
        for (script_host& one : hosts) { one.check(); }
    }

    /// Hands the first segment under way to a host in.
    void deliver(unsigned to) {
        if (flying[to].empty()) { return; }
        const flight came = std::move(flying[to].front());
        flying[to].pop_front();
        hand_in(to, hosts[1 - to].profile.address, came.octets);
    }

    /// Hands octets to a host in, as if they came from that address, and takes the answers that are due at once.
    tcp::arrival hand_in(unsigned to, const proto::ip_address& source, std::span<const std::byte> octets) {
        script_host& at = hosts[to];
        const tcp::buffer into = at.buffers.take(static_cast<std::uint32_t>(octets.size()));
        if (into.data == nullptr) { return {}; }  // as a card without buffers drops it
        std::copy(octets.begin(), octets.end(), into.data);
        narrator::tell_segment(now, to, "gets", octets);
        const auto got = at.stack.receive(source, at.profile.address, {into.data, octets.size()}, into.token, at.now);
        if (!got.kept) { at.buffers.release(into.token); }
        sum.add((got.kept ? 1U : 0U) + (got.answer_now ? 2U : 0U));
        if (got.answer_now && !at.withholds) {
            std::size_t answers = 0;
            for (tcp::stack_segment out; at.stack.next_immediate(out, at.now);) {
                put_on_wire(to, out);
                promise(++answers <= 4, "few answers are due at once");
            }
        }
        return got;
    }

    /// Delivers what is under way, and what that leads to, until nothing is. Time stands still.
    void exchange() {
        std::size_t bound = 4 * (flying[0].size() + flying[1].size());
        for (const script_host& one : hosts) { bound += 8 * one.segments_due(); }
        for (unsigned turn = 0; !flying[0].empty() || !flying[1].empty(); ++turn) {
            if (flying[turn % 2].empty()) { continue; }
            promise(bound-- != 0, "segments that answer each other come to an end");
            deliver(turn % 2);
            flush();
        }
    }

    /// Does the next thing that happens on a wire that is left alone; false when that is nothing, or not by `latest`.
    bool step(time_point latest) {
        time_point next = next_deadline();
        std::optional<unsigned> arrival;
        for (unsigned i = 0; i != 2; ++i) {
            if (flying[i].empty() || flying[i].front().sent_at + delay > next) { continue; }
            next = flying[i].front().sent_at + delay;
            arrival = i;
        }
        if (next == time_point::max() || next > latest) { return false; }
        idle_turns_ = arrival || next > now ? 0 : idle_turns_ + 1;
        promise(idle_turns_ < 64, "what is due is done");
        go_to(std::max(now, next));
        if (arrival) {
            if (!meets_mishap(*arrival)) { deliver(*arrival); }
        } else {
            for (script_host& one : hosts) { one.stack.advance(one.now); }
        }
        flush();
        return true;
    }

    /// When something is due at a host; time_point::max(): nothing is.
    [[nodiscard]] time_point next_deadline() const {
        time_point next = time_point::max();
        for (const script_host& one : hosts) { next = std::min(next, one.deadline().value_or(next)); }
        return next;
    }

    /// Lets a host send nothing, or send again.
    void withhold(unsigned which, bool on) {
        hosts[which].withholds = on;
        withheld_at_[which] = now;
    }

    /// Goes to a time. What is due by then is not done yet.
    void go_to(time_point at) {
        now = at;
        for (unsigned i = 0; i != 2; ++i) {
            if (now - withheld_at_[i] > longest_hold) { hosts[i].withholds = false; }
        }
        for (script_host& one : hosts) { one.set_time(at); }
        sum.add(static_cast<std::uint64_t>(at.time_since_epoch().count()));
        for (auto& queue : flying) {
            while (!queue.empty() && queue.front().sent_at + segment_life < at) { queue.pop_front(); }
        }
    }

    script_profile profile;
    stream_list streams;
    script_digest sum;

private:
    std::span<std::byte> memory_;

public:
    std::array<script_host, 2> hosts;
    time_point now = script_start;
    std::array<std::deque<flight>, 2> flying;  ///< To each of the hosts.
    std::array<std::optional<overheard>, 2> heard;  ///< By the stranger, from each of the hosts.
    std::array<std::optional<std::pair<tcp::four_tuple, sequence_number>>, 2> last_data;  ///< Or SYN or FIN, of each host.
    std::size_t frames = 0;  ///< That were sent.
    /// What befalls the segments that arrive in step(), two bits for each, the lowest ones first, over and over: nothing, it
    /// is lost, it comes after the next one, or it comes twice.
    std::uint32_t mishaps = 0;

private:
    static constexpr std::size_t half_size = script_buffers::count * script_buffers::size;

    /// The same for all scripts, one after another: what it contains at first must not count.
    [[nodiscard]] static std::span<std::byte> shared_memory() {
        static const auto memory = std::make_unique<std::byte[]>(2 * half_size);
        return {memory.get(), 2 * half_size};
    }
    [[nodiscard]] std::span<std::byte> half(std::size_t which) const {
        return memory_.subspan(which * half_size, half_size);
    }

    /// Whether the first segment under way does not arrive now.
    [[nodiscard]] bool meets_mishap(unsigned to) {
        std::deque<flight>& way = flying[to];
        const unsigned what = mishaps & 3;
        mishaps = std::rotr(mishaps, 2);
        if (what == 1) { way.pop_front(); }
        if (what == 2 && way.size() > 1) { std::swap(way[0].octets, way[1].octets); }
        if (what == 3 && way.size() < most_flights) { way.push_back({way.front().octets, now}); }
        return what == 1;
    }

    void send_all(unsigned from) {
        script_host& at = hosts[from];
        std::size_t bound = 0;
        std::size_t count = 0;
        for (tcp::stack_segment out; at.stack.next(out, at.now);) {
            put_on_wire(from, out);
            if (++count == most_flights) { bound = 4 * at.segments_due() + 2 * most_flights; }
            promise(count < most_flights || count <= bound, "a stack does not send without end");
        }
    }

    void put_on_wire(unsigned from, const tcp::stack_segment& out) {
        ++frames;
        std::vector<std::byte> octets(tcp::header_length(out.segment) + out.segment.payload.size());
        const std::size_t header = tcp::emit_header(octets, out.name, out.segment);
        std::copy(out.segment.payload.begin(), out.segment.payload.end(),
                  octets.begin() + static_cast<std::ptrdiff_t>(header));
        narrator::tell_segment(now, from, "sends", octets);
        sum.add(from);
        sum.add(octets);
        const script_host& at = hosts[from];
        const proto::ip_address peer = out.name.remote_address();
        promise(out.name.local_address() == at.profile.address, "a host sends from its address");
        promise(out.segment.payload.size() <= at.profile.options.v4.maximum_segment, "no segment is too large");
        promise(are_octets(out.segment.payload, key_of(out.name), out.segment.sequence.value()),
                "what is sent is what was written there");
        const auto extent = static_cast<std::uint32_t>(out.segment.payload.size()) +
                            ((out.segment.flags & (flag::syn | flag::fin)) != 0 ? 1U : 0U);
        if (extent != 0) { last_data[from] = {out.name, out.segment.sequence}; }
        if (peer == profile.stranger) {
            heard[from] = {out.name, out.segment.sequence + extent, out.segment.acknowledgment};
            return;
        }
        if (peer != hosts[1 - from].profile.address) { return; }
        if (const auto edge = hosts[1 - from].edge_for(out.name); edge && !out.segment.payload.empty()) {
            const auto length = static_cast<std::uint32_t>(out.segment.payload.size());
            promise(out.segment.sequence + length <= *edge + 1, "an octet is all that goes beyond a window");
        }
        std::deque<flight>& way = flying[1 - from];
        if (way.size() == most_flights) { way.pop_front(); }
        way.push_back({std::move(octets), now});
    }

    std::array<time_point, 2> withheld_at_{};
    unsigned idle_turns_ = 0;
};

}  // namespace tcp_script
