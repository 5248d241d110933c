// SPDX-License-Identifier: BSD-3-Clause
// `subject`: a TCP that is told what a far end sends and what its user wants, and that is asked what it has answered: the
// kernel's (`kernel_subject`) or this library's (`stack_subject`), to be compared.
//
// Each is a server: it listens at `server_address`, port `server_port`, and has one connection at a time, from
// `tester_address`. Threads: one at a time.
#pragma once

#include "fluxnet/proto/ipv4_address.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tcp_differential {

inline constexpr fluxnet::proto::ipv4_address tester_address(10, 77, 0, 1);
inline constexpr fluxnet::proto::ipv4_address server_address(10, 77, 0, 2);
inline constexpr std::uint16_t server_port = 80;

/// What a call of the user's came to.
struct call_result {
    enum class kind : std::uint8_t {
        done,
        nothing,        ///< It would wait.
        end_of_stream,  ///< Of read(): the peer has ended its direction.
        ended,          ///< The connection is over, whatever the reason.
    };
    kind what = kind::nothing;
    std::size_t octets = 0;  ///< Of read() and write().

    friend bool operator==(const call_result&, const call_result&) = default;
    [[nodiscard]] std::string text() const {
        switch (what) {
            case kind::done: return "done, " + std::to_string(octets);
            case kind::nothing: return "nothing yet";
            case kind::end_of_stream: return "end of stream";
            case kind::ended: return "ended";
        }
        return "?";
    }
};

class subject {
public:
    subject() = default;
    subject(const subject&) = delete;
    subject& operator=(const subject&) = delete;
    virtual ~subject() = default;

    /// Takes a segment, header first, with its checksum.
    virtual void hear(std::span<const std::byte> segment) = 0;
    /// What it has sent to the tester since the last call, each a segment. All that was heard has been dealt with.
    [[nodiscard]] virtual std::vector<std::vector<std::byte>> answers() = 0;

    // The user, who has no connection before accept() has given one.

    virtual call_result accept() = 0;
    /// Reads up to so many octets; they are added to `into`.
    virtual call_result read(std::size_t most, std::vector<std::byte>& into) = 0;
    virtual call_result write(std::span<const std::byte> octets) = 0;
    virtual void shutdown_write() = 0;
    virtual void close() = 0;
    /// Closes by a reset.
    virtual void abort() = 0;
    /// Ends what the script has left, so that another may begin.
    virtual void clear() = 0;
};

}  // namespace tcp_differential
