// SPDX-License-Identifier: BSD-3-Clause
// What files refuse, and in which words.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

using namespace fluxnet;
using namespace fluxnet::test;

TEST_CASE("what cannot be transferred is told with the kernel's reason") {
    const scratch_directory directory;
    run_on_executor([&]() -> task<void> {
        std::array<std::byte, 4> bytes{};
        const file_options writable{.write = true};
        result<file> full = co_await file::open("/dev/full", writable);
        REQUIRE(full.has_value());
        const io_result no_room = co_await full->write(bytes);
        CHECK(no_room.ec == std::errc::no_space_on_device);
        CHECK(no_room.n == 0);

        const result<file> made = co_await file::open(directory / "empty", fresh);
        REQUIRE(made.has_value());
        result<file> only_read = co_await file::open(directory / "empty");
        REQUIRE(only_read.has_value());
        const io_result refused = co_await only_read->write_at(bytes, 0);
        CHECK(refused.ec == std::errc::bad_file_descriptor);
        const wait_result not_cut = co_await only_read->truncate(0);
        CHECK(not_cut == std::errc::invalid_argument);

        file small = memory_file("abc");
        for (const std::uint64_t offset : {std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 63}) {
            const io_result beyond = co_await small.read_at(bytes, offset);
            CHECK(beyond.ec == std::errc::invalid_argument);
        }
        const io_result past = co_await small.read_at(bytes, 1'000'000);
        CHECK(past.ec == errc::end_of_stream);
        const wait_result too_long = co_await small.truncate(std::numeric_limits<std::uint64_t>::max());
        CHECK(too_long == std::errc::file_too_large);
        const io_result nothing = co_await small.read_at(std::span<std::byte>(), 0);
        CHECK_FALSE(nothing.ec);
        CHECK(nothing.n == 0);
    });
}

TEST_CASE("a file that cannot be opened is refused with step, cause and remedy") {
    const scratch_directory directory;
    const std::string fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    struct refusal {
        std::string path;
        file_options options;
        std::error_code why;
    };
    const std::vector<refusal> refusals{
        {directory / "none", {}, std::make_error_code(std::errc::no_such_file_or_directory)},
        {directory / "none/at/all", {}, std::make_error_code(std::errc::no_such_file_or_directory)},
        {fifo + "/below", {}, std::make_error_code(std::errc::not_a_directory)},
        {fifo, fresh, std::make_error_code(std::errc::file_exists)},
        {fifo, {}, errc::invalid_option},
        {fifo, {.read = false, .write = true}, std::make_error_code(std::errc::no_such_device_or_address)},
        {directory.path(), {}, errc::invalid_option},
        {directory.path(), {.write = true}, std::make_error_code(std::errc::is_a_directory)},
        {"", {}, errc::invalid_option},
        {std::string("a\0b", 3), {}, errc::invalid_option},
        {"/dev/null", {.read = false}, errc::invalid_option},
        {"/dev/null", {.append = true}, errc::invalid_option},
        {"/dev/null", {.create = true}, errc::invalid_option},
        {"/dev/null", {.truncate = true}, errc::invalid_option},
        {"/dev/null", {.write = true, .exclusive = true}, errc::invalid_option},
    };
    run_on_executor([&]() -> task<void> {
        for (const refusal& each : refusals) {
            CAPTURE(each.path);
            const result<file> opened = co_await file::open(each.path, each.options);
            REQUIRE_FALSE(opened.has_value());
            const error& why = opened.error();
            CHECK(why.code.default_error_condition() == each.why.default_error_condition());
            CHECK(why.step == "open " + each.path.substr(0, each.path.find('\0')));
            CHECK_FALSE(why.cause.empty());
            CHECK_FALSE(why.remedy.empty());
        }
        const result<file> folder = co_await file::open("/");
        CHECK(folder.error().remedy.find("name a file") != std::string::npos);
    });
}

TEST_CASE("what has no positions is not adopted as a file") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const descriptor other(ends[1]);
    const auto cause_of = [](descriptor of) {
        const result<file> adopted = file::adopt(std::move(of));
        REQUIRE_FALSE(adopted.has_value());
        CHECK(adopted.error().code == errc::invalid_option);
        return adopted.error().cause;
    };
    CHECK(cause_of(descriptor(ends[0])) == "it is a pipe");
    CHECK(cause_of(unix_stream::pair()->first.release()) == "it is a socket");
    CHECK(cause_of(descriptor(::eventfd(0, EFD_CLOEXEC))) == "it is an object of the kernel's");
    CHECK(cause_of(descriptor(::open("/tmp", O_RDONLY | O_CLOEXEC))) == "it is a directory");
    CHECK(cause_of(descriptor(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC))) ==
          "it is a terminal or another device without positions");
    CHECK(file::adopt(descriptor()).error().code == std::errc::bad_file_descriptor);
}

TEST_CASE("no file is opened, read or written in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    loop.spawn([]() -> task<void> {
        const result<file> opened = co_await file::open("/dev/null");
        CHECK(opened.error().code == errc::not_in_virtual_time);
        CHECK(opened.error().step == "open /dev/null");
        file real = memory_file("abc");
        std::array<std::byte, 3> bytes{};
        const io_result at = co_await real.read_at(bytes, 0);
        CHECK(at.ec == errc::not_in_virtual_time);
        const io_result sent = co_await real.write(bytes);
        CHECK(sent.ec == errc::not_in_virtual_time);
        const result<std::uint64_t> size = co_await real.size();
        CHECK(size.error().code == errc::not_in_virtual_time);
        const wait_result kept = co_await real.sync();
        CHECK(kept == errc::not_in_virtual_time);
        const wait_result cut = co_await real.truncate(0);
        CHECK(cut == errc::not_in_virtual_time);
        CHECK(real.position() == 0);
    });
    loop.run();
}
