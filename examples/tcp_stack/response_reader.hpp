// SPDX-License-Identifier: BSD-3-Clause
// `response_reader`: reads one HTTP response out of the bytes of a connection, by Boost.Beast's parser. No I/O.
//
// Counts the body and drops it. Has one buffer of 64 KiB. One thread at a time. Source: RFC 9112.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tcp_example {

class response_reader {
public:
    response_reader();
    response_reader(const response_reader&) = delete;
    response_reader& operator=(const response_reader&) = delete;
    ~response_reader();

    /// Where the next bytes of the connection go.
    [[nodiscard]] std::span<std::byte> room() noexcept;
    /// Takes the first `n` bytes of room() as received. Returns false when they are no response.
    [[nodiscard]] bool received(std::size_t n);
    /// Notes that the connection has ended, which ends some responses.
    void ended();

    [[nodiscard]] bool done() const noexcept;
    [[nodiscard]] unsigned status() const noexcept;
    [[nodiscard]] std::uint64_t body_bytes() const noexcept;

private:
    class state;
    const std::unique_ptr<state> state_;
};

}  // namespace tcp_example
