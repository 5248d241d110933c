// SPDX-License-Identifier: BSD-3-Clause
// `answer_to()`, `refusal()`: the answers of asio_embed's server, without I/O. Functions without state.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/error_code.hpp>

namespace embed_example {

namespace beast = boost::beast;

using http_request = beast::http::request<beast::http::empty_body>;
using http_answer = beast::http::response<beast::http::string_body>;

/// Where the WebSocket is.
inline constexpr const char* feed_path = "/feed";

/// The answer to a request whose header was read. Its status is 101 when the connection is to become a WebSocket; there is
/// no answer to be written then. `whole`: no body follows. The connection ends after the answer unless that says otherwise.
[[nodiscard]] http_answer answer_to(const http_request& request, bool whole);

/// The answer to a header that could not be read.
[[nodiscard]] http_answer refusal(const boost::system::error_code& failed);

}  // namespace embed_example
