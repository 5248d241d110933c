// SPDX-License-Identifier: BSD-3-Clause
// `http_request`: what a client has asked for, as far as this example needs to know. A plain value.
#pragma once

#include <cstdint>
#include <string>

namespace http_example {

struct http_request {
    enum class verb : std::uint8_t {
        get,
        head,
        other,    ///< One that HTTP knows.
        unknown,  ///< A word.
    };

    verb method = verb::unknown;
    std::string target;       ///< As it was sent: a path, with a query perhaps, or a whole URI.
    unsigned version = 11;    ///< 10 or 11, for HTTP/1.0 and HTTP/1.1.
    bool keep_alive = false;  ///< The client will send another request on the same connection, if we let it.
    unsigned refusal = 0;     ///< The status to answer with, when the request cannot be understood; 0 when it can.
};

}  // namespace http_example
