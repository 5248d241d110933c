// SPDX-License-Identifier: BSD-3-Clause
// What every backend makes of descriptors: several operations on one, numbers used again, hang-ups, files, refusals.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <deque>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

namespace {

/// Two connected sockets, the first of which has no room for more to send.
struct full_sockets {
    file_descriptor full;
    file_descriptor other;

    full_sockets() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        full = file_descriptor{ends[0]};
        other = file_descriptor{ends[1]};
        std::array<char, 4096> bytes{};
        while (::write(full.get(), bytes.data(), bytes.size()) > 0) {}
    }
    void make_room() const {
        std::array<char, 4096> bytes;
        while (::read(other.get(), bytes.data(), bytes.size()) > 0) {}
    }
    void put() const { REQUIRE(::write(other.get(), "x", 1) == 1); }
};

/// Gives `number` to a new pipe's reading end.
pipe_ends pipe_at(int number) {
    pipe_ends made;
    if (made.read.get() != number) {
        REQUIRE(::dup3(made.read.get(), number, O_CLOEXEC) == number);
        made.read = file_descriptor{number};
    }
    return made;
}

void turn(reactor& tested) {
    tested.wait(clock_type::now() + 5ms);
}

}  // namespace

FLUXNET_REACTOR_TEST("operations on one descriptor fire each for its own events") {
    const auto tested = attached(kind);
    const full_sockets pair;
    recorder in;
    recorder out;
    tested->arm(in, pair.full.get(), POLLIN);
    tested->arm(out, pair.full.get(), POLLOUT);
    turn(*tested);
    CHECK(in.results.empty());
    CHECK(out.results.empty());
    pair.put();
    wait_for(*tested, in);
    CHECK(in.results == std::vector<int>{POLLIN});
    CHECK(out.armed());
    pair.make_room();
    wait_for(*tested, out);
    CHECK(out.results == std::vector<int>{POLLOUT});
    CHECK(in.results.size() == 1);
}

FLUXNET_REACTOR_TEST("an operation joins another that the kernel already watches for") {
    const auto tested = attached(kind);
    const full_sockets pair;
    recorder out;
    recorder in;
    recorder more;
    tested->arm(out, pair.full.get(), POLLOUT);
    turn(*tested);
    tested->arm(in, pair.full.get(), POLLIN);
    turn(*tested);
    tested->arm(more, pair.full.get(), POLLIN);
    turn(*tested);
    pair.put();
    wait_for(*tested, in);
    wait_for(*tested, more);
    CHECK(out.results.empty());
    pair.make_room();
    wait_for(*tested, out);
}

FLUXNET_REACTOR_TEST("disarming one operation leaves the others on its descriptor armed") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    std::array<recorder, 3> all;
    for (recorder& one : all) { tested->arm(one, pipe.read.get(), POLLIN); }
    tested->poll();
    tested->disarm(all[0]);
    tested->disarm_now(all[1]);
    wait_for(*tested, all[0]);
    pipe.put();
    wait_for(*tested, all[2]);
    CHECK(all[0].results == std::vector<int>{-ECANCELED});
    CHECK(all[1].results.empty());
    CHECK(all[2].results == std::vector<int>{POLLIN});
}

FLUXNET_REACTOR_TEST("what a disarmed operation waited for does not end a wait") {
    const auto tested = attached(kind);
    int fewest = 1000;
    for (int round = 0; round < 10; ++round) {
        const full_sockets pair;
        recorder in;
        recorder out;
        tested->arm(in, pair.full.get(), POLLIN);
        tested->arm(out, pair.full.get(), POLLOUT);
        tested->poll();
        tested->disarm_now(out);
        pair.make_room();
        fewest = std::min(fewest, waits_until(*tested, clock_type::now() + 2ms));
        CHECK(in.results.empty());
        pair.put();
        wait_for(*tested, in);
        CHECK(out.results.empty());
    }
    CHECK(fewest == 1);
}

FLUXNET_REACTOR_TEST("a number that a closed descriptor had serves the next one") {
    const auto tested = attached(kind);
    pipe_ends first;
    const int number = first.read.get();
    recorder operation;
    for (const bool fires : {true, false}) {  // the last operation on the old one: fired, or disarmed
        tested->arm(operation, number, POLLIN);
        if (fires) { first.put(); }
        turn(*tested);
        CHECK(operation.results.size() == (fires ? 1U : 0U));
        tested->disarm_now(operation);
        first.read = file_descriptor{};
        first = pipe_at(number);
        operation.results.clear();
        tested->arm(operation, number, POLLIN);
        turn(*tested);
        CHECK(operation.results.empty());
        first.put();
        wait_for(*tested, operation);
        CHECK(operation.results == std::vector<int>{POLLIN});
        operation.results.clear();
        first.take();
    }
}

FLUXNET_REACTOR_TEST("a duplicate of a closed descriptor does not fire what waits for its successor") {
    const auto tested = attached(kind);
    pipe_ends first;
    const int number = first.read.get();
    recorder operation;
    tested->arm(operation, number, POLLIN);
    tested->poll();
    tested->disarm_now(operation);
    const file_descriptor duplicate{::fcntl(number, F_DUPFD_CLOEXEC, 100)};
    first.read = file_descriptor{};
    pipe_ends second = pipe_at(number);
    tested->arm(operation, number, POLLIN);
    tested->poll();
    first.put();
    turn(*tested);
    CHECK(operation.results.empty());
    second.put();
    wait_for(*tested, operation);
    // The first one again, under the number by which it was known; then once more, after the number was none's.
    for (const bool none_between : {false, true}) {
        operation.results.clear();
        if (none_between) {
            second.read = file_descriptor{};
            tested->arm(operation, number, POLLIN);
            wait_for(*tested, operation);
            CHECK(operation.results == std::vector<int>{-EBADF});
            operation.results.clear();
        }
        REQUIRE(::dup3(duplicate.get(), number, O_CLOEXEC) == number);
        tested->arm(operation, number, POLLIN);
        wait_for(*tested, operation);
        CHECK(operation.results == std::vector<int>{POLLIN});
    }
    ::close(number);
}

FLUXNET_REACTOR_TEST("a descriptor that is closed too early can still be disarmed") {
    const auto tested = attached(kind);
    pipe_ends pipe;
    recorder cancelled;
    recorder dropped;
    tested->arm(cancelled, pipe.read.get(), POLLIN);
    tested->arm(dropped, pipe.read.get(), POLLIN);
    tested->poll();
    pipe.read = file_descriptor{};
    tested->disarm(cancelled);
    tested->disarm_now(dropped);
    wait_for(*tested, cancelled);
    CHECK(cancelled.results == std::vector<int>{-ECANCELED});
    CHECK(dropped.results.empty());
}

FLUXNET_REACTOR_TEST("files that are not pollable are ready at once") {
    const auto tested = attached(kind);
    const file_descriptor file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
    const file_descriptor null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    recorder in;
    recorder both;
    recorder urgent;
    for (std::size_t round = 1; round <= 2; ++round) {
        tested->arm(in, file.get(), POLLIN);
        tested->arm(both, null.get(), POLLIN | POLLOUT);
        tested->arm(urgent, null.get(), POLLPRI);
        tested->poll();
        CHECK(in.results == std::vector<int>(round, POLLIN));
        CHECK(both.results == std::vector<int>(round, POLLIN | POLLOUT));
        CHECK(urgent.results == std::vector<int>(round, -EINVAL));
    }
}

FLUXNET_REACTOR_TEST("a number without a descriptor fires with EBADF") {
    const auto tested = attached(kind);
    for (const int number : {-1, 1'000'000}) {
        recorder operation;
        tested->arm(operation, number, POLLIN);
        CHECK(operation.results.empty());
        wait_for(*tested, operation);
        CHECK(operation.results == std::vector<int>{-EBADF});
        CHECK_FALSE(operation.armed());
    }
}

FLUXNET_REACTOR_TEST("hang-ups and errors fire whatever was asked for") {
    const auto tested = attached(kind);
    pipe_ends no_writer;
    pipe_ends no_reader;
    full_sockets half_closed;
    recorder hung_up;
    recorder broken;
    recorder half;
    tested->arm(hung_up, no_writer.read.get(), POLLIN);
    tested->arm(broken, no_reader.write.get(), 0);
    tested->arm(half, half_closed.full.get(), POLLOUT);
    turn(*tested);
    CHECK(hung_up.results.empty());
    CHECK(broken.results.empty());
    CHECK(half.results.empty());
    no_writer.write = file_descriptor{};
    no_reader.read = file_descriptor{};
    REQUIRE(::shutdown(half_closed.other.get(), SHUT_WR) == 0);
    wait_for(*tested, hung_up);
    wait_for(*tested, broken);
    wait_for(*tested, half);
    CHECK(hung_up.results == std::vector<int>{POLLHUP});
    CHECK(broken.results == std::vector<int>{POLLERR});
    CHECK(half.results == std::vector<int>{POLLRDHUP});
}

FLUXNET_REACTOR_TEST("four hundred descriptors that are ready together fire in one poll") {
    const auto tested = attached(kind);
    std::vector<file_descriptor> events;
    std::deque<recorder> all(400);
    for (recorder& one : all) {
        events.emplace_back(::eventfd(1, EFD_CLOEXEC));
        REQUIRE(events.back().get() >= 0);
        tested->arm(one, events.back().get(), POLLIN);
    }
    tested->poll();
    std::size_t fired = 0;
    for (const recorder& one : all) { fired += one.results.size(); }
    CHECK(fired == all.size());
}
