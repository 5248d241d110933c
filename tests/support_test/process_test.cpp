// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/process.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <type_traits>

using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<process>);
static_assert(std::is_nothrow_move_constructible_v<process>);

TEST_CASE("a process hands over what it wrote to both of its outputs") {
    const finished done = run({"sh", "-c", "echo out; echo err >&2; echo again"}, {}, 10s);
    CHECK(done.success());
    CHECK(done.output == "out\nerr\nagain\n");
    CHECK_FALSE(done.timed_out);
}

TEST_CASE("a process reports its exit code or its signal") {
    CHECK(run({"sh", "-c", "exit 7"}, {}, 10s).exit_code == 7);
    const finished killed = run({"sh", "-c", "kill -TERM $$"}, {}, 10s);
    CHECK(killed.exit_code == -1);
    CHECK(killed.signal == SIGTERM);
}

TEST_CASE("a child that writes much never waits for its reader") {
    process child({"sh", "-c", "head -c 4000000 /dev/zero; echo end"});
    const auto status = child.wait(10s);
    REQUIRE(status);
    CHECK(status->success());
    CHECK(child.output().size() == 4'000'004);
}

TEST_CASE("read_until follows the course of the output") {
    process child({"sh", "-c", "echo ready; sleep 0.05; echo ready; exec sleep 1000"});
    CHECK(child.read_until("ready\n", 10s));
    CHECK(child.read_until("ready\n", 10s));
    CHECK_FALSE(child.read_until("ready\n", 20ms));
    CHECK(child.running());
    CHECK(child.output() == "ready\nready\n");
}

TEST_CASE("read_until gives up when the child ends") {
    process child({"sh", "-c", "echo something else"});
    CHECK_FALSE(child.read_until("ready", 1h));
    CHECK(child.read_until("else", 1h));
}

TEST_CASE("a process takes signals until it has ended") {
    process child({"sleep", "1000"});
    CHECK_FALSE(child.wait(10ms));
    CHECK(child.signal(SIGINT));
    const auto status = child.wait(10s);
    REQUIRE(status);
    CHECK(status->signal == SIGINT);
    CHECK_FALSE(child.signal(SIGINT));
    CHECK(child.wait(0ms)->signal == SIGINT);
}

TEST_CASE("destroying a process kills and reaps it and leaves others alone") {
    process other({"sleep", "1000"});
    pid_t gone = 0;
    {
        const process child({"sleep", "1000"});
        gone = child.pid();
        CHECK(::kill(gone, 0) == 0);
    }
    CHECK(::kill(gone, 0) == -1);
    CHECK(other.running());
}

TEST_CASE("a moved process keeps its child") {
    process first({"sh", "-c", "echo hello; exec sleep 1000"});
    const pid_t pid = first.pid();
    process second(std::move(first));
    CHECK(second.pid() == pid);
    CHECK(second.read_until("hello", 10s));
    second = process({"true"});
    CHECK(::kill(pid, 0) == -1);
    CHECK(second.wait(10s)->success());
}

TEST_CASE("a program that does not exist is reported by name") {
    try {
        const process child({"/no-such-program-anywhere"});
        FAIL("it started");
    } catch (const std::system_error& refused) {
        CHECK(refused.code() == std::errc::no_such_file_or_directory);
        CHECK(std::string{refused.what()}.find("no-such-program-anywhere") != std::string::npos);
    }
}

TEST_CASE("a run past its deadline is killed") {
    const finished late = run({"sh", "-c", "echo started; exec sleep 1000"}, {}, 2s);
    CHECK(late.timed_out);
    CHECK(late.signal == SIGKILL);
    CHECK(late.output == "started\n");
}

TEST_CASE("environment and in_child take effect before the program starts") {
    process_options options;
    options.env = {{"FLUXNET_GREETING", "hello"}, {"HOME", "/nowhere"}};
    options.in_child = [] {
        const rlimit limit{17, 17};
        ::setrlimit(RLIMIT_NOFILE, &limit);
    };
    CHECK(run({"sh", "-c", "echo $FLUXNET_GREETING $HOME; ulimit -n"}, options, 10s).output == "hello /nowhere\n17\n");
}

TEST_CASE("an exception of in_child reaches the test") {
    process_options options;
    options.in_child = [] { throw std::system_error(EPERM, std::generic_category(), "drop it"); };
    CHECK_THROWS_WITH_AS(process({"true"}, options), doctest::Contains("drop it"), std::system_error);
}

TEST_CASE("a program inherits no descriptor and has no input") {
    const finished done = run({"sh", "-c", "cat; ls /proc/self/fd | wc -l"}, {}, 10s);
    CHECK(done.output == "4\n");  // 0 to 2 and the directory itself
}

TEST_CASE("a child dies with the test that started it") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t test = ::fork();
    if (test == 0) {
        const process child({"sleep", "1000"});
        const pid_t pid = child.pid();
        if (::write(ends[1], &pid, sizeof pid) != sizeof pid) ::_exit(1);
        for (;;) ::pause();
    }
    pid_t grandchild = 0;
    REQUIRE(::read(ends[0], &grandchild, sizeof grandchild) == sizeof grandchild);
    const detail::file_descriptor watched{static_cast<int>(::syscall(SYS_pidfd_open, grandchild, 0))};
    CHECK(watched);
    ::kill(test, SIGKILL);
    ::waitpid(test, nullptr, 0);
    pollfd ended{watched.get(), POLLIN, 0};
    CHECK(::poll(&ended, 1, 10'000) == 1);
    ::close(ends[0]);
    ::close(ends[1]);
}
