// SPDX-License-Identifier: BSD-3-Clause
// Very many connections of one executor: at once, and one after another; and what one costs that has nothing to do.
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sockets/socket_buffers.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::size_t message_bytes = 64;
// More than is kept anywhere for a peer that does not read: both sides' send queues, which may exceed their limits by a segment
// of 64 KiB each, what either side has received, and the echoing side's buffers.
constexpr std::size_t flood_bytes = 768 << 10;
constexpr int socket_buffer_bytes = 16 << 10;

constexpr std::size_t idle_connections = 1000;
constexpr std::size_t most_idle_bytes = 1216;  // where nothing is optimised; epoll needs some for each descriptor

/// Raises this process's limit of descriptors as far as it goes; says so when `needed` cannot be had.
std::optional<std::string> why_not_descriptors(std::size_t needed) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max >= needed) { return std::nullopt; }
    return "the hard limit of descriptors (ulimit -Hn) is " + std::to_string(files.rlim_max) + "; " +
           std::to_string(needed) + " are needed";
}

/// Sends back what arrives until the peer ends or breaks the connection.
task<void> echo(tcp_stream peer) {
    for (;;) {
        const auto lent = co_await peer.read_borrowed();
        if (lent.ec) { co_return; }
        const io_result sent = co_await peer.write(lent.buffer.bytes());
        if (sent.ec) { co_return; }
    }
}

struct tally {
    std::size_t open = 0;
    std::size_t most_open = 0;
};

task<void> echo_counted(tcp_stream peer, tally& counts) {
    counts.most_open = std::max(counts.most_open, ++counts.open);
    co_await echo(std::move(peer));
    --counts.open;
}

task<void> serve(tcp_listener& door, std::size_t count, tally& counts) {
    scope peers;
    for (std::size_t i = 0; i < count; ++i) {
        result<tcp_stream> next = co_await door.accept();
        if (!next) { co_return; }
        peers.spawn(echo_counted(std::move(*next), counts));
    }
    const wait_result ended = co_await peers.join();
    static_cast<void>(ended);
}

/// The side that echoes, in a process of its own, so that the descriptors of both sides need not fit into one. It ends by
/// itself when `count` connections have ended, and with success if all were open at the same time.
class echo_process {
public:
    echo_process(tcp_listener& door, std::size_t count) : pid_(::fork()) {
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::_exit(echoes(door, count));
        }
    }
    echo_process(const echo_process&) = delete;
    echo_process& operator=(const echo_process&) = delete;
    ~echo_process() {
        if (pid_ > 0) { ::kill(pid_, SIGKILL), static_cast<void>(end()); }
    }

    /// Waits for its end; returns the exit code, or -1.
    int end() {
        int status = 0;
        const bool reaped = ::waitpid(std::exchange(pid_, -1), &status, 0) > 0;
        return reaped && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    static int echoes(tcp_listener& door, std::size_t count) noexcept try {
        executor loop;
        // Fewer than all slow readers together hold back: the others get on without.
        loop.use_service<socket_buffers>().configure({.count = 512, .size = 2048});
        tally counts;
        loop.spawn(serve(door, count, counts));
        loop.run();
        return counts.open != 0 ? 2 : counts.most_open != count ? 3 : 0;
    } catch (const std::exception&) { return 4; }

    pid_t pid_;
};

std::array<std::byte, message_bytes> message_of(std::uint64_t number) {
    std::array<std::byte, message_bytes> message{};
    std::memcpy(message.data(), &number, sizeof number);
    return message;
}

/// Reads until `into` is full; false when the stream ends before.
task<bool> read_all(tcp_stream& from, std::span<std::byte> into) {
    while (!into.empty()) {
        const io_result got = co_await from.read(into);
        if (got.ec) { co_return false; }
        into = into.subspan(got.n);
    }
    co_return true;
}

/// Tells whether a message comes back as it was sent.
task<bool> comes_back(tcp_stream& peer, std::uint64_t number) {
    const auto sent = message_of(number);
    const io_result written = co_await peer.write(sent);
    if (written.ec) { co_return false; }
    std::array<std::byte, message_bytes> back{};
    const bool whole = co_await read_all(peer, back);
    co_return whole&& back == sent;
}

/// What the clients of a test have in common, and how many have come how far.
struct crowd {
    const proto::ip_endpoint at;
    const std::size_t size;
    semaphore connecting{128};  // fewer than a listener's backlog, which would make the rest wait for seconds
    event all_open{};           // on both sides
    event all_echoed{};
    std::size_t open = 0;
    std::size_t echoed = 0;
    std::size_t whole = 0;  // ended as they should
    std::string wrong{};    // what the others did

    [[nodiscard]] static bool is_slow(std::size_t number) noexcept { return number % 100 == 3; }
    [[nodiscard]] std::size_t slow() const noexcept { return (size + 96) / 100; }
    [[nodiscard]] static bool half_closes(std::size_t number) noexcept { return number % 10 == 7; }
};

task<bool> write_flood(tcp_stream& peer, const std::vector<std::byte>& bytes, bool& through) {
    const io_result written = co_await peer.write(bytes);
    through = true;
    co_return !written.ec;
}

task<bool> read_flood(tcp_stream& peer, crowd& all, const bool& through) {
    const wait_result waited = co_await all.all_echoed.wait();
    const bool held_back = !through;
    std::vector<std::byte> back(flood_bytes);
    const bool whole = co_await read_all(peer, back);
    if (!held_back) { all.wrong += "; a slow reader's peer took all that it wrote"; }
    if (!whole) { all.wrong += "; a slow reader did not get all back"; }
    co_return !waited && held_back && whole;
}

/// Writes more than fits on the way, and reads nothing before everybody else has been answered.
task<bool> read_late(tcp_stream& peer, crowd& all) {
    const std::vector<std::byte> sent(flood_bytes, std::byte{0x5a});
    bool through = false;
    const auto both = co_await when_all(write_flood(peer, sent, through), read_flood(peer, all, through));
    co_return std::get<0>(both) && std::get<1>(both);
}

/// Ends its direction first, and reads the answer and the end afterwards.
task<bool> close_half(tcp_stream& peer, std::uint64_t number) {
    const auto sent = message_of(number);
    const io_result written = co_await peer.write(sent);
    const wait_result ended = co_await peer.shutdown_write();
    std::array<std::byte, message_bytes> back{};
    const bool whole = co_await read_all(peer, back);
    std::array<std::byte, 1> more{};
    const io_result last = co_await peer.read(more);
    co_return !written.ec && !ended && whole && back == sent && last.ec == errc::end_of_stream;
}

/// Does what all do first, and returns whether a message has come back. A connection is open on this side before the far
/// side has accepted it; an answer tells that it has.
task<bool> open_up(crowd& all, tcp_stream& peer, std::size_t number) {
    const bool answered = co_await comes_back(peer, number);
    all.connecting.release();
    if (++all.open == all.size) { all.all_open.set(); }
    const wait_result everybody = co_await all.all_open.wait();
    co_return answered && !everybody;
}

task<void> attend(crowd& all, std::size_t number) {
    const wait_result admitted = co_await all.connecting.acquire();
    tcp_options options;
    options.send_buffer = options.receive_buffer = crowd::is_slow(number) ? socket_buffer_bytes : 0;
    result<tcp_stream> connected = co_await tcp_stream::connect(all.at, options);
    REQUIRE_MESSAGE((!admitted && connected.has_value()), (connected ? "" : connected.error().message()));
    tcp_stream peer = std::move(*connected);
    const bool answered = co_await open_up(all, peer, number);
    bool well = false;
    if (crowd::is_slow(number)) {
        well = co_await read_late(peer, all);
    } else {
        well = co_await comes_back(peer, number);
        if (++all.echoed == all.size - all.slow()) { all.all_echoed.set(); }
        if (crowd::half_closes(number)) {
            const bool ended_well = co_await close_half(peer, ~number);
            if (!ended_well) { all.wrong += "; one that closed its half did not get its answer and the end"; }
            well = well && ended_well;
        }
    }
    if (!answered) { all.wrong += "; one got no first answer"; }
    if (answered && well) { ++all.whole; }
}

/// Connects, has one message sent back and resets the connection: so no TIME_WAIT keeps the port of either side.
task<bool> visit(proto::ip_endpoint at, std::uint64_t number) {
    result<tcp_stream> connected = co_await tcp_stream::connect(at);
    if (!connected) { co_return false; }
    const bool answered = co_await comes_back(*connected, number);
    const linger at_once{1, 0};
    const int set = ::setsockopt(connected->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    co_return answered&& set == 0;
}

/// Echoes to one visitor; true when the visitor broke the connection in the end.
task<bool> receive_visitor(tcp_listener& door) {
    result<tcp_stream> next = co_await door.accept();
    if (!next) { co_return false; }
    for (;;) {
        const auto lent = co_await next->read_borrowed();
        if (lent.ec) { co_return lent.ec == std::errc::connection_reset; }
        const io_result sent = co_await next->write(lent.buffer.bytes());
        if (sent.ec) { co_return false; }
    }
}

struct visits {
    std::uint32_t whole = 0;
    std::ptrdiff_t descriptors = 0;  // more than after the first
};

task<void> visit_often(tcp_listener& door, std::uint32_t count, visits& seen) {
    const proto::ip_endpoint at = door.local_endpoint();
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto both = co_await when_all(visit(at, i), receive_visitor(door));
        if (std::get<0>(both) && std::get<1>(both)) { ++seen.whole; }
        if (i == 0) { seen.descriptors = -open_descriptors(); }
    }
    seen.descriptors += open_descriptors();
}

/// A blocking client and the stream that is connected to it.
struct idle_pair {
    descriptor near;
    tcp_stream far;
};

idle_pair connect_idle(int door, const proto::ip_endpoint& at) {
    descriptor near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const fluxnet::detail::socket_address address(at);
    REQUIRE(::connect(near.get(), &address.get(), address.size()) == 0);
    descriptor far(::accept4(door, nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(far);
    return {std::move(near), tcp_stream(std::move(far))};
}

/// Tells whether something has arrived, a hang-up included.
bool is_readable(int socket) {
    pollfd asked{socket, POLLIN, 0};
    return ::poll(&asked, 1, 0) > 0;
}

/// What the C library's heap has given out.
std::size_t heap_bytes() {
    const struct mallinfo2 heap = ::mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

task<void> wait_for_bytes(tcp_stream peer) {
    const auto lent = co_await peer.read_borrowed();
    CHECK(lent.ec);
}

/// Returns the heap that each of many connections takes, which `serve_one` waits on. With `talk` one byte is sent to each
/// first, and comes back.
std::size_t idle_bytes(task<void> (*serve_one)(tcp_stream), bool talk) {
    const result<tcp_listener> door = tcp_listener::listen(on_loopback());
    REQUIRE(door.has_value());
    executor loop;
    std::vector<descriptor> near;
    near.reserve(idle_connections + 1);
    std::size_t before = 0;
    // The first makes what an executor has but once.
    for (std::size_t i = 0; i <= idle_connections; ++i) {
        idle_pair pair = connect_idle(door->fd(), door->local_endpoint());
        near.push_back(std::move(pair.near));
        loop.spawn(serve_one(std::move(pair.far)));
        if (talk) {
            REQUIRE(::send(near.back().get(), "x", 1, MSG_NOSIGNAL) == 1);
            while (!is_readable(near.back().get())) { static_cast<void>(loop.poll()); }
        }
        // What it does last: it waits for what comes next.
        for (int turn = 0; turn < 8; ++turn) { static_cast<void>(loop.poll()); }
        if (i == 0) { before = heap_bytes(); }
    }
    const std::size_t after = heap_bytes();
    for (const descriptor& each : near) {
        char answer = 0;
        if (talk) { REQUIRE(::recv(each.get(), &answer, 1, MSG_DONTWAIT) == 1); }
    }
    return (after - before) / idle_connections;
}

}  // namespace

TEST_CASE("one executor echoes over ten thousand connections at once, slow readers and half-closed ones among them") {
    const std::size_t count = rounds(10'000, 20);
    FLUXNET_SKIP_IF(why_not_descriptors(count + 200));
    tcp_options options;
    options.send_buffer = options.receive_buffer = socket_buffer_bytes;
    result<tcp_listener> door = tcp_listener::listen(on_loopback(), options);
    REQUIRE(door.has_value());
    echo_process far(*door, count);

    executor loop;
    crowd all{door->local_endpoint(), count};
    for (std::size_t i = 0; i < count; ++i) { loop.spawn(attend(all, i)); }
    loop.run();
    CHECK(all.open == count);
    CAPTURE(all.wrong);
    CHECK(all.whole == count);
    CHECK(far.end() == 0);
}

TEST_CASE("two hundred thousand connections one after another leave nothing behind") {
    const std::uint32_t count = rounds(200'000, 200);
    result<tcp_listener> door = tcp_listener::listen(on_loopback());
    REQUIRE(door.has_value());
    executor loop;
    visits seen;
    loop.spawn(visit_often(*door, count, seen));
    loop.run();
    CHECK(seen.whole == count);
    CHECK(seen.descriptors == 0);
}

TEST_CASE("a connection on which nothing happens costs little memory") {
#if defined(FLUXNET_TEST_SANITIZED)
    FLUXNET_SKIP_IF(std::optional<std::string>("the sanitizer has a heap of its own"));
#endif
    FLUXNET_SKIP_IF(why_not_descriptors(2 * idle_connections + 200));
    const std::size_t waiting = idle_bytes(wait_for_bytes, false);
    const std::size_t answered = idle_bytes(echo, true);
    MESSAGE("heap for each connection that awaits read_borrowed(): ", waiting,
            " bytes in a coroutine that does nothing else, ", answered, " in one that has echoed. Of these: the state ",
            sizeof(fluxnet::detail::socket_state), ", the receiver ", sizeof(fluxnet::detail::receiver),
            "; in the frame of the coroutine the awaiter of read_borrowed() ", sizeof(kernel_stream::borrow_awaiter),
            ", and of write() ", sizeof(kernel_stream::write_awaiter));
    CHECK(waiting <= most_idle_bytes);
    CHECK(answered <= most_idle_bytes);
}
