// SPDX-License-Identifier: BSD-3-Clause
// A viewer of asio_embed's feed: the client's side of a WebSocket (RFC 6455), by hand, so that a test decides what it sends
// and when it reads.
#pragma once

#include "tests/e2e/http_process.hpp"

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fluxnet::test {

/// What asks a server to make the connection a WebSocket.
inline std::string upgrade_request(const std::string& more = "", const std::string& version = "13") {
    return request("GET /feed", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: " + version +
                                    "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + more);
}

/// The number at a path of names in a sample; -1 when there is none.
inline long long number_at(const std::string& sample, std::initializer_list<std::string> path) {
    std::size_t at = 0;
    for (const std::string& name : path) {
        const std::string key = "\"" + name + "\":";
        at = sample.find(key, at);
        if (at == std::string::npos) { return -1; }
        at += key.size();
    }
    return std::atoll(sample.c_str() + at);
}

/// Reads end after 20 seconds, which no test should need.
class feed_viewer {
public:
    enum class kind : std::uint8_t { text = 1, close = 8, ping = 9, pong = 10 };

    struct message {
        kind what;
        std::string bytes;
    };

    /// Throws when it is not accepted.
    explicit feed_viewer(const http_process& to) : peer_(to) {
        peer_.send(upgrade_request());
        std::size_t end = std::string::npos;
        while ((end = came_.find("\r\n\r\n")) == std::string::npos && read_more()) {}
        // The value that RFC 6455 gives for this key in section 1.3.
        const bool accepted = came_.rfind("HTTP/1.1 101 ", 0) == 0 && contains(came_, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        if (end == std::string::npos || !accepted) { throw std::runtime_error("no WebSocket: " + came_); }
        came_.erase(0, end + 4);
    }

    /// The next message, or nothing when the connection ends before.
    [[nodiscard]] std::optional<message> next() {
        for (;;) {
            if (std::optional<message> made = whole_message()) { return made; }
            if (!read_more()) { return std::nullopt; }
        }
    }

    /// The next sample; an empty one when the connection ends.
    [[nodiscard]] std::string sample() {
        while (const std::optional<message> got = next()) {
            if (got->what == kind::text) { return got->bytes; }
        }
        return "";
    }

    /// Reads samples until `wanted` is true of one, and returns that; an empty one when there is none of the next `most`.
    template <class Wanted>
    [[nodiscard]] std::string sample_where(Wanted wanted, int most = 100'000) {
        for (int i = 0; i < most; ++i) {
            const std::string got = sample();
            if (got.empty() || wanted(got)) { return got; }
        }
        return "";
    }

    /// Sends a short message, masked as those of a client have to be.
    bool send(kind what, std::string_view bytes, bool masked = true) {
        std::string text{static_cast<char>(0x80 | static_cast<int>(what))};
        const int mask_bit = masked ? 0x80 : 0;
        if (bytes.size() < 126) {
            text += static_cast<char>(mask_bit | static_cast<int>(bytes.size()));
        } else {
            text += static_cast<char>(mask_bit | 126);
            text += static_cast<char>(bytes.size() >> 8);
            text += static_cast<char>(bytes.size());
        }
        if (masked) { text.append(4, '\0'); }  // a mask that changes nothing
        return peer_.send(text.append(bytes));
    }

    /// Reads to the end, and returns the code by which the server said good-bye; 0 when it did not.
    [[nodiscard]] unsigned close_code() {
        while (const std::optional<message> got = next()) {
            if (got->what != kind::close || got->bytes.size() < 2) { continue; }
            send(kind::close, got->bytes);
            return static_cast<unsigned>(static_cast<unsigned char>(got->bytes[0]) << 8 |
                                         static_cast<unsigned char>(got->bytes[1]));
        }
        return 0;
    }

private:
    bool read_more() {
        std::array<char, 4096> room;
        const ssize_t got = ::recv(peer_.fd(), room.data(), room.size(), 0);
        if (got <= 0) { return false; }
        came_.append(room.data(), static_cast<std::size_t>(got));
        return true;
    }

    /// Takes a message that has come, of those that a server sends: whole, not masked, and short.
    std::optional<message> whole_message() {
        const auto byte = [this](std::size_t i) { return static_cast<unsigned char>(came_[i]); };
        if (came_.size() < 2) { return std::nullopt; }
        if ((byte(0) & 0x80) == 0 || byte(1) > 126) { throw std::runtime_error("a frame that no sample needs"); }
        std::size_t head = 2;
        std::size_t size = byte(1);
        if (size == 126) {
            head = 4;
            if (came_.size() < head) { return std::nullopt; }
            size = static_cast<std::size_t>(byte(2)) << 8 | byte(3);
        }
        if (came_.size() < head + size) { return std::nullopt; }
        message made{static_cast<kind>(byte(0) & 0x0f), came_.substr(head, size)};
        came_.erase(0, head + size);
        return made;
    }

    http_peer peer_;
    std::string came_;
};

}  // namespace fluxnet::test
