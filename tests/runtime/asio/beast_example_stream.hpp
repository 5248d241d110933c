// SPDX-License-Identifier: BSD-3-Clause
// Included in front of an example of Boost.Beast's, whose beast::tcp_stream it makes a stream of ours over the same socket.
//
// The example, in libboost1.81-doc, stays as it is: after Beast's own headers the name tcp_stream stands for another class.
// Its time limits are left out; no client of the test's is that slow.
#pragma once

#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/query.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>

#include <chrono>
#include <utility>

#include <sys/socket.h>

namespace fluxnet::test {

class example_stream : public asio::async_stream<tcp_stream> {
public:
    /// What the example asks of a socket.
    class ending {
    public:
        explicit ending(example_stream& of) noexcept : of_(of) {}
        void shutdown(boost::asio::ip::tcp::socket::shutdown_type, boost::system::error_code&) {
            if (of_.is_open()) { static_cast<void>(!::shutdown(of_.next_layer().fd(), SHUT_WR)); }
        }

    private:
        example_stream& of_;
    };

    explicit example_stream(boost::asio::ip::tcp::socket&& accepted)
        : async_stream(execution_of(accepted), tcp_stream(descriptor(accepted.release()))) {}

    void expires_after(std::chrono::seconds) noexcept {}
    [[nodiscard]] ending socket() noexcept { return ending(*this); }

private:
    /// One for the program, whose context lives as long as it does.
    static asio::execution& execution_of(boost::asio::ip::tcp::socket& accepted) {
        static auto* const one = new asio::execution(static_cast<boost::asio::io_context&>(
            boost::asio::query(accepted.get_executor(), boost::asio::execution::context)));
        return *one;
    }
};

}  // namespace fluxnet::test

namespace boost::beast {
using fluxnet_example_stream = fluxnet::test::example_stream;
}

#define tcp_stream fluxnet_example_stream
