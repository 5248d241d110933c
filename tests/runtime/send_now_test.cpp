// SPDX-License-Identifier: BSD-3-Clause
// Sends that a reactor makes at once, in place of a request: when it does, and what they tell.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "tests/runtime/pipe_ends.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/detail/file_descriptor.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using fluxnet::test::detail::file_descriptor;

namespace {

struct stream_ends {
    file_descriptor near;
    file_descriptor far;

    stream_ends() {
        int made[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) == 0);
        near = file_descriptor{made[0]};
        far = file_descriptor{made[1]};
    }
    [[nodiscard]] io_request request(const std::string& text) const {
        return io_request::send(near.get(), std::as_bytes(std::span(text)));
    }
    /// Returns what has arrived.
    [[nodiscard]] std::string arrived() const {
        std::string all;
        std::array<char, 4096> bytes;
        for (ssize_t count = 0; (count = ::recv(far.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;) {
            all.append(bytes.data(), static_cast<std::size_t>(count));
        }
        return all;
    }
};

}  // namespace

FLUXNET_REACTOR_TEST("a send that is alone in its turn is made at once") {
    const auto tested = attached(kind);
    const stream_ends ends;
    const std::string text = "hello";
    CHECK(tested->try_now(ends.request(text), true) == 5);
    CHECK(ends.arrived() == text);
}

FLUXNET_REACTOR_TEST("a send that others go with is left to the turn where they share a system call") {
    const auto tested = attached(kind);
    const stream_ends ends;
    const pipe_ends pipe;
    const std::string text = "hello";
    const std::optional<int> expected = kind == reactor_kind::epoll ? std::optional(5) : std::nullopt;
    CHECK(tested->try_now(ends.request(text), false) == expected);
    recorder operation;
    tested->arm(operation, pipe.read.get(), POLLIN);
    CHECK(tested->try_now(ends.request(text), true) == expected);
    tested->poll();
    CHECK(tested->try_now(ends.request(text), true) == 5);
    CHECK(ends.arrived() == (expected ? text + text + text : text));
    tested->disarm_now(operation);
}

FLUXNET_REACTOR_TEST("a send that would have to wait is not made at once, and what was sent before has arrived") {
    const auto tested = attached(kind);
    const stream_ends ends;
    const std::string text(4000, 'x');
    std::size_t sent = 0;
    for (;;) {
        const std::optional<int> count = tested->try_now(ends.request(text), true);
        if (!count) { break; }
        REQUIRE(*count > 0);
        sent += static_cast<std::size_t>(*count);
    }
    CHECK(sent > 0);
    CHECK(ends.arrived().size() == sent);
}

FLUXNET_REACTOR_TEST("a long send is left to the turn") {
    const auto tested = attached(kind);
    const stream_ends ends;
    const std::string text(4097, 'x');
    CHECK_FALSE(tested->try_now(ends.request(text), true).has_value());
    CHECK(ends.arrived().empty());
}

FLUXNET_REACTOR_TEST("a send into a broken connection tells EPIPE at once and raises no signal") {
    const auto tested = attached(kind);
    stream_ends ends;
    ends.far.reset();
    const std::string text = "hello";
    CHECK(tested->try_now(ends.request(text), true) == -EPIPE);
}
