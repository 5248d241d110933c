// SPDX-License-Identifier: BSD-3-Clause
// The rows of async_stream.
#include "tests/runtime/asio/token_matrix.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

// start() begins the function; `ends`: it is to end by itself.

template <class World>
class reads {
public:
    static constexpr bool can_wait = true;
    reads(World& in, bool ends) : in_(in), room_(8) {
        if (ends) { REQUIRE(::write(in_.far.next_layer().fd(), "abc", 3) == 3); }
    }
    template <class Token>
    auto start(Token&& token) {
        return in_.near.async_read_some(net::buffer(room_), std::forward<Token>(token));
    }

private:
    World& in_;
    std::vector<char> room_;
};

template <class World>
class writes {
public:
    static constexpr bool can_wait = true;
    writes(World& in, bool ends) : in_(in), bytes_(ends ? 100 : 10'000'000) {}
    template <class Token>
    auto start(Token&& token) {
        return in_.near.async_write_some(net::buffer(std::as_const(bytes_)), std::forward<Token>(token));
    }

private:
    World& in_;
    std::vector<char> bytes_;
};

template <class World>
class shuts_down {
public:
    static constexpr bool can_wait = false;
    shuts_down(World& in, bool) : in_(in) {}
    template <class Token>
    auto start(Token&& token) {
        return in_.near.async_shutdown(std::forward<Token>(token));
    }

private:
    World& in_;
};

}  // namespace

TEST_CASE("token matrix: async_stream::async_read_some") {
    every_cell<reads>();
}

TEST_CASE("token matrix: async_stream::async_write_some") {
    every_cell<writes>();
}

TEST_CASE("token matrix: async_stream::async_shutdown") {
    every_cell<shuts_down>();
}
