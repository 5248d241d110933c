// SPDX-License-Identifier: BSD-3-Clause
// What is the kernel's UDP's own; what all datagram sockets promise is in the conformance tests.
#include "fluxnet/runtime/sockets/udp_socket.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

udp_socket bound(const udp_options& options = {}) {
    return udp_socket::bind(on_loopback(), options).value();
}

}  // namespace

TEST_CASE("a datagram larger than the buffer is told, with its size and its beginning") {
    executor loop;
    loop.spawn([]() -> task<void> {
        udp_socket near = bound();
        udp_socket far = bound();
        const std::string text = "a datagram of thirty-two octets.";
        const io_result sent = co_await near.send_to(bytes_of(text), far.local_endpoint());
        CHECK(sent.n == text.size());
        std::array<std::byte, 10> bytes;
        const datagram_result got = co_await far.recv_from(bytes);
        CHECK(got.ec == std::errc::message_size);
        CHECK(got.n == bytes.size());
        CHECK(got.size == text.size());
        CHECK(text_of(bytes) == text.substr(0, 10));
        CHECK(got.from == near.local_endpoint());
    });
    loop.run();
}

TEST_CASE("a datagram larger than UDP carries is refused") {
    executor loop;
    loop.spawn([]() -> task<void> {
        udp_socket near = bound();
        const std::vector<std::byte> much(70'000);
        const io_result sent = co_await near.send_to(much, near.local_endpoint());
        CHECK(sent.ec == std::errc::message_size);
        CHECK(sent.n == 0);
    });
    loop.run();
}

TEST_CASE("a connected socket hears that nobody listens") {
    executor loop;
    loop.spawn([]() -> task<void> {
        proto::ip_endpoint nobody = udp_socket(bound()).local_endpoint();
        udp_socket near = bound();
        REQUIRE(near.connect(nobody).has_value());
        const io_result sent = co_await near.send(bytes_of("hello"));
        CHECK_FALSE(sent.ec);
        std::array<std::byte, 10> bytes;
        const datagram_result got = co_await near.recv_from(bytes);
        CHECK(got.ec == std::errc::connection_refused);
    });
    loop.run();
}

TEST_CASE("many datagrams are sent and received by few calls") {
    executor loop;
    loop.spawn([]() -> task<void> {
        udp_options options;
        options.receive_buffer = 1 << 20;
        udp_socket near = bound();
        udp_socket far = bound(options);
        constexpr std::size_t count = 150;
        std::vector<std::array<std::byte, 64>> payloads(count);
        std::vector<datagram> out(count);
        for (std::size_t i = 0; i < count; ++i) {
            payloads[i].fill(static_cast<std::byte>(i));
            out[i] = {std::span(payloads[i]).first(1 + i % 64), far.local_endpoint()};
        }
        const io_result sent = co_await near.send_many(out);
        CHECK_FALSE(sent.ec);
        CHECK(sent.n == count);
        std::vector<std::array<std::byte, 32>> rooms(40);
        std::vector<datagram> in(rooms.size());
        for (std::size_t i = 0; i < rooms.size(); ++i) { in[i].bytes = rooms[i]; }
        for (std::size_t seen = 0; seen < count;) {
            const io_result got = co_await far.recv_many(in);
            REQUIRE_FALSE(got.ec);
            REQUIRE(got.n >= 1);
            for (std::size_t i = 0; i < got.n; ++i, ++seen) {
                CHECK(in[i].size == 1 + seen % 64);
                CHECK(in[i].n == std::min<std::size_t>(in[i].size, 32));
                CHECK(rooms[i][0] == static_cast<std::byte>(seen));
                CHECK(in[i].peer == near.local_endpoint());
            }
        }
        const auto none = co_await timeout(5ms, far.recv_many(in));
        CHECK(none.expired);
        CHECK(none.value.ec == errc::operation_canceled);
    });
    loop.run();
}

TEST_CASE("the kernel cuts segments apart and joins them again") {
    executor loop;
    loop.spawn([]() -> task<void> {
        udp_options options;
        options.coalesce = true;
        udp_socket near = bound();
        udp_socket plain = bound();
        udp_socket joined = bound(options);
        std::vector<std::byte> all(1000);
        for (std::size_t i = 0; i < all.size(); ++i) { all[i] = static_cast<std::byte>(i / 100); }
        const io_result sent = co_await near.send_segments(all, 300, plain.local_endpoint());
        CHECK_FALSE(sent.ec);
        CHECK(sent.n == all.size());
        std::vector<std::size_t> sizes;
        for (int i = 0; i < 4; ++i) {
            std::array<std::byte, 400> bytes;
            const datagram_result got = co_await plain.recv_from(bytes);
            sizes.push_back(got.n);
        }
        CHECK(sizes == std::vector<std::size_t>{300, 300, 300, 100});
        const io_result again = co_await near.send_segments(all, 300, joined.local_endpoint());
        CHECK_FALSE(again.ec);
        std::vector<std::byte> room(65'536);
        const datagram_result alone = co_await joined.recv_from(room);  // where would one end?
        CHECK(alone.ec == std::errc::operation_not_supported);
        std::array<datagram, 1> many{{{room, {}}}};
        const io_result some = co_await joined.recv_many(many);
        CHECK(some.ec == std::errc::operation_not_supported);
        std::size_t total = 0;
        while (total < all.size()) {
            const segments_result got = co_await joined.recv_segments(room);
            REQUIRE_FALSE(got.ec);
            CHECK(got.segment == std::min<std::size_t>(300, got.n));
            total += got.n;
        }
        CHECK(total == all.size());
    });
    loop.run();
}

TEST_CASE("members of a multicast group receive what is sent to it until they leave") {
    executor loop;
    loop.spawn([]() -> task<void> {
        const proto::ip_address group = *proto::ip_address::parse("239.1.2.3");
        udp_socket member = udp_socket::bind({proto::ipv4_address(), 0}).value();
        const result<void> joined = member.join(group, "lo");
        REQUIRE_MESSAGE(joined.has_value(), joined.error().message());
        CHECK_FALSE(member.join(group, "lo").has_value());  // it is one already
        udp_socket near = bound();
        const proto::ip_endpoint everybody{group, member.local_endpoint().port};
        const io_result sent = co_await near.send_to(bytes_of("all"), everybody);
        CHECK_FALSE(sent.ec);
        std::array<std::byte, 16> bytes;
        const auto got = co_await timeout(10s, member.recv_from(bytes));
        CHECK_FALSE(got.expired);
        CHECK(got.value.n == 3);
        REQUIRE(member.leave(group, "lo").has_value());
        const result<void> nowhere = member.join(group, "nosuch0");
        REQUIRE_FALSE(nowhere.has_value());
        CHECK(nowhere.error().message().find("nosuch0") != std::string::npos);
    });
    loop.run();
}

TEST_CASE("binding where somebody is bound says so") {
    const udp_socket first = bound();
    const result<udp_socket> second = udp_socket::bind(first.local_endpoint());
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == std::errc::address_in_use);
}

TEST_CASE("a buffer of a negative size is refused") {
    udp_options options;
    options.receive_buffer = -5;
    const result<udp_socket> refused = udp_socket::bind(proto::ip_endpoint::parse("127.0.0.1:0").value(), options);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == std::errc::invalid_argument);
    CHECK(refused.error().step.find("SO_RCVBUF to -5") != std::string::npos);
}

TEST_CASE("to join a group twice, or to leave it twice, is told as that") {
    udp_socket one = bound();
    const proto::ip_address group = proto::ipv4_address(239, 1, 2, 3);
    REQUIRE(one.join(group, "lo").has_value());
    CHECK(one.join(group, "lo").error().remedy.find("already") != std::string::npos);
    REQUIRE(one.leave(group, "lo").has_value());
    CHECK(one.leave(group, "lo").error().remedy.find("has joined") != std::string::npos);
}
