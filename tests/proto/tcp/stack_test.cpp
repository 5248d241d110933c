// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/stack.hpp"

#include "tests/proto/tcp/two_stacks.hpp"

#include <doctest/doctest.h>

#include <set>
#include <vector>

using namespace stacks;

namespace {

/// A client that sends octets, waits until they come back, and closes.
struct exchange {
    explicit exchange(two_stacks& of, std::size_t length) : wire(of), data(octets(length)) {}

    void open() { handle = wire.connect(); }
    void turn(host& at) {
        for (tcp::connection_event what; at.stack.next_event(what);) {
            if (what.what.ended) { ended = at.stack.find(what.connection)->ending(); }
        }
        written += at.stack.write(handle, std::span(data).subspan(written), wire.now);
        std::array<std::byte, 4096> some;
        while (const std::size_t n = at.stack.read(handle, some, wire.now)) {
            back.insert(back.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(n));
        }
        if (back.size() == data.size() && !released) {
            released = true;
            at.stack.release(handle, tcp::leaving::in_order, wire.now);
        }
    }

    two_stacks& wire;
    std::vector<std::byte> data;
    tcp::connection_handle handle;
    std::size_t written = 0;
    std::vector<std::byte> back;
    bool released = false;
    std::optional<tcp::ending> ended;
};

void exchange_over(two_stacks& wire) {
    echo_user server{*wire.b.stack.listen({.port = 80})};
    exchange client(wire, 100'000);
    client.open();
    wire.a.turn = [&](host& at) { client.turn(at); };
    wire.b.turn = [&](host& at) { server(at, wire.now); };
    REQUIRE(wire.run([&] { return client.released; }));
    CHECK(client.back == client.data);
    wire.run_for(1s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
    CHECK(wire.a.stack.waiting() == 1);  // it has closed first
    CHECK(wire.b.stack.waiting() == 0);
    wire.run_for(61s);
    CHECK(wire.a.stack.waiting() == 0);
}

}  // namespace

TEST_CASE("two stacks connect, exchange octets and part, and everything comes back") {
    two_stacks wire;
    exchange_over(wire);
}

TEST_CASE("two stacks do the same over IPv6") {
    two_stacks wire(small_options(), start, 4096, *proto::ip_address::parse("2001:db8::1"),
                    *proto::ip_address::parse("2001:db8::2"));
    exchange_over(wire);
}

TEST_CASE("two stacks do the same with loss and duplicates") {
    two_stacks wire;
    wire.a.loss = wire.b.loss = 0.05;
    wire.a.duplication = wire.b.duplication = 0.05;
    echo_user server{*wire.b.stack.listen({.port = 80})};
    exchange client(wire, 100'000);
    client.open();
    wire.a.turn = [&](host& at) { client.turn(at); };
    wire.b.turn = [&](host& at) { server(at, wire.now); };
    REQUIRE(wire.run([&] { return client.released; }));
    CHECK(client.back == client.data);
    wire.run_for(1000s);
    wire.a.expect_nothing_left();
    wire.b.expect_nothing_left();
}
