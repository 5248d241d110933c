// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/subprocess.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/subprocess_tests.hpp"

#include <doctest/doctest.h>

#include <csignal>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<subprocess> && std::is_nothrow_move_constructible_v<subprocess> &&
              std::is_nothrow_move_assignable_v<subprocess>);

namespace {

/// Waits until a child has ended, and leaves it to be reaped.
void wait_for_zombie(pid_t pid) {
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

task<io_result> read_once(pipe_reader& from) {
    std::array<std::byte, 32> bytes;
    const io_result got = co_await from.read(bytes);
    co_return got;
}

bool is_child(pid_t pid) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

TEST_CASE("a program's exit code arrives and stays") {
    executor loop;
    for (const int code : {0, 1, 3, 255}) {
        subprocess child = started(shell("exit " + std::to_string(code)));
        CHECK(child.pid() > 0);
        for (int i = 0; i < 2; ++i) {
            const exit_result end = sync_wait(loop, child.wait());
            CHECK_FALSE(end.ec);
            CHECK(end.status == exit_status{.code = code});
            CHECK(end.status.success() == (code == 0));
        }
        CHECK(child.ended().has_value());
        CHECK(no_children());
    }
}

TEST_CASE("a program that a signal ends has no exit code") {
    executor loop;
    subprocess child = started(shell("kill -TERM $$"));
    const exit_result end = sync_wait(loop, child.wait());
    CHECK_FALSE(end.ec);
    CHECK(end.status == exit_status{.code = -1, .signal = SIGTERM});
    CHECK_FALSE(end.status.success());
}

TEST_CASE("a signal that is sent ends the program and after its end there is none to send to") {
    executor loop;
    subprocess child = started(endless());
    CHECK_FALSE(child.ended().has_value());
    CHECK(child.kill(9999) == std::errc::invalid_argument);
    CHECK_FALSE(child.kill(0));
    CHECK_FALSE(child.kill(SIGTERM));
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.signal == SIGTERM);
    CHECK(child.kill(SIGTERM) == std::errc::no_such_process);
}

TEST_CASE("a signal reaches what the leader of a group has started, also when the leader has ended") {
    executor loop;
    for (const bool leader_ends : {false, true}) {
        process_options options = shell(std::string("sleep 1000 & echo $!; ") + (leader_ends ? "exit 3" : "wait"));
        options.own_group = true;
        options.out = process_stream::pipe();
        subprocess child = started(options);
        pipe_reader out = pipe_reader::adopt(child.release_stdout()).value();
        CHECK(sync_wait(loop, read_once(out)).n != 0);  // its child has begun
        if (leader_ends) { wait_for_zombie(child.pid()); }
        CHECK_FALSE(child.kill(SIGTERM));
        CHECK(sync_wait(loop, read_once(out)).ec == errc::end_of_stream);  // nobody has the pipe any more
        const exit_result status = sync_wait(loop, child.wait());
        CHECK((leader_ends ? status.status.code == 3 : status.status.signal == SIGTERM));
        CHECK(child.kill(SIGTERM) == std::errc::no_such_process);
    }
}

TEST_CASE("a handle that goes ends the group of its program") {
    executor loop;
    process_options options = shell("sleep 1000 & echo $!; exit 0");
    options.own_group = true;
    options.out = process_stream::pipe();
    std::optional<subprocess> child(started(options));
    pipe_reader out = pipe_reader::adopt(child->release_stdout()).value();
    CHECK(sync_wait(loop, read_once(out)).n != 0);
    wait_for_zombie(child->pid());
    child.reset();
    CHECK(sync_wait(loop, read_once(out)).ec == errc::end_of_stream);
}

TEST_CASE("several coroutines wait for one program") {
    executor loop;
    subprocess child = started(endless());
    int told = 0;
    for (int i = 0; i < 3; ++i) {
        loop.spawn([&]() -> task<void> {
            const exit_result end = co_await child.wait();
            told += end.status.signal == SIGKILL ? 1 : 0;
        });
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await yield());
        CHECK_FALSE(child.kill(SIGKILL));
    });
    loop.run();
    CHECK(told == 3);
}

TEST_CASE("a cancelled wait leaves the program running") {
    executor loop;
    subprocess child = started(endless());
    std::stop_source source;
    std::optional<exit_result> first;
    std::optional<exit_result> second;
    const auto wait = [&]() -> task<void> { first = co_await child.wait(); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
        CHECK_FALSE(child.ended().has_value());
        CHECK_FALSE(child.kill(SIGKILL));
        second = co_await child.wait();
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
    });
    loop.run();
    REQUIRE(first.has_value());
    CHECK(first->ec == errc::operation_canceled);
    REQUIRE(second.has_value());
    CHECK_FALSE(second->ec);
    CHECK(second->status.signal == SIGKILL);
}

TEST_CASE("a program that takes too long is killed after a timeout") {
    executor loop;
    subprocess child = started(endless());
    loop.spawn([&]() -> task<void> {
        const timed<exit_result> early = co_await timeout(2ms, child.wait());
        CHECK(early.expired);
        CHECK(early.value.ec == errc::operation_canceled);
        CHECK_FALSE(child.kill(SIGKILL));
        const exit_result end = co_await child.wait();
        CHECK(end.status.signal == SIGKILL);
    });
    loop.run();
}

TEST_CASE("a handle that goes ends its program and leaves no zombie") {
    {
        const subprocess running = started(endless());
        CHECK(is_child(running.pid()));
    }
    CHECK(no_children());
    {
        const subprocess ended = started({.argv = {"true"}});
        wait_for_zombie(ended.pid());
    }
    CHECK(no_children());
}

TEST_CASE("an assigned handle ends its former program and the handle it came from is empty") {
    executor loop;
    subprocess first = started(endless());
    const pid_t former = first.pid();
    subprocess second = started(endless());
    const pid_t pid = second.pid();
    first = std::move(second);
    CHECK_FALSE(is_child(former));
    CHECK(is_child(pid));
    CHECK(first.pid() == pid);
    CHECK(second.pid() == 0);
    CHECK(second.kill(SIGTERM) == errc::closed);
    const exit_result none = sync_wait(loop, second.wait());
    CHECK(none.ec == errc::closed);
    const subprocess third = std::move(first);
    CHECK(third.pid() == pid);
    CHECK_FALSE(first.kill(SIGTERM) == std::error_code());
}

TEST_CASE("a detached program goes on and is reaped in the background") {
    executor loop;
    descriptor output;
    loop.spawn([&]() -> task<void> {
        process_options options = shell("read line; echo \"$line\"");
        options.in = process_stream::pipe();
        options.out = process_stream::pipe();
        subprocess child = started(options);
        descriptor input = child.release_stdin();
        output = child.release_stdout();
        child.detach();
        CHECK(child.kill(SIGTERM) == errc::closed);
        CHECK(child.pid() == 0);
        const std::error_code ec = co_await feed(std::move(input), "still there\n");
        CHECK_FALSE(ec);
        const std::string text = co_await read_all(std::move(output));
        CHECK(text == "still there\n");
        while (!no_children()) { static_cast<void>(co_await sleep_for(1ms)); }
    });
    loop.run();
}

TEST_CASE("a detached program that ends after its executor is reaped by the next start") {
    pid_t pid = 0;
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            subprocess child = started(endless());
            pid = child.pid();
            child.detach();
            co_return;
        });
        loop.run();
    }
    REQUIRE(is_child(pid));
    REQUIRE(::kill(pid, SIGKILL) == 0);
    wait_for_zombie(pid);
    const subprocess next = started(endless());
    CHECK_FALSE(is_child(pid));
}

TEST_CASE("a program that was detached where no executor runs is reaped by the next start") {
    subprocess child = started(endless());
    const pid_t pid = child.pid();
    child.detach();
    child.detach();  // of nothing
    REQUIRE(::kill(pid, SIGKILL) == 0);
    wait_for_zombie(pid);
    const subprocess next = started(endless());
    CHECK_FALSE(is_child(pid));
}

TEST_CASE("a status that other code has taken is told to be missing") {
    executor loop;
    subprocess child = started({.argv = {"true"}});
    REQUIRE(::waitpid(child.pid(), nullptr, 0) == child.pid());
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.ec == std::errc::no_child_process);
    CHECK(child.kill(SIGTERM) == std::errc::no_such_process);
}

TEST_CASE("other children of the process are left alone") {
    executor loop;
    const pid_t other = ::fork();
    if (other == 0) { ::_exit(7); }
    REQUIRE(other > 0);
    wait_for_zombie(other);
    subprocess child = started(shell("exit 3"));
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.code == 3);
    int status = 0;
    REQUIRE(::waitpid(other, &status, 0) == other);
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("two hundred programs run at once and each has its own status") {
    executor loop;
    std::vector<int> codes(200, -1);
    for (std::size_t i = 0; i < codes.size(); ++i) {
        loop.spawn([&codes, i]() -> task<void> {
            subprocess child = started(shell("exit " + std::to_string(i)));
            const exit_result end = co_await child.wait();
            codes[i] = end.status.code;
        });
    }
    loop.run();
    for (std::size_t i = 0; i < codes.size(); ++i) { CHECK(codes[i] == static_cast<int>(i)); }
    CHECK(no_children());
}

TEST_CASE("in virtual time no program is started or awaited") {
    subprocess child = started(endless());
    virtual_clock clock(1);
    executor loop(clock);
    loop.spawn([&]() -> task<void> {
        const result<subprocess> none = subprocess::start(endless());
        REQUIRE(none.has_error());
        CHECK(none.error().code == errc::not_in_virtual_time);
        CHECK_FALSE(none.error().remedy.empty());
        const exit_result end = co_await child.wait();
        CHECK(end.ec == errc::not_in_virtual_time);
    });
    loop.run();
    CHECK_FALSE(child.ended().has_value());
}
