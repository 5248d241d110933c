// SPDX-License-Identifier: BSD-3-Clause
// `viewer`: a WebSocket connection over which a feed goes out, by Boost.Beast.
//
// Shared by the coroutines that read and write it. Sends each frame as a message of text, and passes over what it receives.
// A client that does not take what it was sent gets later frames in place of the ones between, and one that answers no ping
// has left. Threads: the strand of the stream's executor.
#pragma once

#include "examples/asio_embed/feed.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>

namespace embed_example {

namespace beast = boost::beast;

struct viewer_limits {
    std::chrono::seconds handshake{10};  ///< For a client to take the answer to its request, and to say good-bye.
    std::chrono::seconds silence{30};    ///< A client that has sent nothing for half of this is sent a ping.
    std::size_t message = 1024;          ///< Bytes of a client's message.
    int send_buffer = 32 * 1024;         ///< Of the kernel's: what is in it is older than the feed.
};

class viewer {
public:
    viewer(beast::tcp_stream peer, std::shared_ptr<feed> from, const viewer_limits& limits);

    /// Answers the request to become a WebSocket, and sends frames until the feed or the connection ends. Then the stream is
    /// closed.
    [[nodiscard]] static net::awaitable<void> serve(std::shared_ptr<viewer> self,
                                                    beast::http::request<beast::http::empty_body> request);

    /// To close it without a good-bye.
    [[nodiscard]] beast::tcp_stream& stream() noexcept { return beast::get_lowest_layer(stream_); }

private:
    static net::awaitable<void> read_all(std::shared_ptr<viewer> self);

    beast::websocket::stream<beast::tcp_stream> stream_;
    const std::shared_ptr<feed> feed_;
    std::optional<feed::viewing> frames_;  // once the client was told that it is a WebSocket
};

}  // namespace embed_example
