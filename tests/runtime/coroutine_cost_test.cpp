// SPDX-License-Identifier: BSD-3-Clause
// What the library's own coroutines cost: the size of each frame and the number of allocations of each call.
//
// The bounds are what the compilers need now and a little more, so that a frame that grows is noticed; g++ without
// optimisation makes the largest. A compiler may put a callee's frame into its caller's: then there are fewer.
#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <signal.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// The sizes that this thread has asked operator new for.
struct size_log {
    std::array<std::size_t, 64> sizes{};
    std::size_t count = 0;
    bool on = false;
};
constinit thread_local size_log allocated;

}  // namespace

#if defined(FLUXNET_TEST_SANITIZED)
static std::optional<std::string> why_not_measured() {
    return "a sanitizer makes frames larger and hides the sizes of allocations";
}
#else
static std::optional<std::string> why_not_measured() {
    return {};
}

void* operator new(std::size_t size) {
    if (allocated.on && allocated.count < allocated.sizes.size()) { allocated.sizes[allocated.count++] = size; }
    if (void* const memory = std::malloc(size != 0 ? size : 1)) { return memory; }
    throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    if (allocated.on && allocated.count < allocated.sizes.size()) { allocated.sizes[allocated.count++] = size; }
    if (void* const memory = std::aligned_alloc(static_cast<std::size_t>(alignment), size)) { return memory; }
    throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
#endif

namespace {

/// What a stretch of a coroutine asks for.
class cost {
public:
    /// `fresh`: no frame that has ended is at hand.
    explicit cost(bool fresh) noexcept : fresh_(fresh) {}

    void start() noexcept {
        if (fresh_) { fluxnet::detail::frame_cache::here().clear(); }
        allocated.count = 0;
        allocated.on = true;
    }
    void stop() noexcept { allocated.on = false; }

    [[nodiscard]] std::size_t allocations() const noexcept { return allocated.count; }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return std::accumulate(allocated.sizes.begin(),
                               allocated.sizes.begin() + static_cast<std::ptrdiff_t>(allocated.count), std::size_t{0});
    }
    [[nodiscard]] std::string sizes() const {
        std::string text;
        for (std::size_t i = 0; i < allocated.count; ++i) { text.append(1, ' ').append(std::to_string(allocated.sizes[i])); }
        return text;
    }

private:
    const bool fresh_;
};

struct row {
    std::string what;
    std::size_t allocations;  // at most
    std::size_t bytes;        // at most, all of them together
    std::size_t again;        // allocations at most when the same was done before
    task<void> (*call)(cost& spent);
};

task<void> nothing() {
    co_return;
}
task<int> number(int value) {
    static_cast<void>(co_await yield());
    co_return value;
}

// The counting has started when they are called. They stop it when what they measure is over, and start it again when
// they had to prepare something.
task<void> call_task(cost& spent) {
    static_cast<void>(co_await nothing());
    spent.stop();
}
task<void> call_spawn(cost& spent) {
    executor::current()->spawn(nothing());
    spent.stop();
    static_cast<void>(co_await yield());
    static_cast<void>(co_await yield());
}
task<void> call_spawn_function(cost& spent) {
    executor::current()->spawn([]() -> task<void> { co_return; });
    static_cast<void>(co_await yield());  // it is called when its frame first runs
    static_cast<void>(co_await yield());
    spent.stop();
}
task<void> call_scope(cost& spent) {
    scope children;
    children.spawn(nothing());
    const std::error_code ec = co_await children.join();
    spent.stop();
    CHECK_FALSE(ec);
}
task<void> call_when_all(cost& spent) {
    const auto [one, two] = co_await when_all(number(1), number(2));
    spent.stop();
    CHECK(one + two == 3);
}
task<void> call_when_any(cost& spent) {
    const auto first = co_await when_any(number(1), number(2));
    spent.stop();
    CHECK(first.index == 0);
}
task<void> call_timeout(cost& spent) {
    const timed<int> ended = co_await timeout(10s, number(3));
    spent.stop();
    CHECK(ended.value == 3);
}
task<void> call_signal(cost& spent) {
    signal_set signals{SIGWINCH};
    REQUIRE(::raise(SIGWINCH) == 0);
    spent.start();
    const int got = co_await signals.next();
    spent.stop();
    CHECK(got == SIGWINCH);
}
task<void> call_sleep(cost& spent) {
    static_cast<void>(co_await sleep_for(10us));
    static_cast<void>(co_await yield());
    spent.stop();
}
task<void> call_mutex(cost& spent) {
    mutex one;
    semaphore units(1);
    event happened(true);
    {
        const mutex::guard guard = co_await one.lock();
        static_cast<void>(co_await units.acquire());
        static_cast<void>(co_await happened.wait());
    }
    spent.stop();
}

struct meeting {
    mutex one;
    channel<int> items{2};
};
task<void> wait_there(meeting& at, int& sum) {
    int value = 0;
    const io_result got = co_await at.items.recv(value);
    sum += got.n == 1 ? value : 0;
    const auto guard = co_await at.one.lock();
    sum += static_cast<bool>(guard) ? 10 : 0;
}
task<void> call_waiting(cost& spent) {
    meeting at;
    int sum = 0;
    auto guard = co_await at.one.lock();
    executor::current()->spawn(wait_there(at, sum));
    static_cast<void>(co_await yield());
    spent.start();  // it waits for a value, and then for the mutex
    int value = 5;
    static_cast<void>(co_await at.items.send(value));
    static_cast<void>(co_await yield());
    guard.unlock();
    static_cast<void>(co_await yield());
    spent.stop();
    CHECK(sum == 15);
}

// Again: frames that have ended serve once more; what remains is the state of a std::stop_source.
// The frames of what is called here are counted with the rest: nothing() and number() are two of the library's tasks.
const std::array<row, 11> rows{{
    row{"task<void>", 1, 128, 0, call_task},
    row{"executor::spawn of a task", 2, 448, 0, call_spawn},
    row{"executor::spawn of a function object", 3, 704, 0, call_spawn_function},
    row{"scope with one child", 3, 472, 1, call_scope},
    row{"when_all of two", 8, 2072, 1, call_when_all},
    row{"when_any of two", 8, 2648, 1, call_when_any},
    row{"timeout", 3, 728, 1, call_timeout},
    row{"signal_set::next", 1, 512, 0, call_signal},
    row{"sleep_for and yield", 0, 0, 0, call_sleep},
    row{"mutex and semaphore and event at hand", 0, 0, 0, call_mutex},
    row{"channel and mutex that are waited for", 0, 0, 0, call_waiting},
}};

task<void> measure(const row& each, cost& spent) {
    task<void> work = each.call(spent);
    spent.start();
    co_await work;
}

}  // namespace

TEST_CASE("the coroutines of the library ask for no more memory than their table says") {
    FLUXNET_SKIP_IF(why_not_measured());
    for (const row& each : rows) {
        executor loop;
        cost first(true);
        loop.spawn(measure(each, first));
        loop.run();
        const std::size_t allocations = first.allocations();
        const std::size_t bytes = first.bytes();
        const std::string sizes = first.sizes();
        cost second(false);
        loop.spawn(measure(each, second));
        loop.run();
        MESSAGE(each.what, ": ", allocations, " allocations, ", bytes, " bytes:", sizes, "; again: ", second.allocations());
        CHECK_MESSAGE(allocations <= each.allocations, each.what);
        CHECK_MESSAGE(bytes <= each.bytes, each.what);
        CHECK_MESSAGE(second.allocations() <= each.again, each.what);
    }
}
