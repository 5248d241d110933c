// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_STREAM_STOP_CONFORMANCE(model, label)`: the test cases that every model of `stream` passes about awaits that are
// cancelled, that have a time limit, or that come second. See conformance.hpp.
#pragma once

#include "tests/runtime/conformance.hpp"
#include "tests/runtime/stream_conformance.hpp"

namespace fluxnet::test::conformance {

/// Sends the bytes from one position up to another.
template <class Stream>
task<void> send_between(Stream& into, std::size_t from, std::size_t to) {
    const std::vector<std::byte> bytes = bytes_between(from, to);
    const io_result sent = co_await into.write(bytes);
    CHECK(!sent.ec);
    CHECK(sent.n == bytes.size());
}

template <class Model>
task<void> read_with_limit(Model& model) {
    auto both = co_await connected(model);
    std::array<std::byte, 100> room{};
    const timed<io_result> late = co_await timeout(a_little, both.far.read(room));
    CHECK(late.expired);
    CHECK(late.value.ec == errc::operation_canceled);
    CHECK(late.value.n == 0);
    const timed<io_result> passed = co_await fluxnet::deadline(model.loop().now() - a_little, both.far.read(room));
    CHECK(passed.expired);
    CHECK(passed.value.n == 0);
    co_await send_between(both.near, 0, 1000);
    const timed<io_result> early = co_await timeout(std::chrono::minutes(5), both.far.read(room));
    CHECK(!early.expired);
    REQUIRE(early.value.n >= 1);
    CHECK(are_bytes_from(0, std::span(room).first(early.value.n)));
    const io_result rest = co_await read_between(both.far, early.value.n, 1000);
    CHECK(!rest.ec);
}

template <class Model>
task<void> write_with_limit(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    const timed<io_result> first = co_await timeout(4 * a_little, both.near.write(large));
    CHECK(first.expired);
    CHECK(first.value.ec == errc::operation_canceled);
    REQUIRE(first.value.n < large.size());
    const io_result got = co_await read_between(both.far, 0, first.value.n);  // what it says was taken has arrived
    CHECK(!got.ec);
    CHECK(got.n == first.value.n);
    // And nothing more: the next write goes on from there.
    co_await send_between(both.near, first.value.n, first.value.n + 1000);
    const wait_result ended = co_await both.near.shutdown_write();
    CHECK(!ended);
    const std::size_t rest = co_await read_to_end(both.far, first.value.n);
    CHECK(rest == 1000);
}

template <class Model>
task<void> stopped_read(Model& model) {
    for (const moment when : moments) {
        auto both = co_await connected(model);
        std::array<std::byte, 100> room{};
        io_result stopped{errc::not_awaitable, 0};
        const auto reading = [&]() -> task<void> { stopped = co_await both.far.read(room); };
        co_await stop_at(when, reading(), [&] { return send_between(both.near, 0, 1000); });
        if (when != moment::as_it_ends) {
            CHECK(stopped.ec == errc::operation_canceled);
            CHECK(stopped.n == 0);
            co_await send_between(both.near, 0, 1000);
        }
        const bool canceled = stopped.ec == errc::operation_canceled;
        const bool told = canceled || (!stopped.ec && stopped.n != 0);
        CHECK(told);
        CHECK(are_bytes_from(0, std::span(room).first(stopped.n)));
        const io_result rest = co_await read_between(both.far, stopped.n, 1000);  // nothing is lost
        CHECK(!rest.ec);
    }
}

template <class Model>
task<void> stopped_borrow(Model& model) {
    for (const moment when : moments) {
        auto both = co_await connected(model);
        std::error_code ended;
        std::size_t lent_bytes = 0;
        const auto reading = [&]() -> task<void> {
            const auto lent = co_await both.far.read_borrowed();
            ended = lent.ec;
            lent_bytes = lent.buffer.bytes().size();
            CHECK(are_bytes_from(0, lent.buffer.bytes()));
        };
        co_await stop_at(when, reading(), [&] { return send_between(both.near, 0, 1000); });
        if (when != moment::as_it_ends) {
            CHECK(ended == errc::operation_canceled);
            co_await send_between(both.near, 0, 1000);
        }
        CHECK((ended == errc::operation_canceled) == (lent_bytes == 0));
        const io_result rest = co_await read_between(both.far, lent_bytes, 1000);
        CHECK(!rest.ec);
    }
}

template <class Model>
task<void> stopped_write(Model& model) {
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    for (const moment when : moments) {
        auto both = co_await connected(model);
        io_result stopped{errc::not_awaitable, 0};
        std::size_t got = 0;
        const auto writing = [&]() -> task<void> { stopped = co_await both.near.write(large); };
        co_await stop_at(when, writing(), [&]() -> task<void> {
            const io_result some = co_await read_between(both.far, 0, 5000);
            got = some.n;
        });
        CHECK(stopped.ec == errc::operation_canceled);
        REQUIRE(stopped.n < large.size());
        REQUIRE(got <= stopped.n);
        scope ending;  // beside the reader: some streams first send the rest of a piece
        ending.spawn([&]() -> task<void> {
            const wait_result ended = co_await both.near.shutdown_write();
            CHECK(!ended);
        });
        const std::size_t rest = co_await read_to_end(both.far, got);
        CHECK(got + rest == stopped.n);  // what was taken arrives, and nothing else
        const wait_result joined = co_await ending.join();
        CHECK(!joined);
    }
}

template <class Model>
task<void> second_reader(Model& model) {
    auto both = co_await connected(model);
    std::array<std::byte, 100> room{};
    std::array<std::byte, 100> other_room{};
    io_result first;
    scope reading;
    reading.spawn([&]() -> task<void> { first = co_await both.far.read(room); });
    static_cast<void>(co_await sleep_for(a_little));
    const io_result second = co_await both.far.read(other_room);
    CHECK(second.ec == errc::handle_in_use);
    CHECK(second.n == 0);
    const auto third = co_await both.far.read_borrowed();
    CHECK(third.ec == errc::handle_in_use);
    // It may write, and be written to.
    co_await send_between(both.far, 0, 10);
    co_await send_between(both.near, 0, 10);
    const wait_result ended = co_await reading.join();
    CHECK(!ended);
    CHECK(!first.ec);
    const io_result rest = co_await read_between(both.far, first.n, 10);  // the place is free again
    CHECK(!rest.ec);
}

template <class Model>
task<void> second_writer(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    io_result first;
    scope writing;
    writing.spawn([&]() -> task<void> { first = co_await both.near.write(large); });
    static_cast<void>(co_await sleep_for(a_little));
    const io_result second = co_await both.near.write(std::span(large).first(10));
    CHECK(second.ec == errc::handle_in_use);
    CHECK(second.n == 0);
    const io_result got = co_await read_between(both.far, 0, large.size());
    CHECK(!got.ec);
    const wait_result ended = co_await writing.join();
    CHECK(!ended);
    CHECK(!first.ec);
    co_await send_between(both.near, large.size(), large.size() + 10);
    const io_result rest = co_await read_between(both.far, large.size(), large.size() + 10);
    CHECK(!rest.ec);
}

template <class Model>
task<void> waiter_is_destroyed(Model& model) {
    auto both = co_await connected(model);
    const std::vector<std::byte> large = bytes_between(0, more_than_fits);
    {
        scope waiting;  // destroys its children as it goes, while they wait
        waiting.spawn([&]() -> task<void> {
            std::array<std::byte, 10> room{};
            static_cast<void>(co_await both.near.read(room));
        });
        waiting.spawn([&]() -> task<void> { static_cast<void>(co_await both.near.write(large)); });
        static_cast<void>(co_await sleep_for(a_little));
    }
    const wait_result ended = co_await both.near.shutdown_write();
    CHECK(!ended);
    const std::size_t got = co_await read_to_end(both.far);  // intact as far as it was taken
    CHECK(got < large.size());
    co_await send_between(both.far, 0, 10);
    const io_result answer = co_await read_between(both.near, 0, 10);
    CHECK(!answer.ec);
}

}  // namespace fluxnet::test::conformance

#define FLUXNET_STREAM_STOP_CONFORMANCE(model, label)                                                                    \
    FLUXNET_CONFORMANCE_CASE(model, label, "a time limit ends a read and nothing is lost", read_with_limit)              \
    FLUXNET_CONFORMANCE_CASE(model, label, "a time limit ends a write to a slow reader and what it took arrives",        \
                             write_with_limit)                                                                           \
    FLUXNET_CONFORMANCE_CASE(model, label, "a read is cancelled at any moment and nothing is lost", stopped_read)        \
    FLUXNET_CONFORMANCE_CASE(model, label, "a borrowing read is cancelled at any moment and nothing is lost",            \
                             stopped_borrow)                                                                             \
    FLUXNET_CONFORMANCE_CASE(model, label, "a write is cancelled at any moment and what it took arrives", stopped_write) \
    FLUXNET_CONFORMANCE_CASE(model, label, "a second reader is refused and the first goes on", second_reader)            \
    FLUXNET_CONFORMANCE_CASE(model, label, "a second writer is refused and the first goes on", second_writer)            \
    FLUXNET_CONFORMANCE_CASE(model, label, "coroutines that wait for a stream are destroyed and it goes on",             \
                             waiter_is_destroyed)
