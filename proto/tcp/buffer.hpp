// SPDX-License-Identifier: BSD-3-Clause
// `buffer_source`: where a TCP engine gets room for what it keeps, and gives back what it no longer needs.
//
// The engine does not know what a buffer is: a frame of a UMEM, or a piece of a std::vector in a test. It knows where the
// octets are and a token, which means something to the source only.
//
//     class frames final : public tcp::buffer_source {
//         tcp::buffer allocate() noexcept override { ... }             // a frame, with room for headers before `data`
//         void release(std::uint64_t token) noexcept override { ... }  // the frame is free again
//     };
//
// Threads: a source is called on the thread that uses the engine, from within the engine's functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fluxnet::proto::tcp {

/// Room for octets. A plain value that owns nothing: the engine owns the buffer from allocate() to release().
struct buffer {
    std::byte* data = nullptr;  ///< Null: there is none.
    std::uint32_t size = 0;     ///< In octets.
    std::uint64_t token = 0;    ///< Never 0 in a buffer.
};

/// The engine's view of its surroundings' memory.
class buffer_source {
public:
    /// Lends a buffer, or none when there is none to be had. The engine asks again later: at the next call of the user, the
    /// next segment or its next deadline.
    [[nodiscard]] virtual buffer allocate() noexcept = 0;

    /// Takes a buffer back: one that allocate() lent, or one that came with a received segment and was kept.
    virtual void release(std::uint64_t token) noexcept = 0;

protected:
    buffer_source() = default;
    buffer_source(const buffer_source&) = default;
    buffer_source& operator=(const buffer_source&) = default;
    ~buffer_source() = default;
};

}  // namespace fluxnet::proto::tcp
