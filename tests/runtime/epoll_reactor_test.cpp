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

#include <netinet/in.h>
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
    [[nodiscard]] std::uint64_t sum() const { return changes + looks + others; }
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

struct stream_pair {
    file_descriptor near;
    file_descriptor far;

    stream_pair() {
        int made[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) == 0);
        near = file_descriptor{made[0]};
        far = file_descriptor{made[1]};
    }
    void send(const std::string& text) const {
        REQUIRE(::send(far.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    }
};

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

TEST_CASE("a piece of a stream costs an epoll reactor one wait and one receive") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const auto tested = attached(reactor_kind::epoll);
    const stream_pair ends;
    collector operation;
    buffer_ring ring(*tested, {.count = 16, .size = 64});
    ring.receive_many(operation, ends.near.get());
    syscall_counter counter(::gettid(), counted::thread);
    // The first is received before anything is watched, the second once, and from the third on the kernel goes on watching.
    // The fewest of some rounds: a wait may be interrupted.
    calls fewest{1000, 1000, 1000};
    for (std::size_t piece = 1; piece <= 13; ++piece) {
        ends.send("piece");
        const calls cost = cost_of(counter, [&] {
            while (operation.results.size() != piece) { tested->wait(std::nullopt); }
        });
        if (piece > 3) {
            fewest = std::min(fewest, cost, [](const calls& a, const calls& b) { return a.sum() < b.sum(); });
        }
    }
    const calls expected{0, 1, 1};
    CHECK_MESSAGE(fewest == expected, text(fewest));
    CHECK(operation.results == std::vector<int>(13, 5));
    tested->cancel_now(operation);
}

TEST_CASE("a stream whose receive has been cancelled is reported once more, and then no more") {
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const auto tested = attached(reactor_kind::epoll);
    const stream_pair ends;
    collector operation;
    buffer_ring ring(*tested, {.count = 8, .size = 64});
    ring.receive_many(operation, ends.near.get());
    for (std::size_t piece = 1; piece <= 4; ++piece) {
        ends.send("piece");
        REQUIRE(turns_until(*tested, [&] { return operation.results.size() == piece; }));
    }
    tested->wait(clock_type::now());  // from now on the kernel reports each arrival
    tested->cancel_now(operation);
    const auto wait = [&] { static_cast<void>(waits_until(*tested, clock_type::now() + 1ms)); };
    syscall_counter counter(::gettid(), counted::thread);
    ends.send("piece");
    const calls first = cost_of(counter, wait);
    CHECK_MESSAGE(first.changes == 1, text(first));
    ends.send("piece");
    const calls second = cost_of(counter, wait);
    CHECK_MESSAGE(second.changes == 0, text(second));
    ring.receive_many(operation, ends.near.get());
    REQUIRE(turns_until(*tested, [&] { return operation.results.size() == 5; }));
    CHECK(operation.results.back() == 10);
    tested->cancel_now(operation);
}

TEST_CASE("a stream that takes the number of another is received from its first piece on") {
    const auto tested = attached(reactor_kind::epoll);
    buffer_ring ring(*tested, {.count = 8, .size = 64});
    int number = -1;
    for (int round = 0; round < 3; ++round) {
        stream_pair ends;
        if (number < 0) { number = ends.near.get(); }
        REQUIRE(ends.near.get() == number);
        collector operation;
        ring.receive_many(operation, number);
        for (std::size_t piece = 1; piece <= 5; ++piece) {
            ends.send("piece");
            REQUIRE(turns_until(*tested, [&] { return operation.results.size() == piece; }));
        }
        ends.far.reset();
        REQUIRE(turns_until(*tested, [&] { return operation.ends == 1; }));
        CHECK(operation.results.back() == 0);
    }
}

TEST_CASE("bytes behind urgent ones are received without waiting for more") {
    const auto tested = attached(reactor_kind::epoll);
    const file_descriptor listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    const file_descriptor far{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(far.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    const file_descriptor near{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    collector operation;
    buffer_ring ring(*tested, {.count = 16, .size = 64});
    ring.receive_many(operation, near.get());
    const auto received = [&] {
        int sum = 0;
        for (const int each : operation.results) { sum += each; }
        return sum;
    };
    for (int round = 1; round <= 6; ++round) {
        REQUIRE(::send(far.get(), "before", 6, MSG_NOSIGNAL) == 6);
        REQUIRE(::send(far.get(), "u", 1, MSG_NOSIGNAL | MSG_OOB) == 1);
        REQUIRE(::send(far.get(), "behind", 6, MSG_NOSIGNAL) == 6);
        REQUIRE(turns_until(*tested, [&] { return received() == 12 * round; }));  // what is urgent lies out of band
        operation.buffers.clear();
    }
    tested->cancel_now(operation);
}

TEST_CASE("a stream whose piece fills a buffer, and one that ends behind a piece, are received to their ends") {
    const auto tested = attached(reactor_kind::epoll);
    stream_pair ends;
    collector operation;
    buffer_ring ring(*tested, {.count = 8, .size = 64});
    ring.receive_many(operation, ends.near.get());
    ends.send(std::string(130, 'x'));
    ends.far.reset();
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
