// SPDX-License-Identifier: BSD-3-Clause
// What is the kernel's TCP's own; what all streams promise is in the conformance tests.
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include "fluxnet/runtime/core/executor_group.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/leaves_nothing.hpp"
#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"
#include "tests/support/without_descriptors.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<std::string> read_text(tcp_stream& from) {
    std::array<std::byte, 256> bytes;
    const io_result got = co_await from.read(bytes);
    if (got.ec) { co_return got.ec.message(); }
    co_return text_of(std::span(bytes).first(got.n));
}

task<void> write_text(tcp_stream& to, std::string text) {
    const io_result sent = co_await to.write(bytes_of(text));
    CHECK_FALSE(sent.ec);
    CHECK(sent.n == text.size());
}

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

/// The highest number of a descriptor that is open.
int highest_descriptor() {
    const int next = lowest_free_descriptor();
    int last = next - 1;
    for (int fd = next; fd < next + 64; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) { last = fd; }
    }
    return last;
}

}  // namespace

TEST_CASE("a TCP connection carries bytes in both directions") {
    executor loop;
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        co_await write_text(ends.near, "there");
        const std::string there = co_await read_text(ends.far);
        CHECK(there == "there");
        co_await write_text(ends.far, "and back");
        const std::string back = co_await read_text(ends.near);
        CHECK(back == "and back");
        CHECK(ends.near.local_endpoint() == ends.far.remote_endpoint());
        CHECK(ends.near.remote_endpoint() == ends.far.local_endpoint());
    });
    loop.run();
}

TEST_CASE("a coroutine that runs alone sends by one system call") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    executor loop;
    std::uint64_t calls = 0;
    loop.spawn([&]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        co_await write_text(ends.near, "there");
        const std::string there = co_await read_text(ends.far);
        CHECK(there == "there");
        const std::string text = "and there";
        const syscall_counter counter(::gettid(), counted::thread);
        const io_result sent = co_await ends.near.write(bytes_of(text));
        calls = own_calls(counter);
        CHECK(sent.n == text.size());
        const std::string arrived = co_await read_text(ends.far);
        CHECK(arrived == text);
    });
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("TCP options are set, and accepted connections have them too") {
    executor loop;
    loop.spawn([]() -> task<void> {
        tcp_options options;
        options.keep_alive = true;
        options.send_buffer = 16'384;
        const tcp_pair ends = co_await connect_pair(options);
        for (const tcp_stream* each : {&ends.near, &ends.far}) {
            CHECK(option(each->fd(), IPPROTO_TCP, TCP_NODELAY) == 1);
            CHECK(option(each->fd(), SOL_SOCKET, SO_KEEPALIVE) == 1);
            CHECK(option(each->fd(), SOL_SOCKET, SO_SNDBUF) == 32'768);  // the kernel doubles it: socket(7)
        }
    });
    loop.run();
}

TEST_CASE("a connection to a port where nobody listens is refused, and the error says where") {
    executor loop;
    loop.spawn([]() -> task<void> {
        proto::ip_endpoint nobody;
        {
            result<tcp_listener> door = tcp_listener::listen(on_loopback());
            nobody = door->local_endpoint();
        }
        const result<tcp_stream> connected = co_await tcp_stream::connect(nobody);
        REQUIRE_FALSE(connected.has_value());
        CHECK(connected.error().code == std::errc::connection_refused);
        CHECK(connected.error().message().find(nobody.to_string()) != std::string::npos);
        CHECK_FALSE(connected.error().remedy.empty());
    });
    loop.run();
}

TEST_CASE("listening where somebody listens already says so, and with reuse_port it does not") {
    result<tcp_listener> door = tcp_listener::listen(on_loopback());
    REQUIRE(door.has_value());
    const result<tcp_listener> second = tcp_listener::listen(door->local_endpoint());
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == std::errc::address_in_use);
    CHECK(second.error().remedy.find("ss -tulnp") != std::string::npos);
    tcp_options shared;
    shared.reuse_port = true;
    result<tcp_listener> one = tcp_listener::listen(on_loopback(), shared);
    REQUIRE(one.has_value());
    CHECK(tcp_listener::listen(one->local_endpoint(), shared).has_value());
}

TEST_CASE("listening at an address that the host does not have is refused") {
    const result<tcp_listener> door = tcp_listener::listen(*proto::ip_endpoint::parse("192.0.2.1:0"));
    REQUIRE_FALSE(door.has_value());
    CHECK(door.error().code == std::errc::address_not_available);
    tcp_options options;
    options.interface = "an interface whose name is too long";
    const result<tcp_listener> nowhere = tcp_listener::listen(on_loopback(), options);
    REQUIRE_FALSE(nowhere.has_value());
    CHECK(nowhere.error().code == std::errc::no_such_device);
}

TEST_CASE("a stream connects from the address that it is told to") {
    executor loop;
    loop.spawn([]() -> task<void> {
        result<tcp_listener> door = tcp_listener::listen(on_loopback());
        tcp_options options;
        options.from = proto::ip_endpoint{proto::ipv4_address(127, 0, 0, 2), 0};
        result<tcp_stream> near = co_await tcp_stream::connect(door->local_endpoint(), options);
        REQUIRE(near.has_value());
        result<tcp_stream> far = co_await door->accept();
        REQUIRE(far.has_value());
        CHECK(far->remote_endpoint().address == proto::ip_address(proto::ipv4_address(127, 0, 0, 2)));
    });
    loop.run();
}

TEST_CASE("IPv6 connections work like those of IPv4") {
    executor loop;
    loop.spawn([]() -> task<void> {
        result<tcp_listener> door = tcp_listener::listen({proto::ipv6_address::loopback(), 0});
        if (!door) {
            CHECK(door.error().code == std::errc::address_not_available);  // a host without IPv6
            co_return;
        }
        result<tcp_stream> near = co_await tcp_stream::connect(door->local_endpoint());
        REQUIRE(near.has_value());
        CHECK(near->remote_endpoint() == door->local_endpoint());
    });
    loop.run();
}

TEST_CASE("awaits on a stream or a listener that goes end with closed") {
    executor loop;
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        std::optional<tcp_stream> near(std::move(ends.near));
        std::optional<tcp_listener> door(tcp_listener::listen(on_loopback()).value());
        std::vector<std::error_code> ended;
        scope children;
        children.spawn([&]() -> task<void> {
            std::array<std::byte, 8> bytes;
            const io_result got = co_await near->read(bytes);
            ended.push_back(got.ec);
        });
        children.spawn([&]() -> task<void> {
            const std::vector<std::byte> much(64U << 20);
            const io_result sent = co_await near->write(much);
            ended.push_back(sent.ec);
            CHECK(sent.n < much.size());
        });
        children.spawn([&]() -> task<void> {
            const result<tcp_stream> next = co_await door->accept();
            ended.push_back(next ? no_error : next.error().code);
        });
        const std::error_code slept = co_await sleep_for(10ms);
        CHECK_FALSE(slept);
        near.reset();
        door.reset();
        static_cast<void>(co_await children.join());
        CHECK(ended == std::vector<std::error_code>(3, errc::closed));
    });
    loop.run();
}

TEST_CASE("an await for borrowed bytes ends with closed when its stream goes") {
    executor loop;
    loop.spawn([]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        std::optional<tcp_stream> near(std::move(ends.near));
        std::error_code ended;
        scope children;
        children.spawn([&]() -> task<void> {
            const auto lent = co_await near->read_borrowed();
            ended = lent.ec;
        });
        const std::error_code slept = co_await sleep_for(10ms);
        CHECK_FALSE(slept);
        near.reset();
        static_cast<void>(co_await children.join());
        CHECK(ended == errc::closed);
        const std::string rest = co_await read_text(ends.far);
        CHECK(rest == make_error_code(errc::end_of_stream).message());
    });
    loop.run();
}

TEST_CASE("a stream that nobody awaits goes to another executor, unless it receives ahead") {
    executor_group group({.size = 2, .pinned = false});
    group.spawn(0, [&]() -> task<void> {
        tcp_pair ends = co_await connect_pair();
        static_cast<void>(co_await schedule_on(group[1]));
        co_await write_text(ends.near, "moved");
        const auto lent = co_await ends.far.read_borrowed();
        CHECK(text_of(lent.buffer.bytes()) == "moved");
        static_cast<void>(co_await schedule_on(group[0]));
        std::array<std::byte, 8> bytes;
        const io_result got = co_await ends.far.read(bytes);
        CHECK(got.ec == errc::wrong_executor);
        const auto again = co_await ends.far.read_borrowed();
        CHECK(again.ec == errc::wrong_executor);
        static_cast<void>(co_await schedule_on(group[1]));
    });
    group.run();
}

TEST_CASE("without descriptors accept says so once, waits, and loses no connection") {
    FLUXNET_SKIP_IF(why_not_without_descriptors());
    executor loop;
    loop.spawn([]() -> task<void> {
        result<tcp_listener> door = tcp_listener::listen(on_loopback());
        std::vector<tcp_stream> near;
        for (int i = 0; i < 20; ++i) {
            result<tcp_stream> one = co_await tcp_stream::connect(door->local_endpoint());
            REQUIRE(one.has_value());
            near.push_back(std::move(*one));
        }
        std::vector<tcp_stream> far;
        int told = 0;
        {
            const descriptor_limit limit(highest_descriptor() + 1 + 5);
            for (;;) {
                auto next = co_await timeout(100ms, door->accept());
                if (next.expired) { break; }
                if (next.value) {
                    far.push_back(std::move(*next.value));
                } else {
                    ++told;
                    CHECK(next.value.error().code == std::errc::too_many_files_open);
                    CHECK(next.value.error().remedy.find("ulimit -n") != std::string::npos);
                }
            }
            CHECK(told == 1);
            CHECK(far.size() == 5);
        }
        while (far.size() < near.size()) {
            result<tcp_stream> next = co_await door->accept();
            REQUIRE(next.has_value());
            far.push_back(std::move(*next));
        }
        for (std::size_t i = 0; i < near.size(); ++i) {
            co_await write_text(near[i], std::to_string(i));
            const std::string text = co_await read_text(far[i]);
            CHECK(text == std::to_string(i));
        }
    });
    loop.run();
}

TEST_CASE("a listener accepts no more than 64 connections ahead") {
    executor loop;
    loop.spawn([]() -> task<void> {
        result<tcp_listener> door = tcp_listener::listen(on_loopback());
        std::vector<tcp_stream> near;
        std::vector<tcp_stream> far;
        const std::ptrdiff_t before = open_descriptors();
        for (int i = 0; i < 200; ++i) {
            result<tcp_stream> one = co_await tcp_stream::connect(door->local_endpoint());
            REQUIRE(one.has_value());
            near.push_back(std::move(*one));
            if (i == 0) {
                result<tcp_stream> next = co_await door->accept();
                REQUIRE(next.has_value());
                far.push_back(std::move(*next));
            }
        }
        const std::error_code slept = co_await sleep_for(20ms);
        CHECK_FALSE(slept);
        // A cancel that is on its way does not stop what the kernel accepts in the same turn.
        CHECK(open_descriptors() - before - 201 <= 128);
        while (far.size() < near.size()) {
            result<tcp_stream> next = co_await door->accept();
            REQUIRE(next.has_value());
            far.push_back(std::move(*next));
        }
        CHECK(far.back().remote_endpoint() == near.back().local_endpoint());
    });
    loop.run();
}

TEST_CASE("connections leave nothing behind, whether they end, are cancelled or are destroyed") {
    leaves_nothing([](std::uint64_t) {
        executor loop;
        loop.spawn([]() -> task<void> {
            for (int i = 0; i < 10; ++i) {
                tcp_pair ends = co_await connect_pair();
                co_await write_text(ends.near, "unread");
                const auto lent = co_await ends.far.read_borrowed();
                CHECK_FALSE(lent.ec);
                const auto none = co_await timeout(1ms, ends.far.read_borrowed());
                CHECK(none.expired);
            }
        });
        loop.spawn_background([]() -> task<void> {
            tcp_pair ends = co_await connect_pair();
            std::array<std::byte, 8> bytes;
            static_cast<void>(co_await ends.far.read(bytes));
        });
        loop.run();
    });
}
