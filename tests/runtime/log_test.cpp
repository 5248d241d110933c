// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/base/log.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/support/log_recorder.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<void> fail_after(std::chrono::nanoseconds time, const char* why) {
    static_cast<void>(co_await sleep_for(time));
    throw std::runtime_error(why);
}

task<void> sleep_a_little() {
    static_cast<void>(co_await sleep_for(1ms));
}

task<void> throw_a_number() {
    static_cast<void>(co_await sleep_for(2ms));
    throw 7;  // NOLINT(hicpp-exception-baseclass): what a program may throw
}

task<void> fail_when_cancelled() {
    const wait_result canceled = co_await sleep_for(1h);
    if (canceled) { throw std::runtime_error("too late"); }
}

task<void> join_three(scope& children) {
    children.spawn(fail_after(1ms, "the first"));
    children.spawn(fail_after(1ms, "the second"));
    children.spawn(throw_a_number());
    std::string came;
    try {
        static_cast<void>(co_await children.join());
    } catch (const std::runtime_error& thrown) { came = thrown.what(); }
    CHECK(came == "the first");
}

}  // namespace

TEST_CASE("what the kernel refuses is told to the log sink, and to nobody once that is gone") {
    simulated_wire wire;  // without zero-copy, which a socket asks for first
    builder options = wire.socket_on(simulated_wire::end::left);
    options.mode(xdp_mode::automatic);
    {
        log_recorder log;
        const auto opened = options.build_raw();
        REQUIRE(opened.has_value());
        REQUIRE_FALSE(opened->refusals().empty());
        CHECK(log.told().size() == opened->refusals().size() + opened->notes().size());
        CHECK(log.told().front() == "fallback: " + opened->refusals().front().message());
    }
    CHECK(set_log_sink(nullptr) == nullptr);
    CHECK(options.build_raw().has_value());
}

TEST_CASE("an executor that has to do without io_uring says so once") {
    log_recorder log;
    const executor loop;
    if (loop.reactor_name().starts_with("io_uring")) {
        CHECK(log.told().empty());
    } else {
        REQUIRE(log.told().size() == 1);
        CHECK(log.count("fallback: an executor waits by epoll, without io_uring: ") == 1);
    }
}

TEST_CASE("of several exceptions in a scope the first is thrown and the others are told") {
    executor loop;
    log_recorder log;
    loop.spawn([]() -> task<void> {
        scope children(on_error::await_all);
        co_await join_three(children);
    });
    loop.run();
    CHECK(log.told().size() == 2);
    CHECK(log.count("exception: a child of a scope, after another that failed: the second") == 1);
    CHECK(log.count("exception: a child of a scope, after another that failed: an exception that is no std::exception") == 1);
}

TEST_CASE("the exception of a child whose scope nobody joins is told") {
    executor loop;
    log_recorder log;
    loop.spawn([]() -> task<void> {
        scope children;
        children.spawn(fail_after(1ms, "unseen"));
        static_cast<void>(co_await sleep_for(20ms));
    });
    loop.run();
    CHECK(log.told() == std::vector<std::string>{"exception: a child of a scope that nobody joined: unseen"});
}

TEST_CASE("an executor throws the first exception of its tasks and tells the others") {
    executor loop;
    log_recorder log;
    loop.spawn(fail_after(0ns, "one"));
    loop.spawn(fail_after(0ns, "two"));
    CHECK_THROWS_WITH(loop.run(), "one");
    CHECK(log.told() ==
          std::vector<std::string>{"exception: a task of an executor, after another that failed: two"});
}

TEST_CASE("the exception of a task that comes in after the first of when_any() is told") {
    executor loop;
    log_recorder log;
    loop.spawn([]() -> task<void> {
        const auto first = co_await when_any(sleep_a_little(), fail_when_cancelled());
        CHECK(first.index == 0);
    });
    loop.run();
    CHECK(log.told() == std::vector<std::string>{"exception: a task of when_any(), after the first had ended: too late"});
}
