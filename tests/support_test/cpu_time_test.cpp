// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/cpu_time.hpp"

#include "tests/support/deadline.hpp"
#include "tests/support/process.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <chrono>
#include <system_error>
#include <thread>

using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("a thread that computes is counted also after it has ended") {
    const auto before = cpu_time(::getpid());
    std::thread worker([] {
        const auto start = cpu_time(::getpid());
        while (cpu_time(::getpid()) - start < 30ms) {}
    });
    worker.join();
    CHECK(cpu_time(::getpid()) - before >= 30ms);
}

TEST_CASE("a child that sleeps uses next to nothing and one that computes does not") {
    const process sleeping({"sleep", "1000"});
    const process computing({"sh", "-c", "while :; do :; done"});
    const auto sleeping_before = cpu_time(sleeping.pid());
    const deadline limit = 20s;
    while (cpu_time(computing.pid()) < 50ms && !limit.passed()) std::this_thread::sleep_for(5ms);
    CHECK(cpu_time(computing.pid()) >= 50ms);
    CHECK(cpu_time(sleeping.pid()) - sleeping_before < 5ms);
}

TEST_CASE("a process that does not exist is reported") {
    pid_t gone = 0;
    {
        const process child({"true"});
        gone = child.pid();
    }
    CHECK_THROWS_AS(static_cast<void>(cpu_time(gone)), std::system_error);
}
