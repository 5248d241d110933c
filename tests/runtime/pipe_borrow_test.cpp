// SPDX-License-Identifier: BSD-3-Clause
// What a pipe lends. The cases that it has in common with other streams are in pipe_conformance_test.cpp.
#include "fluxnet/runtime/sockets/pipe.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/file_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

TEST_CASE("what lies in a pipe is lent as a whole, and nothing that nobody has asked for is taken") {
    run_on_executor([]() -> task<void> {
        auto [out, in] = make_pipe().value();
        static_cast<void>(co_await in.write(bytes_of("one ")));
        static_cast<void>(co_await in.write(bytes_of("piece")));
        auto lent = co_await out.read_borrowed();
        CHECK_FALSE(lent.ec);
        CHECK(text_of(std::as_const(lent.buffer).bytes()) == "one piece");
        static_cast<void>(co_await in.write(bytes_of("left")));
        for (int i = 0; i < 3; ++i) { static_cast<void>(co_await sleep_for(1ms)); }
        const descriptor given = out.release();
        std::array<char, 8> rest{};
        CHECK(::read(given.get(), rest.data(), rest.size()) == 4);
        CHECK(text_of(std::as_const(lent.buffer).bytes()) == "one piece");
    });
}

TEST_CASE("a pipe lends however many pieces are kept, and uses again what comes back") {
    run_on_executor([]() -> task<void> {
        auto [out, in] = make_pipe().value();
        std::vector<received_buffer> kept;
        for (int i = 0; i != 100; ++i) {
            const std::string text = "piece " + std::to_string(i);
            static_cast<void>(co_await in.write(bytes_of(text)));
            auto lent = co_await out.read_borrowed();
            REQUIRE_FALSE(lent.ec);
            kept.push_back(std::move(lent.buffer));
        }
        for (int i = 0; i != 100; ++i) {
            CHECK(text_of(std::as_const(kept[static_cast<std::size_t>(i)]).bytes()) == "piece " + std::to_string(i));
        }
        kept.clear();
        const std::byte* place = nullptr;
        for (int i = 0; i != 10; ++i) {
            static_cast<void>(co_await in.write(bytes_of("x")));
            const auto lent = co_await out.read_borrowed();
            REQUIRE(lent.buffer.size() == 1);
            if (i == 5) { place = lent.buffer.bytes().data(); }
            if (i > 5) { CHECK(lent.buffer.bytes().data() == place); }
        }
    });
}

TEST_CASE("a pipe that goes while it is to lend says so, and what it lent before stays") {
    run_on_executor([]() -> task<void> {
        auto made = make_pipe().value();
        auto out = std::make_unique<pipe_reader>(std::move(made.first));
        static_cast<void>(co_await made.second.write(bytes_of("kept")));
        auto lent = co_await out->read_borrowed();
        scope readers;
        readers.spawn([&]() -> task<void> {
            const auto none = co_await out->read_borrowed();
            CHECK(none.ec == errc::closed);
            CHECK(none.buffer.empty());
        });
        readers.spawn([&]() -> task<void> {
            const auto refused = co_await out->read_borrowed();
            CHECK(refused.ec == errc::handle_in_use);
            out.reset();
        });
        static_cast<void>(co_await readers.join());
        CHECK(text_of(std::as_const(lent.buffer).bytes()) == "kept");
    });
}

TEST_CASE("a FIFO lends what was written, and tells its end") {
    char place[] = "/tmp/fluxnet-fifo-XXXXXX";
    REQUIRE(::mkdtemp(place) != nullptr);
    const std::string path = std::string(place) + "/fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    run_on_executor([&]() -> task<void> {
        const descriptor first(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));  // or the writer would wait
        pipe_writer in = pipe_writer::adopt(descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC))).value();
        pipe_reader out = pipe_reader::adopt(descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC))).value();
        scope both;
        both.spawn([&]() -> task<void> {
            auto lent = co_await out.read_borrowed();
            CHECK(text_of(std::as_const(lent.buffer).bytes()) == "through a FIFO");
            const auto end = co_await out.read_borrowed();
            CHECK(end.ec == errc::end_of_stream);
        });
        both.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            static_cast<void>(co_await in.write(bytes_of("through a FIFO")));
            static_cast<void>(co_await sleep_for(1ms));
            static_cast<void>(co_await in.shutdown_write());
        });
        static_cast<void>(co_await both.join());
    });
    CHECK(::unlink(path.c_str()) == 0);
    CHECK(::rmdir(place) == 0);
}

TEST_CASE("no pipe lends in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    auto ends = make_pipe().value();
    loop.spawn([&]() -> task<void> {
        REQUIRE(::write(ends.second.fd(), "x", 1) == 1);
        const auto lent = co_await ends.first.read_borrowed();
        CHECK(lent.ec == errc::not_in_virtual_time);
        CHECK(lent.buffer.empty());
    });
    loop.run();
}
