// SPDX-License-Identifier: BSD-3-Clause
// What only epoll does: which system calls it makes, and what happens when they are refused.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/own_calls.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/runtime/receive_tests.hpp"
#include "tests/runtime/seccomp.hpp"
#include "tests/support/syscall_counter.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

namespace {

struct calls {
    std::uint64_t changes = 0;  // epoll_ctl
    std::uint64_t looks = 0;    // epoll_wait and its relatives
    std::uint64_t others = 0;

    bool operator==(const calls&) const = default;
};

std::string text(const calls& made) {
    return std::to_string(made.changes) + " changes, " + std::to_string(made.looks) + " looks, " +
           std::to_string(made.others) + " others";
}

/// What `function` costs.
template <class F>
calls cost_of(syscall_counter& counter, F&& function) {
    counter.reset();
    function();
    const std::uint64_t changes = counter.of(SYS_epoll_ctl);
    const std::uint64_t looks = reactor_calls(counter);
    return {changes, looks, own_calls(counter) - changes - looks};
}

/// How many waits it takes to reach a deadline 300 us away where epoll_pwait2 answers `refusal`: the median of some rounds.
/// Rounded down to 0 ms it would be as many as fit into that time.
std::string waits_where(int refusal) {
    return said_without({SYS_epoll_pwait2, refusal}, [] {
        const auto tested = attached(reactor_kind::epoll);
        std::array<int, 21> waits{};
        for (int& round : waits) { round = waits_until(*tested, clock_type::now() + 300us); }
        std::ranges::nth_element(waits, waits.begin() + waits.size() / 2);
        tested->wait(clock_type::time_point{});
        const pipe_ends pipe;
        pipe.put();
        recorder operation;
        tested->arm(operation, pipe.read.get(), POLLIN);
        wait_for(*tested, operation);
        return std::to_string(waits[waits.size() / 2]);
    });
}

}  // namespace

TEST_CASE("an epoll reactor makes these system calls and no others") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const auto tested = attached(reactor_kind::epoll);
    const pipe_ends pipe;
    recorder first;
    recorder second;
    syscall_counter counter(::gettid(), counted::thread);
    const auto poll = [&] { tested->poll(); };
    const auto wait = [&] { tested->wait(clock_type::now() + 1ms); };
    const auto arm = [&](recorder& operation) { tested->arm(operation, pipe.read.get(), POLLIN); };
    for (int round = 0; round < 2; ++round) {  // the first one is for sanitizers, which ask about what they see first
        struct step {
            const char* what;
            calls cost;
        };
        std::vector<step> steps;
        const auto take = [&](const char* what, auto&& function) { steps.push_back({what, cost_of(counter, function)}); };
        take("a poll with nothing armed", poll);
        take("a wait with nothing armed", wait);
        take("arming", [&] { arm(first); });
        take("the next poll", poll);
        take("a poll with something armed", poll);
        take("arming another one for the same events", [&] { arm(second); });
        take("the poll after that", poll);
        take("a wait with something armed", wait);
        take("disarming", [&] {
            tested->disarm(first);
            tested->disarm_now(second);
        });
        take("a poll that cancels", poll);
        take("arming once more", [&] { arm(first); });
        pipe.put();
        take("a wait that fires", wait);
        take("a poll after everything has fired", poll);
        pipe.take();
        const calls expected[] = {{0, 0}, {0, 1}, {0, 0}, {1, 1}, {0, 1}, {0, 0}, {0, 1},
                                  {0, 1}, {0, 0}, {0, 0}, {0, 0}, {1, 1}, {0, 0}};
        REQUIRE(steps.size() == std::size(expected));
        for (std::size_t i = 0; round != 0 && i < steps.size(); ++i) {
            CHECK_MESSAGE(steps[i].cost == expected[i], steps[i].what, ": ", text(steps[i].cost));
        }
    }
}

TEST_CASE("a piece of a stream costs an epoll reactor one change, one wait and one receive") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const auto tested = attached(reactor_kind::epoll);
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const file_descriptor near{ends[0]};
    const file_descriptor far{ends[1]};
    collector operation;
    buffer_ring ring(*tested, {.count = 8, .size = 64});
    ring.receive_many(operation, near.get());
    syscall_counter counter(::gettid(), counted::thread);
    for (std::size_t piece = 1; piece <= 5; ++piece) {
        REQUIRE(::send(far.get(), "piece", 5, MSG_NOSIGNAL) == 5);
        const calls cost = cost_of(counter, [&] { tested->wait(std::nullopt); });
        REQUIRE(operation.results == std::vector<int>(piece, 5));
        // The first receives before it watches, and asks what kind of socket it is.
        const calls expected{1, 1, 1};
        if (piece > 2) { CHECK_MESSAGE(cost == expected, text(cost)); }
    }
    tested->cancel_now(operation);
}

TEST_CASE("a stream whose piece fills a buffer, and one that ends behind a piece, are received to their ends") {
    const auto tested = attached(reactor_kind::epoll);
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const file_descriptor near{ends[0]};
    file_descriptor far{ends[1]};
    collector operation;
    buffer_ring ring(*tested, {.count = 8, .size = 64});
    ring.receive_many(operation, near.get());
    const std::string sent(130, 'x');
    REQUIRE(::send(far.get(), sent.data(), sent.size(), MSG_NOSIGNAL) == 130);
    far.reset();
    REQUIRE(turns_until(*tested, [&] { return operation.ends == 1; }));
    CHECK(operation.results == std::vector<int>{64, 64, 2, 0});
}

TEST_CASE("without epoll_pwait2 deadlines are rounded up to milliseconds") {
    for (const int refusal : {ENOSYS, EPERM}) { CHECK(waits_where(refusal) == "1"); }
}

TEST_CASE("an operation that epoll refuses fires with the kernel's answer") {
    const std::string fired = said_without({SYS_setsid, EPERM}, [] {
        const auto tested = attached(reactor_kind::epoll);
        forbid({SYS_epoll_ctl, ENOSPC});
        const pipe_ends pipe;
        recorder first;
        recorder second;
        tested->arm(first, pipe.read.get(), POLLIN);
        tested->arm(second, pipe.read.get(), POLLIN);
        tested->poll();
        if (first.results.size() != 1 || second.results != first.results) { return std::string("not both have fired"); }
        return std::to_string(-first.results.at(0));
    });
    CHECK(fired == std::to_string(ENOSPC));
}

TEST_CASE("an epoll reactor that cannot be made says which step was refused and keeps no descriptor") {
    struct refusal {
        long call;
        int answer;
        const char* said;
    };
    for (const auto& [call, answer, said] :
         {refusal{SYS_epoll_create1, EMFILE, "make an epoll descriptor: Too many open files"},
          refusal{SYS_eventfd2, EMFILE, "make and watch an eventfd: Too many open files"},
          refusal{SYS_epoll_ctl, ENOSPC, "make and watch an eventfd: No space left"}}) {
        const std::string text = said_without({call, answer}, [] {
            const int free_before = ::dup(0);
            ::close(free_before);
            std::string why = "made";
            try {
                static_cast<void>(make_epoll_reactor());
            } catch (const std::system_error& failure) { why = failure.what(); }
            const int free_after = ::dup(0);
            ::close(free_after);
            return free_before == free_after ? why : "a descriptor is left: " + why;
        });
        CHECK_MESSAGE(text.find(said) == 0, text);
    }
}
