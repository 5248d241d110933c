// SPDX-License-Identifier: BSD-3-Clause
// What is the Unix sockets' own; what all streams promise is in the conformance tests.
#include "fluxnet/runtime/sockets/unix_stream.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sockets/unix_datagram.hpp"
#include "fluxnet/runtime/sockets/unix_listener.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "tests/runtime/leaves_nothing.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

unix_address abstract(const std::string& name) {
    return unix_address("@fluxnet-" + std::to_string(::getpid()) + '-' + name);
}

/// A pipe's ends, as descriptors of the library's.
std::pair<descriptor, descriptor> two_ends() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    return {descriptor(ends[0]), descriptor(ends[1])};
}

}  // namespace

TEST_CASE("descriptors for a peer that has gone end as bytes do, and after this end's own end otherwise") {
    executor loop;
    loop.run([]() -> task<void> {
        auto ends = unix_stream::pair().value();
        { const unix_stream gone = std::move(ends.second); }
        const io_result sent = co_await ends.first.send_with(bytes_of("x"), {});
        CHECK(sent.ec == std::errc::connection_reset);
        auto others = unix_stream::pair().value();
        const wait_result ended = co_await others.first.shutdown_write();
        CHECK(!ended);
        const io_result late = co_await others.first.send_with(bytes_of("x"), {});
        CHECK(late.ec == std::errc::broken_pipe);
    }());
}

TEST_CASE("Unix streams connect by a path and by an abstract name") {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("fluxnet-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    executor loop;
    loop.spawn([&]() -> task<void> {
        for (const unix_address& at : {unix_address(folder / "socket"), abstract("stream")}) {
            result<unix_listener> door = unix_listener::listen(at);
            REQUIRE_MESSAGE(door.has_value(), door.error().message());
            CHECK(door->local_address() == at);
            result<unix_stream> near = co_await unix_stream::connect(at);
            REQUIRE_MESSAGE(near.has_value(), near.error().message());
            result<unix_stream> far = co_await door->accept();
            REQUIRE(far.has_value());
            const io_result sent = co_await near->write(bytes_of("hello"));
            CHECK(sent.n == 5);
            std::array<std::byte, 8> bytes;
            const io_result got = co_await far->read(bytes);
            CHECK(text_of(std::span(bytes).first(got.n)) == "hello");
            const result<unix_listener> second = unix_listener::listen(at);
            REQUIRE_FALSE(second.has_value());
            CHECK(second.error().code == std::errc::address_in_use);
        }
        const result<unix_stream> nobody = co_await unix_stream::connect(unix_address(folder / "nobody"));
        REQUIRE_FALSE(nobody.has_value());
        CHECK(nobody.error().code == std::errc::no_such_file_or_directory);
        const result<unix_stream> too_long = co_await unix_stream::connect(unix_address(std::string(108, 'x')));
        REQUIRE_FALSE(too_long.has_value());
        CHECK(too_long.error().code == std::errc::filename_too_long);
        CHECK_FALSE(unix_listener::listen(unix_address()).has_value());
    });
    loop.run();
    std::filesystem::remove_all(folder);
}

TEST_CASE("a connection waits while the listener's backlog is full") {
    executor loop;
    loop.spawn([]() -> task<void> {
        const unix_address at = abstract("backlog");
        result<unix_listener> door = unix_listener::listen(at, 0);
        REQUIRE(door.has_value());
        int connected = 0;
        scope children;
        for (int i = 0; i < 4; ++i) {
            children.spawn([&]() -> task<void> {
                const result<unix_stream> near = co_await unix_stream::connect(at);
                CHECK_MESSAGE(near.has_value(), near.error().message());
                ++connected;
            });
        }
        const std::error_code slept = co_await sleep_for(20ms);
        CHECK_FALSE(slept);
        CHECK(connected < 4);
        for (int i = 0; i < 4; ++i) {
            const result<unix_stream> far = co_await door->accept();
            CHECK(far.has_value());
        }
        static_cast<void>(co_await children.join());
        CHECK(connected == 4);
    });
    loop.run();
}

TEST_CASE("descriptors go with the bytes of a stream, and work at the other end") {
    executor loop;
    loop.spawn([]() -> task<void> {
        auto ends = unix_stream::pair().value();
        auto pipe = two_ends();
        const std::array numbers{pipe.second.get(), pipe.first.get()};
        const io_result sent = co_await ends.first.send_with(bytes_of("x"), numbers);
        CHECK(sent.n == 1);
        std::vector<descriptor> received;
        std::array<std::byte, 8> bytes;
        const io_result got = co_await ends.second.recv_with(bytes, received);
        CHECK_FALSE(got.ec);
        CHECK(got.n == 1);
        REQUIRE(received.size() == 2);
        CHECK(::fcntl(received[0].get(), F_GETFD) == FD_CLOEXEC);
        REQUIRE(::write(received[0].get(), "through", 7) == 7);
        std::array<char, 8> text{};
        CHECK(::read(pipe.first.get(), text.data(), text.size()) == 7);
        const std::vector<int> many(17, pipe.first.get());
        const io_result refused = co_await ends.first.send_with(bytes_of("x"), many);
        CHECK(refused.ec == std::errc::argument_list_too_long);
    });
    loop.run();
}

TEST_CASE("descriptors that nobody asked for are closed") {
    executor loop;
    const std::ptrdiff_t before = open_descriptors();
    loop.spawn([]() -> task<void> {
        auto ends = unix_seqpacket::pair().value();
        auto pipe = two_ends();
        const std::array numbers{pipe.second.get()};
        const io_result sent = co_await ends.first.send(bytes_of("x"), numbers);
        CHECK_FALSE(sent.ec);
        pipe.second.reset();
        std::array<std::byte, 8> bytes;
        const io_result got = co_await ends.second.recv(bytes);
        CHECK(got.n == 1);
        std::array<char, 8> text{};
        CHECK(::read(pipe.first.get(), text.data(), text.size()) == 0);  // no writer is left
    });
    loop.run();
    CHECK(open_descriptors() == before);
}

TEST_CASE("sequenced packets keep messages apart, and tell the end") {
    executor loop;
    loop.spawn([]() -> task<void> {
        const unix_address at = abstract("seqpacket");
        result<unix_seqpacket_listener> door = unix_seqpacket_listener::listen(at);
        REQUIRE(door.has_value());
        std::optional<unix_seqpacket> near;
        {
            result<unix_seqpacket> connected = co_await unix_seqpacket::connect(at);
            REQUIRE(connected.has_value());
            near.emplace(std::move(*connected));
        }
        result<unix_seqpacket> far = co_await door->accept();
        REQUIRE(far.has_value());
        for (const char* text : {"one", "message", "after the other"}) {
            const io_result sent = co_await near->send(bytes_of(text));
            CHECK_FALSE(sent.ec);
        }
        const io_result empty = co_await near->send({});
        CHECK(empty.ec == std::errc::invalid_argument);
        std::array<std::byte, 8> bytes;
        io_result got = co_await far->recv(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "one");
        got = co_await far->recv(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "message");
        got = co_await far->recv(bytes);
        CHECK(got.ec == std::errc::message_size);
        CHECK(got.n == bytes.size());
        near.reset();
        got = co_await far->recv(bytes);
        CHECK(got.ec == errc::end_of_stream);
    });
    loop.run();
}

TEST_CASE("an address that the kernel would cut is refused, and is not taken for another one") {
    executor loop;
    loop.run([]() -> task<void> {
        const std::string longest = "@" + std::string(unix_address::most - 1, 'x');
        unix_datagram receiver = unix_datagram::bind(unix_address(longest)).value();
        unix_datagram sender = unix_datagram::bind().value();
        const io_result right = co_await sender.send_to(bytes_of("a"), unix_address(longest));
        CHECK(!right.ec);
        const unix_address too_long(longest + "y");
        const io_result cut = co_await sender.send_to(bytes_of("b"), too_long);
        CHECK(cut.ec == std::errc::filename_too_long);
        CHECK(cut.n == 0);
        const unix_address with_zero(std::string("/nowhere\0x", 10));
        const io_result zero = co_await sender.send_to(bytes_of("c"), with_zero);
        CHECK(zero.ec == std::errc::invalid_argument);
        CHECK(unix_datagram::bind(too_long).error().code == std::errc::filename_too_long);
        CHECK(unix_datagram::bind(with_zero).error().code == std::errc::invalid_argument);
        const auto connected = co_await unix_stream::connect(with_zero);
        REQUIRE_FALSE(connected.has_value());
        CHECK(connected.error().code == std::errc::invalid_argument);
        const auto busy = unix_datagram::bind(unix_address(longest));
        CHECK(busy.error().remedy.find("path") != std::string::npos);  // and no port

        std::array<std::byte, 8> bytes;
        const unix_datagram::received nothing = co_await receiver.recv_from({});  // takes none
        CHECK(!nothing.ec);
        const unix_datagram::received got = co_await receiver.recv_from(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "a");
    }());
}

TEST_CASE("descriptors do not go without a byte") {
    executor loop;
    loop.run([]() -> task<void> {
        auto ends = unix_stream::pair().value();
        const std::array<int, 1> given{0};
        const io_result sent = co_await ends.first.send_with({}, given);
        CHECK(sent.ec == std::errc::invalid_argument);
    }());
}

TEST_CASE("Unix datagrams tell who sent them, and none is lost to a slow receiver") {
    executor loop;
    loop.spawn([]() -> task<void> {
        unix_datagram receiver = unix_datagram::bind(abstract("receiver")).value();
        unix_datagram sender = unix_datagram::bind(abstract("sender")).value();
        unix_datagram nameless = unix_datagram::bind().value();
        CHECK(nameless.local_address().empty());
        const unix_address to = receiver.local_address();
        scope children;
        children.spawn([&]() -> task<void> {
            for (int i = 0; i < 1000; ++i) {
                const std::string text = std::to_string(i);
                const io_result sent = co_await sender.send_to(bytes_of(text), to);
                CHECK_FALSE(sent.ec);
            }
        });
        std::array<std::byte, 8> bytes;
        for (int i = 0; i < 1000; ++i) {
            const unix_datagram::received got = co_await receiver.recv_from(bytes);
            REQUIRE_FALSE(got.ec);
            CHECK(text_of(std::span(bytes).first(got.n)) == std::to_string(i));
            CHECK(got.from == sender.local_address());
        }
        static_cast<void>(co_await children.join());
        const io_result sent = co_await nameless.send_to(bytes_of(""), to);
        CHECK_FALSE(sent.ec);
        const unix_datagram::received got = co_await receiver.recv_from(bytes);
        CHECK_FALSE(got.ec);
        CHECK(got.n == 0);
        CHECK(got.from.empty());
        const io_result nobody = co_await sender.send_to(bytes_of("x"), abstract("nobody"));
        CHECK(nobody.ec == std::errc::connection_refused);
    });
    loop.run();
}
