// SPDX-License-Identifier: BSD-3-Clause
// Streams of Asio's as models of a stream of ours: its sockets, and ours that have become streams of Asio's before.
#include "fluxnet/runtime/asio/task_stream.hpp"

#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/stream_conformance.hpp"
#include "tests/runtime/stream_stop_conformance.hpp"

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <exception>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// An io_context that runs a case to its end.
class in_io_context {
public:
    executor& loop() { return on.loop(); }

    void run(task<void> body) {
        bool ended = false;
        std::exception_ptr left;
        asio::async_run(on, std::move(body), [&](const std::exception_ptr& failure) {
            ended = true;
            left = failure;
        });
        context.run();
        if (left) { std::rethrow_exception(left); }
        REQUIRE(ended);
    }

protected:
    boost::asio::io_context context;
    asio::execution on{context};
};

class asio_tcp : public in_io_context {
public:
    using socket = boost::asio::ip::tcp::socket;
    using stream_type = asio::task_stream<socket>;

    task<std::pair<stream_type, stream_type>> pair() {
        boost::asio::ip::tcp::acceptor door(context, {boost::asio::ip::address_v4::loopback(), 0});
        socket near(context);
        near.connect(door.local_endpoint());
        socket far = door.accept();
        co_return std::pair(stream_type(std::move(near)), stream_type(std::move(far)));
    }
};

class asio_local_sockets : public in_io_context {
public:
    using socket = boost::asio::local::stream_protocol::socket;
    using stream_type = asio::task_stream<socket>;

    task<std::pair<stream_type, stream_type>> pair() {
        socket near(context);
        socket far(context);
        boost::asio::local::connect_pair(near, far);
        co_return std::pair(stream_type(std::move(near)), stream_type(std::move(far)));
    }
};

class there_and_back_again : public in_io_context {
public:
    using ours = asio::async_stream<unix_stream>;
    using stream_type = asio::task_stream<ours>;

    task<std::pair<stream_type, stream_type>> pair() {
        auto ends = unix_stream::pair().value();
        co_return std::pair(stream_type(ours(on, std::move(ends.first))), stream_type(ours(on, std::move(ends.second))));
    }
};

}  // namespace

FLUXNET_STREAM_CONFORMANCE(asio_tcp, "Asio's TCP")
FLUXNET_STREAM_STOP_CONFORMANCE(asio_tcp, "Asio's TCP")
FLUXNET_STREAM_CONFORMANCE(asio_local_sockets, "Asio's local sockets")
FLUXNET_STREAM_STOP_CONFORMANCE(asio_local_sockets, "Asio's local sockets")
FLUXNET_STREAM_CONFORMANCE(there_and_back_again, "our stream as Asio's as ours")
FLUXNET_STREAM_STOP_CONFORMANCE(there_and_back_again, "our stream as Asio's as ours")
