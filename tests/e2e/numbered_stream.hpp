// SPDX-License-Identifier: BSD-3-Clause
// UDP datagrams with numbers, from a kernel socket in one network namespace to one in another, at a bounded rate: what is
// lost, doubled or out of order shows.
//
// Flows from the constructor until stop(), on two threads of its own. One thread may call the functions. Throws
// std::system_error.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"

#include <atomic>
#include <cstdint>
#include <thread>

namespace fluxnet::test {

class numbered_stream {
public:
    struct outcome {
        std::uint32_t sent = 0;
        std::uint32_t received = 0;
        std::uint32_t wrong = 0;  ///< Not later than the one before, or not what was sent.
    };

    /// At most so many datagrams are under way: fewer than any queue between the two namespaces holds, so that none is lost
    /// because what is tested did not get a CPU for a while.
    static constexpr std::uint32_t window = 256;

    /// Sends `per_ms` datagrams each millisecond, or fewer when the machine is busy: it does not catch up.
    numbered_stream(const network_namespace& from, const network_namespace& to, const char* address, std::uint16_t port,
                    unsigned per_ms);
    numbered_stream(const numbered_stream&) = delete;
    numbered_stream& operator=(const numbered_stream&) = delete;
    ~numbered_stream();

    /// Takes those that have not arrived for lost, so that others are sent in their place.
    void give_up_missing() noexcept { given_up_ = sent_ - received_; }

    /// Ends the sending, waits for those under way, at most a second, and returns what came of all. Once.
    outcome stop();

private:
    void send_all();
    void receive_all();

    const char* address_;
    std::uint16_t port_;
    unsigned per_ms_;
    detail::file_descriptor sender_;
    detail::file_descriptor receiver_;
    std::atomic<bool> sending_ = true;
    std::atomic<bool> receiving_ = true;
    std::atomic<std::uint32_t> sent_ = 0;
    std::atomic<std::uint32_t> received_ = 0;
    std::atomic<std::uint32_t> given_up_ = 0;
    std::uint32_t wrong_ = 0;  // of the receiving thread, until it has ended
    std::thread send_thread_;
    std::thread receive_thread_;
};

}  // namespace fluxnet::test
