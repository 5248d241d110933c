// SPDX-License-Identifier: BSD-3-Clause
// Two TCP connections and a wire between them, in virtual time: `pair`. `heap_buffers`: buffers that are counted.
//
// Segments travel as octets, with their checksums. After every step two things are checked: while anything is
// unacknowledged a deadline exists, and nothing is sent for ever while nobody does anything.
#pragma once

#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp/connection.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace tcp_test {

namespace tcp = fluxnet::proto::tcp;
using namespace std::chrono_literals;
using time_point = std::chrono::steady_clock::time_point;

/// Lends pieces of the heap, each with its number as token. What is lent is counted, and given back once only.
class heap_buffers final : public tcp::buffer_source {
public:
    explicit heap_buffers(std::uint32_t size = 2048) : size_(size) {}

    tcp::buffer allocate() noexcept override {
        if (refusing || lent_.size() >= limit) { return {}; }
        return keep(std::make_unique<std::byte[]>(size_), size_);
    }
    void release(std::uint64_t token) noexcept override {
        const auto found = lent_.find(token);
        REQUIRE_MESSAGE(found != lent_.end(), "a buffer was given back twice");
        lent_.erase(found);
    }
    /// Makes a buffer of what has arrived, as a driver would.
    tcp::buffer receive(std::span<const std::byte> octets) {
        auto bytes = std::make_unique<std::byte[]>(octets.size());
        std::copy(octets.begin(), octets.end(), bytes.get());
        return keep(std::move(bytes), static_cast<std::uint32_t>(octets.size()));
    }
    [[nodiscard]] std::size_t lent() const noexcept { return lent_.size(); }

    bool refusing = false;
    std::size_t limit = ~std::size_t{0};

private:
    tcp::buffer keep(std::unique_ptr<std::byte[]> bytes, std::uint32_t size) {
        const std::uint64_t token = ++last_;
        const tcp::buffer made{bytes.get(), size, token};
        lent_.emplace(token, std::move(bytes));
        return made;
    }

    std::uint32_t size_;
    std::uint64_t last_ = 0;
    std::map<std::uint64_t, std::unique_ptr<std::byte[]>> lent_;
};

/// How the wire treats segments, in one direction.
struct path {
    std::chrono::nanoseconds delay = 5ms;
    std::chrono::nanoseconds jitter = 0ms;  ///< Added, up to so much: reorders.
    double late = 0;                        ///< The share of segments that take `late_by` longer.
    std::chrono::nanoseconds late_by = 1ms;
    double loss = 0;
    double duplication = 0;
    double corruption = 0;
    std::uint64_t bits_per_second = 0;  ///< 0: no limit.
    std::size_t queue = 1'000'000;      ///< Octets that wait for the wire at most; more is dropped.
    /// Whether that one is lost, whatever the chances say; for scripts.
    std::function<bool(const fluxnet::proto::tcp_view&)> drop;
};

/// One end.
struct end {
    explicit end(const tcp::connection_options& wanted, tcp::connection_secrets secrets)
        : options(wanted), c(std::in_place, memory, options, secrets) {}

    tcp::connection_options options;
    heap_buffers buffers;
    tcp::range_pool ranges{20'000 + (options.send_limit + options.receive_limit) / 1000};
    tcp::memory memory{buffers, ranges};
    std::optional<tcp::connection> c;
    path out;
    time_point line_free{};
    std::uint64_t sent = 0;  ///< Segments.
    std::vector<std::byte> received;
    tcp::events seen;
    bool reads = true;  ///< Whether what arrives is read at once.
    bool listens = false;
    std::vector<std::byte> to_write;  ///< What is left of what is to be written.
    std::size_t written = 0;
    bool shut_when_written = false;
    bool endless = false;         ///< Writes zeros for ever.
    bool only_counts = false;     ///< What arrives is counted and not kept.
    std::uint64_t counted = 0;
    bool withholds = false;         ///< Whether nothing is sent for now, as where a device's queue is full.
    bool resets_strangers = false;  ///< Whether segments that come after the end are answered by resets.
};

/// Both, and the wire.
class pair {
public:
    static constexpr auto begin = time_point(1000s);

    explicit pair(std::uint64_t seed = 1, tcp::connection_options a_options = {}, tcp::connection_options b_options = {},
                  std::uint32_t a_initial = 0xffff'ff00, std::uint32_t b_initial = 0x7fff'ff00)
        : now(begin), chance(seed), a(a_options, {tcp::sequence_number(a_initial), 77}),
          b(b_options, {tcp::sequence_number(b_initial), 0xffff'ff00}) {}

    /// a connects to b, which listens.
    void connect() {
        b.listens = true;
        a.c->connect(now);
        flush();
    }

    /// Sends what there is to be sent at both ends.
    void flush() {
        for (end* one : {&a, &b}) {
            feed(*one);
            tcp::outgoing out;
            std::size_t burst = 0;
            while (!one->withholds && one->c->next_segment(out, now)) {
                put_on_wire(*one, out);
                REQUIRE_MESSAGE(++burst < 100'000, "a connection sends without end");
            }
            check(*one);
        }
        check_idle();
    }

    /// Does the next thing that happens; false when nothing will.
    bool step() {
        time_point next = std::min(a.c->deadline(), b.c->deadline());
        const bool arrival = !flying.empty() && flying.begin()->first.first <= next;
        if (arrival) { next = flying.begin()->first.first; }
        if (next == time_point::max()) { return false; }
        if (next > now) { now = next; }
        ++steps;
        if (arrival) {
            auto node = flying.extract(flying.begin());
            deliver(*node.mapped().to, node.mapped().octets);
        } else {
            for (end* one : {&a, &b}) {
                if (one->c->deadline() <= now) { one->c->on_deadline(now); }
            }
        }
        flush();
        return true;
    }

    /// Goes on until nothing happens any more, or until `until`, or that time.
    template <class Until>
    bool run(Until until, std::chrono::nanoseconds at_most = 3600s) {
        const auto stop = now + at_most;
        while (!until()) {
            if (!step() || now > stop) { return until(); }
        }
        return true;
    }
    void run_for(std::chrono::nanoseconds length) {
        const auto stop = now + length;
        while (true) {
            time_point next = std::min(a.c->deadline(), b.c->deadline());
            if (!flying.empty()) { next = std::min(next, flying.begin()->first.first); }
            if (next > stop) { break; }
            step();
        }
        now = stop;
    }

    /// Hands octets to an end as if they came from the other.
    void deliver(end& to, std::vector<std::byte>& octets) {
        const bool to_a = &to == &a;
        const auto view = fluxnet::proto::tcp_view::parse(octets, to_a ? b_address : a_address, to_a ? a_address : b_address);
        if (!view) { return; }  // corrupted
        const tcp::buffer came = to.buffers.receive(octets);
        const auto kept_view = fluxnet::proto::tcp_view::unchecked({came.data, came.size});
        const tcp::segment segment = tcp::segment::of(kept_view);
        bool kept = false;
        const bool was_over = to.c->state() == tcp::state::closed;
        if (was_over && to.c->ending() == tcp::ending::none && to.listens) {
            if (segment.has(fluxnet::proto::tcp_flag::syn) && !segment.has(fluxnet::proto::tcp_flag::ack | fluxnet::proto::tcp_flag::rst)) {
                to.c->accept(segment, now);
            }
        } else {
            kept = to.c->receive(segment, came.token, now);
        }
        if (!kept) { to.buffers.release(came.token); }
        // Nothing answers for a connection that has ended but this, as a stack would (RFC 9293 section 3.10.7.1).
        const bool over = was_over && to.c->ending() != tcp::ending::none;
        if (over && to.resets_strangers && !segment.has(fluxnet::proto::tcp_flag::rst)) {
            put_on_wire(to, tcp::reset_for(segment));
        }
    }

    /// Sends octets as end `from` would.
    void put_on_wire(end& from, const tcp::outgoing& out) {
        const bool from_a = &from == &a;
        fluxnet::proto::tcp_repr repr;
        repr.source_port = from_a ? std::uint16_t{1000} : std::uint16_t{80};
        repr.destination_port = from_a ? std::uint16_t{80} : std::uint16_t{1000};
        repr.sequence = out.sequence.value();
        repr.acknowledgment = out.acknowledgment.value();
        repr.flags = out.flags;
        repr.window = out.window;
        repr.options = out.options;
        repr.payload_length = out.payload.size();
        std::vector<std::byte> octets(repr.header_length() + out.payload.size());
        auto view = repr.emit(octets);
        std::copy(out.payload.begin(), out.payload.end(), view.payload().begin());
        view.fill_checksum(from_a ? a_address : b_address, from_a ? b_address : a_address);
        ++from.sent;
        last_sent = view;
        if (on_sent) { on_sent(from, view); }
        path& way = from.out;
        if (way.drop && way.drop(view)) { return; }
        if (hit(way.loss)) { return; }
        if (hit(way.corruption)) { octets[chance() % octets.size()] ^= std::byte{0x40}; }
        time_point leaves = now;
        if (way.bits_per_second != 0) {
            if (from.line_free < now) { from.line_free = now; }
            const std::uint64_t bits = (octets.size() + 38 + 20) * 8;  // with what Ethernet and IP add
            const auto waiting = static_cast<std::uint64_t>((from.line_free - now).count()) * way.bits_per_second / 8'000'000'000U;
            if (waiting > way.queue) { return; }
            from.line_free += std::chrono::nanoseconds(bits * 1'000'000'000U / way.bits_per_second);
            leaves = from.line_free;
        }
        const int copies = hit(way.duplication) ? 2 : 1;
        for (int i = 0; i != copies; ++i) {
            time_point at = leaves + way.delay;
            if (hit(way.late)) { at += way.late_by; }
            if (way.jitter != 0ns) { at += std::chrono::nanoseconds(chance() % static_cast<std::uint64_t>(way.jitter.count())); }
            flying.emplace(std::pair(at, ++order), flight{from_a ? &b : &a, octets});
        }
    }

    /// Where both ends are, for a message.
    [[nodiscard]] std::string describe() const {
        std::string text = "at " + std::to_string((now - begin) / 1us) + " us";
        for (const end* one : {&a, &b}) {
            const tcp::connection_info info = one->c->info();
            text += "; ";
            text += name(info.state);
            text += ' ';
            text += name(info.ending);
            text += " in flight " + std::to_string(info.in_flight) + " lost " + std::to_string(info.lost) + " sacked " +
                    std::to_string(info.sacked) + " unsent " + std::to_string(info.unsent) + " window " +
                    std::to_string(info.send_window) + " told " + std::to_string(info.receive_window) + " cwnd " +
                    std::to_string(info.congestion_window) + " readable " + std::to_string(info.readable) + " beyond " +
                    std::to_string(info.beyond_gap) + " segment " + std::to_string(info.segment) + " timeouts " +
                    std::to_string(info.timeouts) + " rto ms " + std::to_string(info.retransmission_timeout / 1ms) +
                    " received " + std::to_string(one->received.size()) + " written " + std::to_string(one->written) + "/" +
                    std::to_string(one->to_write.size()) + " sent " + std::to_string(one->sent);
        }
        return text;
    }

    /// Both ends are over and everything was given back.
    void expect_clean() {
        for (end* one : {&a, &b}) {
            one->c.reset();
            CHECK(one->buffers.lent() == 0);
            CHECK(one->ranges.in_use() == 0);
        }
    }

    static constexpr fluxnet::proto::ipv4_address a_address{192, 0, 2, 1};
    static constexpr fluxnet::proto::ipv4_address b_address{192, 0, 2, 2};

    struct flight {
        end* to;
        std::vector<std::byte> octets;
    };

    time_point now;
    std::mt19937_64 chance;
    end a;
    end b;
    std::map<std::pair<time_point, std::uint64_t>, flight> flying;
    std::uint64_t order = 0;
    std::uint64_t steps = 0;
    std::optional<fluxnet::proto::tcp_view> last_sent;  // valid until the next
    std::function<void(end&, const fluxnet::proto::tcp_view&)> on_sent;
    time_point progress_at = begin;  ///< When something last came further.

private:
    bool hit(double share) { return share > 0 && std::uniform_real_distribution<>(0, 1)(chance) < share; }

    void feed(end& one) {
        for (bool again = true; again;) {
            again = false;
            if (one.written != one.to_write.size()) {
                const std::size_t n = one.c->write(std::span(one.to_write).subspan(one.written), now);
                one.written += n;
            }
            if (one.written == one.to_write.size() && one.shut_when_written) {
                one.shut_when_written = false;
                one.c->shutdown_write(now);
            }
            if (one.endless) {
                static constexpr std::array<std::byte, 16384> zeros{};
                while (one.c->write(zeros, now) == zeros.size()) {}
            }
            if (one.only_counts) {
                std::array<std::byte, 8192> some;
                for (std::size_t n = one.c->read(some, now); n != 0; n = one.c->read(some, now)) { one.counted += n; }
            } else if (one.reads && one.c->readable() != 0) {
                std::array<std::byte, 8192> some;
                const std::size_t n = one.c->read(some, now);
                one.received.insert(one.received.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
                again = n != 0;
            }
        }
        const tcp::events news = one.c->take_events();
        one.seen.connected |= news.connected;
        one.seen.readable |= news.readable;
        one.seen.writable |= news.writable;
        one.seen.ended |= news.ended;
    }

    /// What changes when something has come further: octets arrived, were told, read or written, or a state changed.
    using progress = std::array<std::uint64_t, 14>;
    [[nodiscard]] progress far() const {
        progress told{};
        std::size_t i = 0;
        for (const end* one : {&a, &b}) {
            const tcp::connection_info info = one->c->info();
            told[i++] = info.received_octets;
            told[i++] = info.beyond_gap;
            told[i++] = std::uint64_t{info.in_flight} + info.lost + (std::uint64_t{info.sacked} << 32);
            told[i++] = info.unsent;
            told[i++] = static_cast<std::uint64_t>(info.state);
            told[i++] = std::uint64_t{info.readable} + info.lent;
            told[i++] = one->written;
        }
        return told;
    }

    /// While nothing comes further, only so many segments are sent: an answer to each that is on the way or may be sent
    /// again, and after that what timers send.
    void check_idle() {
        const std::uint64_t sent = a.sent + b.sent;
        const progress now_at = far();
        if (now_at != last_progress_) {
            last_progress_ = now_at;
            progress_at = now;
            std::uint64_t unacknowledged = 0;
            for (const end* one : {&a, &b}) {
                const tcp::connection_info info = one->c->info();
                unacknowledged += (info.in_flight + info.lost + info.sacked) / std::max<std::uint64_t>(info.segment, 1) + 1;
            }
            idle_from_ = sent;
            idle_allowed_ = 32 + 4 * flying.size() + 8 * unacknowledged;
        }
        const auto seconds = static_cast<std::uint64_t>((now - progress_at) / 1s);
        REQUIRE_MESSAGE(sent - idle_from_ <= idle_allowed_ + 24 * seconds, "an idle wire carries too many segments: ",
                        sent - idle_from_, ", allowed ", idle_allowed_ + 24 * seconds, "; ", describe());
    }

    progress last_progress_{};
    std::uint64_t idle_from_ = 0;
    std::uint64_t idle_allowed_ = 1000;

    void check(const end& one) {
        const tcp::connection_info info = one.c->info();
        const bool waits = info.in_flight != 0 || info.lost != 0 || info.sacked != 0 || info.unsent != 0;
        const bool over = info.state == tcp::state::closed || info.state == tcp::state::time_wait;
        const bool opening = info.state == tcp::state::syn_sent || (info.state == tcp::state::syn_received && one.withholds);
        if (waits && !over && !opening) {
            REQUIRE_MESSAGE(one.c->deadline() != time_point::max(), "data waits and no deadline exists; ", describe());
        }
    }
};

/// Octets that tell their place.
inline std::vector<std::byte> pattern(std::size_t size, std::uint64_t seed = 1) {
    std::vector<std::byte> octets(size);
    std::mt19937_64 random(seed);
    for (std::byte& one : octets) { one = static_cast<std::byte>(random()); }
    return octets;
}

}  // namespace tcp_test
