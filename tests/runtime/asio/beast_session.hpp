// SPDX-License-Identifier: BSD-3-Clause
// A server of Boost.Beast's as it is written for any stream of Asio's, for each stream of ours.
//   GET or HEAD /    a greeting
//   POST /           what was posted
//
// A session owns itself until its connection ends. Threads: those of the io_context.
#pragma once

#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/core/stream.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace fluxnet::test {

namespace http = boost::beast::http;

/// One connection, which may carry several requests.
template <class Stream>
class beast_session : public std::enable_shared_from_this<beast_session<Stream>> {
public:
    explicit beast_session(Stream&& stream) : stream_(std::move(stream)) {}

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

/// Serves whoever comes, until the listener ends. Both outlive the task.
template <class Stream, listener Listener>
task<void> serve_by_beast(asio::execution& on, Listener& door) {
    for (;;) {
        result<Stream> next = co_await door.accept();
        if (!next) { co_return; }
        using stream_type = asio::async_stream<Stream>;
        std::make_shared<beast_session<stream_type>>(stream_type(on, std::move(*next)))->read();
    }
}

}  // namespace fluxnet::test
