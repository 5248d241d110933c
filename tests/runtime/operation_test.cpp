// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/operation.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<fluxnet::detail::operation> &&
              !std::is_move_constructible_v<fluxnet::detail::operation>);
static_assert(std::is_base_of_v<ready_node, fluxnet::detail::operation>);

namespace {

/// An operation that completes when the test says so.
class manual_operation final : public fluxnet::detail::operation {
public:
    bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting_coroutine) {
        return suspend(waiting_coroutine, [] {});
    }

    std::error_code await_resume() noexcept { return finish(); }

    int cancels = 0;

    [[nodiscard]] const char* name() const noexcept override { return "manual"; }

private:
    void cancel() noexcept override {
        ++cancels;
        complete(errc::operation_canceled);
    }
};

task<void> await_it(manual_operation& operation, std::vector<std::error_code>& seen) {
    seen.push_back(co_await operation);
}

}  // namespace

TEST_CASE("an operation completes once and what comes second is ignored") {
    executor loop;
    manual_operation operation;
    std::vector<std::error_code> seen;
    CHECK_FALSE(operation.waiting());
    operation.complete(errc::closed);
    loop.spawn(await_it(operation, seen));
    loop.spawn([&]() -> task<void> {
        CHECK(operation.waiting());
        operation.complete({});
        CHECK_FALSE(operation.waiting());
        operation.complete(errc::closed);
        co_return;
    });
    loop.run();
    CHECK(seen == std::vector<std::error_code>{std::error_code()});
    CHECK(operation.cancels == 0);
}

TEST_CASE("an operation resumes from the ready queue and never inside complete") {
    executor loop;
    manual_operation operation;
    std::vector<std::error_code> seen;
    loop.spawn(await_it(operation, seen));
    loop.spawn([&]() -> task<void> {
        operation.complete({});
        CHECK(seen.empty());
        co_return;
    });
    loop.run();
    CHECK(seen.size() == 1);
}

TEST_CASE("a stop on the executor's thread cancels at once") {
    executor loop;
    manual_operation operation;
    std::vector<std::error_code> seen;
    loop.spawn(await_it(operation, seen));
    loop.spawn([&]() -> task<void> {
        loop.request_stop();
        CHECK(operation.cancels == 1);
        CHECK_FALSE(operation.waiting());
        co_return;
    });
    loop.run();
    CHECK(seen == std::vector<std::error_code>{errc::operation_canceled});
}

TEST_CASE("an operation under a requested stop ends without starting") {
    executor loop;
    manual_operation operation;
    std::vector<std::error_code> seen;
    loop.request_stop();
    loop.run();
    loop.spawn(await_it(operation, seen));
    loop.run();
    CHECK(operation.cancels == 0);
    CHECK(seen == std::vector<std::error_code>{errc::operation_canceled});
}

TEST_CASE("a stop on another thread cancels on the executor's thread") {
    executor loop;
    manual_operation operation;
    std::vector<std::error_code> seen;
    std::stop_source source;
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), await_it(operation, seen));
        co_await under;
    });
    std::thread other([&] {
        while (loop.sleeps() == 0) { std::this_thread::yield(); }  // it sleeps once the operation waits
        source.request_stop();
        // Only posted from here: the executor may not have looked yet.
    });
    loop.run();
    other.join();
    CHECK(operation.cancels == 1);
    CHECK(seen == std::vector<std::error_code>{errc::operation_canceled});
}

TEST_CASE("a cancellation from another thread that comes second leaves the inbox with its operation") {
    executor loop;
    std::vector<std::error_code> seen;
    std::stop_source source;
    auto operation = std::make_unique<manual_operation>();
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), await_it(*operation, seen));
        co_await under;
        operation.reset();  // the posted canceler must be gone from every queue
        co_await requeue();
    });
    loop.spawn([&]() -> task<void> {
        // Completed, and then cancelled from elsewhere before the coroutine resumes.
        operation->complete({});
        std::thread([&] { source.request_stop(); }).join();
        co_return;
    });
    loop.run();
    CHECK(seen == std::vector<std::error_code>{std::error_code()});
}

TEST_CASE("an operation that another thread cancels ends well all the same if it completes, or is granted, before that") {
    for (const bool queued : {false, true}) {
        for (const bool granted : {false, true}) {
            CAPTURE(queued);
            CAPTURE(granted);
            executor loop;
            manual_operation operation;
            std::vector<std::error_code> seen;
            std::stop_source source;
            loop.spawn([&]() -> task<void> {
                stoppable under = run_under(source.get_token(), await_it(operation, seen));
                co_await under;
            });
            loop.spawn([&]() -> task<void> {
                std::thread([&] { source.request_stop(); }).join();
                if (queued) { fluxnet::detail::inside(loop).take_inbox(); }  // the cancellation is in the ready queue by now
                if (granted) {
                    std::thread([&] { operation.grant(); }).join();
                } else {
                    operation.complete({});
                }
                co_return;
            });
            loop.run();
            CHECK(seen == std::vector<std::error_code>{std::error_code()});
            CHECK(operation.cancels == 0);
            CHECK_FALSE(operation.is_linked());
        }
    }
}

TEST_CASE("an operation whose executor ends leaves nothing behind that was posted for it") {
    manual_operation operation;
    std::vector<std::error_code> seen;
    std::stop_source source;
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            std::optional<stoppable> under;  // has the context that the operation looks at
            manual_operation inside;
            const auto wait = [](manual_operation& on) -> task<void> { co_await on; };
            under.emplace(run_under(source.get_token(), wait(inside)));
            stoppable& running = *under;
            co_await running;
        });
        loop.spawn([&]() -> task<void> {
            loop.stop();
            co_return;
        });
        loop.run();
        std::thread([&] { source.request_stop(); }).join();
    }
    CHECK(seen.empty());
}

TEST_CASE("one stop cancels every operation under it") {
    executor loop;
    std::vector<manual_operation> operations(100);
    std::vector<std::error_code> seen;
    for (manual_operation& one : operations) { loop.spawn(await_it(one, seen)); }
    std::thread other([&] {
        std::this_thread::sleep_for(5ms);
        loop.request_stop();
    });
    loop.run();
    other.join();
    CHECK(seen.size() == operations.size());
    for (const manual_operation& one : operations) { CHECK(one.cancels == 1); }
}
