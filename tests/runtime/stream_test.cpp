// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/stream.hpp"

#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sockets/unix_listener.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"

#include <doctest/doctest.h>

using namespace fluxnet;

static_assert(stream<tcp_stream> && stream<unix_stream>);
static_assert(listener<tcp_listener>);
static_assert(listener<unix_listener> && !listener<unix_seqpacket_listener>);
static_assert(datagram_socket<udp_socket>);

namespace {

struct reads_only {
    tcp_stream::read_awaiter read(std::span<std::byte>);
};
struct accepts_numbers {
    task<result<int>> accept();
    proto::ip_endpoint local_endpoint();
};

}  // namespace

static_assert(!stream<int> && !stream<reads_only> && !stream<udp_socket>);
static_assert(!listener<tcp_stream> && !listener<accepts_numbers>);
static_assert(!datagram_socket<tcp_stream>);

TEST_CASE("what a stream ends with says nothing until something has happened") {
    const datagram_result nothing;
    CHECK_FALSE(nothing.ec);
    CHECK(nothing.from == proto::ip_endpoint());
}
