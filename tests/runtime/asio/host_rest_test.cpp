// SPDX-License-Identifier: BSD-3-Clause
// What a host in user space does for streams that no task waits for, inside an io_context.
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t written_octets = 300'000;

/// A host on an execution of its own, at one end of a wire.
struct host_at_rest {
    host_at_rest(net::io_context& context, simulated_wire& wire, simulated_wire::end which, std::uint8_t number)
        : on(context), here(open(on.loop(), wire, which, number)) {}

    asio::execution on;
    host::ip_host here;

    static proto::ip_address address(std::uint8_t number) { return proto::ipv4_address(192, 0, 2, number); }

private:
    static host::ip_host open(executor& loop, simulated_wire& wire, simulated_wire::end which, std::uint8_t number) {
        auto sockets = open_async(loop, wire.socket_on(which).frames(512).tx_frames(128)).value();
        host::host_options options;
        options.addresses = {{address(number), 24}};
        options.hardware = proto::mac_address(std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, number});
        options.probe_addresses = false;
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
    }
};

wire_options wire_of_real_time() {
    wire_options options;
    options.threaded = true;
    return options;
}

task<std::size_t> read_all(host::ip_host& here, proto::ip_endpoint from, bool& eof) {
    auto peer = co_await here.connect(from);
    std::size_t read = 0;
    std::vector<std::byte> room(1000);
    while (peer) {
        const io_result got = co_await peer->read(room);
        read += got.n;
        if (got.ec) {
            eof = got.ec == errc::end_of_stream;
            break;
        }
    }
    co_return read;
}

}  // namespace

TEST_CASE("what was written to a stream of a host reaches the peer, though the stream has gone and no task is left") {
    net::io_context context;
    simulated_wire wire(wire_of_real_time());
    host_at_rest server(context, wire, simulated_wire::end::left, 1);
    host_at_rest client(context, wire, simulated_wire::end::right, 2);
    host::tcp_listener door = server.here.listen({proto::ipv4_address(), 80}).value();
    const std::vector<std::byte> bytes(written_octets);
    std::optional<asio::async_stream<host::tcp_stream>> session;
    const auto next = [&] { return door.accept(); };
    bool ended = false;
    asio::async_run(server.on, next, [&](const std::exception_ptr&, result<host::tcp_stream> peer) {
        session.emplace(server.on, std::move(peer).value());
        session->async_write_some(net::buffer(bytes), [&](const boost::system::error_code& code, std::size_t n) {
            CHECK_FALSE(code);
            CHECK(n == written_octets);
            session->async_shutdown([&](const boost::system::error_code& end) {
                CHECK_FALSE(end);
                session.reset();
                ended = true;
            });
        });
    });
    bool eof = false;
    std::size_t read = 0;
    asio::async_run(client.on, read_all(client.here, {host_at_rest::address(1), 80}, eof),
                    [&](const std::exception_ptr&, std::size_t n) { read = n; });
    context.run_for(20s);
    CHECK(context.stopped());
    CHECK(ended);
    CHECK(read == written_octets);
    CHECK(eof);
    CHECK_FALSE(server.here.tcp()->has_unacknowledged());
}

TEST_CASE("a host whose streams have nothing to send lets the io_context end, and so does one whose tasks were cancelled") {
    net::io_context context;
    simulated_wire wire(wire_of_real_time());
    host_at_rest server(context, wire, simulated_wire::end::left, 1);
    host_at_rest client(context, wire, simulated_wire::end::right, 2);
    host::tcp_listener door = server.here.listen({proto::ipv4_address(), 80}).value();
    std::optional<host::tcp_stream> accepted;
    std::optional<host::tcp_stream> connected;
    const auto next = [&] { return door.accept(); };
    const proto::ip_endpoint to{host_at_rest::address(1), 80};
    const auto connect = [&] { return client.here.connect(to); };
    asio::async_run(server.on, next, [&](const std::exception_ptr&, result<host::tcp_stream> peer) {
        accepted.emplace(std::move(peer).value());
    });
    asio::async_run(client.on, connect, [&](const std::exception_ptr&, result<host::tcp_stream> peer) {
        connected.emplace(std::move(peer).value());
    });
    context.run_for(20s);
    REQUIRE(context.stopped());
    REQUIRE(accepted);
    REQUIRE(connected);

    // The other host is at rest, and acknowledges nothing.
    const auto write = [&]() -> task<void> {
        const std::array<std::byte, 100> bytes{};
        static_cast<void>(co_await accepted->write(bytes));
    };
    asio::async_run(server.on, write, net::detached);
    context.restart();
    context.run_for(50ms);
    CHECK_FALSE(context.stopped());
    CHECK(server.here.tcp()->has_unacknowledged());
    server.on.loop().request_stop();
    context.restart();
    context.run_for(20s);
    CHECK(context.stopped());
}
