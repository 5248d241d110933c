// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/byte_source.hpp"

#include "fluxnet/runtime/sockets/pipe.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

descriptor open_for(const std::string& path, int flags) {
    descriptor opened(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0600));
    REQUIRE(opened);
    return opened;
}

/// Reads to the end, in pieces of 7.
task<std::string> read_all(byte_source& from) {
    std::string text;
    std::array<std::byte, 7> room{};
    for (;;) {
        const io_result got = co_await from.read(room);
        if (got.ec) {
            CHECK(got.ec == errc::end_of_stream);
            CHECK(got.n == 0);
            co_return text;
        }
        CHECK(got.n >= 1);
        text += text_of(std::span(room).first(got.n));
    }
}

std::string content_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

void put(const descriptor& into, std::string_view text) {
    REQUIRE(::write(into.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

}  // namespace

TEST_CASE("a source reads a file, a pipe, a socket, a terminal's line and what is empty to the end") {
    const scratch_directory directory;
    const std::string text = "a program does not know what its standard input is";
    run_on_executor([&]() -> task<void> {
        put(open_for(directory / "file", O_WRONLY | O_CREAT), text);
        const descriptor disk = open_for(directory / "file", O_RDONLY);
        byte_source of_file = byte_source::duplicate(disk.get()).value();
        CHECK(of_file.fd() >= 3);
        CHECK(of_file.fd() != disk.get());
        const std::string from_file = co_await read_all(of_file);
        CHECK(from_file == text);

        auto pipe = make_pipe().value();
        put(pipe.second.release(), text);  // which closes the end
        byte_source of_pipe = byte_source::adopt(pipe.first.release()).value();
        const std::string from_pipe = co_await read_all(of_pipe);
        CHECK(from_pipe == text);

        auto sockets = unix_stream::pair().value();
        put(sockets.second.release(), text);
        byte_source of_socket = byte_source::adopt(sockets.first.release()).value();
        const std::string from_socket = co_await read_all(of_socket);
        CHECK(from_socket == text);

        const descriptor screen = open_for("/dev/ptmx", O_RDWR);
        REQUIRE(::unlockpt(screen.get()) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(screen.get(), name.data(), name.size()) == 0);
        byte_source of_terminal = byte_source::adopt(open_for(name.data(), O_RDWR)).value();
        put(screen, "line\n");
        std::array<std::byte, 20> room{};
        const io_result line = co_await of_terminal.read(room);
        CHECK(text_of(std::span(room).first(line.n)) == "line\n");

        byte_source of_nothing = byte_source::adopt(open_for("/dev/null", O_RDONLY)).value();
        const std::string nothing = co_await read_all(of_nothing);
        CHECK(nothing.empty());
    });
}

TEST_CASE("a sink writes to a file, a pipe and nowhere") {
    const scratch_directory directory;
    run_on_executor([&]() -> task<void> {
        byte_sink to_file = byte_sink::adopt(open_for(directory / "file", O_WRONLY | O_CREAT)).value();
        for (const char* const part : {"one ", "two ", "three"}) {
            const io_result sent = co_await to_file.write(bytes_of(part));
            CHECK_FALSE(sent.ec);
            CHECK(sent.n == std::string_view(part).size());
        }
        CHECK(content_of(directory / "file") == "one two three");

        auto pipe = make_pipe().value();
        byte_sink to_pipe = byte_sink::adopt(pipe.second.release()).value();
        const io_result sent = co_await to_pipe.write(bytes_of("x"));
        CHECK(sent.n == 1);
        { const descriptor reader = pipe.first.release(); }
        const io_result late = co_await to_pipe.write(bytes_of("x"));
        CHECK(late.ec == std::errc::broken_pipe);

        byte_sink nowhere = byte_sink::adopt(open_for("/dev/null", O_WRONLY)).value();
        const io_result lost = co_await nowhere.write(bytes_of("abc"));
        CHECK(lost.n == 3);
    });
}

TEST_CASE("a file that is a standard stream goes on where all who share it are") {
    const scratch_directory directory;
    run_on_executor([&]() -> task<void> {
        const descriptor shared = open_for(directory / "file", O_RDWR | O_CREAT);
        put(shared, "before ");
        byte_sink sink = byte_sink::duplicate(shared.get()).value();
        const io_result sent = co_await sink.write(bytes_of("between "));
        CHECK_FALSE(sent.ec);
        put(shared, "after ");
        const std::string large(300'000, 'x');  // more than is made at once
        const io_result more = co_await sink.write(bytes_of(large));
        CHECK(more.n == large.size());
        { const descriptor given = sink.release(); }
        put(shared, ".");
        CHECK(content_of(directory / "file") == "before between after " + large + ".");

        REQUIRE(::lseek(shared.get(), 7, SEEK_SET) == 7);
        byte_source source = byte_source::duplicate(shared.get()).value();
        std::array<std::byte, 7> room{};
        const io_result got = co_await source.read(room);
        CHECK(text_of(std::span(room).first(got.n)) == "between");
        CHECK(::lseek(shared.get(), 0, SEEK_CUR) == 14);
        const io_result none = co_await source.read({});
        CHECK_FALSE(none.ec);
        std::vector<std::byte> all(400'000);
        const io_result rest = co_await source.read(all);
        CHECK(rest.n == large.size() + std::string_view(" after .").size());
        const io_result end = co_await source.read(room);
        CHECK(end.ec == errc::end_of_stream);
    });
}

TEST_CASE("a file that takes no more has the first part of what a sink wrote, and the sink says how much") {
    const scratch_directory directory;
    constexpr std::size_t most = 40'960;
    run_on_executor([&]() -> task<void> {
        byte_sink sink = byte_sink::adopt(open_for(directory / "file", O_WRONLY | O_CREAT)).value();
        std::string text;
        for (int i = 0; text.size() < 60'000; ++i) { text += std::to_string(i) + ' '; }
        text.resize(60'000);
        // A limit of the process ends a write in the middle as a full disk does.
        const auto kept_signal = std::signal(SIGXFSZ, SIG_IGN);
        rlimit kept{};
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &kept) == 0);
        const rlimit small{most, kept.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
        const io_result first = co_await sink.write(bytes_of(std::string_view(text).substr(0, 30'000)));
        const io_result second = co_await sink.write(bytes_of(std::string_view(text).substr(30'000)));
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &kept) == 0);
        std::signal(SIGXFSZ, kept_signal);
        CHECK_FALSE(first.ec);
        CHECK(first.n == 30'000);
        CHECK(second.ec == std::errc::file_too_large);
        CHECK(second.n == most - 30'000);
        const bool first_part = content_of(directory / "file") == text.substr(0, most);
        CHECK(first_part);
    });
}

TEST_CASE("what cannot be a source or a sink is refused by the number that the user gave") {
    const scratch_directory directory;
    const auto refusal_of = [](const auto& adopted) {
        REQUIRE_FALSE(adopted.has_value());
        CHECK_FALSE(adopted.error().remedy.empty());
        return adopted.error();
    };
    const descriptor folder = open_for(directory.path(), O_RDONLY);
    const descriptor written = open_for(directory / "file", O_WRONLY | O_CREAT);
    const descriptor read = open_for(directory / "file", O_RDONLY);
    const auto step_with = [](const char* text, const descriptor& of) { return text + std::to_string(of.get()); };
    CHECK(refusal_of(byte_source::duplicate(folder.get())).step == step_with("read from descriptor ", folder));
    CHECK(refusal_of(byte_source::duplicate(folder.get())).cause == "it is a directory");
    CHECK(refusal_of(byte_source::duplicate(written.get())).step == step_with("read from descriptor ", written));
    CHECK(refusal_of(byte_source::duplicate(written.get())).cause == "it can only be written to");
    CHECK(refusal_of(byte_sink::duplicate(read.get())).step == step_with("write to descriptor ", read));
    CHECK(refusal_of(byte_sink::duplicate(read.get())).cause == "it can only be read");
    CHECK(refusal_of(byte_source::duplicate(-1)).code == std::errc::bad_file_descriptor);
    CHECK(refusal_of(byte_sink::adopt(descriptor())).code == std::errc::bad_file_descriptor);
    CHECK(refusal_of(pipe_reader::duplicate(read.get())).step ==
          step_with("adopt descriptor ", read) + " as the reading end of a pipe");
    CHECK(refusal_of(pipe_reader::duplicate(read.get())).remedy.find("byte_source") != std::string::npos);
    CHECK(refusal_of(pipe_writer::duplicate(written.get())).step ==
          step_with("adopt descriptor ", written) + " as the writing end of a pipe");
}

TEST_CASE("a source and a sink that were moved from are closed") {
    const scratch_directory directory;
    run_on_executor([&]() -> task<void> {
        std::array<std::byte, 4> room{};
        byte_sink sink = byte_sink::adopt(open_for(directory / "file", O_WRONLY | O_CREAT)).value();
        byte_source source = byte_source::adopt(open_for(directory / "file", O_RDONLY)).value();
        const byte_sink moved_sink = std::move(sink);
        const byte_source moved_source = std::move(source);
        const io_result got = co_await source.read(room);
        CHECK(got.ec == errc::closed);
        const io_result sent = co_await sink.write(room);
        CHECK(sent.ec == errc::closed);
        CHECK(source.fd() == -1);
        CHECK_FALSE(sink.release());
    });
}
