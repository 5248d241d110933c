// SPDX-License-Identifier: BSD-3-Clause
// The rows of the port.
#include "tests/runtime/asio/token_matrix.hpp"

#include <doctest/doctest.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

// start() begins the function; `ends`: it is to end by itself.

template <class World>
class receives {
public:
    static constexpr bool can_wait = true;
    receives(World& in, bool ends) : in_(in) {
        if (ends) { REQUIRE(in_.kernel.deliver(numbered_frame(1))); }
    }
    template <class Token>
    auto start(Token&& token) {
        return in_.port.async_receive(batch_, std::forward<Token>(token));
    }

private:
    World& in_;
    std::array<packet, 4> batch_;
};

template <class World>
class sends {
public:
    static constexpr bool can_wait = true;
    sends(World& in, bool ends) : in_(in), packets_(in.packets(ends ? 4 : 100)) { in_.kernel.hold_completions(!ends); }
    ~sends() {
        in_.kernel.hold_completions(false);
        in_.kernel.release_completions();
    }
    template <class Token>
    auto start(Token&& token) {
        return in_.port.async_send(packets_, std::forward<Token>(token));
    }

private:
    World& in_;
    std::vector<packet> packets_;
};

template <class World>
class waits {
public:
    static constexpr bool can_wait = true;
    waits(World& in, bool ends) : in_(in) {
        if (ends) { REQUIRE(in_.kernel.deliver(numbered_frame(1))); }
    }
    template <class Token>
    auto start(Token&& token) {
        return in_.port.async_wait(std::forward<Token>(token));
    }

private:
    World& in_;
};

}  // namespace

TEST_CASE("token matrix: port::async_receive") {
    every_cell<receives>();
}

TEST_CASE("token matrix: port::async_send") {
    every_cell<sends>();
}

TEST_CASE("token matrix: port::async_wait") {
    every_cell<waits>();
}
