// SPDX-License-Identifier: BSD-3-Clause
// A server of Boost.Beast's and a client of its, each over a host in user space, at the ends of a simulated wire in one
// io_context.
#include "tests/runtime/asio/beast_session.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

using wire_stream = asio::async_stream<host::tcp_stream>;

/// Hosts 192.0.2.1 and 192.0.2.2, which work in the turns of one execution.
struct beast_wire {
    [[nodiscard]] host::ip_host open(simulated_wire::end which, std::uint8_t number) {
        auto sockets = open_async(on.loop(), wire.socket_on(which).frames(512).tx_frames(128)).value();
        host::host_options options;
        options.addresses = {{proto::ipv4_address(192, 0, 2, number), 24}};
        options.hardware = proto::mac_address({0x02, 0, 0, 0, 0, number});
        options.probe_addresses = false;
        return host::ip_host::open(on.loop(), std::move(sockets.rx), std::move(sockets.tx), options).value();
    }

    boost::asio::io_context context;
    simulated_wire wire{wire_options()};
    asio::execution on{context};
    wire_pump pump{on.loop(), wire};
    host::ip_host client = open(simulated_wire::end::left, 1);
    host::ip_host server = open(simulated_wire::end::right, 2);
    host::tcp_listener door = server.listen({proto::ipv4_address(192, 0, 2, 2), 80}).value();
};

/// A client's end of a connection.
struct beast_client {
    wire_stream peer;
    boost::beast::flat_buffer buffer{};
};

task<beast_client> call(beast_wire& bed) {
    auto made = co_await bed.client.connect(bed.door.local_endpoint());
    REQUIRE(made.has_value());
    beast_client by{wire_stream(bed.on, std::move(*made))};
    co_return by;
}

task<http::response<http::string_body>> ask(beast_client& by, http::verb what, const char* target, const std::string& body) {
    http::request<http::string_body> request(what, target, 11);
    request.body() = body;
    request.prepare_payload();
    const io_result sent = co_await http::async_write(by.peer, request, asio::use_task);
    CHECK_FALSE(sent.ec);
    http::response_parser<http::string_body> parser;
    parser.skip(what == http::verb::head);
    const io_result got = co_await http::async_read(by.peer, by.buffer, parser, asio::use_task);
    CHECK_FALSE(got.ec);
    co_return parser.release();
}

/// Waits until neither host has a connection.
task<void> wait_for_the_end(beast_wire& bed) {
    while (bed.client.tcp()->connections() + bed.server.tcp()->connections() != 0) {
        static_cast<void>(co_await sleep_for(std::chrono::milliseconds(1)));
    }
}

/// Several requests on one connection, which the server keeps.
task<void> ask_for_all(beast_wire& bed) {
    const std::uint64_t before = bed.server.tcp()->count().accepted;
    beast_client by = co_await call(bed);
    auto answer = co_await ask(by, http::verb::get, "/", "");
    CHECK(answer.result() == http::status::ok);
    CHECK(answer.body() == "hello, packets\n");
    CHECK(answer.keep_alive());
    answer = co_await ask(by, http::verb::head, "/", "");
    CHECK(answer.result() == http::status::ok);
    CHECK(answer[http::field::content_length] == "15");
    answer = co_await ask(by, http::verb::get, "/other", "");
    CHECK(answer.result() == http::status::not_found);
    const std::string long_one(300'000, 'y');
    answer = co_await ask(by, http::verb::post, "/", long_one);
    CHECK(answer.body() == long_one);
    CHECK(bed.server.tcp()->count().accepted == before + 1);
    by.peer.close();
    co_await wait_for_the_end(bed);
}

/// Clients that go in the middle of a request, in order and by a reset.
task<void> leave_early(beast_wire& bed) {
    for (const bool at_once : {false, true}) {
        beast_client by = co_await call(bed);
        const std::string part = "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc";
        const io_result sent = co_await boost::asio::async_write(by.peer, boost::asio::buffer(part), asio::use_task);
        CHECK(sent.n == part.size());
        do {
            static_cast<void>(co_await sleep_for(std::chrono::milliseconds(1)));
        } while (by.peer.handle().info().in_flight != 0);
        if (at_once) { by.peer.handle().abort(); }
        by.peer.close();
        co_await wait_for_the_end(bed);
    }
}

task<void> be_a_client(beast_wire& bed) {
    co_await ask_for_all(bed);
    co_await leave_early(bed);
    co_await ask_for_all(bed);
}

}  // namespace

TEST_CASE("a server of Boost.Beast's over a host serves a client of Beast's over another, at the ends of a simulated wire") {
    beast_wire bed;
    bed.on.loop().spawn(serve_by_beast<host::tcp_stream>(bed.on, bed.door));
    asio::async_run(bed.on, be_a_client(bed), [&](const std::exception_ptr& failure) {
        CHECK(failure == nullptr);
        bed.context.stop();
    });
    bed.context.run();
}
