// SPDX-License-Identifier: BSD-3-Clause
// udp_kv's service and its client in virtual time: over an in-memory network that loses, doubles and holds back datagrams,
// and over hosts in user space on a simulated wire.
#include "examples/udp_kv/asking.hpp"
#include "examples/udp_kv/server.hpp"

#include "fluxnet/proto/udp.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/runtime/memory_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace kv_example;
using namespace std::chrono_literals;

namespace {

/// Runs `clients` beside a service, and then cancels that. Returns how the service has ended.
template <datagram_socket S>
std::error_code serve_while(executor& loop, S& door, kv_service& of, task<void> clients) {
    std::error_code ended;
    const auto serving = [](S& socket, kv_service& store, std::error_code& how) -> task<void> {
        how = co_await serve(socket, store);
    };
    loop.spawn_background(serving(door, of, ended));
    loop.run(std::move(clients));
    return ended;
}

/// Asks, and checks the answer.
template <datagram_socket S>
task<void> expect(S& socket, proto::ip_endpoint to, std::uint64_t id, std::string what, std::string answer,
                  ask_options options = {}) {
    const asked got = co_await ask(socket, to, id, what, options);
    CAPTURE(what);
    CHECK_FALSE(got.ec);
    const std::string how = got.how == outcome::ok ? "OK" : got.how == outcome::none ? "NONE" : "ERROR";
    CHECK((got.text.empty() ? how : how + " " + got.text) == answer);
}

/// A client that sets and gets a key of its own.
template <datagram_socket S>
task<void> use(S& socket, proto::ip_endpoint to, std::string key, int rounds) {
    const ask_options options{.first_wait = 10ms, .tries = 100};
    std::uint64_t id = 1;
    for (int round = 0; round != rounds; ++round) {
        const std::string value = std::to_string(round);
        co_await expect(socket, to, id++, "SET " + key + " " + value, "OK", options);
        co_await expect(socket, to, id++, "GET " + key, "OK " + value, options);
        co_await expect(socket, to, id++, "DEL " + key, "OK", options);
        co_await expect(socket, to, id++, "GET " + key, "NONE", options);
    }
}

task<void> use_from_three(memory_network& net, proto::ip_endpoint to) {
    std::vector<memory_datagram_socket> sockets;
    for (std::uint8_t i = 0; i != 3; ++i) {
        sockets.push_back(net.bind(at(1000, static_cast<std::uint8_t>(2 + i))).value());
    }
    scope all;
    for (std::size_t i = 0; i != sockets.size(); ++i) { all.spawn(use(sockets[i], to, "key" + std::to_string(i), 25)); }
    static_cast<void>(co_await all.join());
}

task<void> say_as_it_is(memory_datagram_socket& from, proto::ip_endpoint to, std::string text) {
    const io_result sent = co_await from.send_to(std::as_bytes(std::span(text)), to);
    CHECK_FALSE(sent.ec);
}

/// The text of a datagram that a host has sent by UDP over IPv4; nothing of another frame.
std::optional<std::string> datagram_in(const frame_bytes& frame) {
    const auto packet = proto::ipv4_view::parse(std::span(frame).subspan(proto::ethernet_header_length));
    if (!packet || packet->protocol() != proto::ip_protocol::udp) { return std::nullopt; }
    const auto datagram = proto::udp_view::parse(packet->payload(), packet->source(), packet->destination()).value();
    return std::string(reinterpret_cast<const char*>(datagram.payload().data()), datagram.payload().size());
}

frame_bytes request_frame(std::uint8_t station, std::string_view text) {
    proto::test::endpoints who = station_to_host;
    who.client_ip = v4_of(station);
    who.echo_port = 7777;
    return proto::test::udp_request(who, std::as_bytes(std::span(text)));
}

}  // namespace

TEST_CASE("udp_kv does every request once over a network that loses, doubles and holds back datagrams") {
    memory_options bad;
    bad.loss = 0.3;
    bad.duplication = 0.2;
    bad.reordering = 0.2;
    bad.latency = 1ms;
    bad.reordering_delay = 30ms;
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        CAPTURE(seed);
        bad.seed = seed;
        kv_service of;
        memory_world world(bad);
        auto door = world.net.bind(at(7777)).value();
        const std::error_code ended = serve_while(world.loop, door, of, use_from_three(world.net, at(7777)));
        CHECK(ended == errc::operation_canceled);
        CHECK(of.counts().requests == 300);
        CHECK(of.counts().repeated > 0);
        CHECK(of.counts().late > 0);
        CHECK(of.store().size() == 0);
        CHECK(of.clients().size() == 3);
    }
}

TEST_CASE("a client of udp_kv gives up when all its tries have been waited for") {
    memory_world world;
    auto socket = world.net.bind(at(1000, 2)).value();
    asked got;
    const auto asking = [](memory_datagram_socket& from, asked& told) -> task<void> {
        const ask_options options{.first_wait = 10ms, .tries = 4};
        told = co_await ask(from, at(7777), 1, "GET a", options);
    };
    world.loop.run(asking(socket, got));
    CHECK(got.ec == std::errc::timed_out);
    CHECK(got.tries == 4);
    CHECK(world.clock.elapsed() == 150ms);
    CHECK(world.net.counts().unreachable == 4);
}

TEST_CASE("a client of udp_kv looks at nothing but the answer to its request from where it has asked") {
    memory_world world;
    auto socket = world.net.bind(at(1000, 2)).value();
    auto service = world.net.bind(at(7777)).value();
    auto stranger = world.net.bind(at(7777, 3)).value();
    const auto talk = [](memory_datagram_socket& from, memory_datagram_socket& to) -> task<void> {
        std::array<std::byte, 100> room;
        static_cast<void>(co_await to.recv_from(room));
        for (const char* const text : {"", "hello", "OK 1 late", "ERROR 1 late", "OK", "7 GET a"}) {
            co_await say_as_it_is(to, from.local_endpoint(), text);
        }
        co_await say_as_it_is(to, from.local_endpoint(), std::string(5000, 'x'));
        co_await say_as_it_is(to, from.local_endpoint(), "OK 7 right");
    };
    const auto forge = [](memory_datagram_socket& from, memory_datagram_socket& by) -> task<void> {
        for (int i = 0; i != 10; ++i) { co_await say_as_it_is(by, from.local_endpoint(), "OK 7 forged"); }
    };
    world.loop.spawn(forge(socket, stranger));
    world.loop.spawn(talk(socket, service));
    world.loop.run(expect(socket, at(7777), 7, "GET a", "OK right"));
}

TEST_CASE("udp_kv forgets each client when it has been silent for the idle time, though nothing comes") {
    service_options options;
    options.idle = 40ms;
    kv_service of(options);
    memory_world world;
    auto door = world.net.bind(at(7777)).value();
    auto first = world.net.bind(at(1000, 2)).value();
    auto second = world.net.bind(at(1000, 3)).value();
    const auto talk = [](kv_service& store, memory_datagram_socket& one, memory_datagram_socket& other) -> task<void> {
        static_cast<void>(co_await sleep_for(35ms));
        co_await expect(one, at(7777), 1, "SET a 1", "OK");
        static_cast<void>(co_await sleep_for(10ms));
        co_await expect(other, at(7777), 1, "GET a", "OK 1");
        static_cast<void>(co_await sleep_for(29ms));
        CHECK(store.clients().size() == 2);
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(store.clients().size() == 1);
        CHECK(store.clients().find(other.local_endpoint()) != nullptr);
        static_cast<void>(co_await sleep_for(8ms));
        CHECK(store.clients().size() == 1);
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(store.clients().size() == 0);
        CHECK(store.counts().forgotten == 2);
        CHECK(store.store().size() == 1);
    };
    static_cast<void>(serve_while(world.loop, door, of, talk(of, first, second)));
}

TEST_CASE("udp_kv ignores datagrams that are too large or no requests, and goes on") {
    kv_service of;
    memory_world world;
    auto door = world.net.bind(at(7777)).value();
    auto socket = world.net.bind(at(1000, 2)).value();
    const auto talk = [](memory_datagram_socket& from) -> task<void> {
        co_await say_as_it_is(from, at(7777), "");
        co_await say_as_it_is(from, at(7777), "1 SET a " + std::string(60'000, 'x'));
        co_await say_as_it_is(from, at(7777), std::string("\0\xff\n", 3));
        co_await expect(from, at(7777), 1, "GET a", "NONE");
        co_await expect(from, at(7777), 2, "SET a " + std::string(max_value, 'v'), "OK");
        co_await expect(from, at(7777), 3, "GET a", "OK " + std::string(max_value, 'v'));
    };
    static_cast<void>(serve_while(world.loop, door, of, talk(socket)));
    CHECK(of.counts().ignored == 3);
}

TEST_CASE("a service of udp_kv ends when its socket does") {
    kv_service of;
    memory_world world;
    auto door = world.net.bind(at(7777)).value();
    const auto end = [](memory_datagram_socket& socket) -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        { const memory_datagram_socket closed = std::move(socket); }
        static_cast<void>(co_await sleep_for(1ms));
    };
    const std::error_code ended = serve_while(world.loop, door, of, end(door));
    CHECK(ended == errc::closed);
    CHECK(world.clock.elapsed() == 2ms);
}

TEST_CASE("udp_kv serves hosts on a wire that loses frames, over both versions of IP") {
    wire_options losing;
    losing.to_left.loss = losing.to_right.loss = 0.2;
    losing.to_left.duplication = 0.1;
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        kv_service of;
        two_hosts bed(losing);
        auto door = bed.left.open_udp({proto::ipv6_address(), 7777}).value();
        auto socket = bed.right.open_udp({address_of(v4, 2), 0}).value();
        static_cast<void>(serve_while(bed.loop, door, of, use(socket, {address_of(v4, 1), 7777}, "key", 25)));
        CHECK(of.counts().requests == 100);
        CHECK(of.counts().repeated > 0);
    }
}

TEST_CASE("udp_kv goes on while it cannot answer stations that do not exist") {
    host::host_options options = host_number(1);
    options.neighbours = {{v4_of(2), mac_of(2)}};
    kv_service of;
    host_and_station bed(options);
    auto door = bed.here.open_udp({v4_of(1), 7777}).value();
    const auto serving = [](host::udp_endpoint& socket, kv_service& store) -> task<void> {
        static_cast<void>(co_await serve(socket, store));
    };
    bed.loop.spawn_background(serving(door, of));
    std::vector<frame_bytes> forged;
    for (unsigned i = 0; i + 1 != workers; ++i) {
        forged.push_back(request_frame(static_cast<std::uint8_t>(100 + i), "1 SET a 1"));
    }
    bed.send(forged);
    bed.send(request_frame(2, "1 GET a"));
    std::vector<std::string> answers;
    for (const frame_bytes& frame : bed.received()) {
        if (const auto text = datagram_in(frame)) { answers.push_back(*text); }
    }
    CHECK(answers == std::vector<std::string>{"OK 1 1"});
    CHECK(of.counts().unsent == 0);
    bed.pass(longest_send);
    CHECK(of.counts().unsent == workers - 1);
}
