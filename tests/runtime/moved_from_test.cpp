// SPDX-License-Identifier: BSD-3-Clause
// Handles that were moved from, beside those that the conformance cases have: each is closed. Nothing waits or crashes.
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sockets/unix_datagram.hpp"
#include "fluxnet/runtime/sockets/unix_listener.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <fcntl.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

void run_here(task<void> body) {
    executor loop;
    loop.run(std::move(body));
}

}  // namespace

TEST_CASE("the ends of a pipe that were moved from are closed") {
    run_here([]() -> task<void> {
        auto ends = make_pipe().value();
        const auto moved = std::move(ends);
        std::array<std::byte, 10> room{};
        for (const std::size_t size : {std::size_t{0}, room.size()}) {
            const io_result got = co_await ends.first.read(std::span(room).first(size));
            CHECK(got.ec == errc::closed);
            const io_result sent = co_await ends.second.write(std::span(room).first(size));
            CHECK(sent.ec == errc::closed);
        }
        const wait_result ended = co_await ends.second.shutdown_write();
        CHECK(ended == errc::closed);
        CHECK(ends.first.fd() == -1);
        CHECK(ends.second.fd() == -1);
        CHECK_FALSE(ends.first.release());
        CHECK_FALSE(ends.second.release());
    }());
}

TEST_CASE("a UDP socket that was moved from is closed to every call") {
    run_here([]() -> task<void> {
        udp_socket socket = udp_socket::bind(on_loopback()).value();
        const udp_socket moved = std::move(socket);
        std::array<std::byte, 10> room{};
        const auto segments = co_await socket.recv_segments(room);
        CHECK(segments.ec == errc::closed);
        const io_result sent = co_await socket.send(room);
        CHECK(sent.ec == errc::closed);
        const io_result cut = co_await socket.send_segments(room, 5, on_loopback(9));
        CHECK(cut.ec == errc::closed);
        std::vector<datagram> several(1);
        several[0].bytes = room;
        const io_result received = co_await socket.recv_many(several);
        CHECK(received.ec == errc::closed);
        const io_result given = co_await socket.send_many(several);
        CHECK(given.ec == errc::closed);
        CHECK(socket.connect(on_loopback(9)).error().code == errc::closed);
        const proto::ipv4_address group(239, 1, 2, 3);
        CHECK(socket.join(group).error().code == errc::closed);
        CHECK(socket.leave(group).error().code == errc::closed);
        CHECK(socket.fd() == -1);
    }());
}

TEST_CASE("Unix sockets that were moved from are closed to messages") {
    run_here([]() -> task<void> {
        std::array<std::byte, 10> room{};
        std::vector<descriptor> descriptors;
        unix_datagram socket = unix_datagram::bind().value();
        const unix_datagram moved = std::move(socket);
        const unix_datagram::received letter = co_await socket.recv_from(room);
        CHECK(letter.ec == errc::closed);
        const io_result posted = co_await socket.send_to(room, unix_address("@nobody"));
        CHECK(posted.ec == errc::closed);
        CHECK(socket.local_address().empty());
        CHECK(socket.fd() == -1);

        auto packets = unix_seqpacket::pair().value();
        const auto moved_packets = std::move(packets);
        const io_result message = co_await packets.first.recv(room);
        CHECK(message.ec == errc::closed);
        const io_result with = co_await packets.first.recv(room, descriptors);
        CHECK(with.ec == errc::closed);
        const io_result sent = co_await packets.first.send(room);
        CHECK(sent.ec == errc::closed);
        const io_result empty = co_await packets.first.send({});
        CHECK(empty.ec == errc::closed);

        auto streams = unix_stream::pair().value();
        const auto moved_streams = std::move(streams);
        const io_result given = co_await streams.first.send_with(room, {});
        CHECK(given.ec == errc::closed);
        const io_result got = co_await streams.first.recv_with(room, descriptors);
        CHECK(got.ec == errc::closed);

        unix_seqpacket_listener door = unix_seqpacket_listener::listen(unix_address("@moved-from")).value();
        const unix_seqpacket_listener moved_door = std::move(door);
        const result<unix_seqpacket> next = co_await door.accept();
        CHECK(next.error().code == errc::closed);
        CHECK(door.local_address().empty());
        CHECK(door.fd() == -1);
    }());
}

TEST_CASE("a file that was moved from is closed") {
    run_here([]() -> task<void> {
        file page = file::adopt(descriptor(::open("/dev/zero", O_RDWR | O_CLOEXEC))).value();
        file moved = std::move(page);
        std::array<std::byte, 10> room{};
        for (const std::size_t size : {std::size_t{0}, room.size()}) {
            const io_result got = co_await page.read(std::span(room).first(size));
            CHECK(got.ec == errc::closed);
            const io_result sent = co_await page.write_at(std::span(room).first(size), 0);
            CHECK(sent.ec == errc::closed);
        }
        page.seek(5);
        CHECK(page.position() == 0);
        CHECK(page.fd() == -1);
        CHECK_FALSE(page.release());
        const wait_result kept = co_await page.sync();
        CHECK(kept == errc::closed);
        const wait_result cut = co_await page.truncate(0);
        CHECK(cut == errc::closed);
        const result<std::uint64_t> size = co_await page.size();
        CHECK(size.error().code == errc::closed);
    }());
}

TEST_CASE("a process that was moved from is closed") {
    run_here([]() -> task<void> {
        process_options options;
        options.argv = {"sleep", "600"};
        subprocess child = subprocess::start(options).value();
        const subprocess moved = std::move(child);
        const exit_result end = co_await child.wait();
        CHECK(end.ec == errc::closed);
        CHECK(child.kill(SIGTERM) == errc::closed);
        CHECK(child.ended()->ec == errc::closed);
        CHECK(child.pid() == 0);
        CHECK(child.stdin_fd() == -1);
        child.detach();
    }());
}
