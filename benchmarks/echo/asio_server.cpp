// SPDX-License-Identifier: BSD-3-Clause
// The echo server of Boost.Asio, with its coroutines and one thread, as Asio's own examples write it: Asio's recycling
// allocator, one coroutine for each connection, read_some and write. Built twice, for epoll and for io_uring
// (BOOST_ASIO_HAS_IO_URING). Usage: echo_asio_epoll|echo_asio_io_uring [--port N]; runs until a signal ends it.
#include "benchmarks/echo/program.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket peer) {
    try {
        std::array<char, 1024> bytes;
        for (;;) {
            const std::size_t count = co_await peer.async_read_some(asio::buffer(bytes), asio::use_awaitable);
            co_await asio::async_write(peer, asio::buffer(bytes, count), asio::use_awaitable);
        }
    } catch (const std::exception&) {
        // The end of the stream arrives as an exception too.
    }
}

asio::awaitable<void> serve(tcp::acceptor& listener) {
    for (;;) {
        tcp::socket peer = co_await listener.async_accept(asio::use_awaitable);
        peer.set_option(tcp::no_delay(true));
        asio::co_spawn(listener.get_executor(), echo(std::move(peer)), asio::detached);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const auto port = static_cast<std::uint16_t>(benchmark::number_after(argc, argv, "--port", 0, 65535));
    asio::io_context loop(1);
    tcp::acceptor listener(loop, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    benchmark::print_listening(listener.local_endpoint().port());
    asio::co_spawn(loop, serve(listener), asio::detached);
    loop.run();
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
