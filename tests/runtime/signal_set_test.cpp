// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/signal_set.hpp"

#include "fluxnet/runtime/core/dump_on_signal.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<signal_set> && !std::is_move_constructible_v<signal_set>);

namespace {

bool blocked(int number) {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return ::sigismember(&mask, number) == 1;
}

/// Waits for a child and returns the signal that ended it, or minus its exit code.
int end_of(pid_t child) {
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

/// A program that sends itself a signal, and exits with 3 when it survives that.
struct self_killer {
    explicit self_killer(const char* signal) : line(std::string("kill -") + signal + " $$; exit 3") {}

    [[nodiscard]] char* const* argv() { return words.data(); }

    std::string line;
    std::array<char, 3> shell{"sh"};
    std::array<char, 3> option{"-c"};
    std::array<char*, 4> words{shell.data(), option.data(), line.data(), nullptr};
};

/// How such a program ends that is forked and executed, and first does what `in_child` says.
int end_of_forked(const char* signal, void (*in_child)()) {
    self_killer program(signal);
    const pid_t child = ::fork();
    if (child == 0) {
        in_child();
        ::execv("/bin/sh", program.argv());
        ::_exit(127);
    }
    return end_of(child);
}

int end_of_spawned(const char* signal) {
    self_killer program(signal);
    posix_spawnattr_t attributes;
    REQUIRE(::posix_spawnattr_init(&attributes) == 0);
    const sigset_t mask = signal_set::child_mask();
    REQUIRE(::posix_spawnattr_setsigmask(&attributes, &mask) == 0);
    REQUIRE(::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK) == 0);
    pid_t child = -1;
    REQUIRE(::posix_spawn(&child, "/bin/sh", nullptr, &attributes, program.argv(), environ) == 0);
    ::posix_spawnattr_destroy(&attributes);
    return end_of(child);
}

}  // namespace

TEST_CASE("a child that restores the mask is ended by SIGTERM and one that does not is not") {
    const signal_set signals{SIGINT, SIGTERM};
    CHECK(end_of_forked("TERM", [] {}) == -3);
    CHECK(end_of_forked("TERM", &signal_set::restore_in_child) == SIGTERM);
    CHECK(end_of_spawned("TERM") == SIGTERM);
    CHECK(blocked(SIGTERM));  // still, in the parent
}

TEST_CASE("a child is ended by the signals of every set that lives and of stop_on") {
    const signal_set first{SIGUSR1};
    const signal_set second{SIGUSR1, SIGUSR2};
    const task<void> stopper = stop_on({SIGTERM});
    for (const char* number : {"USR1", "USR2", "TERM"}) {
        CHECK(end_of_forked(number, [] {}) == -3);
        CHECK(end_of_forked(number, &signal_set::restore_in_child) > 0);
        CHECK(end_of_spawned(number) > 0);
    }
}

TEST_CASE("what a program blocks by other means stays blocked in its children") {
    sigset_t mask;
    sigset_t former;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mask, &former) == 0);
    {
        const signal_set signals{SIGUSR1, SIGUSR2};
        CHECK(end_of_forked("USR1", &signal_set::restore_in_child) == -3);
        CHECK(end_of_forked("USR2", &signal_set::restore_in_child) == SIGUSR2);
    }
    ::sigaddset(&mask, SIGUSR2);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mask, nullptr) == 0);
    CHECK(end_of_forked("USR2", &signal_set::restore_in_child) == -3);  // the set is over
    ::pthread_sigmask(SIG_SETMASK, &former, nullptr);                   // for the cases that run in this process afterwards
}

TEST_CASE("a raised signal completes next with its number") {
    executor loop;
    signal_set signals{SIGUSR1, SIGUSR2};
    ::raise(SIGUSR2);
    CHECK(sync_wait(loop, signals.next()) == SIGUSR2);
}

TEST_CASE("a coroutine sleeps until a signal is sent to the process") {
    executor loop;
    signal_set signals{SIGUSR1, SIGUSR2};
    std::vector<int> seen;
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 3; ++i) { seen.push_back(co_await signals.next()); }
    });
    loop.spawn([]() -> task<void> {
        for (const int number : {SIGUSR1, SIGUSR2, SIGUSR1}) {
            static_cast<void>(co_await sleep_for(2ms));
            ::kill(::getpid(), number);
        }
    });
    loop.run();
    CHECK(seen == std::vector<int>{SIGUSR1, SIGUSR2, SIGUSR1});
}

TEST_CASE("the signals of a set are blocked while it lives and restored afterwards") {
    CHECK_FALSE(blocked(SIGUSR1));
    {
        const signal_set signals{SIGUSR1};
        CHECK(blocked(SIGUSR1));
        CHECK_FALSE(blocked(SIGUSR2));
    }
    CHECK_FALSE(blocked(SIGUSR1));
}

TEST_CASE("a signal that was blocked before stays blocked after the set") {
    sigset_t mask;
    sigset_t former;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR1);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mask, &former) == 0);
    { const signal_set signals{SIGUSR1, SIGUSR2}; }
    CHECK(blocked(SIGUSR1));
    CHECK_FALSE(blocked(SIGUSR2));
    ::pthread_sigmask(SIG_SETMASK, &former, nullptr);  // for the cases that run in this process afterwards
}

TEST_CASE("sets with different signals may end in any order") {
    std::optional<signal_set> first;
    std::optional<signal_set> second;
    first.emplace({SIGUSR1});
    second.emplace({SIGUSR2});
    first.reset();
    CHECK_FALSE(blocked(SIGUSR1));
    CHECK(blocked(SIGUSR2));
    second.reset();
    CHECK_FALSE(blocked(SIGUSR1));
    CHECK_FALSE(blocked(SIGUSR2));
}

TEST_CASE("a cancelled wait for a signal gives 0 and the set goes on") {
    executor loop;
    signal_set signals{SIGUSR1};
    std::stop_source source;
    std::vector<int> seen;
    const auto wait = [&]() -> task<void> { seen.push_back(co_await signals.next()); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
        co_await wait();
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
        static_cast<void>(co_await sleep_for(2ms));
        ::raise(SIGUSR1);
    });
    loop.run();
    CHECK(seen == std::vector<int>{0, SIGUSR1});
}

TEST_CASE("signals that nobody can await are refused with their number and nothing is blocked") {
    for (const int number : {SIGKILL, SIGSTOP, 0, -1, _NSIG, 1000}) {
        CAPTURE(number);
        std::error_code why;
        std::string told;
        try {
            const signal_set refused{SIGUSR1, number};
        } catch (const std::system_error& failure) {
            why = failure.code();
            told = failure.what();
        }
        CHECK(why == errc::invalid_option);
        CHECK(told.find("signal " + std::to_string(number)) != std::string::npos);
        CHECK_THROWS_AS(static_cast<void>(stop_on({number})), std::system_error);
        executor loop;
        CHECK_THROWS_AS(dump_on_signal(loop, number, [](const std::string&) {}), std::system_error);
    }
    CHECK_FALSE(blocked(SIGUSR1));
}

TEST_CASE("a set of no signals is refused") {
    std::error_code why;
    try {
        const signal_set signals{};
    } catch (const std::system_error& failure) { why = failure.code(); }
    CHECK(why == errc::invalid_option);
}
