// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/simulation/memory_network.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/memory_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(listener<memory_listener> && !std::is_copy_constructible_v<memory_listener>);

TEST_CASE("options that can never work are refused") {
    virtual_clock clock(1);
    executor loop(clock);
    const auto code_of = [&](const memory_options& options) -> std::error_code {
        try {
            const memory_network net(loop, options);
        } catch (const std::system_error& failure) { return failure.code(); }
        return {};
    };
    memory_options options;
    CHECK(!code_of(options));
    options.buffer_bytes = 0;
    CHECK(code_of(options) == errc::invalid_option);
    options = {};
    options.latency = -1ns;
    CHECK(code_of(options) == errc::invalid_option);
    options = {};
    options.loss = 1.5;
    CHECK(code_of(options) == errc::invalid_option);
    const memory_network net(loop);
    CHECK(memory_network(loop).listen(at(80), 0).error().code == errc::invalid_option);
}

TEST_CASE("an endpoint is one handle's at a time and port 0 takes a free one") {
    memory_world here;
    std::optional<memory_listener> door(here.net.listen(at(80)).value());
    const auto second = here.net.listen(at(80));
    REQUIRE(!second.has_value());
    CHECK(second.error().code == std::errc::address_in_use);
    CHECK(second.error().message().find("80") != std::string::npos);
    CHECK(!second.error().remedy.empty());
    CHECK(here.net.listen(at(80, 2)).has_value());  // another address
    CHECK(here.net.bind(at(80)).has_value());       // ports of datagrams are others
    door.reset();
    CHECK(here.net.listen(at(80)).has_value());
    const memory_listener one = here.net.listen(at(0)).value();
    const memory_listener other = here.net.listen(at(0)).value();
    CHECK(one.local_endpoint().port != 0);
    CHECK(one.local_endpoint().port != other.local_endpoint().port);
}

TEST_CASE("a listener at any address hears connections to each") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        const proto::ip_endpoint any{proto::ipv4_address(), 80};
        memory_listener door = here.net.listen(any).value();
        const auto made = co_await here.net.connect(at(80, 7));
        REQUIRE(made.has_value());
        const auto peer = co_await door.accept();
        REQUIRE(peer.has_value());
        CHECK(made->remote_endpoint() == at(80, 7));
        CHECK(peer->local_endpoint() == at(80, 7));
        CHECK(peer->remote_endpoint() == made->local_endpoint());
        CHECK(here.net.counts().connections == 1);
    };
    here.loop.run(body());
}

TEST_CASE("a full backlog refuses and has room again after an accept") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        memory_listener door = here.net.listen(at(80), 2).value();
        const auto one = co_await here.net.connect(at(80));
        const auto two = co_await here.net.connect(at(80));
        const auto three = co_await here.net.connect(at(80));
        CHECK(one.has_value());
        CHECK(two.has_value());
        REQUIRE(!three.has_value());
        CHECK(three.error().code == std::errc::connection_refused);
        CHECK(three.error().message().find("wait to be accepted") != std::string::npos);
        const auto peer = co_await door.accept();
        CHECK(peer.has_value());
        const auto four = co_await here.net.connect(at(80));
        CHECK(four.has_value());
        CHECK(here.net.counts().refused == 1);
    };
    here.loop.run(body());
}

TEST_CASE("bytes take exactly the latency and a connection twice that") {
    memory_world here(slow());
    const auto body = [&]() -> task<void> {
        memory_listener door = here.net.listen(at(80)).value();
        auto near = co_await here.net.connect(at(80));
        REQUIRE(near.has_value());
        CHECK(here.clock.elapsed() == 6ms);
        auto far = co_await door.accept();
        REQUIRE(far.has_value());
        std::array<std::byte, 10> bytes{};
        const io_result sent = co_await near->write(bytes);
        CHECK(sent.n == 10);
        CHECK(here.clock.elapsed() == 6ms);  // they are on their way
        const io_result got = co_await far->read(bytes);
        CHECK(got.n == 10);
        CHECK(here.clock.elapsed() == 9ms);
        const wait_result ended = co_await near->shutdown_write();
        CHECK(!ended);
        const io_result end = co_await far->read(bytes);
        CHECK(end.ec == errc::end_of_stream);
        CHECK(here.clock.elapsed() == 12ms);
        const auto nobody = co_await here.net.connect(at(81));
        CHECK(!nobody.has_value());
        CHECK(here.clock.elapsed() == 18ms);
        near->close();
        const io_result more = co_await far->write(bytes);
        CHECK(!more.ec);  // taken: the answer that nobody is there takes the way there and back
        static_cast<void>(co_await sleep_for(6ms));
        const io_result told = co_await far->write(bytes);
        CHECK(told.ec == std::errc::connection_reset);
    };
    here.loop.run(body());
}

TEST_CASE("a connect is cancelled on its way there and on its way back") {
    for (const auto after : {1ms, 4ms}) {
        memory_world here(slow());
        const auto body = [&]() -> task<void> {
            memory_listener door = here.net.listen(at(80)).value();
            const timed<result<memory_stream>> made = co_await timeout(after, here.net.connect(at(80)));
            CHECK(made.expired);
            REQUIRE(!made.value.has_value());
            CHECK(made.value.error().code == errc::operation_canceled);
            CHECK(here.clock.elapsed() == after);
            auto peer = co_await timeout(1s, door.accept());
            CHECK(peer.value.has_value() == (after == 4ms));  // it was there before it was given up
            if (peer.value.has_value()) {
                std::array<std::byte, 4> room{};
                const io_result got = co_await peer.value->read(room);
                CHECK(got.ec == errc::end_of_stream);
            }
        };
        here.loop.run(body());
    }
}

TEST_CASE("handles that are destroyed while they are awaited end the awaits with closed") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto ends = memory_pair(here.net);
        std::optional<memory_listener> door(here.net.listen(at(80)).value());
        std::optional<memory_datagram_socket> socket(here.net.bind(at(80)).value());
        std::vector<std::byte> large(100'000);
        std::array<std::byte, 10> bytes{};
        int closed = 0;
        scope waiting;
        waiting.spawn([&]() -> task<void> {
            const io_result got = co_await ends.first.read(bytes);
            closed += got.ec == errc::closed ? 1 : 0;
        });
        waiting.spawn([&]() -> task<void> {
            const io_result put = co_await ends.first.write(large);
            closed += put.ec == errc::closed && put.n == 65'536 ? 1 : 0;
        });
        waiting.spawn([&]() -> task<void> {
            const auto peer = co_await door->accept();
            closed += !peer && peer.error().code == errc::closed ? 1 : 0;
        });
        waiting.spawn([&]() -> task<void> {
            const datagram_result got = co_await socket->recv_from(bytes);
            closed += got.ec == errc::closed ? 1 : 0;
        });
        static_cast<void>(co_await sleep_for(1ms));
        ends.first.close();
        door.reset();
        socket.reset();
        const wait_result ended = co_await waiting.join();
        CHECK(!ended);
        CHECK(closed == 4);
        const io_result got = co_await ends.first.read(bytes);
        CHECK(got.ec == errc::closed);
        const io_result put = co_await ends.first.write(bytes);
        CHECK(put.ec == errc::closed);
        const wait_result shut = co_await ends.first.shutdown_write();
        CHECK(shut == errc::closed);
    };
    here.loop.run(body());
}

TEST_CASE("handles and lent bytes outlive the network") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        std::optional<memory_network> net(std::in_place, here.loop, slow());
        auto ends = memory_pair(*net);
        memory_datagram_socket socket = net->bind(at(5)).value();
        net.reset();
        std::array<std::byte, 10> bytes{};
        bytes.fill(std::byte{7});
        static_cast<void>(co_await ends.first.write(bytes));
        auto lent = co_await ends.second.read_borrowed();
        CHECK(!lent.ec);
        const io_result sent = co_await socket.send_to(bytes, at(5));
        CHECK(sent.n == 10);
        const datagram_result got = co_await socket.recv_from(bytes);
        CHECK(got.n == 10);
        ends.first.close();
        ends.second.close();
        CHECK(std::vector<std::byte>(lent.buffer.bytes().begin(), lent.buffer.bytes().end()) ==
              std::vector<std::byte>(10, std::byte{7}));
        memory_buffer moved = std::move(lent.buffer);
        CHECK(lent.buffer.bytes().empty());
        CHECK(moved.bytes().size() == 10);
        moved.reset();
        CHECK(moved.bytes().empty());
    };
    here.loop.run(body());
}

TEST_CASE("a deadlock names what is awaited at the network") {
    memory_world here;
    auto ends = memory_pair(here.net);
    auto idle = memory_pair(here.net);
    auto quiet = memory_pair(here.net);
    memory_listener door = here.net.listen(at(80)).value();
    memory_datagram_socket socket = here.net.bind(at(80)).value();
    std::vector<std::byte> large(100'000);
    std::array<std::byte, 10> bytes{};
    here.loop.spawn([&]() -> task<void> { static_cast<void>(co_await idle.first.read(bytes)); });
    here.loop.spawn([&]() -> task<void> { static_cast<void>(co_await ends.second.write(large)); });
    here.loop.spawn([&]() -> task<void> { static_cast<void>(co_await quiet.first.read_borrowed()); });
    here.loop.spawn([&]() -> task<void> { static_cast<void>(co_await door.accept()); });
    here.loop.spawn([&]() -> task<void> { static_cast<void>(co_await socket.recv_from(bytes)); });
    std::string text;
    try {
        here.loop.run();
    } catch (const std::system_error& failure) {
        CHECK(failure.code() == errc::deadlock);
        text = failure.what();
    }
    CAPTURE(text);
    for (const char* const each : {"memory_stream::read since", "memory_stream::read_borrowed", "memory_stream::write",
                                   "memory_listener::accept", "memory_datagram_socket::recv_from"}) {
        CHECK(text.find(each) != std::string::npos);
    }
    here.loop.discard_tasks();
}

TEST_CASE("an await on another executor is refused") {
    memory_world here;
    memory_world elsewhere;
    auto ends = memory_pair(here.net);
    memory_listener door = here.net.listen(at(80)).value();
    memory_datagram_socket socket = here.net.bind(at(80)).value();
    const auto body = [&]() -> task<void> {
        std::array<std::byte, 10> bytes{};
        const io_result got = co_await ends.first.read(bytes);
        CHECK(got.ec == errc::wrong_executor);
        const io_result put = co_await ends.first.write(bytes);
        CHECK(put.ec == errc::wrong_executor);
        const wait_result shut = co_await ends.first.shutdown_write();
        CHECK(shut == errc::wrong_executor);
        const auto peer = co_await door.accept();
        CHECK(peer.error().code == errc::wrong_executor);
        const auto made = co_await here.net.connect(at(80));
        CHECK(made.error().code == errc::wrong_executor);
        const datagram_result datagram = co_await socket.recv_from(bytes);
        CHECK(datagram.ec == errc::wrong_executor);
        const io_result sent = co_await socket.send_to(bytes, at(80));
        CHECK(sent.ec == errc::wrong_executor);
    };
    elsewhere.loop.run(body());
}
