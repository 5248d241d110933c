// SPDX-License-Identifier: BSD-3-Clause
// `FLUXNET_LISTENER_CONFORMANCE(model, label)`: the test cases that every model of `listener` passes. See conformance.hpp.
#pragma once

#include "tests/runtime/stream_stop_conformance.hpp"

#include <optional>

namespace fluxnet::test::conformance {

/// Connects, and sends a number of bytes.
template <class Model>
task<void> call(Model& model, const typename Model::listener_type& door, std::size_t bytes) {
    auto made = co_await model.connect(door);
    REQUIRE(made.has_value());
    co_await send_between(*made, 0, bytes);
    const wait_result ended = co_await made->shutdown_write();
    CHECK(!ended);
    const std::size_t answer = co_await read_to_end(*made);
    CHECK(answer == bytes);
}

/// Sends back what comes, and notes how many bytes that were.
template <class Stream>
task<void> answer(Stream peer, std::size_t& heard) {
    heard = co_await read_to_end(peer);
    co_await send_between(peer, 0, heard);
}

template <class Model>
task<void> many_connections(Model& model) {
    constexpr std::size_t count = 200;
    typename Model::listener_type door = model.make_listener();
    std::vector<std::size_t> heard(count);
    scope all;
    for (std::size_t i = 0; i != count; ++i) { all.spawn(call(model, door, i + 1)); }
    for (std::size_t i = 0; i != count; ++i) {
        auto peer = co_await door.accept();
        REQUIRE(peer.has_value());
        all.spawn(answer(std::move(*peer), heard[i]));
    }
    const wait_result ended = co_await all.join();
    CHECK(!ended);
    std::sort(heard.begin(), heard.end());
    for (std::size_t i = 0; i != count; ++i) { CHECK(heard[i] == i + 1); }  // each once
}

template <class Model>
task<void> nobody_listens(Model& model) {
    for (int i = 0; i != 3; ++i) {
        const auto made = co_await model.connect_to_nobody();
        REQUIRE(!made.has_value());
        CHECK(made.error().code == std::errc::connection_refused);
        CHECK(!made.error().step.empty());
    }
}

template <class Model>
task<void> stopped_accept(Model& model) {
    for (const moment when : moments) {
        typename Model::listener_type door = model.make_listener();
        std::error_code ended;
        std::optional<typename Model::stream_type> accepted;
        std::optional<typename Model::stream_type> calling;
        const auto dial = [&]() -> task<void> {
            auto made = co_await model.connect(door);
            REQUIRE(made.has_value());
            calling.emplace(std::move(*made));
        };
        const auto accepting = [&]() -> task<void> {
            auto peer = co_await door.accept();
            if (peer.has_value()) {
                accepted.emplace(std::move(*peer));
            } else {
                ended = peer.error().code;
            }
        };
        co_await stop_at(when, accepting(), dial);
        CHECK((ended == errc::operation_canceled) == !accepted.has_value());
        if (when != moment::as_it_ends) {
            CHECK(!accepted.has_value());
            co_await dial();
        }
        if (!accepted) {  // the connection waits still
            auto peer = co_await door.accept();
            REQUIRE(peer.has_value());
            accepted.emplace(std::move(*peer));
        }
        co_await send_between(*calling, 0, 100);
        const io_result got = co_await read_between(*accepted, 0, 100);
        CHECK(!got.ec);
    }
}

template <class Model>
task<void> stopped_connect(Model& model) {
    typename Model::listener_type door = model.make_listener();
    for (const moment when : moments) {
        std::error_code ended;
        std::optional<typename Model::stream_type> calling;
        const auto dialling = [&]() -> task<void> {
            auto made = co_await model.connect(door);
            if (made.has_value()) {
                calling.emplace(std::move(*made));
            } else {
                ended = made.error().code;
            }
        };
        co_await stop_at(when, dialling(), []() -> task<void> { co_return; });
        CHECK((ended == errc::operation_canceled) == !calling.has_value());
        if (when == moment::before) { CHECK(!calling.has_value()); }
        calling.reset();
    }
    // Whatever came of those, the listener goes on: connections that were given up may be there, at their end.
    scope late;
    late.spawn(call(model, door, 10));
    bool answered = false;
    for (int i = 0; i != 4 && !answered; ++i) {
        auto peer = co_await door.accept();
        REQUIRE(peer.has_value());
        const io_result got = co_await read_between(*peer, 0, 10);
        if (got.ec) {
            const bool given_up = got.ec == errc::end_of_stream || got.ec == std::errc::connection_reset;
            CHECK(given_up);
            continue;
        }
        co_await send_between(*peer, 0, 10);
        const std::size_t more = co_await read_to_end(*peer, 10);
        CHECK(more == 0);
        answered = true;
    }
    CHECK(answered);
    const wait_result joined = co_await late.join();
    CHECK(!joined);
}

template <class Model>
task<void> listener_goes(Model& model) {
    std::optional<typename Model::listener_type> door(model.make_listener());
    std::vector<typename Model::stream_type> waiting;
    for (int i = 0; i != 5; ++i) {
        auto made = co_await model.connect(*door);
        REQUIRE(made.has_value());
        waiting.push_back(std::move(*made));
    }
    scope readers;
    for (auto& each : waiting) {
        readers.spawn([&each]() -> task<void> {
            std::array<std::byte, 10> room{};
            const io_result got = co_await each.read(room);
            CHECK(got.ec == std::errc::connection_reset);
        });
    }
    static_cast<void>(co_await sleep_for(a_little));
    door.reset();
    const wait_result ended = co_await readers.join();
    CHECK(!ended);
}

template <class Model>
task<void> moved_from_listener(Model& model) {
    typename Model::listener_type door = model.make_listener();
    typename Model::listener_type moved = std::move(door);
    auto none = co_await door.accept();
    REQUIRE(!none.has_value());
    CHECK(none.error().code == errc::closed);
    CHECK(door.local_endpoint() == proto::ip_endpoint());
    if constexpr (requires { door.fd(); }) { CHECK(door.fd() == -1); }
    auto made = co_await model.connect(moved);
    REQUIRE(made.has_value());
    auto peer = co_await moved.accept();
    CHECK(peer.has_value());
}

}  // namespace fluxnet::test::conformance

#define FLUXNET_LISTENER_CONFORMANCE(model, label)                                                                   \
    FLUXNET_CONFORMANCE_CASE(model, label, "two hundred connections are accepted by one listener", many_connections) \
    FLUXNET_CONFORMANCE_CASE(model, label, "a connection to nobody is refused", nobody_listens)                      \
    FLUXNET_CONFORMANCE_CASE(model, label, "an accept is cancelled at any moment and no connection is lost",         \
                             stopped_accept)                                                                         \
    FLUXNET_CONFORMANCE_CASE(model, label, "a connect is cancelled at any moment and the listener goes on",          \
                             stopped_connect)                                                                        \
    FLUXNET_CONFORMANCE_CASE(model, label, "a listener that goes resets the connections that wait", listener_goes)   \
    FLUXNET_CONFORMANCE_CASE(model, label, "a listener that was moved from is closed", moved_from_listener)
