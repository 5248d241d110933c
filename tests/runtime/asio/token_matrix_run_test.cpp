// SPDX-License-Identifier: BSD-3-Clause
// The rows of async_run.
#include "tests/runtime/asio/token_matrix.hpp"

#include <doctest/doctest.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

template <class World>
class runs_for_value {
public:
    static constexpr bool can_wait = true;
    static constexpr bool tells_code = false;
    runs_for_value(World& in, bool ends) : in_(in), ends_(ends) {}
    template <class Token>
    auto start(Token&& token) {
        return asio::async_run(in_.on, work(ends_), std::forward<Token>(token));
    }

private:
    static task<int> work(bool ends) {
        if (!ends) { static_cast<void>(co_await sleep_for(1h)); }
        co_return 7;
    }
    World& in_;
    bool ends_;
};

template <class World>
class runs_for_nothing {
public:
    static constexpr bool can_wait = true;
    static constexpr bool tells_code = false;
    runs_for_nothing(World& in, bool ends) : in_(in), ends_(ends) {}
    template <class Token>
    auto start(Token&& token) {
        return asio::async_run(in_.on, work(ends_), std::forward<Token>(token));
    }

private:
    static task<void> work(bool ends) {
        if (!ends) { static_cast<void>(co_await sleep_for(1h)); }
    }
    World& in_;
    bool ends_;
};

}  // namespace

FLUXNET_TOKEN_ROW("async_run, a task with a value", runs_for_value)
FLUXNET_TOKEN_ROW("async_run, a task without one", runs_for_nothing)
