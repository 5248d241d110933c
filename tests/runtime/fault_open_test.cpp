// SPDX-License-Identifier: BSD-3-Clause
// The kernel fails at each step while sockets are opened and bound to an executor, and while there are no more descriptors:
// the error names the step, and nothing is left open, mapped, blocked or allocated.
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "tests/runtime/leaves_nothing.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/without_descriptors.hpp"
#include "tests/xsk/scale.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <signal.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// Makes all that has descriptors; returns why not, or nothing.
std::string why_not_made() {
    try {
        fake_kernel kernel;
        kernel.interface.index = 1;
        executor loop;
        const auto opened = open_async(loop, sim_builder(kernel).tx_frames(16));
        if (opened.has_error()) {
            CHECK_FALSE(opened.error().step.empty());
            CHECK_FALSE(opened.error().remedy.empty());
            return opened.error().message();
        }
        const signal_set signals{SIGWINCH};
        return {};
    } catch (const std::system_error& failure) { return failure.what(); }
}

bool is_blocked(int signal) {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return ::sigismember(&mask, signal) == 1;
}

/// Why no descriptors at all cannot be tried here; none when it can.
std::optional<std::string> why_sanitized() {
#if defined(FLUXNET_TEST_SANITIZED)
    return "the undefined-behaviour sanitizer opens a pipe to look at an object's type";
#else
    return std::nullopt;
#endif
}

}  // namespace

TEST_CASE("a call that fails while a socket is opened on an executor leaves nothing and names its step") {
    unsigned refused = 0;
    bool reached = true;
    for (unsigned nth = 1; reached; ++nth) {
        REQUIRE(nth < 100);
        CAPTURE(nth);
        for (const int number : {ENOMEM, EPERM, EIO}) {
            leaves_nothing([&](std::uint64_t) {
                fake_kernel kernel;
                kernel.interface.index = 1;
                kernel.fail_any(nth, number);
                {
                    executor loop;
                    const auto opened = open_async(loop, sim_builder(kernel).tx_frames(16));
                    reached = kernel.failures() != 0;
                    if (opened.has_error()) {
                        ++refused;
                        CHECK_FALSE(opened.error().step.empty());
                        CHECK_FALSE(opened.error().remedy.empty());
                        CHECK(contains(opened.error().message(), errno_text(number)));
                        check_nothing_left(kernel);
                    }
                    loop.run();
                }
                check_nothing_left(kernel);
            });
        }
    }
    CHECK(refused > 10 * 3 * 2);
}

TEST_CASE("a process without descriptors is told at which step and loses none") {
    FLUXNET_SKIP_IF(why_sanitized());
    const int first = lowest_free_descriptor();
    unsigned refused = 0;
    for (int limit = first;; ++limit) {
        REQUIRE(limit < first + 100);
        CAPTURE(limit);
        bool made = false;
        leaves_nothing([&](std::uint64_t) {
            std::string why;
            std::optional<descriptor_limit> low(std::in_place, limit);
            why = why_not_made();
            low.reset();
            if (!why.empty()) {
                ++refused;
                CHECK(contains(why, "Too many open files"));
            }
            CHECK_FALSE(is_blocked(SIGWINCH));
            made = why.empty();
        });
        if (made) { break; }
    }
    CHECK(refused >= 2 * 4);
}
