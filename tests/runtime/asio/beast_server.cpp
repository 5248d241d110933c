// SPDX-License-Identifier: BSD-3-Clause
// A server of Boost.Beast's over a stream of ours: written as for any stream of Asio's, and given one of the kernel's TCP.
// Usage: beast_server PORT; serves on 127.0.0.1 until it is told to end by SIGTERM.
//   GET or HEAD /    a greeting
//   POST /           what was posted
#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/sockets/tcp_listener.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;

/// One connection, which may carry several requests.
template <class Stream>
class session : public std::enable_shared_from_this<session<Stream>> {
public:
    explicit session(Stream&& stream) : stream_(std::move(stream)) {}

    void read() {
        request_ = {};
        http::async_read(stream_, buffer_, request_,
                         [self = this->shared_from_this()](const boost::system::error_code& code, std::size_t) {
                             if (code == http::error::end_of_stream) { return self->end(); }
                             if (!code) { self->answer(); }
                         });
    }

private:
    void answer() {
        const bool known = request_.target() == "/";
        answer_ = {known ? http::status::ok : http::status::not_found, request_.version()};
        answer_.keep_alive(request_.keep_alive());
        answer_.set(http::field::content_type, "text/plain");
        if (known) { answer_.body() = request_.method() == http::verb::post ? request_.body() : "hello, packets\n"; }
        answer_.prepare_payload();
        if (request_.method() == http::verb::head) { answer_.body().clear(); }
        http::async_write(stream_, answer_,
                          [self = this->shared_from_this()](const boost::system::error_code& code, std::size_t) {
                              if (code) { return; }
                              if (self->answer_.need_eof()) { return self->end(); }
                              self->read();
                          });
    }

    void end() {
        stream_.async_shutdown([self = this->shared_from_this()](const boost::system::error_code&) {});
    }

    Stream stream_;
    boost::beast::flat_buffer buffer_;
    http::request<http::string_body> request_;
    http::response<http::string_body> answer_;
};

using stream = fluxnet::asio::async_stream<fluxnet::tcp_stream>;

fluxnet::task<void> accept(fluxnet::asio::execution& on, fluxnet::tcp_listener& door) {
    for (;;) {
        fluxnet::result<fluxnet::tcp_stream> next = co_await door.accept();
        if (!next) { co_return; }
        std::make_shared<session<stream>>(stream(on, std::move(*next)))->read();
    }
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 2) {
        std::fprintf(stderr, "usage: beast_server PORT\n");
        return 2;
    }
    net::io_context context;
    fluxnet::asio::execution on(context);
    const auto at = fluxnet::proto::ip_endpoint::parse(std::string("127.0.0.1:") + argv[1]).value();
    fluxnet::tcp_listener door = fluxnet::tcp_listener::listen(at).value();
    net::signal_set signals(context, SIGTERM);
    signals.async_wait([&](const boost::system::error_code&, int) { context.stop(); });
    on.loop().spawn(accept(on, door));
    context.run();
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "beast_server: %s\n", failure.what());
    return 1;
}
