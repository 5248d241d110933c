// SPDX-License-Identifier: BSD-3-Clause
// What only io_uring does.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/reactor_tests.hpp"
#include "tests/runtime/seccomp.hpp"

#include <doctest/doctest.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <thread>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("a ring is attached by one thread and refuses to be driven by another") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    const auto ring = make_io_uring_reactor();
    CHECK(std::string(ring->name()).find("io_uring") == 0);
    std::thread([&] {
        ring->attach();
        ring->attach();
        ring->poll();
    }).join();
    if (std::string(ring->name()).find("SINGLE_ISSUER") != std::string::npos) {
        CHECK_THROWS_AS(ring->wait(clock_type::now()), std::system_error);
    }
}

TEST_CASE("a ring that cannot be attached is as it was before and can be dropped") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    const std::string text = said_without({SYS_setsid, EPERM}, [] {
        const int free_before = ::dup(0);
        ::close(free_before);
        std::string said;
        {
            const auto ring = make_io_uring_reactor();
            forbid({SYS_io_uring_register, EPERM});
            for (int attempt = 0; attempt < 2; ++attempt) {
                try {
                    ring->attach();
                    said += "attached ";
                } catch (const std::system_error& refused) { said += std::to_string(refused.code().value()) + ' '; }
            }
        }
        const int free_after = ::dup(0);
        ::close(free_after);
        return said + (free_before == free_after ? "nothing left" : "a descriptor left");
    });
    CHECK(text == std::to_string(EPERM) + ' ' + std::to_string(EPERM) + " nothing left");
}

TEST_CASE("a ring for changing threads is driven by one after the other") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    const auto ring = make_io_uring_reactor(reactor_threads::changing);
    CHECK(std::string(ring->name()).find("SINGLE_ISSUER") == std::string::npos);
    std::thread([&] {
        ring->attach();
        ring->poll();
    }).join();
    CHECK_NOTHROW(ring->wait(clock_type::now()));
}
