// SPDX-License-Identifier: BSD-3-Clause
// What the tests of subprocesses share: programs to run, and coroutines that read and write their streams.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/readable.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"

#include <doctest/doctest.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace fluxnet::test {

inline process_options shell(std::string line) {
    return {.argv = {"sh", "-c", std::move(line)}};
}

/// A program that ends only when a signal ends it.
inline process_options endless() {
    return {.argv = {"sleep", "1000000"}};
}

inline subprocess started(const process_options& options) {
    return subprocess::start(options).value();
}

/// Tells whether this process has no child, alive or to be reaped.
inline bool no_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

/// All that comes out of a program until it closes this stream.
inline task<std::string> read_all(descriptor from) {
    std::string all;
    std::array<char, 65536> part{};
    for (;;) {
        const std::error_code ec = co_await readable(from.get());
        REQUIRE_FALSE(ec);
        const ssize_t n = ::read(from.get(), part.data(), part.size());
        REQUIRE(n >= 0);
        if (n == 0) { co_return all; }
        all.append(part.data(), static_cast<std::size_t>(n));
    }
}

/// Gives a program its input and then the end of it. Completes with the error that ended that earlier.
inline task<std::error_code> feed(descriptor into, std::string_view bytes) {
    const descriptor writable(::epoll_create1(EPOLL_CLOEXEC));  // readable when `into` can be written to
    epoll_event event{};
    event.events = EPOLLOUT;
    REQUIRE(::epoll_ctl(writable.get(), EPOLL_CTL_ADD, into.get(), &event) == 0);
    while (!bytes.empty()) {
        const std::error_code ec = co_await readable(writable.get());
        REQUIRE_FALSE(ec);
        const ssize_t n = ::send(into.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) { co_return std::error_code(errno, std::system_category()); }
        if (n > 0) { bytes.remove_prefix(static_cast<std::size_t>(n)); }
    }
    co_return std::error_code();
}

/// Runs a program to its end and returns what it wrote to its output.
inline std::string output_of(process_options options) {
    executor loop;
    options.out = process_stream::pipe();
    subprocess child = started(options);
    std::string output = sync_wait(loop, read_all(child.release_stdout()));
    const exit_result end = sync_wait(loop, child.wait());
    CHECK_FALSE(end.ec);
    CHECK(end.status == exit_status{.code = 0});
    return output;
}

}  // namespace fluxnet::test
