// SPDX-License-Identifier: BSD-3-Clause
// The rows of async_stream.
#include "tests/runtime/asio/token_matrix.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

template <class World>
class reads {
public:
    static constexpr bool can_wait = true;
    static constexpr bool tells_code = true;
    reads(World& in, bool ends) : in_(in), room_(8) {
        if (ends) { REQUIRE(::write(in_.far.handle().fd(), "abc", 3) == 3); }
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
    static constexpr bool tells_code = true;
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
    static constexpr bool tells_code = true;
    shuts_down(World& in, bool) : in_(in) {}
    template <class Token>
    auto start(Token&& token) {
        return in_.near.async_shutdown(std::forward<Token>(token));
    }

private:
    World& in_;
};

}  // namespace

FLUXNET_TOKEN_ROW("async_stream::async_read_some", reads)
FLUXNET_TOKEN_ROW("async_stream::async_write_some", writes)
FLUXNET_TOKEN_ROW("async_stream::async_shutdown", shuts_down)
