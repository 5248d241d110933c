// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/stream_workload.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "tests/runtime/drawn_network.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds duration = 300ms;
constexpr std::size_t clients = 4;
constexpr std::array<std::size_t, 5> buffers{16, 100, 1000, 5000, 65'536};
constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

/// What a client asks for, at the begin of a session.
struct opening {
    std::uint64_t requests = 0;  ///< How many follow; 0: an echo.
    std::uint64_t limit = 0;     ///< After so many bytes of the echo, or answers, the server closes.
};

/// One of the requests, which `size` bytes follow; the answer has their sum in place of their number.
struct request {
    std::uint32_t number = 0;
    std::uint32_t size = 0;
};

[[nodiscard]] std::byte byte_at(std::uint64_t position) noexcept {
    return static_cast<std::byte>((position * 7 + position / 251) & 0xffU);
}

[[nodiscard]] std::uint32_t sum(std::span<const std::byte> bytes, std::uint32_t from = 0) noexcept {
    for (const std::byte each : bytes) { from = from * 31 + std::to_integer<std::uint32_t>(each); }
    return from;
}

class stage {
public:
    stage(std::uint64_t seed, wake_order order)
        : chance_(seed), clock_(seed, order), loop_(clock_), net_(loop_, draw_network(chance_, seed, buffers)) {}

    stream_outcome play() {
        loop_.spawn(act());
        try {
            loop_.run();
        } catch (const std::exception& failure) { problem(failure.what()); }
        result_.digest = clock_.digest() ^ (net_.digest() * 3);
        result_.elapsed = clock_.elapsed();
        return std::move(result_);
    }

private:
    void problem(const std::string& text) { result_.problems += text + '\n'; }
    void expect(bool holds, const char* text) {
        if (!holds) { problem(text); }
    }

    [[nodiscard]] static proto::ip_endpoint place() { return {proto::ipv4_address(192, 0, 2, 1), 80}; }

    task<void> act() {
        const auto until = loop_.now() + duration;
        scope all;
        all.spawn(keep_serving(until));
        for (std::size_t i = 0; i != clients; ++i) { all.spawn(keep_calling(until)); }
        static_cast<void>(co_await all.join());
        // And it all works still.
        scope server;
        server.spawn(serve());
        static_cast<void>(co_await sleep_for(1ms));
        const std::uint64_t before = result_.completed;
        chaos_ = false;
        for (int i = 0; i != 2; ++i) { co_await session(); }
        expect(result_.completed == before + 2, "undisturbed sessions do not come to their end");
        server.request_stop();
        static_cast<void>(co_await server.join());
    }

    // The server.

    task<void> keep_serving(executor::time_point until) {
        while (loop_.now() < until) {
            static_cast<void>(co_await timeout(std::min(chance_.ticks(400, 2000), until - loop_.now()), serve()));
            if (chance_.one_in(2)) { static_cast<void>(co_await sleep_for(chance_.ticks(1, 100))); }
        }
    }

    /// Until it is cancelled.
    task<void> serve() {
        std::optional<memory_listener> door(net_.listen(place(), 8).value());
        is_open_ = true;
        scope sessions;
        for (;;) {
            result<memory_stream> peer = co_await door->accept();
            if (!peer) { break; }
            sessions.spawn(attend(std::move(*peer)));
        }
        door.reset();  // first, so that clients that connect from now on are refused
        is_open_ = false;
        ++epoch_;
        sessions.request_stop();
        static_cast<void>(co_await sessions.join());
    }

    template <stream Stream>
    task<void> attend(Stream peer) {
        opening asked;
        const std::error_code ended = co_await read_all(peer, std::as_writable_bytes(std::span(&asked, 1)));
        if (ended) { co_return; }
        if (asked.requests == 0) {
            co_await echo(peer, asked.limit);
        } else {
            co_await answer(peer, asked);
        }
    }

    /// Sends back what comes until the peer ends, or the limit is reached.
    template <stream Stream>
    task<void> echo(Stream& peer, std::uint64_t limit) {
        std::array<std::byte, 500> room{};
        for (std::uint64_t echoed = 0; echoed < limit;) {
            io_result put;
            if (chance_.one_in(3)) {
                const auto lent = co_await peer.read_borrowed();
                if (lent.ec) { break; }
                put = co_await peer.write(lent.buffer.bytes());
            } else {
                const io_result got = co_await peer.read(std::span(room).first(1 + chance_.below(room.size())));
                if (got.ec) { break; }
                put = co_await peer.write(std::span(room).first(got.n));
            }
            if (put.ec) { co_return; }
            echoed += put.n;
        }
        if (chance_.one_in(2)) { static_cast<void>(co_await peer.shutdown_write()); }
    }

    template <stream Stream>
    task<void> answer(Stream& peer, opening asked) {
        std::vector<std::byte> content;
        for (std::uint64_t i = 0; i != std::min(asked.requests, asked.limit); ++i) {
            request next;
            std::error_code ended = co_await read_all(peer, std::as_writable_bytes(std::span(&next, 1)));
            if (ended) { co_return; }
            content.resize(next.size);
            ended = co_await read_all(peer, content);
            if (ended) { co_return; }
            if (chance_.one_in(3)) {
                const wait_result slept = co_await sleep_for(chance_.ticks(1, 5));
                if (slept) { co_return; }
            }
            const request back{next.number, sum(content)};
            const io_result put = co_await peer.write(std::as_bytes(std::span(&back, 1)));
            if (put.ec) { co_return; }
        }
    }

    template <stream Stream>
    task<std::error_code> read_all(Stream& from, std::span<std::byte> into) {
        while (!into.empty()) {
            const io_result got = co_await from.read(into);
            if (got.ec) { co_return got.ec; }
            into = into.subspan(got.n);
        }
        co_return std::error_code();
    }

    // The clients.

    task<void> keep_calling(executor::time_point until) {
        while (loop_.now() < until) {
            const std::chrono::nanoseconds limit = chance_.one_in(3) ? chance_.ticks(1, 200) : until - loop_.now();
            const timed<void> ended = co_await timeout(std::min(limit, until - loop_.now()), session());
            if (ended.expired) { ++result_.cancels; }
            static_cast<void>(co_await sleep_for(chance_.ticks(1, 20)));
        }
    }

    task<void> session() {
        const std::uint64_t epoch = epoch_;
        const bool was_open = is_open_;
        result<memory_stream> made = co_await net_.connect(place());
        if (!made) {
            if (made.error().code == errc::operation_canceled) { co_return; }
            ++result_.refused;
            expect(made.error().code == std::errc::connection_refused, "a connect failed otherwise than by refusal");
            expect(!was_open || epoch_ != epoch || !is_open_ || made.error().cause.find("too many") != std::string::npos,
                   "a connect was refused though there was a listener");
            co_return;
        }
        ++result_.sessions;
        opening asked;
        asked.requests = chance_.one_in(2) ? 0 : 1 + chance_.below(20);
        const bool cut = chaos_ && chance_.one_in(4);  // by the server
        asked.limit = !cut ? never : asked.requests != 0 ? chance_.below(asked.requests) : chance_.below(3000);
        memory_stream peer = std::move(*made);
        const io_result put = co_await peer.write(std::as_bytes(std::span(&asked, 1)));
        bool whole = false;
        bool gave_up = false;
        if (!put.ec) {
            if (asked.requests == 0) {
                whole = co_await exchange(peer);
            } else {
                whole = co_await ask(peer, asked.requests, gave_up);
            }
        }
        const bool stopped = co_await is_stopped();
        const bool disturbed = cut || epoch_ != epoch || gave_up || stopped;
        expect(whole || disturbed, "a session that nobody disturbed did not come to its end");
        if (whole) {
            ++result_.completed;
        } else {
            ++result_.broken;
        }
    }

    /// Tells whether the task was asked to stop.
    task<bool> is_stopped() {
        const wait_result ended = co_await sleep_for(0ns);
        co_return static_cast<bool>(ended);
    }

    /// Sends numbered bytes and gets them back; tells whether all of them came back.
    template <stream Stream>
    task<bool> exchange(Stream& peer) {
        const std::uint64_t total = chance_.below(3000);
        std::uint64_t sent = 0;
        bool ended = false;
        scope sending;
        sending.spawn([&]() -> task<void> { co_await send_numbered(peer, total, sent); });
        std::array<std::byte, 700> room{};
        std::uint64_t at = 0;
        while (!ended) {
            io_result got;
            if (chance_.one_in(4)) {
                const timed<io_result> limited = co_await timeout(chance_.ticks(1, 10), peer.read(room));
                got = limited.value;
                if (limited.expired && got.ec == errc::operation_canceled) {
                    ++result_.expired;
                    expect(got.n == 0, "a read that was cancelled has taken bytes");
                    const bool stopped = co_await is_stopped();
                    if (!stopped) { continue; }
                }
            } else {
                got = co_await peer.read(std::span(room).first(1 + chance_.below(room.size())));
            }
            for (const std::byte each : std::span(room).first(got.n)) {
                if (each != byte_at(at++)) { problem("an echo is not what was sent"); }
            }
            ended = static_cast<bool>(got.ec);
        }
        sending.request_stop();
        static_cast<void>(co_await sending.join());
        expect(at <= sent, "more came back than was sent");
        result_.bytes += at;
        co_return at == total;
    }

    template <stream Stream>
    task<void> send_numbered(Stream& peer, std::uint64_t total, std::uint64_t& sent) {
        std::vector<std::byte> bytes;
        while (sent != total) {
            bytes.resize(1 + chance_.below(std::min<std::uint64_t>(total - sent, 600)));
            for (std::size_t i = 0; i != bytes.size(); ++i) { bytes[i] = byte_at(sent + i); }
            if (chance_.one_in(3)) {
                const timed<io_result> limited = co_await timeout(chance_.ticks(1, 10), peer.write(bytes));
                sent += limited.value.n;
                if (limited.expired) { ++result_.expired; }
                if (limited.value.ec && !limited.expired) { co_return; }
                const bool stopped = co_await is_stopped();
                if (stopped) { co_return; }
            } else {
                const io_result put = co_await peer.write(bytes);
                sent += put.n;
                if (put.ec) { co_return; }
            }
        }
        static_cast<void>(co_await peer.shutdown_write());
    }

    /// Sends requests, without waiting for the answers, and checks these; tells whether all were answered.
    /// `gave_up`: it closed in the middle.
    template <stream Stream>
    task<bool> ask(Stream& peer, std::uint64_t requests, bool& gave_up) {
        std::vector<std::uint32_t> sums;
        scope sending;
        sending.spawn([&]() -> task<void> { co_await send_requests(peer, requests, sums); });
        std::uint64_t answered = 0;
        while (answered != requests) {
            request back;
            const std::error_code ended = co_await read_all(peer, std::as_writable_bytes(std::span(&back, 1)));
            if (ended) { break; }
            if (answered >= sums.size() || back.number != answered || back.size != sums[answered]) {
                problem("an answer is not that to the next request");
                break;
            }
            ++answered;
            result_.bytes += sizeof back;
            if (chaos_ && chance_.one_in(50)) {  // closes it in the middle
                gave_up = answered != requests;
                break;
            }
        }
        sending.request_stop();
        static_cast<void>(co_await sending.join());
        co_return answered == requests;
    }

    template <stream Stream>
    task<void> send_requests(Stream& peer, std::uint64_t requests, std::vector<std::uint32_t>& sums) {
        std::vector<std::byte> message;
        for (std::uint32_t number = 0; number != requests; ++number) {
            const request next{number, static_cast<std::uint32_t>(chance_.below(200))};
            message.resize(sizeof next + next.size);
            std::memcpy(message.data(), &next, sizeof next);
            for (std::byte& each : std::span(message).subspan(sizeof next)) { each = byte_at(chance_.below(10'000)); }
            sums.push_back(sum(std::span(message).subspan(sizeof next)));
            const io_result put = co_await peer.write(message);
            if (put.ec) { co_return; }
            if (chance_.one_in(4)) {
                const wait_result slept = co_await sleep_for(chance_.ticks(1, 6));
                if (slept) { co_return; }
            }
        }
    }

    stream_outcome result_;
    dice chance_;
    virtual_clock clock_;
    executor loop_;
    memory_network net_;
    std::uint64_t epoch_ = 0;  // how often the server has gone
    bool is_open_ = false;
    bool chaos_ = true;
};

}  // namespace

stream_outcome stream_workload(std::uint64_t seed, wake_order order) {
    return stage(seed, order).play();
}

}  // namespace fluxnet::test
