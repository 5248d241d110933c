// SPDX-License-Identifier: BSD-3-Clause
// Many long-lived TCP connections to the echo service of a kernel_server, on the calling thread: each sends a byte stream of
// its own, a little every few milliseconds, and compares what comes back byte by byte.
//
// The sockets live in one network namespace. One thread at a time. Throws std::system_error when a socket cannot be made.
#pragma once

#include "tests/support/deadline.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fluxnet::test {

class slow_streams {
public:
    enum class outcome {
        open,    ///< Not over yet.
        exact,   ///< Every byte sent came back, in order, and then the server's end of stream.
        reset,   ///< The connection was reset by the other side.
        broken,  ///< A byte that is not the one sent, an early end, or another error.
    };

    struct stream {
        detail::file_descriptor fd;
        std::size_t number = 0;
        std::string server;  ///< The name that the echo service gave.
        bool named = false;  ///< It is complete.
        std::size_t sent = 0;
        std::size_t echoed = 0;
        outcome state = outcome::open;
    };

    /// Connects `count` times and waits until every server has said its name; check all_named().
    slow_streams(const network_namespace& place, const std::string& address, std::uint16_t port, std::size_t count,
                 deadline limit);

    /// Sends `chunk` bytes on every open stream in each of `rounds` rounds, `pause` apart, reading meanwhile; calls
    /// `between(round)` before each. Then ends the sending direction of all and reads until all are over or `limit` passes.
    void run(std::size_t rounds, std::size_t chunk, std::chrono::milliseconds pause,
             const std::function<void(std::size_t)>& between, deadline limit);

    [[nodiscard]] bool all_named() const;
    [[nodiscard]] const std::vector<stream>& all() const noexcept { return streams_; }

private:
    void send_on(stream& one, std::size_t bytes);
    void read_until(deadline limit, const std::function<bool()>& enough);
    void read_from(stream& one);
    void take(stream& one, const char* bytes, std::size_t count);

    std::vector<stream> streams_;
    bool ended_ = false;  // our sending directions: only now may a server end its own
};

}  // namespace fluxnet::test
