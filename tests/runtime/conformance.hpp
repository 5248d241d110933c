// SPDX-License-Identifier: BSD-3-Clause
// What the conformance cases of streams, listeners and datagram sockets share.
//
// A case is a function template over a model: a class, made anew for each case, that says how to get handles on one kind of
// network:
//
//     class some_model {
//     public:
//         using stream_type = ...;    using listener_type = ...;    using socket_type = ...;
//         executor& loop();
//         void run(task<void> body);  // may be left out; for a loop that something else drives
//         task<std::pair<stream_type, stream_type>> pair();     // joined with each other
//         listener_type make_listener();                        // that lets 200 connections wait
//         auto connect(const listener_type& door);              // awaitable; a result<stream_type>
//         auto connect_to_nobody();                             // likewise
//         socket_type make_socket();                            // for datagrams
//         proto::ip_endpoint nobody();                          // an endpoint for datagrams that no socket has
//         static std::optional<std::string> why_not_available();  // may be left out; a reason skips the case
//     };
//
// The cases assume neither virtual time nor real time: they wait a little where something should have begun to wait, but
// none depends on how long that takes. A case that can never go on hangs, and in virtual time says so.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::test::conformance {

/// Long enough for something to begin to wait.
constexpr std::chrono::milliseconds a_little{5};

/// More than any direction of a stream holds.
constexpr std::size_t more_than_fits = std::size_t{24} * 1024 * 1024;

/// Runs a case on a model of its own.
template <class Model>
void run_case(task<void> (*body)(Model&)) {
    if constexpr (requires { Model::why_not_available(); }) { FLUXNET_SKIP_IF(Model::why_not_available()); }
    Model model;
    if constexpr (requires { model.run(body(model)); }) {
        model.run(body(model));
    } else {
        model.loop().run(body(model));
    }
}

/// Both ends of a connection.
template <class Model>
struct ends {
    typename Model::stream_type near;
    typename Model::stream_type far;
};

template <class Model>
task<ends<Model>> connected(Model& model) {
    auto two = co_await model.pair();
    co_return ends<Model>{std::move(two.first), std::move(two.second)};
}

/// The bytes that all cases send repeat themselves after so many, no power of two.
constexpr std::size_t pattern_period = 251 * 256;

/// The byte at a position of the stream of bytes that all cases send.
[[nodiscard]] constexpr std::byte byte_at(std::size_t position) noexcept {
    return static_cast<std::byte>((position * 7 + position / 251) & 0xffU);
}

/// Calls `part(pattern, done)` for one piece of the pattern after the other, from a position on.
template <class F>
void for_pattern(std::size_t from, std::size_t size, F part) {
    static const std::vector<std::byte> pattern = [] {
        std::vector<std::byte> bytes(pattern_period);
        for (std::size_t i = 0; i != pattern_period; ++i) { bytes[i] = byte_at(i); }
        return bytes;
    }();
    for (std::size_t done = 0; done != size;) {
        const std::span rest = std::span(pattern).subspan((from + done) % pattern_period);
        const std::span piece = rest.first(std::min(rest.size(), size - done));
        part(piece, done);
        done += piece.size();
    }
}

/// The bytes from one position up to another.
[[nodiscard]] inline std::vector<std::byte> bytes_between(std::size_t from, std::size_t to) {
    std::vector<std::byte> bytes(to - from);
    for_pattern(from, bytes.size(), [&bytes](std::span<const std::byte> piece, std::size_t done) {
        std::memcpy(bytes.data() + done, piece.data(), piece.size());
    });
    return bytes;
}

/// Tells whether these are the bytes from a position on.
[[nodiscard]] inline bool are_bytes_from(std::size_t from, std::span<const std::byte> bytes) {
    bool equal = true;
    for_pattern(from, bytes.size(), [&](std::span<const std::byte> piece, std::size_t done) {
        equal = equal && std::memcmp(bytes.data() + done, piece.data(), piece.size()) == 0;
    });
    return equal;
}

/// Reads bytes from position `from` up to `to`, and checks each; ends early with an error, and with what came before it.
template <class Stream>
task<io_result> read_between(Stream& from_stream, std::size_t from, std::size_t to) {
    std::vector<std::byte> bytes(std::min<std::size_t>(to - from, 65'536));
    std::size_t at = from;
    while (at != to) {
        const io_result got = co_await from_stream.read(std::span(bytes).first(std::min(bytes.size(), to - at)));
        const bool intact = are_bytes_from(at, std::span(bytes).first(got.n));
        CHECK(intact);
        at += got.n;
        if (got.ec) { co_return io_result{got.ec, at - from}; }
    }
    co_return io_result{no_error, at - from};
}

/// Reads to the end of the stream; returns how many bytes came, and checks each.
template <class Stream>
task<std::size_t> read_to_end(Stream& from_stream, std::size_t from = 0) {
    const io_result got = co_await read_between(from_stream, from, from + 100 * more_than_fits);
    CHECK(got.ec == errc::end_of_stream);
    co_return got.n;
}

/// When a task is asked to stop.
enum class moment {
    before,         ///< It has not begun.
    while_waiting,  ///< It waits.
    as_it_ends,     ///< In the turn in which what it waits for has come.
};
constexpr std::array moments{moment::before, moment::while_waiting, moment::as_it_ends};

/// Runs `work` and asks it to stop at a moment; `completes` brings what it waits for, at the last one.
template <class Complete>
task<void> stop_at(moment when, task<void> work, Complete complete) {
    scope child;
    child.spawn(std::move(work));
    if (when == moment::before) { child.request_stop(); }
    static_cast<void>(co_await sleep_for(a_little));
    if (when == moment::as_it_ends) { co_await complete(); }
    child.request_stop();
    const wait_result ended = co_await child.join();
    CHECK(!ended);
}

}  // namespace fluxnet::test::conformance
