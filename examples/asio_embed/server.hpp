// SPDX-License-Identifier: BSD-3-Clause
// `server`: the HTTP server of asio_embed, by Boost.Beast: the files of its page, and at /feed a WebSocket with a feed.
//
//     const auto pages = std::make_shared<server>(std::move(acceptor), frames);
//     boost::asio::co_spawn(executor, server::serve(pages), handler);   // until pages->end(), or an error of accept()
//
// A coroutine of Asio's for each connection, which keeps the server alive. Everything that a client can make last or grow
// has a limit: connections, the bytes of a request's header, the time for it and for taking the answer. A request with a
// body is answered by its header alone and ends the connection.
//
// Threads: the strand of the acceptor's executor.
#pragma once

#include "examples/asio_embed/feed.hpp"
#include "examples/asio_embed/viewer.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

namespace embed_example {

struct server_limits {
    std::uint32_t connections = 256;    ///< At the same time; others wait to be accepted.
    std::uint32_t header = 8192;        ///< Bytes of a request's header.
    std::chrono::seconds request{10};   ///< From a connection's begin, or the answer before, to the whole header.
    std::chrono::seconds response{10};  ///< For a client to take an answer.
    std::chrono::seconds linger{1};     ///< For a client to end its side after the server has.
    std::chrono::seconds grace{1};      ///< After end(), for what is under way.
    viewer_limits viewers = {};
};

struct server_counts {
    std::uint64_t connections = 0;  ///< Accepted.
    std::uint64_t open = 0;         ///< Of these, still there.
    std::uint64_t answers = 0;      ///< Written to their end.
    std::uint64_t refusals = 0;     ///< Of these, with a status from 400 on.
};

class server : public std::enable_shared_from_this<server> {
public:
    server(net::ip::tcp::acceptor door, std::shared_ptr<feed> frames, const server_limits& limits = {});

    /// Accepts connections. Completes with no error after end(), while those that are there may go on for a moment; or with
    /// why accept() failed.
    [[nodiscard]] static net::awaitable<boost::system::error_code> serve(std::shared_ptr<server> self);

    /// Closes the acceptor, the connections that no answer is written to, and those that are left when the grace is over;
    /// viewers are told that the server goes away. May be called again.
    void end();

    [[nodiscard]] const server_counts& count() const noexcept { return counts_; }

private:
    class connection;

    static net::awaitable<void> attend(std::unique_ptr<connection> peer);

    /// Answers requests until one says that it is the last. Completes with whether the client may still be reading.
    static net::awaitable<bool> answer_all(connection& peer);

    static net::awaitable<void> view(connection& peer, beast::http::request<beast::http::empty_body> request);

    /// Ends our side and reads until the client has ended its own: a socket that is closed with bytes unread is reset, and
    /// the client might lose the last answer by that.
    static net::awaitable<void> drain(connection& peer);

    net::ip::tcp::acceptor door_;
    const std::shared_ptr<feed> frames_;
    const server_limits limits_;
    net::steady_timer room_;  // never expires: it is cancelled when a connection has ended
    net::steady_timer grace_;
    std::list<connection*> open_;
    server_counts counts_;
    bool ending_ = false;
};

}  // namespace embed_example
