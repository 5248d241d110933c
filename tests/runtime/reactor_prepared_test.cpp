// SPDX-License-Identifier: BSD-3-Clause
// A reactor whose waiting is done by another loop, here a plain epoll loop: each case runs on io_uring and on epoll.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using fluxnet::test::detail::file_descriptor;

namespace {

constexpr int long_ms = 10'000;

/// The other loop: it waits for the descriptor of the reactor that it drives.
class driver {
public:
    explicit driver(reactor& driven) : driven_(driven), epoll_{::epoll_create1(EPOLL_CLOEXEC)} {}

    /// One round. Returns whether the reactor asked for it or its descriptor was readable within `limit_ms`.
    bool round(int limit_ms) {
        const prepared_wait prepared = driven_.prepare_wait();
        REQUIRE(prepared.fd >= 0);
        watch(prepared.fd);
        const bool told = prepared.ready || readable(limit_ms);
        driven_.finish_wait();
        return told;
    }

    /// Rounds until nothing is told any more.
    void settle() {
        for (int rounds = 0; round(0); ++rounds) { REQUIRE(rounds < 100); }
    }

    bool readable(int limit_ms) {
        epoll_event event{};
        int count = 0;
        do { count = ::epoll_wait(epoll_.get(), &event, 1, limit_ms); } while (count < 0 && errno == EINTR);
        return count == 1;
    }

private:
    void watch(int fd) {
        if (watched_ == fd) { return; }
        REQUIRE(watched_ == -1);  // it stays the same
        watched_ = fd;
        epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
        REQUIRE(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
    }

    reactor& driven_;
    file_descriptor epoll_;
    int watched_ = -1;
};

constexpr reactor_threads both_kinds[] = {reactor_threads::one, reactor_threads::changing};

std::unique_ptr<reactor> attached_for(reactor_kind kind, reactor_threads threads) {
    auto made = make_reactor(kind, threads);
    made->attach();
    return made;
}

}  // namespace

FLUXNET_REACTOR_TEST("a loop of others is told when an operation can fire") {
    for (const reactor_threads threads : both_kinds) {
        const auto tested = attached_for(kind, threads);
        const pipe_ends pipe;
        driver loop(*tested);
        loop.settle();
        recorder operation;
        for (int round = 0; round < 3; ++round) {
            tested->arm(operation, pipe.read.get(), POLLIN);
            CHECK_FALSE(loop.round(0));
            CHECK(operation.results.empty());
            const prepared_wait prepared = tested->prepare_wait();
            CHECK_FALSE(prepared.ready);
            pipe.put();
            CHECK(loop.readable(long_ms));
            tested->finish_wait();
            CHECK(operation.results == std::vector<int>{POLLIN});
            CHECK_FALSE(operation.armed());
            operation.results.clear();
            pipe.take();
            loop.settle();
        }
    }
}

FLUXNET_REACTOR_TEST("a loop of others is told of what became ready before it waits") {
    for (const reactor_threads threads : both_kinds) {
        const auto tested = attached_for(kind, threads);
        const pipe_ends pipe;
        driver loop(*tested);
        loop.settle();
        recorder operation;
        for (const bool before_arming : {true, false}) {
            if (before_arming) { pipe.put(); }
            tested->arm(operation, pipe.read.get(), POLLIN);
            if (!before_arming) {
                tested->poll();
                pipe.put();
            }
            CHECK(loop.round(long_ms));
            CHECK(operation.results == std::vector<int>{POLLIN});
            operation.results.clear();
            pipe.take();
        }
    }
}

FLUXNET_REACTOR_TEST("a wake from another thread is told to a loop of others") {
    for (const reactor_threads threads : both_kinds) {
        const auto tested = attached_for(kind, threads);
        driver loop(*tested);
        loop.settle();
        for (int round = 0; round < 20; ++round) {
            std::thread other([&] { tested->wake(); });
            CHECK(loop.round(long_ms));
            other.join();
            loop.settle();
            tested->wake();  // before the wait
            CHECK(loop.round(long_ms));
            loop.settle();
        }
    }
}

FLUXNET_REACTOR_TEST("waits of one's own and waits in a loop of others may follow each other") {
    for (const reactor_threads threads : both_kinds) {
        const auto tested = attached_for(kind, threads);
        const pipe_ends pipe;
        driver loop(*tested);
        recorder operation;
        for (int round = 0; round < 5; ++round) {
            tested->wait(clock_type::time_point{});
            loop.settle();
            tested->wake();
            CHECK(loop.round(long_ms));
            loop.settle();
            tested->arm(operation, pipe.read.get(), POLLIN);
            tested->wait(clock_type::time_point{});
            pipe.put();
            CHECK(loop.round(long_ms));
            CHECK(operation.results == std::vector<int>{POLLIN});
            operation.results.clear();
            pipe.take();
            tested->wake();
            tested->wait(std::nullopt);
        }
    }
}

FLUXNET_REACTOR_TEST("an operation that was cancelled is told to a loop of others") {
    const auto tested = attached(kind);
    const pipe_ends pipe;
    driver loop(*tested);
    loop.settle();
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    CHECK_FALSE(loop.round(0));
    tested->disarm(operation);
    CHECK(loop.round(long_ms));
    CHECK(operation.results == std::vector<int>{-ECANCELED});
}

FLUXNET_REACTOR_TEST("a reactor for changing threads is driven by one after the other") {
    const auto tested = attached_for(kind, reactor_threads::changing);
    const pipe_ends pipe;
    driver loop(*tested);
    recorder operation;
    std::thread([&] {
        tested->arm(operation, pipe.read.get(), POLLIN);
        loop.settle();
        tested->poll();
    }).join();
    pipe.put();
    std::thread([&] { loop.round(long_ms); }).join();
    while (operation.results.empty()) { loop.round(long_ms); }
    CHECK(operation.results == std::vector<int>{POLLIN});
}

FLUXNET_REACTOR_TEST("a loop of others that has armed nothing makes no system call to wait but its own") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const auto tested = attached(kind);
    const pipe_ends pipe;
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    for (int i = 0; i < 2; ++i) {
        static_cast<void>(tested->prepare_wait());
        tested->finish_wait();
    }
    syscall_counter counter(::gettid(), counted::thread);
    counter.reset();
    static_cast<void>(tested->prepare_wait());
    const std::uint64_t prepared = own_calls(counter);
    tested->finish_wait();
    const std::uint64_t finished = own_calls(counter);
    CHECK(prepared == 0);
    CHECK(finished == 1);
    tested->disarm_now(operation);
}
