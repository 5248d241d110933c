// SPDX-License-Identifier: BSD-3-Clause
// What the tests of buffer rings share: a receive that remembers, a pair of sockets, and a test case that runs on each way
// to receive.
#pragma once

#include "fluxnet/runtime/reactor/buffer_ring.hpp"
#include "fluxnet/runtime/reactor/reactor.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/seccomp.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/syscall.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// Remembers what it was told, and keeps the buffers.
class collector final : public receive_many_operation {
public:
    collector() { ++alive; }
    ~collector() override { --alive; }

    void on_received(int result, received_buffer buffer, unsigned flags) noexcept override {
        results.push_back(result);
        if ((flags & io_more) == 0) { ++ends; }
        if (buffer) { buffers.push_back(std::move(buffer)); }
        if (then) { then(); }
    }

    [[nodiscard]] std::string text(std::size_t index) const {
        const auto bytes = buffers.at(index).bytes();
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    static inline int alive = 0;
    int ends = 0;
    std::vector<int> results;
    std::vector<received_buffer> buffers;
    std::function<void()> then;
};

/// Two ends of a connection that keeps messages apart.
struct socket_pair {
    detail::file_descriptor near;
    detail::file_descriptor far;

    socket_pair() {
        int made[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, made) == 0);
        near = detail::file_descriptor{made[0]};
        far = detail::file_descriptor{made[1]};
    }
    void send(const std::string& text) const {
        REQUIRE(::send(far.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    }
};

/// The sum must be what the ring was made with: the states are counted apart.
inline std::uint32_t sum(const buffer_ring::census& count) {
    return count.free + count.kernel + count.user;
}

/// Runs `body` on a thread for which the kernel has no buffer rings.
template <class Body>
void without_buffer_rings(Body body) {
    std::exception_ptr thrown;
    std::thread([&] {
        constexpr std::uint32_t register_buffer_ring = 22;
        forbid({.number = SYS_io_uring_register, .answer = EINVAL, .second_argument = register_buffer_ring});
        try {
            body();
        } catch (...) { thrown = std::current_exception(); }
    }).join();
    if (thrown) { std::rethrow_exception(thrown); }
}

}  // namespace fluxnet::test

/// A test case for each way to receive, whose body finds in `kind` which reactor is meant.
#define FLUXNET_RECEIVE_TEST(name) FLUXNET_RECEIVE_TEST_AS(DOCTEST_ANONYMOUS(fluxnet_receive_test_), name)
#define FLUXNET_RECEIVE_TEST_AS(function, name)                                                 \
    static void function(fluxnet::reactor_kind kind);                                           \
    TEST_CASE(name " on io_uring") {                                                            \
        FLUXNET_SKIP_IF(fluxnet::test::why_no_io_uring());                                      \
        function(fluxnet::reactor_kind::io_uring);                                              \
    }                                                                                           \
    TEST_CASE(name " on io_uring without buffer rings") {                                       \
        FLUXNET_SKIP_IF(fluxnet::test::why_no_io_uring());                                      \
        fluxnet::test::without_buffer_rings([] { function(fluxnet::reactor_kind::io_uring); }); \
    }                                                                                           \
    TEST_CASE(name " on epoll") {                                                               \
        function(fluxnet::reactor_kind::epoll);                                                 \
    }                                                                                           \
    static void function([[maybe_unused]] fluxnet::reactor_kind kind)
