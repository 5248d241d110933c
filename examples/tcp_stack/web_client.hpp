// SPDX-License-Identifier: BSD-3-Clause
// fetch(): gets a page over any `stream`, and says how it went.
//
// Threads: that of the executor.
#pragma once

#include "examples/tcp_stack/response_reader.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>

namespace tcp_example {

struct fetched {
    unsigned status = 0;       ///< 0: there was no whole response.
    std::uint64_t octets = 0;  ///< Of the body.
    std::error_code ec;        ///< What ended the connection too soon.
};

/// Asks for `path` and reads the answer to its end.
template <fluxnet::stream S>
fluxnet::task<fetched> fetch(S& peer, std::string host, std::string path) {
    const std::string asked = "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
    fetched told;
    const fluxnet::io_result sent = co_await peer.write(std::as_bytes(std::span(asked)));
    told.ec = sent.ec;
    response_reader reader;
    while (!told.ec && !reader.done()) {
        const auto got = co_await fluxnet::timeout(std::chrono::seconds(60), peer.read(reader.room()));
        told.ec = got.value.ec;
        if (told.ec == fluxnet::errc::end_of_stream) { reader.ended(); }
        if (!told.ec && !reader.received(got.value.n)) { told.ec = std::make_error_code(std::errc::bad_message); }
    }
    if (reader.done()) {
        told.ec = {};
        told.status = reader.status();
    }
    told.octets = reader.body_bytes();
    co_return told;
}

}  // namespace tcp_example
