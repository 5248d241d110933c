// SPDX-License-Identifier: BSD-3-Clause
// What stands in for beast::tcp_stream in an example of Boost.Beast's: a stream of ours, with what the example asks of its
// socket. Included, by one of the two headers that say which stream it is, in front of the example, in libboost1.81-doc,
// which stays as it is. Its time limits are left out; no client of the test's is that slow.
#pragma once

#include "fluxnet/asio.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>

#include <chrono>
#include <utility>

namespace fluxnet::test {

template <class Stream>
class example_stream_over : public asio::async_stream<Stream> {
public:
    class ending {
    public:
        explicit ending(example_stream_over& of) noexcept : of_(of) {}
        void shutdown(boost::asio::ip::tcp::socket::shutdown_type, boost::system::error_code&) {
            of_.async_shutdown(boost::asio::detached);
        }

    private:
        example_stream_over& of_;
    };

    using asio::async_stream<Stream>::async_stream;
    explicit example_stream_over(asio::async_stream<Stream>&& owned) : asio::async_stream<Stream>(std::move(owned)) {}

    void expires_after(std::chrono::seconds) noexcept {}
    [[nodiscard]] ending socket() noexcept { return ending(*this); }
};

/// The context behind an executor of the example's.
template <class Executor>
[[nodiscard]] boost::asio::io_context& context_of(const Executor& on) {
    return static_cast<boost::asio::io_context&>(boost::asio::query(on, boost::asio::execution::context));
}

}  // namespace fluxnet::test
