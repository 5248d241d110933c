// SPDX-License-Identifier: BSD-3-Clause
// Transfers of files that are cancelled, or whose coroutine goes, in each of their states; and that the executor goes on
// while the kernel is busy with one.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/sockets/file.hpp"
#include "fluxnet/runtime/sockets/offload.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/file_tests.hpp"
#include "tests/runtime/held_page.hpp"
#include "tests/runtime/reactor_tests.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::byte untouched{0xEE};

/// Occupies the threads of an executor's pool until it is let go.
class busy_pool {
public:
    /// Completes when all are occupied.
    task<void> occupy(executor& loop) {
        for (int i = 0; i < 4; ++i) {
            loop.spawn([this]() -> task<void> {
                const auto hold = [this] {
                    ++holding_;
                    free_.acquire();
                };
                static_cast<void>(co_await offload(hold));
            });
        }
        while (holding_.load() != 4) { static_cast<void>(co_await sleep_for(1ms)); }
    }
    void let_go() { free_.release(4); }

private:
    std::atomic<int> holding_ = 0;
    std::counting_semaphore<> free_{0};
};

task<void> until_awaited(const held_page& page) {
    while (!page.is_awaited()) { static_cast<void>(co_await sleep_for(1ms)); }
}

}  // namespace

FLUXNET_REACTOR_TEST("a read that has begun is waited for when its task is cancelled, and the executor goes on") {
    FLUXNET_SKIP_IF(held_page::why_not());
    const std::string text(held_page::size, 'x');
    const held_page page;
    executor loop(idle_policy{}, kind);
    file slow = memory_file(text);
    std::stop_source source;
    std::optional<io_result> got;
    const auto read = [&]() -> task<void> { got = co_await slow.read(page.bytes()); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), read());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        co_await until_awaited(page);
        source.request_stop();
        for (int i = 0; i < 5; ++i) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK_FALSE(got.has_value());
        page.let_go();
    });
    loop.run();
    REQUIRE(got.has_value());
    CHECK((!got->ec || got->ec == errc::operation_canceled));
    CHECK(slow.position() == got->n);
    if (!got->ec) { CHECK(text_of(page.bytes()) == text); }
}

FLUXNET_REACTOR_TEST("a write that has begun is waited for when its task is cancelled") {
    FLUXNET_SKIP_IF(held_page::why_not());
    const held_page page;
    executor loop(idle_policy{}, kind);
    const std::string before(held_page::size, 'x');
    file slow = memory_file(before);
    std::stop_source source;
    std::optional<io_result> sent;
    const auto write = [&]() -> task<void> { sent = co_await slow.write_at(page.bytes(), 0); };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), write());
        co_await under;
    });
    loop.spawn([&]() -> task<void> {
        co_await until_awaited(page);
        source.request_stop();
        for (int i = 0; i < 5; ++i) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK_FALSE(sent.has_value());
        page.let_go();
    });
    loop.run();
    REQUIRE(sent.has_value());
    CHECK((sent->n == held_page::size || sent->ec == errc::operation_canceled));
    std::vector<char> after(held_page::size);
    REQUIRE(::pread(slow.fd(), after.data(), after.size(), 0) == static_cast<ssize_t>(after.size()));
    CHECK(static_cast<std::size_t>(std::count(after.begin(), after.end(), '\0')) == sent->n);
}

FLUXNET_REACTOR_TEST("a coroutine that is destroyed while its file is read is destroyed when the read has ended") {
    FLUXNET_SKIP_IF(held_page::why_not());
    const held_page page;
    std::atomic<bool> let_go = false;
    std::thread other;
    {
        file slow = memory_file(std::string(held_page::size, 'x'));
        executor loop(idle_policy{}, kind);
        loop.spawn([&]() -> task<void> { static_cast<void>(co_await slow.read(page.bytes())); });
        loop.spawn([&]() -> task<void> {
            co_await until_awaited(page);
            loop.stop();
        });
        loop.run();
        other = std::thread([&] {
            std::this_thread::sleep_for(2ms);
            let_go = true;
            page.let_go();
        });
    }
    CHECK(let_go.load());  // the executor's end has waited for it
    other.join();
}

TEST_CASE("a read that no thread has begun is withdrawn on epoll, and touches nothing") {
    executor loop(idle_policy{}, reactor_kind::epoll);
    busy_pool pool;
    std::stop_source source;
    file one = memory_file("some bytes");
    std::array<std::byte, 4> bytes;
    bytes.fill(untouched);
    std::optional<io_result> got;
    const auto read = [&]() -> task<void> { got = co_await one.read(bytes); };
    loop.spawn([&]() -> task<void> {
        co_await pool.occupy(loop);
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            CHECK_FALSE(got.has_value());
            source.request_stop();
        });
        stoppable under = run_under(source.get_token(), read());
        co_await under;
        REQUIRE(got.has_value());
        CHECK(got->ec == errc::operation_canceled);
        CHECK(got->n == 0);
        pool.let_go();
        const wait_result after = co_await one.sync_data();  // behind it in the queue
        CHECK_FALSE(after);
        CHECK(std::count(bytes.begin(), bytes.end(), untouched) == 4);
        const io_result next = co_await one.read(bytes);
        CHECK(text_of(std::span(bytes).first(next.n)) == "some");
    });
    loop.run();
}

TEST_CASE("opening a file is given up at once while the pool's threads are busy, and leaves no descriptor") {
    executor loop;
    busy_pool pool;
    std::stop_source source;
    std::optional<std::error_code> seen;
    const auto open = [&]() -> task<void> {
        const result<file> opened = co_await file::open("/dev/null");
        REQUIRE_FALSE(opened.has_value());
        seen = opened.error().code;
    };
    loop.spawn([&]() -> task<void> {
        co_await pool.occupy(loop);
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(2ms));
            CHECK_FALSE(seen.has_value());
            source.request_stop();
        });
        stoppable under = run_under(source.get_token(), open());
        co_await under;
        CHECK(seen == make_error_code(errc::operation_canceled));
        pool.let_go();
    });
    loop.run();
}

FLUXNET_REACTOR_TEST("a stop from another thread races with reads, which leave their memory alone afterwards") {
    const std::string text(100'000, 'x');
    file one = memory_file(text);
    std::vector<std::byte> bytes(text.size());
    for (int round = 0; round < 100; ++round) {
        executor loop(idle_policy{}, kind);
        std::atomic<bool> begun = false;
        loop.spawn([&]() -> task<void> {
            begun = true;
            io_result got;
            do {
                got = co_await one.read_at(bytes, 0);
                CHECK((!got.ec || got.ec == errc::operation_canceled));
                if (!got.ec) { CHECK(got.n == bytes.size()); }
                std::fill(bytes.begin(), bytes.end(), untouched);
                for (int i = 0; i < 3; ++i) { static_cast<void>(co_await requeue()); }
                CHECK(std::count(bytes.begin(), bytes.end(), untouched) == static_cast<std::ptrdiff_t>(bytes.size()));
            } while (!got.ec);
        });
        std::thread other([&] {
            while (!begun.load()) { std::this_thread::yield(); }
            loop.request_stop();
        });
        loop.run();
        other.join();
    }
}
