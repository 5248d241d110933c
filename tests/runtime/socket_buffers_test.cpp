// SPDX-License-Identifier: BSD-3-Clause
// The buffers that the streams of an executor share: who gets one, and that nobody goes without.
#include "fluxnet/runtime/sockets/socket_buffers.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t buffers = 4;
constexpr std::uint32_t buffer_size = 16;

/// That only a hang reaches.
constexpr auto far_too_long = 20s;

std::string text_between(std::size_t from, std::size_t to) {
    std::string text;
    for (std::size_t i = from; i < to; ++i) { text += static_cast<char>('a' + (i * 7 + i / 251) % 26); }
    return text;
}

task<void> send_text(tcp_stream& to, std::string text) {
    const io_result sent = co_await to.write(bytes_of(text));
    CHECK_FALSE(sent.ec);
    CHECK(sent.n == text.size());
}

/// Returns what is read at once, or the error.
task<std::string> read_some(tcp_stream& from, std::size_t most = 256) {
    std::array<std::byte, 256> bytes{};
    const auto got = co_await timeout(far_too_long, from.read(std::span(bytes).first(most)));
    if (got.expired) { co_return "nothing"; }
    if (got.value.ec) { co_return got.value.ec.message(); }
    co_return text_of(std::span(bytes).first(got.value.n));
}

/// Returns what is lent at once, which goes back, or the error.
task<std::string> borrow_some(tcp_stream& from) {
    const auto lent = co_await timeout(far_too_long, from.read_borrowed());
    if (lent.expired) { co_return "nothing"; }
    if (lent.value.ec) { co_return lent.value.ec.message(); }
    co_return text_of(lent.value.buffer.bytes());
}

/// A pair whose far end has borrowed: its reads go by the buffers from then on.
task<tcp_pair> connect_borrower() {
    tcp_pair ends = co_await connect_pair();
    co_await send_text(ends.near, "first");
    const std::string first = co_await borrow_some(ends.far);
    CHECK(first == "first");
    co_return ends;
}

task<std::string> get_some(tcp_stream& from, bool borrows) {
    if (borrows) { co_return co_await borrow_some(from); }
    co_return co_await read_some(from, 50);
}

buffer_ring::census census() {
    return executor::current()->use_service<socket_buffers>().ring().count();
}

/// Streams that have borrowed every buffer and give none back.
class hoard {
public:
    task<void> begin() {
        while (held_.size() != buffers) {
            tcp_pair ends = co_await connect_pair();
            co_await send_text(ends.near, "mine");
            auto lent = co_await ends.far.read_borrowed();
            REQUIRE_FALSE(lent.ec);
            held_.push_back(std::move(lent.buffer));
            streams_.push_back(std::move(ends));
        }
    }
    void give_back() { held_.clear(); }

private:
    std::vector<tcp_pair> streams_;
    std::vector<received_buffer> held_;
};

void use_few_buffers(executor& loop) {
    loop.use_service<socket_buffers>().configure({.count = buffers, .size = buffer_size});
}

}  // namespace

FLUXNET_REACTOR_TEST("where others hold every buffer, a stream borrows and reads all the same, in order") {
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        hoard others;
        co_await others.begin();
        CHECK(census().user == buffers);
        co_await send_text(ends.near, text_between(0, 100));
        std::string got;
        for (int i = 0; i < 4; ++i) {
            const std::string lent = co_await borrow_some(ends.far);
            got += lent;
            const std::string read = co_await read_some(ends.far, 9);
            got += read;
        }
        CHECK(got == text_between(0, 4 * (buffer_size + 9)));
        others.give_back();
        CHECK(census().user == 0);
        co_await send_text(ends.near, text_between(100, 150));
        while (got.size() < 150) {
            const auto lent = co_await ends.far.read_borrowed();
            REQUIRE_FALSE(lent.ec);
            CHECK(census().user != 0);  // of the executor's again
            got += text_of(lent.buffer.bytes());
        }
        CHECK(got == text_between(0, 150));
        CHECK(census().user == 0);
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("a stream that waits already gets what comes after others have taken every buffer") {
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        tcp_pair borrows = co_await connect_pair();
        tcp_pair reads = co_await connect_borrower();
        std::string lent;
        std::string read;
        scope waiting;
        waiting.spawn([&]() -> task<void> { lent = co_await borrow_some(borrows.far); });
        waiting.spawn([&]() -> task<void> { read = co_await read_some(reads.far); });
        const wait_result slept = co_await sleep_for(5ms);
        CHECK_FALSE(slept);
        hoard others;
        co_await others.begin();
        co_await send_text(borrows.near, "to borrow");
        co_await send_text(reads.near, "to read, and longer than a buffer is");
        const wait_result ended = co_await waiting.join();
        CHECK_FALSE(ended);
        CHECK(lent == "to borrow");
        CHECK(read == "to read, and longer than a buffer is");
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("a read that was cancelled before it hears that no buffer is free takes nothing") {
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_borrower();
        std::array<std::byte, 16> room{};
        io_result got;
        scope reading;
        reading.spawn([&]() -> task<void> { got = co_await ends.far.read(room); });
        const wait_result slept = co_await sleep_for(5ms);
        CHECK_FALSE(slept);
        hoard others;
        co_await others.begin();
        // So many are ready before the read that its coroutine goes on only after the reactor was asked once more.
        REQUIRE(::send(ends.near.fd(), "second", 6, 0) == 6);
        scope crowd;
        for (int i = 0; i != 600; ++i) {
            crowd.spawn([]() -> task<void> { co_return; }());
        }
        reading.request_stop();
        const wait_result read_ended = co_await reading.join();
        CHECK_FALSE(read_ended);
        CHECK(got.ec == std::errc::operation_canceled);
        CHECK(got.n == 0);
        const wait_result crowd_ended = co_await crowd.join();
        CHECK_FALSE(crowd_ended);
        const std::string second = co_await read_some(ends.far);
        CHECK(second == "second");
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("where all buffers are lent, a stream lends one of its own and then waits for one to come back") {
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        hoard others;
        co_await others.begin();
        co_await send_text(ends.near, text_between(0, 60));
        auto own = co_await timeout(far_too_long, ends.far.read_borrowed());
        REQUIRE_FALSE(own.value.ec);
        CHECK(text_of(own.value.buffer.bytes()) == text_between(0, buffer_size));
        const auto none = co_await timeout(20ms, ends.far.read_borrowed());
        CHECK(none.expired);
        CHECK(none.value.ec == errc::operation_canceled);
        const std::string read = co_await read_some(ends.far, 10);  // needs no buffer
        CHECK(read == text_between(buffer_size, buffer_size + 10));
        const auto still_none = co_await timeout(20ms, ends.far.read_borrowed());
        CHECK(still_none.expired);
        std::thread other([&] { own.value.buffer.reset(); });
        std::string rest;
        while (rest.size() < 60 - buffer_size - 10) {
            const std::string more = co_await borrow_some(ends.far);
            rest += more;
        }
        other.join();
        CHECK(rest == text_between(buffer_size + 10, 60));
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("what a stream has lent of its own outlives the stream and its executor") {
    received_buffer kept;
    {
        executor loop({}, kind);
        use_few_buffers(loop);
        loop.spawn([&]() -> task<void> {
            tcp_pair ends = co_await connect_pair();
            hoard others;
            co_await others.begin();
            co_await send_text(ends.near, "kept");
            auto own = co_await ends.far.read_borrowed();
            REQUIRE_FALSE(own.ec);
            kept = std::move(own.buffer);
        });
        loop.run();
    }
    CHECK(text_of(kept.bytes()) == "kept");
    std::thread([held = std::move(kept)]() mutable { held.reset(); }).join();
}

FLUXNET_REACTOR_TEST("a stream without a buffer is told its end, is cancelled, and is closed, as any other") {
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        hoard others;
        co_await others.begin();
        for (const bool borrows : {true, false}) {
            CAPTURE(borrows);
            tcp_pair first = co_await connect_pair();
            tcp_pair second = co_await connect_pair();
            std::optional<tcp_pair> ends(std::move(first));
            co_await send_text(ends->near, "x");
            const std::string before = co_await borrow_some(ends->far);
            CHECK(before == "x");
            std::array<std::byte, 4> room{};
            std::error_code stopped;
            if (borrows) {
                const auto lent = co_await timeout(5ms, ends->far.read_borrowed());
                stopped = lent.value.ec;
            } else {
                const auto got = co_await timeout(5ms, ends->far.read(room));
                stopped = got.value.ec;
            }
            CHECK(stopped == errc::operation_canceled);
            const wait_result shut = co_await ends->near.shutdown_write();
            CHECK_FALSE(shut);
            const std::string at_end = co_await get_some(ends->far, borrows);
            CHECK(at_end == make_error_code(errc::end_of_stream).message());

            ends.emplace(std::move(second));
            co_await send_text(ends->near, "x");
            const std::string again = co_await borrow_some(ends->far);
            CHECK(again == "x");
            std::string closed;
            scope waiting;
            waiting.spawn([&]() -> task<void> { closed = co_await get_some(ends->far, borrows); });
            const wait_result slept = co_await sleep_for(5ms);
            CHECK_FALSE(slept);
            ends.reset();
            const wait_result ended = co_await waiting.join();
            CHECK_FALSE(ended);
            CHECK(closed == make_error_code(errc::closed).message());
        }
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("bytes stay in order while others take and return every buffer") {
    constexpr std::size_t total = 40'000;
    executor loop({}, kind);
    use_few_buffers(loop);
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        bool over = false;
        scope beside;
        beside.spawn([&]() -> task<void> {
            for (std::size_t at = 0; at < total; at += 400) { co_await send_text(ends.near, text_between(at, at + 400)); }
        });
        beside.spawn([&]() -> task<void> {
            while (!over) {
                hoard others;
                co_await others.begin();
                const wait_result slept = co_await sleep_for(1ms);
                CHECK_FALSE(slept);
            }
        });
        std::string got;
        while (got.size() < total) {
            const std::string more = co_await get_some(ends.far, got.size() / 1000 % 3 != 0);
            got += more;
        }
        over = true;
        const wait_result ended = co_await beside.join();
        CHECK_FALSE(ended);
        CHECK(got == text_between(0, total));
        CHECK(census().user == 0);
    });
    loop.run();
}

TEST_CASE("a stream that nobody reads keeps no more than its share of the buffers") {
    executor loop;
    loop.spawn([&]() -> task<void> {
        loop.use_service<socket_buffers>().configure({.count = 256, .size = 64});
        tcp_pair ends = co_await connect_pair();
        co_await send_text(ends.near, "x");
        {
            const auto first = co_await ends.far.read_borrowed();
            CHECK(first.buffer.size() == 1);
        }
        std::string sent(100'000, ' ');
        for (std::size_t i = 0; i < sent.size(); ++i) { sent[i] = static_cast<char>('a' + i % 23); }
        // In pieces with turns between them: what lies in the socket at once may all be received before a cancel takes
        // effect.
        for (std::size_t at = 0; at < sent.size(); at += 1000) {
            co_await send_text(ends.near, sent.substr(at, 1000));
            const std::error_code slept = co_await sleep_for(100us);
            CHECK_FALSE(slept);
        }
        const buffer_ring::census count = loop.use_service<socket_buffers>().ring().count();
        CHECK(count.user < 128);
        const std::error_code shut = co_await ends.near.shutdown_write();
        CHECK_FALSE(shut);
        std::string got;
        for (;;) {
            const auto lent = co_await ends.far.read_borrowed();
            if (lent.ec) { break; }
            got += text_of(lent.buffer.bytes());
        }
        CHECK(got == sent);
    });
    loop.run();
}

TEST_CASE("the buffers of an executor are configured before they are used, or not at all") {
    executor loop;
    auto& shared = loop.use_service<socket_buffers>();
    CHECK_THROWS_AS(shared.configure({.count = 0}), std::invalid_argument);
    shared.configure({.count = 4, .size = 64});
    CHECK_THROWS_AS(shared.configure({.count = 8, .size = 64}), std::logic_error);
}
