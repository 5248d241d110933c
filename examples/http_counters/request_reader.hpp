// SPDX-License-Identifier: BSD-3-Clause
// `request_reader`: makes requests out of the bytes of one connection, by Boost.Beast's parser. No I/O.
//
//     request_reader reader;
//     while (!reader.ready()) {
//         const io_result got = co_await peer.read(reader.room());
//         if (got.ec) { co_return; }
//         reader.received(got.n);
//     }
//     const http_request asked = reader.take();  // ready() again at once, if the client has sent several
//
// Has one buffer, of the size of the largest header, from its construction to its end, and the present request's target:
// whatever a client sends, it takes no more memory. Bodies are read and dropped. One thread at a time.
// Source: RFC 9112; RFC 9110, sections 7.2 (Host) and 10.1.1 (Expect).
#pragma once

#include "examples/http_counters/http_request.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace http_example {

struct request_limits {
    std::uint32_t header_bytes = 8192;  ///< Of the request line and all fields together; at least 64.
    std::uint64_t body_bytes = 65'536;
};

class request_reader {
public:
    explicit request_reader(const request_limits& limits = {});
    request_reader(const request_reader&) = delete;
    request_reader& operator=(const request_reader&) = delete;
    ~request_reader();

    /// Where the next bytes of the connection go. Not empty unless ready().
    [[nodiscard]] std::span<std::byte> room() noexcept;

    /// Takes the first `n` bytes of room() as received. Not when ready().
    void received(std::size_t n);

    /// Tells whether a request is there: a whole one, or one that is refused. The second kind is the last.
    [[nodiscard]] bool ready() const noexcept;

    /// Tells whether there is a part of a request.
    [[nodiscard]] bool begun() const noexcept;

    /// Hands the request out, when ready(), and goes on with the bytes behind it.
    [[nodiscard]] http_request take();

private:
    class state;
    const std::unique_ptr<state> state_;
};

}  // namespace http_example
