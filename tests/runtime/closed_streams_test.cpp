// SPDX-License-Identifier: BSD-3-Clause
// A program that is started with its standard streams closed: nothing that the library opens takes their numbers.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sockets/unix_datagram.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fluxnet;

namespace {

const proto::ip_endpoint any_port{proto::ipv4_address(127, 0, 0, 1), 0};

/// The lowest of the numbers of the standard streams that is open; 3 when none is.
int first_open() {
    for (int fd = 0; fd != 3; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) { return fd; }
    }
    return 3;
}

/// Runs `work` in a child without standard streams; returns what it returned, or 100 when it did not come to that. An
/// executable line that fails cannot say so there: `work` returns the number of the step.
template <class Work>
int without_streams(Work work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        for (int fd = 0; fd != 3; ++fd) { ::close(fd); }
        try {
            ::_exit(work());
        } catch (...) { ::_exit(100); }
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

task<int> open_everything() {
    tcp_listener door = tcp_listener::listen(any_port).value();
    if (first_open() != 3) { co_return 11; }
    const result<tcp_stream> near = co_await tcp_stream::connect(door.local_endpoint());
    if (!near || first_open() != 3) { co_return 12; }
    const result<tcp_stream> far = co_await door.accept();
    if (!far || first_open() != 3) { co_return 13; }
    const udp_socket datagrams = udp_socket::bind(any_port).value();
    const unix_datagram letters = unix_datagram::bind().value();
    if (first_open() != 3) { co_return 14; }
    auto pair = unix_stream::pair().value();
    if (first_open() != 3) { co_return 15; }
    const auto pipe = make_pipe().value();
    if (first_open() != 3) { co_return 16; }
    const result<file> zeroes = co_await file::open("/dev/zero");
    if (!zeroes || first_open() != 3) { co_return 17; }
    const signal_set signals{SIGUSR1};
    if (first_open() != 3) { co_return 18; }
    const std::array<std::byte, 1> byte{};
    const std::array<int, 2> given{pair.first.fd(), pair.second.fd()};
    const io_result sent = co_await pair.first.send_with(byte, given);
    std::array<std::byte, 1> room{};
    std::vector<descriptor> received;
    const io_result got = co_await pair.second.recv_with(room, received);
    if (sent.ec || got.ec || received.size() != 2 || first_open() != 3) { co_return 19; }
    process_options options;
    options.argv = {"true"};
    options.in = process_stream::pipe();
    options.out = process_stream::pipe();
    options.err = process_stream::null();
    subprocess child = subprocess::start(options).value();
    if (first_open() != 3) { co_return 20; }
    const exit_result end = co_await child.wait();
    co_return end.status.success() && first_open() == 3 ? 0 : 21;
}

}  // namespace

TEST_CASE("nothing that is opened takes the number of a standard stream that is closed") {
    for (const reactor_kind kind : {reactor_kind::automatic, reactor_kind::epoll}) {
        const int failed = without_streams([kind] {
            executor loop({}, kind);
            if (first_open() != 3) { return 1; }
            return loop.run(open_everything());
        });
        CHECK(failed == 0);
    }
}

TEST_CASE("where only the numbers of standard streams are free nothing is opened, and the error says why") {
    const int failed = without_streams([] {
        executor loop;
        const int next = ::dup(STDERR_FILENO + 1);  // the lowest number that is free: 0
        if (next != 0) { return 1; }
        ::close(next);
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 3;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        const auto refused = udp_socket::bind(any_port);
        if (refused || refused.error().code != std::errc::too_many_files_open) { return 2; }
        const auto pair = unix_stream::pair();
        if (pair || pair.error().code != std::errc::too_many_files_open) { return 3; }
        const auto pipe = make_pipe();
        if (pipe || pipe.error().code != std::errc::too_many_files_open) { return 4; }
        return first_open() == 3 ? 0 : 5;
    });
    CHECK(failed == 0);
}
