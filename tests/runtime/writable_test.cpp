// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/writable.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/pipe_ends.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <chrono>
#include <stop_token>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

task<void> write_once(int fd, std::error_code& seen) {
    seen = co_await writable(fd);
}

void fill(const pipe_ends& pipe) {
    const std::array<char, 4096> bytes{};
    while (::write(pipe.write.get(), bytes.data(), bytes.size()) > 0) {}
}

void drain(const pipe_ends& pipe) {
    std::array<char, 4096> bytes;
    while (::read(pipe.read.get(), bytes.data(), bytes.size()) > 0) {}
}

}  // namespace

TEST_CASE("a pipe with room is writable at once") {
    executor loop;
    const pipe_ends pipe;
    std::error_code seen = errc::closed;
    loop.spawn(write_once(pipe.write.get(), seen));
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("a full pipe becomes writable when it is read") {
    executor loop;
    const pipe_ends pipe;
    fill(pipe);
    std::error_code seen = errc::closed;
    loop.spawn(write_once(pipe.write.get(), seen));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        CHECK(seen == errc::closed);
        drain(pipe);
    });
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("a full pipe that nobody can read any more is writable") {
    executor loop;
    pipe_ends pipe;
    fill(pipe);
    std::error_code seen = errc::closed;
    loop.spawn(write_once(pipe.write.get(), seen));
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        pipe.read.reset();
    });
    loop.run();
    CHECK_FALSE(seen);
}

TEST_CASE("a wait for room that is cancelled ends with operation_canceled") {
    executor loop;
    const pipe_ends pipe;
    fill(pipe);
    std::stop_source source;
    std::error_code seen;
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), write_once(pipe.write.get(), seen));
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
}

TEST_CASE("a number that names no descriptor is not writable") {
    executor loop;
    std::error_code seen;
    loop.spawn(write_once(1'000'000, seen));
    loop.run();
    CHECK(seen == std::errc::bad_file_descriptor);
}
