// SPDX-License-Identifier: BSD-3-Clause
// The rows of the port.
#include "tests/runtime/asio/token_matrix.hpp"

#include <doctest/doctest.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

template <class World>
class receives {
public:
    static constexpr bool can_wait = true;
    static constexpr bool tells_code = true;
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
    static constexpr bool tells_code = true;
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
    static constexpr bool tells_code = true;
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

FLUXNET_TOKEN_ROW("port::async_receive", receives)
FLUXNET_TOKEN_ROW("port::async_send", sends)
FLUXNET_TOKEN_ROW("port::async_wait", waits)
