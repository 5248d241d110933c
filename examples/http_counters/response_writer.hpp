// SPDX-License-Identifier: BSD-3-Clause
// `response_writer`: makes bytes out of responses, by Boost.Beast's serializer. No I/O.
//
//     writer.start(answer, asked, keep_alive, std::time(nullptr));
//     for (auto bytes = writer.next(); !bytes.empty(); bytes = writer.next()) {
//         const io_result put = co_await peer.write(bytes);
//         if (put.ec) { co_return; }
//     }
//
// Owns the present response and one buffer, in which header and body lie together, so that a small response is one write.
// One thread at a time. Source: RFC 9112; RFC 9110, sections 6.6.1 (Date) and 9.3.2 (HEAD).
#pragma once

#include "examples/http_counters/http_request.hpp"

#include <cstddef>
#include <ctime>
#include <memory>
#include <span>
#include <string>

namespace http_example {

struct http_response {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
};

class response_writer {
public:
    response_writer();
    response_writer(const response_writer&) = delete;
    response_writer& operator=(const response_writer&) = delete;
    ~response_writer();

    /// Begins a response; what is left of the former one is forgotten. `to`: decides on the version, and on whether there is
    /// a body. `keep_alive`: whether the connection goes on. `date`: 0 for a server that has no clock.
    void start(http_response response, const http_request& to, bool keep_alive, std::time_t date);

    /// The next bytes to be sent, valid until the next call; empty when there are no more.
    [[nodiscard]] std::span<const std::byte> next();

private:
    class state;
    const std::unique_ptr<state> state_;
};

}  // namespace http_example
