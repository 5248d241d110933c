// SPDX-License-Identifier: BSD-3-Clause
// Buffer rings: what receives tell, and where the buffers are. Every case runs on io_uring, on io_uring of a kernel without
// buffer rings, and on epoll.
#include "fluxnet/runtime/reactor/buffer_ring.hpp"

#include "fluxnet/runtime/simulation/detail/virtual_reactor.hpp"
#include "tests/runtime/receive_tests.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(std::is_nothrow_move_constructible_v<received_buffer> && std::is_nothrow_move_assignable_v<received_buffer>);
static_assert(!std::is_copy_constructible_v<received_buffer> && sizeof(received_buffer) == 24);
static_assert(!std::is_copy_constructible_v<buffer_ring> && !std::is_move_constructible_v<buffer_ring>);

namespace {

bool is_mapped(const std::byte* byte) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    unsigned char present = 0;
    return ::mincore(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(byte) / page * page), 1, &present) == 0;
}

bool told(reactor& tested, const collector& operation, std::size_t count) {
    return turns_until(tested, [&] { return operation.results.size() >= count; });
}

/// A thread that destroys what it is given.
class destroyer {
public:
    destroyer() : thread_([this] { run(); }) {}
    ~destroyer() {
        stop_ = true;
        thread_.join();
    }
    void give(received_buffer buffer) {
        const std::lock_guard lock(mutex_);
        given_.push_back(std::move(buffer));
    }

private:
    void run() {
        for (;;) {
            received_buffer next;
            const bool last = stop_;
            {
                const std::lock_guard lock(mutex_);
                if (!given_.empty()) {
                    next = std::move(given_.front());
                    given_.pop_front();
                }
            }
            if (!next && last) { return; }
            if (!next) { std::this_thread::yield(); }
        }
    }

    std::mutex mutex_;
    std::deque<received_buffer> given_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

}  // namespace

FLUXNET_RECEIVE_TEST("messages received together lie in buffers of their own and return when they are destroyed") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 5, .size = 64});
    CHECK(ring.name() == "not used yet");
    CHECK(ring.count().free == 5);
    ring.receive_many(operation, sockets.near.get());
    CHECK(operation.pending());
    for (const char* text : {"one", "two", "three"}) { sockets.send(text); }
    REQUIRE(told(*tested, operation, 3));
    sockets.send("four");
    REQUIRE(told(*tested, operation, 4));
    CHECK(operation.results == std::vector<int>{3, 3, 5, 4});
    CHECK(operation.text(0) == "one");
    CHECK(operation.text(1) == "two");
    CHECK(operation.text(2) == "three");
    CHECK(operation.text(3) == "four");
    CHECK(operation.ends == 0);
    CHECK(operation.pending());
    CHECK(ring.count().user == 4);
    CHECK(sum(ring.count()) == 5);
    operation.buffers.clear();
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == 5);
    tested->cancel_now(operation);
}

FLUXNET_RECEIVE_TEST("a receive goes on while its buffers come back") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 2, .size = 64});
    ring.receive_many(operation, sockets.near.get());
    for (std::size_t round = 1; round <= 50; ++round) {
        sockets.send(std::to_string(round));
        REQUIRE(told(*tested, operation, round));
        REQUIRE(operation.text(0) == std::to_string(round));
        operation.buffers.clear();
    }
    CHECK(operation.ends == 0);
    tested->cancel_now(operation);
    CHECK(ring.count().user == 0);
}

FLUXNET_RECEIVE_TEST("the end of a stream is told once and last and needs no buffer") {
    const auto tested = attached(kind);
    socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 4, .size = 64});
    ring.receive_many(operation, sockets.near.get());
    sockets.send("last");
    sockets.far.reset();
    REQUIRE(told(*tested, operation, 2));
    CHECK(operation.results == std::vector<int>{4, 0});
    CHECK(operation.ends == 1);
    CHECK_FALSE(operation.pending());
    CHECK(operation.buffers.size() == 1);
    CHECK(ring.count().user == 1);
    CHECK(sum(ring.count()) == 4);
}

FLUXNET_RECEIVE_TEST("a receive without a free buffer ends with ENOBUFS and loses nothing") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 4, .size = 64});
    for (int i = 0; i < 7; ++i) { sockets.send(std::to_string(i)); }
    ring.receive_many(operation, sockets.near.get());
    REQUIRE(told(*tested, operation, 5));
    CHECK(operation.results == std::vector<int>{1, 1, 1, 1, -ENOBUFS});
    CHECK(operation.ends == 1);
    CHECK_FALSE(operation.pending());
    CHECK(ring.count().user == 4);
    // A receive that finds none ends in the same way, whether or not there is something to receive.
    collector idle;
    const socket_pair quiet;
    ring.receive_many(idle, quiet.near.get());
    REQUIRE(told(*tested, idle, 1));
    CHECK(idle.results == std::vector<int>{-ENOBUFS});

    operation.buffers.erase(operation.buffers.begin(), operation.buffers.begin() + 3);
    CHECK_FALSE(ring.publish_hungry());
    ring.receive_many(operation, sockets.near.get());
    REQUIRE(turns_until(*tested, [&] { return operation.ends == 2; }));
    CHECK(operation.text(0) == "3");
    CHECK(operation.text(1) == "4");
    CHECK(operation.text(3) == "6");
    CHECK(operation.results.back() == -ENOBUFS);
    operation.buffers.clear();
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == 4);
}

FLUXNET_RECEIVE_TEST("a hungry owner is woken by a return on another thread and receives again") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 1, .size = 64});
    for (int round = 0; round < 100; ++round) {
        sockets.send("a");
        sockets.send("b");
        operation.ends = 0;
        ring.receive_many(operation, sockets.near.get());
        REQUIRE(turns_until(*tested, [&] { return operation.ends == 1; }));
        REQUIRE(ring.publish_hungry());
        REQUIRE(ring.publish_hungry());
        std::thread other([&, held = std::move(operation.buffers.back())]() mutable { held.reset(); });
        operation.buffers.clear();
        while (ring.publish_hungry()) { tested->wait(std::nullopt); }  // for ever, should nobody wake it
        other.join();
        operation.ends = 0;
        ring.receive_many(operation, sockets.near.get());
        REQUIRE(turns_until(*tested, [&] { return operation.ends == 1; }));
        REQUIRE(operation.text(0) == "b");
        operation.buffers.clear();
    }
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == 1);
}

FLUXNET_RECEIVE_TEST("traffic whose buffers other threads return arrives whole and in order") {
    constexpr std::uint32_t total = 6000;
    const auto tested = attached(kind);
    const socket_pair sockets;
    std::uint32_t next = 0;
    std::uint32_t out_of_order = 0;
    collector operation;
    buffer_ring ring(*tested, {.count = 6, .size = 64});
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < total; ++i) {
            if (::send(sockets.far.get(), &i, sizeof i, MSG_NOSIGNAL) != sizeof i) { return; }
        }
    });
    {
        std::array<destroyer, 2> others;
        operation.then = [&] {
            for (received_buffer& each : operation.buffers) {
                std::uint32_t number = 0;
                std::memcpy(&number, each.bytes().data(), sizeof number);
                out_of_order += number != next;
                others[next++ % 2].give(std::move(each));
            }
            operation.buffers.clear();
        };
        ring.receive_many(operation, sockets.near.get());
        while (next != total) {
            if (!operation.pending() && !ring.publish_hungry()) { ring.receive_many(operation, sockets.near.get()); }
            tested->wait(std::nullopt);  // for ever, should nobody wake it
        }
        if (operation.pending()) { tested->cancel_now(operation); }
    }
    sender.join();
    CHECK(out_of_order == 0);
    const auto expected = [](int result) { return result == sizeof(std::uint32_t) || result == -ENOBUFS; };
    CHECK(std::all_of(operation.results.begin(), operation.results.end(), expected));
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == 6);
}

FLUXNET_RECEIVE_TEST("a burst longer than one turn takes arrives whole") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 256, .size = 64});
    ring.receive_many(operation, sockets.near.get());
    tested->poll();
    for (int i = 0; i < 100; ++i) { sockets.send(std::to_string(i)); }
    REQUIRE(told(*tested, operation, 100));
    for (std::size_t i = 0; i < 100; ++i) { REQUIRE(operation.text(i) == std::to_string(i)); }
    CHECK(operation.ends == 0);
    tested->cancel_now(operation);
}

FLUXNET_RECEIVE_TEST("several receives share one ring, and rings do not share buffers") {
    const auto tested = attached(kind);
    const socket_pair first;
    const socket_pair second;
    std::array<collector, 3> operations;
    buffer_ring shared(*tested, {.count = 8, .size = 64});
    buffer_ring own(*tested, {.count = 8, .size = 32});
    shared.receive_many(operations[0], first.near.get());
    shared.receive_many(operations[1], second.near.get());
    own.receive_many(operations[2], first.far.get());
    first.send("to first");
    second.send("to second");
    REQUIRE(::send(first.near.get(), "back", 4, 0) == 4);
    REQUIRE(turns_until(*tested, [&] {
        return !operations[0].results.empty() && !operations[1].results.empty() && !operations[2].results.empty();
    }));
    CHECK(operations[0].text(0) == "to first");
    CHECK(operations[1].text(0) == "to second");
    CHECK(operations[2].text(0) == "back");
    CHECK(shared.count().user == 2);
    CHECK(own.count().user == 1);
    for (collector& each : operations) { tested->cancel_now(each); }
}

FLUXNET_RECEIVE_TEST("what the kernel refuses to receive from tells its errno") {
    const auto tested = attached(kind);
    collector bad_number;
    collector no_socket;
    buffer_ring ring(*tested, {.count = 2, .size = 64});
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ring.receive_many(bad_number, 1'000'000);
    ring.receive_many(no_socket, ends[0]);
    // Where readiness is waited for first, a pipe has to have it.
    REQUIRE(::write(ends[1], "x", 1) == 1);
    REQUIRE(told(*tested, bad_number, 1));
    REQUIRE(told(*tested, no_socket, 1));
    CHECK(bad_number.results == std::vector<int>{-EBADF});
    CHECK(no_socket.results == std::vector<int>{-ENOTSOCK});
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == 2);
    ::close(ends[0]);
    ::close(ends[1]);
}

FLUXNET_RECEIVE_TEST("buffers outlive ring and reactor and the last one frees the memory on any thread") {
    auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    std::optional<buffer_ring> ring(std::in_place, *tested, buffer_ring_config{.count = 4, .size = 4096});
    ring->receive_many(operation, sockets.near.get());
    sockets.send("first");
    sockets.send("second");
    REQUIRE(told(*tested, operation, 2));
    tested->cancel_now(operation);
    ring.reset();
    tested.reset();
    const std::byte* const byte = operation.buffers[0].bytes().data();
    operation.buffers[1].reset();
    CHECK(operation.text(0) == "first");
    CHECK(is_mapped(byte));
    std::thread([held = std::move(operation.buffers[0])]() mutable { held.reset(); }).join();
    CHECK_FALSE(is_mapped(byte));
}

FLUXNET_RECEIVE_TEST("a receive whose ring is gone goes on with the buffers that are left") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    collector operation;
    std::optional<buffer_ring> ring(std::in_place, *tested, buffer_ring_config{.count = 3, .size = 64});
    ring->receive_many(operation, sockets.near.get());
    tested->poll();
    ring.reset();
    for (int i = 0; i < 4; ++i) { sockets.send(std::to_string(i)); }
    REQUIRE(told(*tested, operation, 4));
    CHECK(operation.results == std::vector<int>{1, 1, 1, -ENOBUFS});
    CHECK(operation.text(2) == "2");
    const std::byte* const byte = operation.buffers[0].bytes().data();
    CHECK(is_mapped(byte));
    operation.buffers.clear();
    CHECK_FALSE(is_mapped(byte));
}

FLUXNET_RECEIVE_TEST("a receive outlives the thread that began it") {
    const auto tested = make_reactor(kind, reactor_threads::changing);
    const socket_pair sockets;
    collector operation;
    buffer_ring ring(*tested, {.count = 3, .size = 64});
    std::thread([&] {
        tested->attach();
        ring.receive_many(operation, sockets.near.get());
        tested->poll();
    }).join();
    sockets.send("x");
    REQUIRE(told(*tested, operation, 1));
    CHECK(operation.text(0) == "x");
    tested->cancel_now(operation);
    operation.buffers.clear();
    CHECK(ring.count().user == 0);
}

FLUXNET_RECEIVE_TEST("rings made one after another on one reactor are each taken back") {
    const auto tested = attached(kind);
    const socket_pair sockets;
    for (int round = 0; round < 100; ++round) {
        collector operation;
        buffer_ring ring(*tested, {.count = 2, .size = 64});
        ring.receive_many(operation, sockets.near.get());
        sockets.send("x");
        REQUIRE(told(*tested, operation, 1));
        tested->cancel_now(operation);
    }
}

TEST_CASE("a ring is named by how it is received into, with the kernel's refusal") {
    const auto name_on = [](reactor_kind kind) {
        const auto tested = attached(kind);
        const socket_pair sockets;
        collector operation;
        buffer_ring ring(*tested);
        ring.receive_many(operation, sockets.near.get());
        tested->cancel_now(operation);
        return ring.name();
    };
    CHECK(name_on(reactor_kind::epoll) == "recv(2) when the descriptor is readable");
    FLUXNET_SKIP_IF(why_no_io_uring());
    CHECK(name_on(reactor_kind::io_uring) == "io_uring buffer ring");
    without_buffer_rings([&] {
        CHECK(name_on(reactor_kind::io_uring) ==
              "recv(2) when the descriptor is readable (io_uring_register_buf_ring answered EINVAL)");
    });
}

TEST_CASE("a ring that cannot be is refused by name") {
    const auto tested = attached(reactor_kind::epoll);
    CHECK_THROWS_AS(buffer_ring(*tested, {.count = 0, .size = 64}), std::invalid_argument);
    CHECK_THROWS_AS(buffer_ring(*tested, {.count = 32'769, .size = 64}), std::invalid_argument);
    CHECK_THROWS_AS(buffer_ring(*tested, {.count = 1, .size = 0}), std::invalid_argument);
    CHECK_THROWS_AS(buffer_ring(*tested, {.count = 1, .size = 0x8000'0000U}), std::invalid_argument);
}

TEST_CASE("virtual time refuses every receive by name") {
    const auto tested = fluxnet::detail::make_virtual_reactor();
    tested->attach();
    const socket_pair sockets;
    sockets.send("x");
    collector operation;
    collector dropped;
    buffer_ring ring(*tested, {.count = 2, .size = 64});
    ring.receive_many(operation, sockets.near.get());
    ring.receive_many(dropped, sockets.near.get());
    tested->cancel_now(dropped);
    tested->poll();
    CHECK(operation.results == std::vector<int>{io_operation::refused});
    CHECK(operation.ends == 1);
    CHECK(dropped.results.empty());
    CHECK(ring.count().free == 2);
}
