// SPDX-License-Identifier: BSD-3-Clause
// What the tests of kernel sockets share: bytes, and connected streams on the loopback interface.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace fluxnet::test {

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

inline std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline proto::ip_endpoint on_loopback(std::uint16_t port = 0) {
    return {proto::ipv4_address(127, 0, 0, 1), port};
}

/// Two ends of a TCP connection.
struct tcp_pair {
    tcp_stream near;
    tcp_stream far;
};

inline task<tcp_pair> connect_pair(tcp_options options = {}) {
    result<tcp_listener> door = tcp_listener::listen(on_loopback(), options);
    REQUIRE(door.has_value());
    result<tcp_stream> near = co_await tcp_stream::connect(door->local_endpoint(), options);
    REQUIRE(near.has_value());
    result<tcp_stream> far = co_await door->accept();
    REQUIRE(far.has_value());
    co_return tcp_pair{std::move(*near), std::move(*far)};
}

}  // namespace fluxnet::test
