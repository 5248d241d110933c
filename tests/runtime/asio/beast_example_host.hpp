// SPDX-License-Identifier: BSD-3-Clause
// Included in front of an example of Boost.Beast's, which it makes a program with a host in user space: after Beast's own
// headers the names tcp_stream, and tcp for what accepts, stand for other classes. The host has the address that the example
// is told to listen at, on the interface that FLUXNET_BEAST_INTERFACE names.
#pragma once

#include "tests/runtime/asio/beast_example.hpp"
#include "tests/runtime/asio/hosted_execution.hpp"

#include "fluxnet/runtime/host/tcp_listener.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>

#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

namespace fluxnet::test {

using example_stream = example_stream_over<host::tcp_stream>;

/// In place of boost::asio::ip::tcp.
class example_tcp {
public:
    using endpoint = boost::asio::ip::tcp::endpoint;

    /// A connection that was accepted.
    class socket : public asio::async_stream<host::tcp_stream> {
    public:
        static constexpr auto shutdown_send = boost::asio::socket_base::shutdown_send;
        using async_stream::async_stream;
    };

    class acceptor {
    public:
        explicit acceptor(boost::asio::any_io_executor on) : on_(std::move(on)) {}

        template <class Protocol>
        void open(const Protocol&, boost::system::error_code&) noexcept {}
        template <class Option>
        void set_option(const Option&, boost::system::error_code&) noexcept {}
        void bind(const endpoint& at, boost::system::error_code&) { at_ = at; }

        void listen(int, boost::system::error_code&) {
            const auto address = proto::ip_address::parse(at_.address().to_string()).value();
            world().emplace(context_of(on_), std::getenv("FLUXNET_BEAST_INTERFACE"), address);
            door_.emplace(world()->here.listen({address, at_.port()}).value());
        }

        /// The stream is of our executor; the one given is for the socket's own handlers, of which there are none.
        template <class Executor, class Handler>
        void async_accept(const Executor&, Handler handler) {
            auto told = [to = std::move(handler)](const std::exception_ptr& failure, std::optional<socket> next) mutable {
                if (failure) { std::rethrow_exception(failure); }
                std::move(to)(boost::system::error_code(), std::move(*next));
            };
            asio::async_run(world()->on, accept(*door_), boost::asio::bind_executor(on_, std::move(told)));
        }

    private:
        /// One for the program, whose context lives as long as it does.
        static std::optional<hosted_execution>& world() {
            static auto* const one = new std::optional<hosted_execution>();
            return *one;
        }

        static task<std::optional<socket>> accept(host::tcp_listener& door) {
            result<host::tcp_stream> next = co_await door.accept();
            co_return std::optional<socket>(std::in_place, world()->on, std::move(next).value());
        }

        boost::asio::any_io_executor on_;
        endpoint at_;
        std::optional<host::tcp_listener> door_;
    };
};

}  // namespace fluxnet::test

namespace boost::asio::ip {
using fluxnet_example_tcp = fluxnet::test::example_tcp;
}
namespace boost::beast {
using fluxnet_example_stream = fluxnet::test::example_stream;
}

#define tcp fluxnet_example_tcp
#define tcp_stream fluxnet_example_stream
