// SPDX-License-Identifier: BSD-3-Clause
// After a request_stop() operations in Asio's style end with operation_aborted, even those that would not have to wait.
#include "fluxnet/runtime/asio/async_run.hpp"
#include "fluxnet/runtime/asio/async_stream.hpp"
#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"

#include <doctest/doctest.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <span>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Transfers again and again, until it is told an error.
template <class Begin>
struct endless {
    void operator()(const boost::system::error_code& code = {}, std::size_t = 0) {
        if (code) {
            *end = code;
            return;
        }
        begin(*this);
    }
    Begin begin;
    boost::system::error_code* end;
};

template <class Begin>
endless<Begin> until_error(boost::system::error_code& end, Begin begin) {
    return {begin, &end};
}

}  // namespace

TEST_CASE("operations of a port that begin after a request_stop are aborted, also where they need not wait") {
    asio_port one;
    auto out = one.packets(2);
    std::array<packet, 4> in;
    std::array<transfer_end::record, 4> told;
    one.arrive(7);
    one.on.loop().request_stop();
    one.port.async_send(out, transfer_end{&told[0]});
    one.port.async_wait(transfer_end{&told[1]});
    run_all(*one.context);
    one.port.async_receive(in, transfer_end{&told[2]});
    CHECK(told[2].calls == 0);
    run_all(*one.context);
    for (std::size_t i = 0; i != 3; ++i) {
        CAPTURE(i);
        CHECK(told[i].calls == 1);
        CHECK(told[i].code == net::error::operation_aborted);
        CHECK(told[i].n == 0);
    }
    CHECK_FALSE(out[0].empty());

    one.on.loop().restart();
    one.port.async_receive(in, transfer_end{&told[3]});
    run_all(*one.context);
    CHECK_FALSE(told[3].code);
    CHECK(told[3].n == 1);
}

TEST_CASE("a request_stop of a handler holds for what the handler begins next, which ends after the handler") {
    asio_port one;
    std::array<packet, 4> in;
    transfer_end::record told;
    int in_handler = -1;
    one.arrive(1);
    one.port.async_wait([&](const boost::system::error_code& code) {
        CHECK_FALSE(code);
        one.on.loop().request_stop();
        one.port.async_receive(in, transfer_end{&told});
        in_handler = told.calls;
    });
    run_all(*one.context);
    CHECK(in_handler == 0);
    CHECK(told.calls == 1);
    CHECK(told.code == net::error::operation_aborted);
}

TEST_CASE("request_stop ends loops of handlers whose operations never wait") {
    net::io_context context;
    asio::execution on(context);
    auto ends = unix_stream::pair().value();
    asio::async_stream<unix_stream> near(on, std::move(ends.first));
    asio::async_stream<unix_stream> far(on, std::move(ends.second));
    std::array<std::byte, 64> out{};
    std::array<std::byte, 4096> in{};
    boost::system::error_code written;
    boost::system::error_code read;
    auto write = until_error(written, [&](auto next) { near.async_write_some(net::buffer(out), next); });
    auto reads = until_error(read, [&](auto next) { far.async_read_some(net::buffer(in), next); });
    write();
    reads();
    net::steady_timer timer(context, 5ms);
    timer.async_wait([&](const boost::system::error_code&) { on.loop().request_stop(); });
    context.run_for(10s);
    CHECK(context.stopped());
    CHECK(written == net::error::operation_aborted);
    CHECK(read == net::error::operation_aborted);
}

TEST_CASE("a task of async_run begins after a request_stop, which cancels what the task awaits") {
    net::io_context context;
    asio::execution on(context);
    on.loop().request_stop();
    bool ran = false;
    std::exception_ptr failure = std::make_exception_ptr(0);
    const auto work = [&]() -> task<void> {
        ran = true;
        co_return;
    };
    asio::async_run(on, work, [&](const std::exception_ptr& end) { failure = end; });
    run_all(context);
    CHECK(ran);
    CHECK_FALSE(failure);
}
