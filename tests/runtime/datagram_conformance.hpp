// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_DATAGRAM_CONFORMANCE(model, label)`: the test cases that every model of `datagram_socket` passes, on a network
// that loses nothing. See conformance.hpp.
#pragma once

#include "tests/runtime/stream_conformance.hpp"

namespace fluxnet::test::conformance {

/// Sends one datagram: the bytes from a position on.
template <class Socket>
task<void> send_datagram(Socket& from, proto::ip_endpoint to, std::size_t position, std::size_t size) {
    const std::vector<std::byte> bytes = bytes_between(position, position + size);
    const io_result sent = co_await from.send_to(bytes, to);
    CHECK(!sent.ec);
    CHECK(sent.n == size);
}

/// Receives one that must be that.
template <class Socket>
task<void> expect_datagram(Socket& at, proto::ip_endpoint from, std::size_t position, std::size_t size) {
    std::vector<std::byte> room(2000);
    const datagram_result got = co_await at.recv_from(room);
    CHECK(!got.ec);
    CHECK(got.n == size);
    CHECK(got.size == size);
    CHECK(got.from == from);
    CHECK(are_bytes_from(position, std::span(room).first(got.n)));
}

template <class Model>
task<void> datagram_boundaries(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    for (const std::size_t size : {1U, 100U, 1000U, 7U}) { co_await send_datagram(near, far.local_endpoint(), size, size); }
    for (const std::size_t size : {1U, 100U, 1000U, 7U}) {
        co_await expect_datagram(far, near.local_endpoint(), size, size);
    }
    co_await send_datagram(far, near.local_endpoint(), 5, 50);
    co_await expect_datagram(near, far.local_endpoint(), 5, 50);
}

template <class Model>
task<void> empty_datagram(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    co_await send_datagram(near, far.local_endpoint(), 0, 0);
    co_await send_datagram(near, far.local_endpoint(), 3, 30);
    co_await expect_datagram(far, near.local_endpoint(), 0, 0);
    co_await expect_datagram(far, near.local_endpoint(), 3, 30);
}

template <class Model>
task<void> no_room(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    const datagram_result early = co_await far.recv_from({});
    CHECK(!early.ec);
    CHECK(early.n == 0);
    co_await send_datagram(near, far.local_endpoint(), 4, 40);
    const datagram_result none = co_await far.recv_from({});
    CHECK(!none.ec);
    CHECK(none.n == 0);
    co_await expect_datagram(far, near.local_endpoint(), 4, 40);
}

template <class Model>
task<void> large_datagram(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    co_await send_datagram(near, far.local_endpoint(), 0, 1000);
    co_await send_datagram(near, far.local_endpoint(), 9, 90);
    std::array<std::byte, 100> room{};
    const datagram_result cut = co_await far.recv_from(room);
    CHECK(cut.ec == std::errc::message_size);
    CHECK(cut.n == room.size());
    CHECK(cut.size == 1000);
    CHECK(cut.from == near.local_endpoint());
    CHECK(are_bytes_from(0, room));
    co_await expect_datagram(far, near.local_endpoint(), 9, 90);  // its rest is gone
    const std::vector<std::byte> too_large = bytes_between(0, 70'000);
    const io_result refused = co_await near.send_to(too_large, far.local_endpoint());
    CHECK(refused.ec == std::errc::message_size);
    CHECK(refused.n == 0);
}

template <class Model>
task<void> two_senders(Model& model) {
    auto one = model.make_socket();
    auto other = model.make_socket();
    auto far = model.make_socket();
    constexpr std::size_t count = 40;
    for (std::size_t i = 0; i != count; ++i) {
        co_await send_datagram(one, far.local_endpoint(), i, i);
        co_await send_datagram(other, far.local_endpoint(), i, 100 + i);
    }
    std::size_t from_one = 0;
    std::size_t from_other = 0;
    std::array<std::byte, 1000> room{};
    for (std::size_t i = 0; i != 2 * count; ++i) {
        const datagram_result got = co_await far.recv_from(room);
        CHECK(!got.ec);
        if (got.from == one.local_endpoint()) {
            CHECK(got.n == from_one++);
        } else {
            CHECK(got.from == other.local_endpoint());
            CHECK(got.n == 100 + from_other++);
        }
    }
    CHECK(from_one == count);
    CHECK(from_other == count);
}

template <class Model>
task<void> stopped_receive(Model& model) {
    for (const moment when : moments) {
        auto near = model.make_socket();
        auto far = model.make_socket();
        std::array<std::byte, 1000> room{};
        datagram_result stopped;
        const auto receiving = [&]() -> task<void> { stopped = co_await far.recv_from(room); };
        co_await stop_at(when, receiving(), [&] { return send_datagram(near, far.local_endpoint(), 1, 100); });
        if (when != moment::as_it_ends) {
            CHECK(stopped.ec == errc::operation_canceled);
            co_await send_datagram(near, far.local_endpoint(), 1, 100);
        }
        if (stopped.ec) {
            CHECK(stopped.ec == errc::operation_canceled);
            CHECK(stopped.n == 0);
            co_await expect_datagram(far, near.local_endpoint(), 1, 100);
        } else {
            CHECK(stopped.n == 100);
        }
    }
}

template <class Model>
task<void> second_receiver(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    scope first;
    first.spawn(expect_datagram(far, near.local_endpoint(), 0, 10));
    static_cast<void>(co_await sleep_for(a_little));
    std::array<std::byte, 10> room{};
    const datagram_result second = co_await far.recv_from(room);
    CHECK(second.ec == errc::handle_in_use);
    co_await send_datagram(near, far.local_endpoint(), 0, 10);
    const wait_result ended = co_await first.join();
    CHECK(!ended);
}

template <class Model>
task<void> many_senders(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    constexpr std::size_t count = 50;
    scope senders;
    for (std::size_t i = 0; i != count; ++i) { senders.spawn(send_datagram(near, far.local_endpoint(), i, 20)); }
    std::vector<bool> came(count);
    for (std::size_t i = 0; i != count; ++i) {
        std::array<std::byte, 20> room{};
        const datagram_result got = co_await far.recv_from(room);
        CHECK(got.n == room.size());
        for (std::size_t place = 0; place != count; ++place) {
            if (are_bytes_from(place, std::span<const std::byte>(room))) { came[place] = true; }
        }
    }
    CHECK(std::ranges::count(came, true) == count);
    const wait_result ended = co_await senders.join();
    CHECK(!ended);
}

template <class Model>
task<void> no_receiver(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    for (int i = 0; i != 3; ++i) {
        const std::vector<std::byte> bytes = bytes_between(0, 10);
        const io_result sent = co_await near.send_to(bytes, model.nobody());  // may be told, need not
        const bool told = !sent.ec || sent.ec == std::errc::connection_refused;
        CHECK(told);
    }
    co_await send_datagram(near, far.local_endpoint(), 0, 20);
    co_await expect_datagram(far, near.local_endpoint(), 0, 20);
}

template <class Model>
task<void> moved_from_socket(Model& model) {
    auto near = model.make_socket();
    auto far = model.make_socket();
    auto moved = std::move(near);
    std::array<std::byte, 10> room{};
    for (const std::size_t size : {std::size_t{0}, room.size()}) {
        const datagram_result got = co_await near.recv_from(std::span(room).first(size));
        CHECK(got.ec == errc::closed);
        const io_result sent = co_await near.send_to(std::span(room).first(size), far.local_endpoint());
        CHECK(sent.ec == errc::closed);
        CHECK(sent.n == 0);
    }
    CHECK(near.local_endpoint() == proto::ip_endpoint());
    co_await send_datagram(moved, far.local_endpoint(), 1, 100);
    co_await expect_datagram(far, moved.local_endpoint(), 1, 100);
}

}  // namespace fluxnet::test::conformance

#define FLUXNET_DATAGRAM_CONFORMANCE(model, label)                                                                          \
    FLUXNET_CONFORMANCE_CASE(model, label, "each datagram arrives whole and by itself", datagram_boundaries)                \
    FLUXNET_CONFORMANCE_CASE(model, label, "an empty datagram arrives", empty_datagram)                                     \
    FLUXNET_CONFORMANCE_CASE(model, label, "an empty span takes no datagram", no_room)                                      \
    FLUXNET_CONFORMANCE_CASE(model, label, "a datagram that is larger than the span is told with its size", large_datagram) \
    FLUXNET_CONFORMANCE_CASE(model, label, "the datagrams of each of two senders keep their order", two_senders)            \
    FLUXNET_CONFORMANCE_CASE(model, label, "a receive is cancelled at any moment and no datagram is lost", stopped_receive) \
    FLUXNET_CONFORMANCE_CASE(model, label, "a second receiver is refused and the first goes on", second_receiver)           \
    FLUXNET_CONFORMANCE_CASE(model, label, "any number of coroutines send at once", many_senders)                           \
    FLUXNET_CONFORMANCE_CASE(model, label, "datagrams to nobody do no harm", no_receiver)                                   \
    FLUXNET_CONFORMANCE_CASE(model, label, "a socket that was moved from is closed", moved_from_socket)
