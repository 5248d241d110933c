// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/file.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

const file_options both_ways{.write = true};
const file_options emptied{.write = true, .truncate = true};

/// Copies until the end; returns how many bytes.
template <class From, class To>
task<std::size_t> copy_all(From& from, To& to) {
    std::array<std::byte, 1000> bytes;
    std::size_t total = 0;
    for (;;) {
        const io_result got = co_await from.read(bytes);
        if (got.ec) {
            CHECK(got.ec == errc::end_of_stream);
            CHECK(got.n == 0);
            co_return total;
        }
        const io_result sent = co_await to.write(std::span(bytes).first(got.n));
        REQUIRE_FALSE(sent.ec);
        total += sent.n;
    }
}

}  // namespace

TEST_CASE("what was written to a file is read back, in sequence and at offsets") {
    run_on_executor([]() -> task<void> {
        const scratch_directory directory;
        result<file> opened = co_await file::open(directory / "words", fresh);
        REQUIRE(opened.has_value());
        file& words = *opened;
        const io_result first = co_await words.write(bytes_of("one two "));
        const io_result second = co_await words.write(bytes_of("three"));
        CHECK_FALSE(first.ec);
        CHECK(second.n == 5);
        CHECK(words.position() == 13);
        const io_result over = co_await words.write_at(bytes_of("TWO"), 4);
        CHECK(over.n == 3);
        CHECK(words.position() == 13);

        std::array<std::byte, 9> bytes;
        const io_result at = co_await words.read_at(bytes, 4);
        CHECK_FALSE(at.ec);
        CHECK(text_of(std::span(bytes).first(at.n)) == "TWO three");
        words.seek(0);
        const io_result head = co_await words.read(bytes);
        CHECK(text_of(std::span(bytes).first(head.n)) == "one TWO t");
        const io_result tail = co_await words.read(bytes);
        CHECK_FALSE(tail.ec);
        CHECK(text_of(std::span(bytes).first(tail.n)) == "hree");
        const io_result end = co_await words.read(bytes);
        CHECK(end.ec == errc::end_of_stream);
        CHECK(end.n == 0);
        CHECK(words.position() == 13);
        CHECK((::fcntl(words.fd(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((::fcntl(words.fd(), F_GETFL) & O_NONBLOCK) == 0);
    });
}

TEST_CASE("a file of more than is copied at once comes back whole, on a disk and in memory") {
    const scratch_directory directory;
    const std::string text = numbered_text(1'500'000);
    const auto there_and_back = [&text](file& big) -> task<void> {
        const io_result sent = co_await big.write(bytes_of(text));
        CHECK_FALSE(sent.ec);
        CHECK(sent.n == text.size());
        std::vector<std::byte> bytes(text.size() + 100);
        const io_result got = co_await big.read_at(bytes, 0);
        CHECK_FALSE(got.ec);
        REQUIRE(got.n == text.size());
        CHECK(text_of(std::span(bytes).first(got.n)) == text);
    };
    run_on_executor([&]() -> task<void> {
        result<file> on_disk = co_await file::open(directory / "big", fresh);
        REQUIRE(on_disk.has_value());
        co_await there_and_back(*on_disk);
        file in_memory = memory_file("");
        co_await there_and_back(in_memory);
    });
}

TEST_CASE("a file that shrinks while it is read gives what is left, and then its end") {
    run_on_executor([]() -> task<void> {
        file shrinking = memory_file(std::string(10'000, 'x'));
        std::vector<std::byte> bytes(4000);
        const io_result first = co_await shrinking.read(bytes);
        CHECK(first.n == 4000);
        const wait_result cut = co_await shrinking.truncate(5000);
        CHECK_FALSE(cut);
        const io_result second = co_await shrinking.read(bytes);
        CHECK_FALSE(second.ec);
        CHECK(second.n == 1000);
        const wait_result again = co_await shrinking.truncate(100);
        CHECK_FALSE(again);
        const io_result third = co_await shrinking.read(bytes);
        CHECK(third.ec == errc::end_of_stream);
        CHECK(third.n == 0);
        CHECK(shrinking.position() == 5000);
        const io_result left = co_await shrinking.read_at(bytes, 0);
        CHECK_FALSE(left.ec);
        CHECK(left.n == 100);
    });
}

TEST_CASE("a file that another thread cuts and fills again is read without an error") {
    constexpr std::size_t whole = 300'000;
    const std::string text(whole, 'x');
    file moving = memory_file(text);
    std::thread other([fd = moving.fd(), &text] {
        for (int i = 0; i < 100; ++i) {
            REQUIRE(::ftruncate(fd, i % 2 == 0 ? 10 : 100'000) == 0);
            REQUIRE(::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
        }
        REQUIRE(::ftruncate(fd, 10) == 0);
    });
    run_on_executor([&]() -> task<void> {
        std::vector<std::byte> bytes(2 * whole);
        io_result got;
        do {
            got = co_await moving.read_at(bytes, 0);
            CHECK_FALSE(got.ec);
            CHECK(got.n >= 10);
            CHECK(got.n <= whole);
        } while (got.n != 10);
    });
    other.join();
}

TEST_CASE("several transfers at offsets go on beside each other") {
    run_on_executor([]() -> task<void> {
        file shared = memory_file("");
        scope writers;
        for (std::uint64_t i = 0; i < 20; ++i) {
            writers.spawn([&shared, i]() -> task<void> {
                const std::string text(100, static_cast<char>('a' + i));
                const io_result sent = co_await shared.write_at(bytes_of(text), 100 * i);
                CHECK(sent.n == 100);
            });
        }
        static_cast<void>(co_await writers.join());
        int right = 0;
        scope readers;
        for (std::uint64_t i = 0; i < 20; ++i) {
            readers.spawn([&shared, &right, i]() -> task<void> {
                std::array<std::byte, 100> bytes;
                const io_result got = co_await shared.read_at(bytes, 100 * i);
                if (text_of(std::span(bytes).first(got.n)) == std::string(100, static_cast<char>('a' + i))) { ++right; }
            });
        }
        static_cast<void>(co_await readers.join());
        CHECK(right == 20);
    });
}

TEST_CASE("of readers and writers at the file's position one goes on and a second is told") {
    run_on_executor([]() -> task<void> {
        file one = memory_file("some bytes");
        scope readers;
        std::array<std::byte, 4> bytes;
        readers.spawn([&]() -> task<void> {
            const io_result got = co_await one.read(bytes);
            CHECK(got.n == 4);
        });
        readers.spawn([&]() -> task<void> {
            const io_result sent = co_await one.write(bytes_of("x"));
            CHECK(sent.ec == errc::handle_in_use);
            CHECK(sent.n == 0);
        });
        static_cast<void>(co_await readers.join());
        const io_result next = co_await one.read(bytes);
        CHECK(text_of(std::span(bytes).first(next.n)) == " byt");
        const io_result other = co_await one.read_at(bytes, 0);
        CHECK(text_of(std::span(bytes).first(other.n)) == "some");
    });
}

TEST_CASE("a file is copied to a stream and a stream to a file by the same function") {
    const scratch_directory directory;
    const std::string text = numbered_text(100'000);
    run_on_executor([&]() -> task<void> {
        auto ends = unix_stream::pair();
        REQUIRE(ends.has_value());
        file from = memory_file(text);
        result<file> to = co_await file::open(directory / "copy", fresh);
        REQUIRE(to.has_value());
        scope both;
        both.spawn([&]() -> task<void> {
            const std::size_t sent = co_await copy_all(from, ends->first);
            CHECK(sent == text.size());
            static_cast<void>(co_await ends->first.shutdown_write());
        });
        both.spawn([&]() -> task<void> {
            const std::size_t received = co_await copy_all(ends->second, *to);
            CHECK(received == text.size());
        });
        static_cast<void>(co_await both.join());
        std::vector<std::byte> bytes(text.size());
        const io_result got = co_await to->read_at(bytes, 0);
        CHECK(got.n == text.size());
        CHECK(text_of(bytes) == text);
    });
}

TEST_CASE("a file is opened to append, emptied, cut, made longer and kept") {
    const scratch_directory directory;
    run_on_executor([&]() -> task<void> {
        const file_options log{.read = false, .write = true, .append = true, .create = true, .permissions = 0600};
        for (const char* const line : {"first\n", "second\n"}) {
            result<file> opened = co_await file::open(directory / "log", log);
            REQUIRE(opened.has_value());
            const io_result sent = co_await opened->write(bytes_of(line));
            CHECK_FALSE(sent.ec);
            CHECK(opened->position() == 0);
            const wait_result kept = co_await opened->sync();
            CHECK_FALSE(kept);
        }
        struct stat about {};
        REQUIRE(::stat((directory / "log").c_str(), &about) == 0);
        CHECK((about.st_mode & 0777U) == 0600);
        result<file> again = co_await file::open(directory / "log", both_ways);
        REQUIRE(again.has_value());
        const result<std::uint64_t> size = co_await again->size();
        CHECK(size.value() == 13);
        std::array<std::byte, 20> bytes;
        const io_result got = co_await again->read_at(bytes, 0);
        CHECK(text_of(std::span(bytes).first(got.n)) == "first\nsecond\n");
        const wait_result longer = co_await again->truncate(20);
        CHECK_FALSE(longer);
        const io_result zeroes = co_await again->read_at(bytes, 13);
        CHECK(text_of(std::span(bytes).first(zeroes.n)) == std::string(7, '\0'));
        const wait_result data = co_await again->sync_data();
        CHECK_FALSE(data);
        const result<file> third = co_await file::open(directory / "log", emptied);
        REQUIRE(third.has_value());
        const result<std::uint64_t> nothing = co_await again->size();
        CHECK(nothing.value() == 0);
    });
}

TEST_CASE("a file that is released or adopted goes on where it was, and is closed otherwise") {
    run_on_executor([]() -> task<void> {
        descriptor plain = memory_with("0123456789");
        REQUIRE(::lseek(plain.get(), 2, SEEK_SET) == 2);
        file adopted = file::adopt(std::move(plain)).value();
        CHECK(adopted.position() == 2);
        std::array<std::byte, 3> bytes;
        const io_result got = co_await adopted.read(bytes);
        CHECK(text_of(std::span(bytes).first(got.n)) == "234");
        const descriptor released = adopted.release();
        CHECK(::lseek(released.get(), 0, SEEK_CUR) == 5);
        CHECK(adopted.fd() == -1);
        const io_result gone = co_await adopted.read(bytes);
        CHECK(gone.ec == errc::closed);
        const wait_result unkept = co_await adopted.sync();
        CHECK(unkept == errc::closed);
        const result<std::uint64_t> unknown = co_await adopted.size();
        CHECK(unknown.error().code == errc::closed);

        int number = -1;
        {
            const file closing = memory_file("x");
            number = closing.fd();
            CHECK(::fcntl(number, F_GETFD) >= 0);
        }
        CHECK(::fcntl(number, F_GETFD) == -1);
    });
}

TEST_CASE("a file that is destroyed while it is read keeps its descriptor until the read has ended") {
    run_on_executor([]() -> task<void> {
        auto going = std::make_unique<file>(memory_file("some bytes"));
        const int number = going->fd();
        scope reader;
        std::array<std::byte, 20> bytes;
        reader.spawn([&]() -> task<void> {
            const io_result got = co_await going->read(bytes);
            CHECK(text_of(std::span(bytes).first(got.n)) == "some bytes");
        });
        reader.spawn([&]() -> task<void> {
            going.reset();
            CHECK(::fcntl(number, F_GETFD) >= 0);
            co_return;
        });
        static_cast<void>(co_await reader.join());
        CHECK(::fcntl(number, F_GETFD) == -1);
    });
}

TEST_CASE("a file whose descriptor says that it must not wait is read all the same") {
    run_on_executor([]() -> task<void> {
        descriptor opened(::open("/proc/self/status", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        REQUIRE(opened);
        file status = file::adopt(std::move(opened)).value();
        std::vector<std::byte> bytes(10'000);
        const io_result got = co_await status.read(bytes);
        CHECK_FALSE(got.ec);
        CHECK(text_of(std::span(bytes).first(got.n)).find("Threads:") != std::string::npos);
    });
}
