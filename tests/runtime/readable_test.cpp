// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/readable.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

static_assert(!std::is_copy_constructible_v<descriptor_awaiter> && !std::is_move_constructible_v<descriptor_awaiter>);
static_assert(sizeof(descriptor_awaiter) <= 320);

namespace {

file_descriptor make_eventfd() {
    return file_descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

void signal_eventfd(const file_descriptor& fd) {
    const std::uint64_t one = 1;
    REQUIRE(::write(fd.get(), &one, sizeof one) == sizeof one);
}

task<void> read_once(int fd, std::error_code& seen) {
    seen = co_await readable(fd);
}

}  // namespace

TEST_CASE("a pipe that has something to read completes in the next turns") {
    executor loop;
    const pipe_ends pipe;
    pipe.put();
    std::error_code seen = errc::closed;
    loop.spawn(read_once(pipe.read.get(), seen));
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("a coroutine sleeps until another thread writes to its pipe") {
    executor loop;
    const pipe_ends pipe;
    int rounds = 0;
    loop.spawn([&]() -> task<void> {
        for (; rounds < 50; ++rounds) {
            const std::error_code ec = co_await readable(pipe.read.get());
            REQUIRE_FALSE(ec);
            pipe.take();
        }
    });
    std::thread other([&] {
        for (int i = 0; i < 50; ++i) {
            std::this_thread::sleep_for(200us);
            pipe.put();
        }
    });
    loop.run();
    other.join();
    CHECK(rounds == 50);
}

TEST_CASE("an eventfd wakes the coroutine that awaits it and no other") {
    executor loop;
    const file_descriptor first = make_eventfd();
    const file_descriptor second = make_eventfd();
    std::vector<int> order;
    const auto wait = [&order](int fd, int name) -> task<void> {
        static_cast<void>(co_await readable(fd));
        order.push_back(name);
    };
    loop.spawn(wait(first.get(), 1));
    loop.spawn(wait(second.get(), 2));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        signal_eventfd(second);
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(order == std::vector<int>{2});
        signal_eventfd(first);
    });
    loop.run();
    CHECK(order == std::vector<int>{2, 1});
}

TEST_CASE("two coroutines that await the same descriptor both complete") {
    executor loop;
    const file_descriptor event = make_eventfd();
    std::error_code seen[2] = {errc::closed, errc::closed};
    loop.spawn(read_once(event.get(), seen[0]));
    loop.spawn(read_once(event.get(), seen[1]));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        signal_eventfd(event);
    });
    loop.run();
    CHECK_FALSE(seen[0]);
    CHECK_FALSE(seen[1]);
}

TEST_CASE("a descriptor whose peer has closed is readable") {
    executor loop;
    pipe_ends pipe;
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const file_descriptor socket{ends[0]};
    file_descriptor peer{ends[1]};
    std::error_code seen[2] = {errc::closed, errc::closed};
    loop.spawn(read_once(pipe.read.get(), seen[0]));
    loop.spawn(read_once(socket.get(), seen[1]));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        pipe.write.reset();
        peer.reset();
    });
    loop.run();
    CHECK_FALSE(seen[0]);
    CHECK_FALSE(seen[1]);
}

TEST_CASE("a number that names no descriptor gives the kernel's error") {
    executor loop;
    std::error_code seen;
    loop.spawn(read_once(1'000'000, seen));
    loop.run();
    CHECK(seen == std::errc::bad_file_descriptor);
}

TEST_CASE("a wait under a stop that was requested arms nothing") {
    executor loop;
    const pipe_ends pipe;
    pipe.put();
    std::error_code seen;
    loop.request_stop();
    loop.run();
    loop.spawn(read_once(pipe.read.get(), seen));
    loop.run();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("a wait that is cancelled while it sleeps ends with operation_canceled") {
    executor loop;
    const pipe_ends pipe;
    std::stop_source source;
    std::error_code seen;
    std::error_code again = errc::closed;
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), read_once(pipe.read.get(), seen));
        co_await under;
        again = co_await readable(pipe.read.get());
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        static_cast<void>(co_await sleep_for(2ms));
        pipe.put();
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
    CHECK_FALSE(again);
}

TEST_CASE("a wait that is cancelled in the turn it began in ends with operation_canceled") {
    executor loop;
    const pipe_ends pipe;
    std::stop_source source;
    std::error_code seen;
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), read_once(pipe.read.get(), seen));
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        source.request_stop();
        co_return;
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("a stop that comes after the wait has ended changes nothing") {
    executor loop;
    const pipe_ends pipe;
    pipe.put();
    std::stop_source source;
    std::error_code seen = errc::closed;
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), read_once(pipe.read.get(), seen));
        co_await under;
        source.request_stop();
        static_cast<void>(co_await sleep_for(1ms));
    });
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("an executor is destroyed while descriptors are awaited") {
    const pipe_ends pipe;
    for (int round = 0; round < 20; ++round) {
        executor loop;
        std::error_code seen[300];
        for (std::error_code& one : seen) { loop.spawn(read_once(pipe.read.get(), one)); }
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            loop.stop();
        });
        loop.run();
    }
}

TEST_CASE("an executor is destroyed on another thread while descriptors are awaited") {
    const pipe_ends pipe;
    auto loop = std::make_unique<executor>();
    std::error_code seen[3];
    std::thread([&] {
        for (std::error_code& one : seen) { loop->spawn(read_once(pipe.read.get(), one)); }
        loop->spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            loop->stop();
        });
        loop->run();
    }).join();
    loop.reset();
    pipe.put();
}

TEST_CASE("waits outlive a run that was stopped and complete in the next one") {
    executor loop;
    const pipe_ends pipe;
    std::error_code seen = errc::closed;
    loop.spawn(read_once(pipe.read.get(), seen));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        loop.stop();
    });
    loop.run();
    CHECK(seen == errc::closed);
    pipe.put();
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("more descriptors than the ring has entries are awaited and become ready at once") {
    constexpr std::size_t many = 1500;
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    executor loop;
    std::vector<file_descriptor> events;
    std::vector<std::error_code> seen(many, errc::closed);
    for (std::size_t i = 0; i < many; ++i) {
        events.push_back(make_eventfd());
        REQUIRE(events.back().get() >= 0);
        loop.spawn(read_once(events.back().get(), seen[i]));
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(10ms));
        for (const file_descriptor& event : events) { signal_eventfd(event); }
    });
    loop.run();
    for (const std::error_code& one : seen) { CHECK_FALSE(one); }
}

TEST_CASE("more waits than the ring has entries are cancelled by one request") {
    executor loop;
    const pipe_ends pipe;
    std::vector<std::error_code> seen(1500, errc::closed);
    for (std::error_code& one : seen) { loop.spawn(read_once(pipe.read.get(), one)); }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(10ms));
        loop.request_stop();
    });
    loop.run();
    for (const std::error_code& one : seen) { CHECK(one == errc::operation_canceled); }
}
