// SPDX-License-Identifier: BSD-3-Clause
// A server of Boost.Beast's over a stream of ours, which beast_session.hpp has: the kernel's TCP or that of a host in user
// space. Serves until it is told to end by SIGTERM.
// Usage: beast_server PORT                      over the kernel's sockets, on 127.0.0.1
//        beast_server PORT ADDRESS INTERFACE    as a host of its own on an interface
#include "tests/runtime/asio/beast_session.hpp"
#include "tests/runtime/asio/hosted_execution.hpp"

#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

using namespace fluxnet;

namespace {

template <class Stream, class Listener>
void serve_until_told(boost::asio::io_context& context, asio::execution& on, Listener door) {
    boost::asio::signal_set signals(context, SIGTERM);
    signals.async_wait([&](const boost::system::error_code&, int) { context.stop(); });
    on.loop().spawn(test::serve_by_beast<Stream>(on, door));
    context.run();
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2 && argc != 4) {
        std::fprintf(stderr, "usage: beast_server PORT [ADDRESS INTERFACE]\n");
        return 2;
    }
    const auto port = static_cast<std::uint16_t>(std::stoul(argv[1]));
    boost::asio::io_context context;
    if (argc == 4) {
        const auto address = proto::ip_address::parse(argv[2]).value();
        test::hosted_execution hosted(context, argv[3], address);
        serve_until_told<host::tcp_stream>(context, hosted.on, hosted.here.listen({address, port}).value());
    } else {
        asio::execution on(context);
        serve_until_told<tcp_stream>(context, on, tcp_listener::listen({proto::ipv4_address(127, 0, 0, 1), port}).value());
    }
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "beast_server: %s\n", failure.what());
    return 1;
}
