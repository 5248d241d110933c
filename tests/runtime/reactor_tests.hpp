// SPDX-License-Identifier: BSD-3-Clause
// What the tests of reactors share: an operation that remembers, and a test case that runs on each backend.
#pragma once

#include "fluxnet/runtime/reactor/reactor.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace fluxnet::test {

using clock_type = std::chrono::steady_clock;

class recorder final : public poll_operation {
public:
    void on_ready(int result) noexcept override { results.push_back(result); }
    std::vector<int> results;
};

inline std::unique_ptr<reactor> attached(reactor_kind kind) {
    auto made = make_reactor(kind);
    made->attach();
    return made;
}

/// Waits until `operation` has fired. Where it does not fire, this waits for ever.
inline void wait_for(reactor& under_test, const recorder& operation) {
    while (operation.results.empty()) { under_test.wait(std::nullopt); }
}

/// Waits until `deadline` and returns how many waits that took: one, and one more each time that the kernel interrupted it.
/// It does so without any signal when it cleans up after rings that the thread had before: look at the fewest of some
/// rounds.
inline int waits_until(reactor& under_test, clock_type::time_point deadline) {
    int waits = 0;
    do {
        under_test.wait(deadline);
        ++waits;
    } while (clock_type::now() < deadline);
    return waits;
}

inline std::optional<std::string> why_no_io_uring() {
    try {
        static_cast<void>(make_io_uring_reactor());
    } catch (const std::system_error& refused) { return refused.what(); }
    return std::nullopt;
}

/// Waits for events until `condition` holds; gives up after a time that no working reactor needs.
template <class Condition>
[[nodiscard]] bool turns_until(reactor& tested, Condition condition) {
    const auto end = clock_type::now() + std::chrono::seconds(20);
    while (!condition() && clock_type::now() < end) { tested.wait(end); }
    return condition();
}

}  // namespace fluxnet::test

/// A test case for both backends, whose body finds in `kind` which one is meant.
#define FLUXNET_REACTOR_TEST(name) FLUXNET_REACTOR_TEST_AS(DOCTEST_ANONYMOUS(fluxnet_reactor_test_), name)
#define FLUXNET_REACTOR_TEST_AS(function, name)            \
    static void function(fluxnet::reactor_kind kind);      \
    TEST_CASE(name " on io_uring") {                       \
        FLUXNET_SKIP_IF(fluxnet::test::why_no_io_uring()); \
        function(fluxnet::reactor_kind::io_uring);         \
    }                                                      \
    TEST_CASE(name " on epoll") {                          \
        function(fluxnet::reactor_kind::epoll);            \
    }                                                      \
    static void function(fluxnet::reactor_kind kind)
