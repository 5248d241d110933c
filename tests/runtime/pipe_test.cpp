// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/pipe.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <termios.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

template <class R>
concept reads = requires(R end, std::span<std::byte> into) {
    { end.read(into) } -> fluxnet::detail::awaited_as<io_result>;
};
template <class W>
concept writes = requires(W end, std::span<const std::byte> from) {
    { end.write(from) } -> fluxnet::detail::awaited_as<io_result>;
    { end.shutdown_write() } -> fluxnet::detail::awaited_as<wait_result>;
};
static_assert(reads<pipe_reader> && writes<pipe_writer> && reads<unix_stream> && writes<unix_stream>);
static_assert(std::movable<pipe_reader> && std::movable<pipe_writer>);

/// From now on a SIGPIPE ends this process.
void let_sigpipe_kill() {
    REQUIRE((::signal(SIGPIPE, SIG_DFL) != SIG_ERR));
}

[[nodiscard]] bool sigpipe_is_pending() {
    sigset_t pending;
    REQUIRE(::sigpending(&pending) == 0);
    return ::sigismember(&pending, SIGPIPE) == 1;
}

/// Both ends of a terminal that hands bytes on as they are.
struct terminal {
    descriptor screen;  // what a person would sit at
    descriptor line;    // what programs have

    terminal() : screen(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        REQUIRE(screen);
        REQUIRE(::grantpt(screen.get()) == 0);
        REQUIRE(::unlockpt(screen.get()) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(screen.get(), name.data(), name.size()) == 0);
        line = descriptor(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
        REQUIRE(line);
        termios raw{};
        REQUIRE(::tcgetattr(line.get(), &raw) == 0);
        ::cfmakeraw(&raw);
        REQUIRE(::tcsetattr(line.get(), TCSANOW, &raw) == 0);
    }
};

}  // namespace

TEST_CASE("what is written to a pipe is read, and then its end") {
    run_on_executor([]() -> task<void> {
        auto [out, in] = make_pipe().value();
        const io_result sent = co_await in.write(bytes_of("a few bytes"));
        CHECK_FALSE(sent.ec);
        CHECK(sent.n == 11);
        std::array<std::byte, 5> bytes;
        const io_result first = co_await out.read(bytes);
        CHECK(text_of(std::span(bytes).first(first.n)) == "a few");
        const wait_result ended = co_await in.shutdown_write();
        CHECK_FALSE(ended);
        CHECK(in.fd() == -1);
        const io_result late = co_await in.write(bytes_of("x"));
        CHECK(late.ec == errc::closed);
        std::array<std::byte, 20> rest;
        const io_result second = co_await out.read(rest);
        CHECK(text_of(std::span(rest).first(second.n)) == " bytes");
        const io_result end = co_await out.read(rest);
        CHECK(end.ec == errc::end_of_stream);
        CHECK(end.n == 0);
        CHECK((::fcntl(out.fd(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(out.fd(), F_GETFL) & O_NONBLOCK) == 0);
    });
}

TEST_CASE("more than a pipe holds goes through it in order, with both ends in one turn") {
    const std::string text = numbered_text(2'000'000);
    run_on_executor([&]() -> task<void> {
        auto ends = make_pipe().value();
        std::string received;
        scope both;
        both.spawn([&]() -> task<void> {
            const io_result sent = co_await ends.second.write(bytes_of(text));
            CHECK_FALSE(sent.ec);
            CHECK(sent.n == text.size());
            static_cast<void>(co_await ends.second.shutdown_write());
        });
        both.spawn([&]() -> task<void> {
            std::vector<std::byte> bytes(10'007);
            for (;;) {
                const io_result got = co_await ends.first.read(bytes);
                if (got.ec) {
                    CHECK(got.ec == errc::end_of_stream);
                    co_return;
                }
                received += text_of(std::span(bytes).first(got.n));
            }
        });
        static_cast<void>(co_await both.join());
        CHECK(received.size() == text.size());
        CHECK(received == text);
    });
}

TEST_CASE("a write to a pipe without a reader says so and raises no signal") {
    let_sigpipe_kill();
    run_on_executor([]() -> task<void> {
        auto ends = make_pipe().value();
        ends.first.release().reset();
        const io_result sent = co_await ends.second.write(bytes_of("x"));
        CHECK(sent.ec == std::errc::broken_pipe);
        CHECK(sent.n == 0);
    });
    CHECK_FALSE(sigpipe_is_pending());
}

TEST_CASE("a reader that goes while a write waits ends the write, and raises no signal") {
    let_sigpipe_kill();
    const std::string text(1'000'000, 'x');
    run_on_executor([&]() -> task<void> {
        auto ends = make_pipe().value();
        scope both;
        both.spawn([&]() -> task<void> {
            const io_result sent = co_await ends.second.write(bytes_of(text));
            CHECK(sent.ec == std::errc::broken_pipe);
            CHECK(sent.n > 0);
            CHECK(sent.n < text.size());
        });
        both.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            ends.first.release().reset();
        });
        static_cast<void>(co_await both.join());
    });
    CHECK_FALSE(sigpipe_is_pending());
}

TEST_CASE("a SIGPIPE of the program's that is pending stays so, and one of ours does not") {
    sigset_t broken;
    sigset_t former;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &broken, &former) == 0);
    const auto write_once = []() -> task<void> {
        auto ends = make_pipe().value();
        ends.first.release().reset();
        const io_result sent = co_await ends.second.write(bytes_of("x"));
        CHECK(sent.ec == std::errc::broken_pipe);
    };
    run_on_executor(write_once);
    CHECK_FALSE(sigpipe_is_pending());
    REQUIRE(::raise(SIGPIPE) == 0);
    run_on_executor(write_once);
    CHECK(sigpipe_is_pending());
    const timespec at_once{};
    CHECK(::sigtimedwait(&broken, nullptr, &at_once) == SIGPIPE);
    REQUIRE(::pthread_sigmask(SIG_SETMASK, &former, nullptr) == 0);
}

TEST_CASE("a read that is cancelled has taken nothing, and a write tells what it has sent") {
    std::stop_source source;
    auto ends = make_pipe().value();
    std::array<std::byte, 4> bytes{};
    const std::string much(1'000'000, 'x');
    executor loop;
    const auto read = [&]() -> task<void> {
        const io_result got = co_await ends.first.read(bytes);
        CHECK(got.ec == errc::operation_canceled);
        CHECK(got.n == 0);
    };
    std::size_t sent_bytes = 0;
    const auto write = [&]() -> task<void> {
        const io_result sent = co_await ends.second.write(bytes_of(much));
        CHECK(sent.ec == errc::operation_canceled);
        sent_bytes = sent.n;
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), read());
        co_await under;
        source = std::stop_source();
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            source.request_stop();
        });
        stoppable again = run_under(source.get_token(), write());
        co_await again;
        static_cast<void>(co_await ends.second.shutdown_write());
        std::size_t received = 0;
        io_result got;
        do {
            got = co_await ends.first.read(bytes);
            received += got.n;
        } while (!got.ec);
        CHECK(received == sent_bytes);
        CHECK(received != 0);
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        source.request_stop();
    });
    loop.run();
}

TEST_CASE("a write that is cancelled just as there is room for a part of it ends, with what it has sent") {
    std::stop_source source;
    auto ends = make_pipe().value();
    const std::string much(1'000'000, 'x');
    // What the kernel tells a ring of changing threads lies there before the reactor looks.
    executor loop({}, reactor_kind::automatic, reactor_threads::changing);
    bool ended = false;
    const auto write = [&]() -> task<void> {
        const io_result sent = co_await ends.second.write(bytes_of(much));
        CHECK(sent.ec == errc::operation_canceled);
        CHECK(sent.n >= 4096);
        CHECK(sent.n < much.size());
        ended = true;
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), write());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(2ms));
        std::array<char, 8192> room{};
        CHECK(::read(ends.first.fd(), room.data(), room.size()) == static_cast<ssize_t>(room.size()));
        source.request_stop();
    });
    loop.run();
    CHECK(ended);
}

TEST_CASE("an end of a pipe has one await at a time, and one that goes ends its await") {
    run_on_executor([]() -> task<void> {
        auto made = make_pipe().value();
        auto out = std::make_unique<pipe_reader>(std::move(made.first));
        std::array<std::byte, 4> bytes{};
        scope readers;
        readers.spawn([&]() -> task<void> {
            const io_result got = co_await out->read(bytes);
            CHECK(got.ec == errc::closed);
        });
        readers.spawn([&]() -> task<void> {
            const io_result got = co_await out->read(bytes);
            CHECK(got.ec == errc::handle_in_use);
            const io_result nothing = co_await out->read(std::span<std::byte>());
            CHECK_FALSE(nothing.ec);
            out.reset();
        });
        static_cast<void>(co_await readers.join());

        auto other = make_pipe().value();
        const std::string much(1'000'000, 'x');
        scope writers;
        writers.spawn([&]() -> task<void> {
            const io_result sent = co_await other.second.write(bytes_of(much));
            CHECK(sent.ec == errc::closed);
            CHECK(sent.n > 0);
        });
        writers.spawn([&]() -> task<void> {
            const io_result sent = co_await other.second.write(bytes_of(much));
            CHECK(sent.ec == errc::handle_in_use);
            const descriptor taken = other.second.release();
            CHECK(taken);
        });
        static_cast<void>(co_await writers.join());
    });
}

TEST_CASE("what a program says is read from the pipe that it was given") {
    run_on_executor([]() -> task<void> {
        process_options options{.argv = {"cat"}};
        options.in = process_stream::pipe();
        options.out = process_stream::pipe();
        subprocess child = subprocess::start(options).value();
        pipe_writer to = pipe_writer::adopt(child.release_stdin()).value();
        pipe_reader from = pipe_reader::adopt(child.release_stdout()).value();
        const io_result sent = co_await to.write(bytes_of("said"));
        CHECK_FALSE(sent.ec);
        static_cast<void>(co_await to.shutdown_write());
        std::array<std::byte, 10> bytes;
        const io_result got = co_await from.read(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "said");
        const io_result end = co_await from.read(bytes);
        CHECK(end.ec == errc::end_of_stream);
        const exit_result left = co_await child.wait();
        CHECK_FALSE(left.ec);
    });
}

TEST_CASE("a write to a socket that was adopted as a pipe raises no signal either") {
    let_sigpipe_kill();
    run_on_executor([]() -> task<void> {
        auto made = unix_stream::pair();
        REQUIRE(made.has_value());
        pipe_writer in = pipe_writer::adopt(made->first.release()).value();
        made->second.release().reset();
        const io_result sent = co_await in.write(bytes_of("x"));
        CHECK(sent.ec == std::errc::broken_pipe);
    });
    CHECK_FALSE(sigpipe_is_pending());
}

TEST_CASE("a duplicate of a standard stream leaves that as it is") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const descriptor out(ends[0]);
    const descriptor in(ends[1]);
    run_on_executor([&]() -> task<void> {
        pipe_writer writer = pipe_writer::duplicate(in.get()).value();
        CHECK(writer.fd() != in.get());
        const io_result sent = co_await writer.write(bytes_of("hello"));
        CHECK(sent.n == 5);
        pipe_reader reader = pipe_reader::duplicate(out.get()).value();
        std::array<std::byte, 5> bytes;
        const io_result got = co_await reader.read(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "hello");
    });
    CHECK((::fcntl(in.get(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK((::fcntl(out.get(), F_GETFL) & O_NONBLOCK) == 0);
    CHECK(pipe_reader::duplicate(-1).error().code == std::errc::bad_file_descriptor);
}

TEST_CASE("what is no pipe, or the wrong end of one, is refused by name") {
    const auto cause_of = [](const auto& adopted) {
        REQUIRE_FALSE(adopted.has_value());
        CHECK(adopted.error().code == errc::invalid_option);
        CHECK_FALSE(adopted.error().remedy.empty());
        return adopted.error().cause;
    };
    CHECK(cause_of(pipe_reader::adopt(memory_with("x"))) == "it is a regular file");
    CHECK(cause_of(pipe_reader::adopt(descriptor(::open("/tmp", O_RDONLY | O_CLOEXEC)))) == "it is a directory");
    auto one = make_pipe().value();
    CHECK(cause_of(pipe_writer::adopt(one.first.release())) == "it can only be read");
    CHECK(cause_of(pipe_reader::adopt(one.second.release())) == "it can only be written to");
    CHECK(pipe_reader::adopt(descriptor()).error().code == std::errc::bad_file_descriptor);
}

TEST_CASE("a terminal that nobody looks at holds up the writer and not the executor") {
    const terminal both;
    const std::string text = numbered_text(200'000);
    run_on_executor([&]() -> task<void> {
        pipe_writer line = pipe_writer::duplicate(both.line.get()).value();
        pipe_reader screen = pipe_reader::duplicate(both.screen.get()).value();
        bool written = false;
        std::string shown;
        scope children;
        children.spawn([&]() -> task<void> {
            const io_result sent = co_await line.write(bytes_of(text));
            CHECK_FALSE(sent.ec);
            written = true;
        });
        children.spawn([&]() -> task<void> {
            for (int i = 0; i < 5; ++i) { static_cast<void>(co_await sleep_for(1ms)); }
            CHECK_FALSE(written);
            std::array<std::byte, 1000> bytes;
            while (shown.size() != text.size()) {
                const io_result got = co_await screen.read(bytes);
                REQUIRE_FALSE(got.ec);
                shown += text_of(std::span(bytes).first(got.n));
            }
        });
        static_cast<void>(co_await children.join());
        CHECK(written);
        CHECK(shown == text);
    });
    CHECK((::fcntl(both.line.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("no pipe is read or written in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    auto ends = make_pipe().value();
    loop.spawn([&]() -> task<void> {
        const io_result sent = co_await ends.second.write(bytes_of("x"));
        CHECK(sent.ec == errc::not_in_virtual_time);
        CHECK(sent.n == 0);
        REQUIRE(::write(ends.second.fd(), "x", 1) == 1);
        std::array<std::byte, 1> bytes{};
        const io_result got = co_await ends.first.read(bytes);
        CHECK(got.ec == errc::not_in_virtual_time);
        CHECK(got.n == 0);
    });
    loop.run();
}
