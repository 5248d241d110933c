// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/reactor.hpp"

#include "runtime/executor.hpp"
#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/seccomp.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

static_assert(std::is_abstract_v<reactor> && std::has_virtual_destructor_v<reactor>);
static_assert(!std::is_copy_constructible_v<poll_operation> && !std::is_move_constructible_v<poll_operation>);

namespace {

using clock_type = std::chrono::steady_clock;

class recorder final : public poll_operation {
public:
    void on_ready(int result) noexcept override { results.push_back(result); }
    std::vector<int> results;
};

std::unique_ptr<reactor> attached() {
    auto made = make_io_uring_reactor();
    made->attach();
    return made;
}

/// Waits until `operation` has fired; a wait that nothing ends would hang, so a deadline bounds it.
bool fires_within(reactor& under_test, const recorder& operation, std::chrono::milliseconds limit) {
    const auto end = clock_type::now() + limit;
    while (operation.results.empty() && clock_type::now() < end) { under_test.wait(end); }
    return !operation.results.empty();
}

/// What an executor says of a ring that the kernel refuses with `number`.
std::string refusal_of(int number) {
    return said_without({SYS_io_uring_setup, number}, [] {
        try {
            const executor loop;
        } catch (const std::system_error& failure) { return std::to_string(failure.code().value()) + ' ' + failure.what(); }
        return std::string("no exception");
    });
}

}  // namespace

TEST_CASE("a poll fires once with its events and may be armed again") {
    const auto ring = attached();
    const pipe_ends pipe;
    recorder operation;
    ring->arm(operation, pipe.read.get(), POLLIN);
    CHECK(operation.armed());
    ring->poll();
    CHECK(operation.results.empty());
    pipe.put();
    REQUIRE(fires_within(*ring, operation, 5s));
    CHECK_FALSE(operation.armed());
    CHECK((operation.results.at(0) & POLLIN) != 0);
    ring->poll();
    CHECK(operation.results.size() == 1);
    operation.results.clear();
    ring->arm(operation, pipe.read.get(), POLLIN);
    CHECK(fires_within(*ring, operation, 5s));
}

TEST_CASE("a wait ends at its deadline and not before") {
    const auto ring = attached();
    const auto start = clock_type::now();
    ring->wait(start + 20ms);
    const auto taken = clock_type::now() - start;
    CHECK(taken >= 20ms);
    CHECK(taken < 5s);
}

TEST_CASE("a wait with a deadline of the past returns at once") {
    const auto ring = attached();
    const auto start = clock_type::now();
    ring->wait(start - 1s);
    ring->wait(clock_type::time_point{});
    ring->wait(clock_type::time_point::min());
    CHECK(clock_type::now() - start < 5s);
}

TEST_CASE("a wake from another thread ends a wait") {
    const auto ring = attached();
    for (int round = 0; round < 20; ++round) {
        std::thread other([&] {
            std::this_thread::sleep_for(1ms);
            ring->wake();
        });
        ring->wait(std::nullopt);
        other.join();
    }
}

TEST_CASE("a wake before a wait ends that wait") {
    const auto ring = attached();
    ring->wake();
    ring->wake();
    const auto start = clock_type::now();
    ring->wait(start + 10s);
    CHECK(clock_type::now() - start < 5s);
}

TEST_CASE("a disarmed operation fires with ECANCELED") {
    const auto ring = attached();
    const pipe_ends pipe;
    recorder operation;
    ring->arm(operation, pipe.read.get(), POLLIN);
    ring->poll();
    ring->disarm(operation);
    REQUIRE(fires_within(*ring, operation, 5s));
    CHECK(operation.results == std::vector<int>{-ECANCELED});
    ring->disarm(operation);
    ring->wait(clock_type::now());
    CHECK(operation.results.size() == 1);
}

TEST_CASE("an operation that is disarmed now never fires") {
    const auto ring = attached();
    const pipe_ends pipe;
    for (const bool submitted : {false, true}) {
        recorder operation;
        ring->arm(operation, pipe.read.get(), POLLIN);
        if (submitted) { ring->poll(); }
        ring->disarm_now(operation);
        CHECK_FALSE(operation.armed());
        ring->wait(clock_type::now() + 1ms);
        CHECK(operation.results.empty());
    }
}

TEST_CASE("an operation that has completed and is disarmed now does not fire") {
    const auto ring = attached();
    const pipe_ends pipe;
    recorder operation;
    ring->arm(operation, pipe.read.get(), POLLIN);
    ring->poll();
    pipe.put();
    ring->disarm_now(operation);
    CHECK_FALSE(operation.armed());
    ring->wait(clock_type::now() + 1ms);
    CHECK(operation.results.empty());
}

TEST_CASE("a completion that was reaped while another operation was disarmed is not slept over") {
    const auto ring = attached();
    const pipe_ends ready;
    const pipe_ends silent;
    recorder first;
    recorder second;
    ring->arm(first, ready.read.get(), POLLIN);
    ring->arm(second, silent.read.get(), POLLIN);
    ring->poll();
    ready.put();
    ring->disarm_now(second);
    const auto start = clock_type::now();
    ring->wait(start + 3s);
    CHECK(clock_type::now() - start < 2s);
    CHECK(first.results.size() == 1);
    CHECK(second.results.empty());
}

TEST_CASE("an operation may disarm or arm others while it fires") {
    struct starter final : poll_operation {
        reactor* ring = nullptr;
        recorder* other = nullptr;
        int fd = -1;
        void on_ready(int) noexcept override {
            ring->disarm_now(*other);
            ring->arm(*other, fd, POLLIN);
        }
    };
    const auto ring = attached();
    const pipe_ends pipe;
    pipe.put();
    starter first;
    recorder second;
    first.ring = ring.get();
    first.other = &second;
    first.fd = pipe.read.get();
    // Both are ready at once; the first one takes the second's firing away and arms it anew.
    ring->arm(first, pipe.read.get(), POLLIN);
    ring->arm(second, pipe.read.get(), POLLIN);
    REQUIRE(fires_within(*ring, second, 5s));
    CHECK(second.results.size() == 1);
}

TEST_CASE("more operations than the ring has entries can be armed and disarmed") {
    const auto ring = attached();
    const pipe_ends pipe;
    std::vector<recorder> all(2000);
    for (recorder& one : all) { ring->arm(one, pipe.read.get(), POLLIN); }
    ring->poll();
    for (std::size_t i = 0; i < all.size(); i += 2) { ring->disarm(all[i]); }
    const auto end = clock_type::now() + 10s;
    const auto fired = [&] {
        std::size_t count = 0;
        for (const recorder& one : all) { count += one.results.size(); }
        return count;
    };
    while (fired() != all.size() / 2 && clock_type::now() < end) { ring->wait(end); }
    CHECK(fired() == all.size() / 2);
    pipe.put();
    while (fired() != all.size() && clock_type::now() < end) { ring->wait(end); }
    CHECK(fired() == all.size());
}

TEST_CASE("a reactor that is shut down forgets its operations without firing them") {
    const auto ring = attached();
    const pipe_ends pipe;
    recorder operation;
    ring->arm(operation, pipe.read.get(), POLLIN);
    ring->poll();
    pipe.put();
    ring->shut_down();
    CHECK_FALSE(operation.armed());
    CHECK(operation.results.empty());
    ring->shut_down();
}

TEST_CASE("a reactor that was never attached can be destroyed") {
    const auto ring = make_io_uring_reactor();
    ring->wake();
}

TEST_CASE("a reactor is attached by one thread and refuses to be driven by another") {
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

TEST_CASE("an executor without io_uring says that io_uring is forbidden") {
    const std::string text = refusal_of(EPERM);
    CHECK_MESSAGE(text.find(std::to_string(EPERM) + ' ') == 0, text);
    CHECK_MESSAGE(text.find("io_uring is forbidden") != std::string::npos, text);
    CHECK_MESSAGE(text.find("seccomp") != std::string::npos, text);
    CHECK_MESSAGE(text.find("kernel.io_uring_disabled") != std::string::npos, text);
}

TEST_CASE("an executor on a kernel that hides io_uring says so") {
    const std::string text = refusal_of(ENOSYS);
    CHECK_MESSAGE(text.find(std::to_string(ENOSYS) + ' ') == 0, text);
    CHECK_MESSAGE(text.find("no io_uring") != std::string::npos, text);
}

TEST_CASE("an executor that gets no memory for its ring says so") {
    const std::string text = refusal_of(ENOMEM);
    CHECK_MESSAGE(text.find("no memory for the ring") != std::string::npos, text);
    CHECK_MESSAGE(text.find("RLIMIT_MEMLOCK") != std::string::npos, text);
}
