// SPDX-License-Identifier: BSD-3-Clause
// The standard streams of a program.
#include "fluxnet/runtime/sockets/subprocess.hpp"

#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/subprocess_tests.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

std::string mebibyte() {
    std::string bytes(1 << 20, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) { bytes[i] = static_cast<char>(i * 7 + i / 256); }
    return bytes;
}

/// While it lives this process has no descriptors 0 and 1.
class closed_streams {
public:
    closed_streams() {
        ::close(STDIN_FILENO);
        ::close(STDOUT_FILENO);
    }
    closed_streams(const closed_streams&) = delete;
    closed_streams& operator=(const closed_streams&) = delete;
    ~closed_streams() {
        ::dup2(in_.get(), STDIN_FILENO);
        ::dup2(out_.get(), STDOUT_FILENO);
    }

private:
    const descriptor in_{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10)};
    const descriptor out_{::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10)};
};

}  // namespace

TEST_CASE("a mebibyte goes through a program while its output is read") {
    executor loop;
    const std::string bytes = mebibyte();
    process_options options{.argv = {"cat"}};
    options.in = process_stream::pipe();
    options.out = process_stream::pipe();
    subprocess child = started(options);
    std::string output;
    loop.spawn([&]() -> task<void> {
        const std::error_code ec = co_await feed(child.release_stdin(), bytes);
        CHECK_FALSE(ec);
    });
    loop.spawn([&]() -> task<void> { output = co_await read_all(child.release_stdout()); });
    loop.spawn([&]() -> task<void> {
        const exit_result end = co_await child.wait();
        CHECK(end.status.success());
    });
    loop.run();
    CHECK((output == bytes));
}

TEST_CASE("output and error output arrive each by its own pipe") {
    executor loop;
    process_options options = shell("echo out; echo err >&2");
    options.out = process_stream::pipe();
    options.err = process_stream::pipe();
    subprocess child = started(options);
    CHECK(child.stdin_fd() == -1);
    CHECK(child.stdout_fd() >= 0);
    CHECK(child.stderr_fd() >= 0);
    CHECK(sync_wait(loop, read_all(child.release_stdout())) == "out\n");
    CHECK(sync_wait(loop, read_all(child.release_stderr())) == "err\n");
    CHECK(child.stdout_fd() == -1);
}

TEST_CASE("what a program wrote can be read after its end") {
    executor loop;
    process_options options = shell("echo last words");
    options.out = process_stream::pipe();
    subprocess child = started(options);
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.success());
    CHECK(sync_wait(loop, read_all(child.release_stdout())) == "last words\n");
}

TEST_CASE("input for a program that has gone is an error and no SIGPIPE") {
    executor loop;
    process_options options{.argv = {"true"}};
    options.in = process_stream::pipe();
    subprocess child = started(options);
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.success());
    const std::error_code ec = sync_wait(loop, feed(child.release_stdin(), "nobody reads this"));
    CHECK(ec == std::errc::broken_pipe);
}

TEST_CASE("a program that stops reading ends the feeding of a full input") {
    executor loop;
    const std::string bytes = mebibyte();
    process_options options{.argv = {"head", "-c", "1"}};
    options.in = process_stream::pipe();
    options.out = process_stream::null();
    subprocess child = started(options);
    const std::error_code ec = sync_wait(loop, feed(child.release_stdin(), bytes));
    CHECK((ec == std::errc::broken_pipe || ec == std::errc::connection_reset));
}

TEST_CASE("a program cannot write into its input") {
    executor loop;
    process_options options = shell("trap '' PIPE; echo back >&0 || exit 5");
    options.in = process_stream::pipe();
    options.err = process_stream::null();
    subprocess child = started(options);
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.code == 5);
}

TEST_CASE("null gives a program no input and takes its output") {
    executor loop;
    process_options options{.argv = {"cat", "-", "/etc/passwd"}};
    options.in = process_stream::null();
    options.out = process_stream::null();
    subprocess child = started(options);
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.success());
}

TEST_CASE("a program uses the descriptors that it is given and they stay open here") {
    executor loop;
    const descriptor both(::memfd_create("output", MFD_CLOEXEC));
    process_options options = shell("echo one; echo two >&2");
    options.out = process_stream::given(both.get());
    options.err = process_stream::given(both.get());
    subprocess child = started(options);
    const exit_result end = sync_wait(loop, child.wait());
    CHECK(end.status.success());
    std::array<char, 16> text{};
    CHECK(::pread(both.get(), text.data(), text.size(), 0) == 8);
    CHECK(std::string_view(text.data()) == "one\ntwo\n");
    CHECK((::fcntl(both.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a process without standard streams gives some to a program") {
    executor loop;
    process_options options{.argv = {"cat"}};
    options.in = process_stream::pipe();
    options.out = process_stream::pipe();
    std::string output;
    exit_result end;
    {
        const closed_streams closed;
        subprocess child = started(options);
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await feed(child.release_stdin(), "through"));
            output = co_await read_all(child.release_stdout());
            end = co_await child.wait();
        });
        loop.run();
    }
    CHECK(output == "through");
    CHECK(end.status.success());
}
