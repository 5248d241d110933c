// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/server.hpp"

#include "examples/asio_embed/answer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>

#include <array>
#include <exception>
#include <utility>

namespace embed_example {

namespace http = beast::http;
using net::ip::tcp;

/// A connection that is served: it counts while it exists, and the server's end finds it.
class server::connection {
public:
    connection(std::shared_ptr<server> of, tcp::socket peer) : of_(std::move(of)), own_(std::move(peer)) {
        place_ = of_->open_.insert(of_->open_.end(), this);
        ++of_->counts_.connections;
        ++of_->counts_.open;
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() {
        of_->open_.erase(place_);
        if (--of_->counts_.open == 0) { of_->grace_.cancel(); }
        of_->room_.cancel();
    }

    [[nodiscard]] server& of() noexcept { return *of_; }
    [[nodiscard]] beast::tcp_stream& stream() noexcept { return viewer_ ? viewer_->stream() : own_; }

    /// Makes it a WebSocket's.
    const std::shared_ptr<viewer>& become_viewer() {
        viewer_ = std::make_shared<viewer>(std::move(own_), of_->frames_, of_->limits_.viewers);
        return viewer_;
    }

    bool awaits_request = true;

private:
    const std::shared_ptr<server> of_;
    beast::tcp_stream own_;
    std::shared_ptr<viewer> viewer_;
    std::list<connection*>::iterator place_;
};

namespace {

/// What passes when other connections, or other programs, end.
[[nodiscard]] bool is_shortage(const boost::system::error_code& failed) noexcept {
    return failed == boost::system::errc::too_many_files_open || failed == boost::system::errc::no_buffer_space ||
           failed == boost::system::errc::too_many_files_open_in_system || failed == boost::system::errc::not_enough_memory;
}

/// Tells whether the client has sent something that is no request, rather than nothing more.
[[nodiscard]] bool is_malformed(const boost::system::error_code& failed) noexcept {
    return failed.category() == http::make_error_code(http::error::bad_method).category() &&
           failed != http::error::end_of_stream && failed != http::error::partial_message;
}

}  // namespace

server::server(tcp::acceptor door, std::shared_ptr<feed> frames, const server_limits& limits)
    : door_(std::move(door)), frames_(std::move(frames)), limits_(limits),
      room_(door_.get_executor(), net::steady_timer::time_point::max()),
      grace_(door_.get_executor(), net::steady_timer::time_point::max()) {}

net::awaitable<boost::system::error_code> server::serve(std::shared_ptr<server> self) {
    for (;;) {
        boost::system::error_code failed;
        while (self->counts_.open >= self->limits_.connections && !self->ending_) {
            co_await self->room_.async_wait(net::redirect_error(net::use_awaitable, failed));
        }
        if (self->ending_) { co_return boost::system::error_code(); }
        tcp::socket peer = co_await self->door_.async_accept(net::redirect_error(net::use_awaitable, failed));
        if (self->ending_) { co_return boost::system::error_code(); }
        if (is_shortage(failed)) {
            net::steady_timer pause(self->door_.get_executor(), std::chrono::milliseconds(100));
            co_await pause.async_wait(net::redirect_error(net::use_awaitable, failed));
            continue;
        }
        if (failed == net::error::connection_aborted) { continue; }
        if (failed) { co_return failed; }
        net::co_spawn(self->door_.get_executor(), attend(std::make_unique<connection>(self, std::move(peer))),
                      net::detached);
    }
}

void server::end() {
    if (std::exchange(ending_, true)) { return; }
    boost::system::error_code ignored;
    door_.close(ignored);
    room_.cancel();
    frames_->end();
    for (connection* const each : open_) {
        if (each->awaits_request) { each->stream().close(); }
    }
    if (open_.empty()) { return; }
    grace_.expires_after(limits_.grace);
    grace_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
        for (connection* const each : self->open_) { each->stream().close(); }
    });
}

net::awaitable<void> server::attend(std::unique_ptr<connection> peer) {
    try {
        const bool may_read = co_await answer_all(*peer);
        if (may_read) { co_await drain(*peer); }
    } catch (const std::exception&) {
        peer->stream().close();  // no memory: this connection ends, and the others go on
    }
}

net::awaitable<bool> server::answer_all(connection& peer) {
    server& of = peer.of();
    beast::flat_buffer received(of.limits_.header);
    for (bool goes_on = true; goes_on;) {
        http::request_parser<http::empty_body> parser;
        parser.header_limit(of.limits_.header);
        parser.body_limit(boost::none);  // no body is read
        boost::system::error_code failed;
        if (of.ending_) { co_return true; }
        peer.awaits_request = true;
        peer.stream().expires_after(of.limits_.request);
        co_await http::async_read_header(peer.stream(), received, parser, net::redirect_error(net::use_awaitable, failed));
        peer.awaits_request = false;
        if (failed && !is_malformed(failed)) { co_return false; }

        const http_answer answer = failed ? refusal(failed) : answer_to(parser.get(), parser.is_done());
        if (answer.result() == http::status::switching_protocols) {
            co_await view(peer, parser.release());
            co_return false;
        }
        goes_on = answer.keep_alive();
        http::response_serializer<http::string_body, http::fields> text(answer);
        const bool has_body = parser.get().method() != http::verb::head;
        text.split(!has_body);
        peer.stream().expires_after(of.limits_.response);
        if (has_body) {
            co_await http::async_write(peer.stream(), text, net::redirect_error(net::use_awaitable, failed));
        } else {
            co_await http::async_write_header(peer.stream(), text, net::redirect_error(net::use_awaitable, failed));
        }
        if (failed) { co_return false; }
        ++of.counts_.answers;
        if (answer.result_int() >= 400) { ++of.counts_.refusals; }
    }
    co_return true;
}

net::awaitable<void> server::view(connection& peer, http_request request) {
    const std::shared_ptr<viewer> one = peer.become_viewer();
    co_await viewer::serve(one, std::move(request));
}

net::awaitable<void> server::drain(connection& peer) {
    boost::system::error_code failed;
    peer.stream().socket().shutdown(tcp::socket::shutdown_send, failed);
    peer.stream().expires_after(peer.of().limits_.linger);
    std::array<char, 1024> dropped;
    while (!failed) {
        co_await peer.stream().async_read_some(net::buffer(dropped), net::redirect_error(net::use_awaitable, failed));
    }
}

}  // namespace embed_example
