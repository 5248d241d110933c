// SPDX-License-Identifier: BSD-3-Clause
// Included in front of an example of Boost.Beast's, whose beast::tcp_stream it makes a stream of ours over the same socket:
// after Beast's own headers the name tcp_stream stands for another class.
#pragma once

#include "tests/runtime/asio/beast_example.hpp"

#include "fluxnet/runtime/sockets/tcp_stream.hpp"

namespace fluxnet::test {

class example_stream : public example_stream_over<tcp_stream> {
public:
    explicit example_stream(boost::asio::ip::tcp::socket&& accepted)
        : example_stream_over(execution_of(accepted), tcp_stream(descriptor(accepted.release()))) {}

private:
    /// One for the program, whose context lives as long as it does.
    static asio::execution& execution_of(boost::asio::ip::tcp::socket& accepted) {
        static auto* const one = new asio::execution(context_of(accepted.get_executor()));
        return *one;
    }
};

}  // namespace fluxnet::test

namespace boost::beast {
using fluxnet_example_stream = fluxnet::test::example_stream;
}

#define tcp_stream fluxnet_example_stream
