// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/syscall_counter.hpp"

#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

void call_getppid(int times) {
    for (int i = 0; i < times; ++i) ::syscall(SYS_getppid);
}

}  // namespace

TEST_CASE("system calls of the process are counted exactly") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    syscall_counter counter(::getpid());
    call_getppid(1000);
    const std::uint64_t total = counter.total();
    CHECK(counter.of(SYS_getppid) == 1000);
    CHECK(total == 1000);
    CHECK(counter.of(SYS_getpgid) == 0);
    CHECK(counter.of(-5) == 0);
}

TEST_CASE("reading and resetting the counts makes no system call") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    syscall_counter counter(::getpid());
    for (int i = 0; i < 100; ++i) {
        static_cast<void>(counter.total());
        static_cast<void>(counter.of(SYS_read));
        counter.reset();
    }
    CHECK(counter.total() == 0);
    call_getppid(3);
    const auto seen = counter.snapshot();
    CHECK(seen.at(SYS_getppid) == 3);
}

TEST_CASE("a number beyond the table is counted apart") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    syscall_counter counter(::getpid());
    ::syscall(100'000);
    const auto seen = counter.snapshot();
    CHECK(seen.at(-1) == 1);
}

TEST_CASE("all threads of a process are counted and one thread alone when asked") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const syscall_counter all(::getpid(), counted::process);
    const syscall_counter own(::gettid(), counted::thread);
    std::thread other([] { call_getppid(5000); });
    call_getppid(5000);
    other.join();
    CHECK(all.of(SYS_getppid) == 10'000);
    CHECK(own.of(SYS_getppid) == 5000);
}

TEST_CASE("system calls of a child are counted and not those of others") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    process child({"sh", "-c", "echo started; sleep 0.5; cd /; cd /; cd /; echo done; exec sleep 1000"});
    REQUIRE(child.read_until("started", 10s));  // a shell that starts asks for its parent
    const syscall_counter counter(child.pid());
    call_getppid(100);
    CHECK(child.read_until("done", 10s));
    CHECK(counter.of(SYS_chdir) == 3);
    CHECK(counter.of(SYS_getppid) == 0);
}

TEST_CASE("a counter ends with its object") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    syscall_counter first(::getpid());
    syscall_counter second(std::move(first));
    second.reset();
    call_getppid(2);
    CHECK(second.of(SYS_getppid) == 2);
}
