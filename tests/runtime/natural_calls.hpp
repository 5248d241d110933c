// SPDX-License-Identifier: BSD-3-Clause
// Coroutines that suspend while they hold their arguments, for the tests of natural calls.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/runtime/tracked.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// Longer than any string's own buffer.
inline std::string text(int number) {
    return "a string that does not fit into the object itself: " + std::to_string(number);
}

struct request {
    tracked item;
    std::string note;
};

inline request make_request(int number) {
    return {tracked(number), text(number)};
}

inline int three() {
    return 3;
}

// Coroutines that suspend while they hold their parameters.
inline task<int> by_value(tracked item) {
    static_cast<void>(co_await yield());
    co_return item.get();
}
inline task<int> by_reference(const tracked& item) {
    static_cast<void>(co_await yield());
    co_return item.get();
}
inline task<int> with_text(tracked item, std::string note) {
    static_cast<void>(co_await yield());
    co_return note == text(item.get()) ? item.get() : -1;
}
inline task<int> by_request(request all) {
    static_cast<void>(co_await yield());
    co_return all.note == text(all.item.get()) ? all.item.get() : -1;
}
inline task<int> by_request_reference(const request& all) {
    static_cast<void>(co_await yield());
    co_return all.note == text(all.item.get()) ? all.item.get() : -1;
}
inline task<int> by_pair(std::pair<tracked, std::string> all) {
    static_cast<void>(co_await yield());
    co_return all.second == text(all.first.get()) ? all.first.get() : -1;
}
inline task<int> by_function(std::function<int()> function) {
    static_cast<void>(co_await yield());
    co_return function();
}
inline task<int> by_vector(std::vector<tracked> all) {
    static_cast<void>(co_await yield());
    int sum = 0;
    for (const tracked& each : all) { sum += each.get(); }
    co_return sum;
}
inline task<tracked> made(tracked item) {
    static_cast<void>(co_await yield());
    co_return item;
}
inline task<void> into(int& result, tracked item) {
    static_cast<void>(co_await yield());
    result += item.get();
}
inline task<int> throws(tracked item) {
    static_cast<void>(co_await yield());
    throw std::runtime_error(text(item.get()));
}

inline task<int> timed_value(tracked item) {
    const auto ended = co_await timeout(std::chrono::seconds(10), by_value(std::move(item)));
    co_return ended.value;
}

/// Runs a coroutine and checks that it gives `expected` and leaves no temporary behind.
inline void check_call(int expected, task<int> (*call)()) {
    tracked::reset();
    int result = 0;
    {
        executor loop;
        loop.spawn([&]() -> task<void> { result = co_await call(); });
        loop.run();
    }
    CHECK(result == expected);
    CHECK(tracked::living == 0);
    CHECK(tracked::faults == 0);
}

}  // namespace fluxnet::test
