// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_STREAM_CONFORMANCE(model, label)`: the test cases that every model of `stream` passes. See conformance.hpp.
#pragma once

#include "tests/runtime/conformance.hpp"

namespace fluxnet::test::conformance {

/// Sends the bytes up to `total` in pieces of random sizes, and ends the direction.
template <class Stream>
task<void> send_pieces(Stream& into, std::size_t total, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::size_t at = 0;
    while (at != total) {
        const std::size_t size = std::min<std::size_t>(total - at, 1 + random() % (random() % 4 == 0 ? 100'000 : 300));
        const std::vector<std::byte> piece = bytes_between(at, at + size);
        const io_result sent = co_await into.write(piece);
        REQUIRE(!sent.ec);
        REQUIRE(sent.n == size);
        at += size;
    }
    const wait_result ended = co_await into.shutdown_write();
    CHECK(!ended);
}

/// Receives them likewise, to the end.
template <class Stream>
task<void> receive_pieces(Stream& from, std::size_t total, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> piece(100'000);
    std::size_t at = 0;
    for (;;) {
        const std::size_t size = 1 + random() % (random() % 4 == 0 ? piece.size() : 300);
        const io_result got = co_await from.read(std::span(piece).first(size));
        if (got.ec) {
            CHECK(got.ec == errc::end_of_stream);
            CHECK(got.n == 0);
            break;
        }
        REQUIRE(got.n >= 1);
        REQUIRE(got.n <= size);
        const bool intact = are_bytes_from(at, std::span(piece).first(got.n));
        REQUIRE(intact);
        at += got.n;
    }
    CHECK(at == total);
}

template <class Model>
task<void> order_of_bytes(Model& model) {
    for (const std::size_t total : {1U, 2U, 100U, 4096U, 65'536U, 65'537U, 1'048'576U}) {
        auto both = co_await connected(model);
        scope four;
        four.spawn(send_pieces(both.near, total, 1));
        four.spawn(send_pieces(both.far, total, 2));
        four.spawn(receive_pieces(both.near, total, 3));
        four.spawn(receive_pieces(both.far, total, 4));
        const wait_result ended = co_await four.join();
        CHECK(!ended);
    }
}

template <class Model>
task<void> partial_transfers(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> ten = bytes_between(0, 10);
    const io_result sent = co_await both.near.write(ten);
    CHECK(!sent.ec);
    CHECK(sent.n == 10);
    std::array<std::byte, 1000> room{};
    const io_result some = co_await both.far.read(std::span(room).first(4));
    CHECK(!some.ec);
    CHECK(some.n >= 1);
    CHECK(some.n <= 4);
    std::size_t at = some.n;
    while (at != 10) {  // a read does not wait for its span to be full
        const io_result rest = co_await both.far.read(std::span(room).subspan(at));
        REQUIRE(!rest.ec);
        REQUIRE(rest.n >= 1);
        REQUIRE(rest.n <= 10 - at);
        at += rest.n;
    }
    CHECK(are_bytes_from(0, std::span(room).first(10)));
    // A write that is larger than what the stream holds completes when a reader has made room for all of it.
    std::vector<std::byte> large = bytes_between(0, more_than_fits);
    scope reading;
    reading.spawn([&]() -> task<void> {
        const io_result got = co_await read_between(both.far, 0, more_than_fits);
        CHECK(!got.ec);
    });
    const io_result all = co_await both.near.write(large);
    CHECK(!all.ec);
    CHECK(all.n == more_than_fits);
    const wait_result ended = co_await reading.join();
    CHECK(!ended);
}

template <class Model>
task<void> zero_length(Model& model) {
    auto both = co_await connected(model);
    const io_result nothing_there = co_await both.far.read({});
    CHECK(!nothing_there.ec);
    CHECK(nothing_there.n == 0);
    const io_result nothing_sent = co_await both.near.write({});
    CHECK(!nothing_sent.ec);
    CHECK(nothing_sent.n == 0);
    const std::vector<std::byte> three = bytes_between(0, 3);
    const io_result sent = co_await both.near.write(three);
    CHECK(sent.n == 3);
    static_cast<void>(co_await sleep_for(a_little));
    const io_result none = co_await both.far.read({});
    CHECK(!none.ec);
    CHECK(none.n == 0);
    const io_result got = co_await read_between(both.far, 0, 3);
    CHECK(!got.ec);
}

template <class Model>
task<void> half_close(Model& model) {
    for (const bool turned : {false, true}) {
        auto both = co_await connected(model);
        auto& first = turned ? both.far : both.near;
        auto& second = turned ? both.near : both.far;
        const std::vector<std::byte> request = bytes_between(0, 1000);
        const io_result asked = co_await first.write(request);
        CHECK(!asked.ec);
        const wait_result ended = co_await first.shutdown_write();
        CHECK(!ended);
        const std::size_t heard = co_await read_to_end(second);
        CHECK(heard == 1000);
        scope answering;
        answering.spawn(send_pieces(second, 200'000, 5));
        const std::size_t answer = co_await read_to_end(first);
        CHECK(answer == 200'000);
        const wait_result joined = co_await answering.join();
        CHECK(!joined);
        const io_result too_late = co_await first.write(request);
        CHECK(too_late.ec == std::errc::broken_pipe);
        CHECK(too_late.n == 0);
    }
}

template <class Model>
task<void> end_stays(Model& model) {
    auto both = co_await connected(model);
    const wait_result ended = co_await both.near.shutdown_write();
    CHECK(!ended);
    std::array<std::byte, 8> room{};
    for (int i = 0; i != 3; ++i) {
        const io_result got = co_await both.far.read(room);
        CHECK(got.ec == errc::end_of_stream);
        CHECK(got.n == 0);
        const auto lent = co_await both.far.read_borrowed();
        CHECK(lent.ec == errc::end_of_stream);
        CHECK(lent.buffer.bytes().empty());
    }
}

template <class Model>
task<void> unread_resets(Model& model) {
    for (const bool waits : {false, true}) {
        auto both = co_await connected(model);
        const std::vector<std::byte> ten = bytes_between(0, 10);
        const io_result sent = co_await both.near.write(ten);
        CHECK(sent.n == 10);
        std::byte first{};
        const io_result one = co_await both.far.read(std::span(&first, 1));
        REQUIRE(one.n == 1);
        scope reading;
        const auto read = [&]() -> task<void> {
            std::array<std::byte, 8> room{};
            const io_result got = co_await both.near.read(room);
            CHECK(got.ec == std::errc::connection_reset);
            CHECK(got.n == 0);
        };
        if (waits) {
            reading.spawn(read());
            static_cast<void>(co_await sleep_for(a_little));
        }
        { const auto gone = std::move(both.far); }
        if (!waits) { reading.spawn(read()); }
        const wait_result ended = co_await reading.join();
        CHECK(!ended);
        const io_result more = co_await both.near.write(ten);
        CHECK(more.ec);
    }
}

template <class Model>
task<void> write_after_close(Model& model) {
    auto both = co_await connected(model);
    { const auto gone = std::move(both.far); }
    const std::vector<std::byte> ten = bytes_between(0, 10);
    io_result sent;
    // The first ones may be taken: only the answer to them tells that nobody is there.
    for (int i = 0; i != 1000 && !sent.ec; ++i) {
        sent = co_await both.near.write(ten);
        static_cast<void>(co_await sleep_for(a_little));
    }
    CHECK(sent.ec == std::errc::connection_reset);
    const io_result again = co_await both.near.write(ten);
    CHECK(again.ec == std::errc::connection_reset);
    CHECK(again.n == 0);
}

template <class Model>
task<void> peer_goes_while_written_to(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    scope writing;
    writing.spawn([&]() -> task<void> {
        const io_result sent = co_await both.near.write(large);
        CHECK(sent.ec == std::errc::connection_reset);
        CHECK(sent.n < large.size());
    });
    const io_result some = co_await read_between(both.far, 0, 100);
    CHECK(!some.ec);
    { const auto gone = std::move(both.far); }
    const wait_result ended = co_await writing.join();
    CHECK(!ended);
}

template <class Model>
task<void> closed_in_one_turn(Model& model) {
    const std::vector<std::byte> ten = bytes_between(0, 10);
    for (int round = 0; round != 16; ++round) {
        auto both = co_await connected(model);
        if ((round & 1) != 0) { static_cast<void>(co_await both.near.write(ten)); }
        if ((round & 2) != 0) { static_cast<void>(co_await both.far.write(ten)); }
        if ((round & 4) != 0) { static_cast<void>(co_await sleep_for(a_little)); }
        if ((round & 8) != 0) { std::swap(both.near, both.far); }
    }
    // Both ends are told at once, and both wait.
    auto both = co_await connected(model);
    scope readers;
    readers.spawn([&]() -> task<void> {
        const std::size_t got = co_await read_to_end(both.near);
        CHECK(got == 0);
    });
    readers.spawn([&]() -> task<void> {
        const std::size_t got = co_await read_to_end(both.far);
        CHECK(got == 0);
    });
    static_cast<void>(co_await sleep_for(a_little));
    const wait_result one = co_await both.near.shutdown_write();
    const wait_result other = co_await both.far.shutdown_write();
    CHECK(!one);
    CHECK(!other);
    const wait_result ended = co_await readers.join();
    CHECK(!ended);
}

template <class Model>
task<void> slow_reader(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    std::size_t sent = 0;
    scope writing;
    writing.spawn([&]() -> task<void> {
        const io_result put = co_await both.near.write(large);
        sent = put.n;
        const wait_result ended = co_await both.near.shutdown_write();
        CHECK(!ended);
    });
    static_cast<void>(co_await sleep_for(20 * a_little));
    CHECK(sent == 0);  // it waits: the stream does not hold all that
    const std::size_t got = co_await read_to_end(both.far);
    CHECK(got == large.size());
    const wait_result ended = co_await writing.join();
    CHECK(!ended);
    CHECK(sent == large.size());
}

template <class Model>
task<void> lent_bytes_stay(Model& model) {
    auto both = co_await connected(model);
    using lent_type = decltype(fluxnet::detail::awaiter_of(both.far.read_borrowed()).await_resume().buffer);
    std::vector<lent_type> kept;
    const std::vector<std::byte> all = bytes_between(0, 3000);
    std::size_t there = 0;
    scope writing;
    writing.spawn([&]() -> task<void> {
        const io_result sent = co_await both.near.write(all);
        CHECK(sent.n == all.size());
    });
    while (there != all.size()) {
        auto lent = co_await both.far.read_borrowed();
        REQUIRE(!lent.ec);
        REQUIRE(!lent.buffer.bytes().empty());
        there += lent.buffer.bytes().size();
        kept.push_back(std::move(lent.buffer));
    }
    const wait_result ended = co_await writing.join();
    CHECK(!ended);
    { const auto gone = std::move(both.far); }
    { const auto gone = std::move(both.near); }
    std::size_t at = 0;
    for (const lent_type& each : kept) {
        CHECK(are_bytes_from(at, each.bytes()));
        at += each.bytes().size();
    }
    CHECK(at == all.size());
}

template <class Model>
task<void> mixed_reads(Model& model) {
    auto both = co_await connected(model);
    constexpr std::size_t total = 300'000;
    scope writing;
    writing.spawn(send_pieces(both.near, total, 7));
    std::vector<std::byte> room(5000);
    std::mt19937_64 random(8);
    std::size_t at = 0;
    for (;;) {
        std::error_code ended;
        if (random() % 2 == 0) {
            const io_result got = co_await both.far.read(std::span(room).first(1 + random() % room.size()));
            const bool intact = are_bytes_from(at, std::span(room).first(got.n));
            REQUIRE(intact);
            at += got.n;
            ended = got.ec;
        } else {
            const auto lent = co_await both.far.read_borrowed();
            const bool intact = are_bytes_from(at, lent.buffer.bytes());
            REQUIRE(intact);
            at += lent.buffer.bytes().size();
            ended = lent.ec;
        }
        if (!ended) { continue; }
        CHECK(ended == errc::end_of_stream);
        break;
    }
    CHECK(at == total);
    const wait_result joined = co_await writing.join();
    CHECK(!joined);
}

/// What was moved from is closed: nothing of it waits, and nothing crashes.
template <class Model>
task<void> moved_from_stream(Model& model) {
    auto both = co_await connected(model);
    auto moved = std::move(both.near);
    std::array<std::byte, 10> room{};
    for (const std::size_t size : {std::size_t{0}, room.size()}) {
        const io_result got = co_await both.near.read(std::span(room).first(size));
        CHECK(got.ec == errc::closed);
        CHECK(got.n == 0);
        const io_result sent = co_await both.near.write(std::span(room).first(size));
        CHECK(sent.ec == errc::closed);
        CHECK(sent.n == 0);
    }
    {
        auto lent = co_await both.near.read_borrowed();
        CHECK(lent.ec == errc::closed);
    }
    const wait_result ended = co_await both.near.shutdown_write();
    CHECK(ended == errc::closed);
    if constexpr (requires { both.near.fd(); }) { CHECK(both.near.fd() == -1); }
    if constexpr (requires { both.near.local_endpoint(); }) {
        CHECK(both.near.local_endpoint() == proto::ip_endpoint());
        CHECK(both.near.remote_endpoint() == proto::ip_endpoint());
    }
    if constexpr (requires { both.near.release(); }) { CHECK_FALSE(both.near.release()); }
    const std::vector<std::byte> hundred = bytes_between(0, 100);
    const io_result sent = co_await moved.write(hundred);
    CHECK(!sent.ec);
    both.near = std::move(moved);
    const io_result more = co_await both.near.write(hundred);
    CHECK(!more.ec);
    for (int twice = 0; twice != 2; ++twice) {
        const io_result got = co_await read_between(both.far, 0, 100);
        CHECK(!got.ec);
    }
}

}  // namespace fluxnet::test::conformance

#define FLUXNET_CONFORMANCE_CASE(model, label, text, body)                                    \
    TEST_CASE(label ": " text) {                                                              \
        fluxnet::test::conformance::run_case<model>(fluxnet::test::conformance::body<model>); \
    }

#define FLUXNET_STREAM_CONFORMANCE(model, label)                                                                       \
    FLUXNET_CONFORMANCE_CASE(model, label, "bytes arrive in order in both directions at once", order_of_bytes)         \
    FLUXNET_CONFORMANCE_CASE(model, label, "a read gives what is there and a write ends when all was taken",           \
                             partial_transfers)                                                                        \
    FLUXNET_CONFORMANCE_CASE(model, label, "a transfer of no bytes completes at once and takes nothing", zero_length)  \
    FLUXNET_CONFORMANCE_CASE(model, label, "a direction ends while the other goes on", half_close)                     \
    FLUXNET_CONFORMANCE_CASE(model, label, "the end of a stream is told as often as it is asked for", end_stays)       \
    FLUXNET_CONFORMANCE_CASE(model, label, "a stream that is closed with unread bytes resets its peer", unread_resets) \
    FLUXNET_CONFORMANCE_CASE(model, label, "a write to a peer that has gone ends with an error", write_after_close)    \
    FLUXNET_CONFORMANCE_CASE(model, label, "a write that waits ends when its peer goes", peer_goes_while_written_to)   \
    FLUXNET_CONFORMANCE_CASE(model, label, "both ends are closed in one turn", closed_in_one_turn)                     \
    FLUXNET_CONFORMANCE_CASE(model, label, "a writer waits for a slow reader", slow_reader)                            \
    FLUXNET_CONFORMANCE_CASE(model, label, "lent bytes stay when both streams have gone", lent_bytes_stay)             \
    FLUXNET_CONFORMANCE_CASE(model, label, "reads with and without a copy keep the order", mixed_reads)                \
    FLUXNET_CONFORMANCE_CASE(model, label, "a stream that was moved from is closed", moved_from_stream)
