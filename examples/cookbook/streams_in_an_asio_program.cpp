// SPDX-License-Identifier: BSD-3-Clause
// Streams across the border between Boost.Asio and tasks: a coroutine of Asio's accepts from a listener of ours and answers
// over an `async_stream`, and a task of ours asks over a socket of Asio's, a `task_stream`.
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/task_stream.hpp"
#include "fluxnet/runtime/asio/use_task.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>

using namespace fluxnet;
namespace net = boost::asio;

/// Answers one peer with the line that it has sent.
static net::awaitable<void> answer_one(fluxnet::asio::execution& on, tcp_listener& door) {
    const auto next = [&door] { return door.accept(); };
    result<tcp_stream> accepted = co_await fluxnet::asio::async_run(on, next, net::use_awaitable);
    fluxnet::asio::async_stream<tcp_stream> peer(on, std::move(accepted).value());
    std::string line;
    co_await net::async_read_until(peer, net::dynamic_buffer(line), '\n', net::use_awaitable);
    co_await net::async_write(peer, net::buffer(line), net::use_awaitable);
}

/// Any model of `stream` will do, and so does Asio's socket.
template <stream S>
static task<std::string> ask(S server, const std::string& question) {
    const io_result asked = co_await server.write(std::as_bytes(std::span(question)));
    std::string answer;
    std::array<char, 64> bytes;
    for (bool more = !asked.ec; more;) {
        const io_result got = co_await server.read(std::as_writable_bytes(std::span(bytes)));
        answer.append(bytes.data(), got.n);
        more = !got.ec;
    }
    co_return answer;
}

static task<void> ask_by_asio(net::io_context& context, std::uint16_t port, std::string& answer) {
    net::ip::tcp::socket socket(context);
    const net::ip::tcp::endpoint server(net::ip::address_v4::loopback(), port);
    const wait_result connected = co_await socket.async_connect(server, fluxnet::asio::use_task);
    if (connected) { co_return; }
    fluxnet::asio::task_stream<net::ip::tcp::socket> own(std::move(socket));
    answer = co_await ask(std::move(own), "which way?\n");
}

int main() {
    net::io_context context;
    fluxnet::asio::execution on(context);
    tcp_listener door = tcp_listener::listen(proto::ip_endpoint::parse("127.0.0.1:0").value()).value();
    std::string answer;
    net::co_spawn(context, answer_one(on, door), net::detached);
    fluxnet::asio::async_run(on, ask_by_asio(context, door.local_endpoint().port, answer), net::detached);
    context.run();
    std::printf("%s", answer.c_str());
    return answer == "which way?\n" ? 0 : 1;
}
