// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/slow_streams.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

// The byte at a place of a stream: no two streams, and no two shifts of one, look alike for long.
char byte_of(std::size_t stream, std::size_t at) {
    const std::uint64_t value = (stream * 0x9e3779b97f4a7c15U + at / 8) * 0xbf58476d1ce4e5b9U;
    return static_cast<char>((value >> 32) >> (at % 8));
}

file_descriptor connect_to(const sockaddr_in& address) {
    auto fd = file_descriptor::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    const int answer = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (answer != 0 && errno != EINPROGRESS) throw_errno("connect");
    return fd;
}

slow_streams::outcome outcome_of(int error) {
    return error == ECONNRESET || error == EPIPE ? slow_streams::outcome::reset : slow_streams::outcome::broken;
}

}  // namespace

slow_streams::slow_streams(const network_namespace& place, const std::string& address, std::uint16_t port, std::size_t count,
                           deadline limit) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) throw_errno("read the address " + address);
    streams_.resize(count);
    for (std::size_t i = 0; i < count; ++i) { streams_[i].number = i; }
    place.call([&] {
        for (stream& one : streams_) { one.fd = connect_to(to); }
    });
    read_until(limit, [this] { return all_named(); });
}

bool slow_streams::all_named() const {
    return std::ranges::all_of(streams_, [](const stream& one) { return one.named; });
}

void slow_streams::run(std::size_t rounds, std::size_t chunk, std::chrono::milliseconds pause,
                       const std::function<void(std::size_t)>& between, deadline limit) {
    for (std::size_t round = 0; round < rounds; ++round) {
        between(round);
        for (stream& one : streams_) { send_on(one, chunk); }
        read_until(pause, [] { return false; });
    }
    ended_ = true;
    for (stream& one : streams_) { ::shutdown(one.fd.get(), SHUT_WR); }
    read_until(limit, [this] {
        return std::ranges::none_of(streams_, [](const stream& one) { return one.state == outcome::open; });
    });
}

void slow_streams::send_on(stream& one, std::size_t bytes) {
    if (one.state != outcome::open) return;
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) { text[i] = byte_of(one.number, one.sent + i); }
    const ssize_t count = ::send(one.fd.get(), text.data(), bytes, MSG_NOSIGNAL);
    if (count >= 0) {
        one.sent += static_cast<std::size_t>(count);
    } else if (errno != EAGAIN) {
        one.state = outcome_of(errno);
    }
}

void slow_streams::read_until(deadline limit, const std::function<bool()>& enough) {
    std::vector<pollfd> waiting;
    while (!enough() && !limit.passed()) {
        waiting.clear();
        // poll skips negative numbers.
        for (const stream& one : streams_) {
            waiting.push_back({one.state == outcome::open ? one.fd.get() : -1, POLLIN, 0});
        }
        if (::poll(waiting.data(), waiting.size(), limit.left_ms()) < 0 && errno != EINTR) throw_errno("poll streams");
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            if (waiting[i].revents != 0) { read_from(streams_[i]); }
        }
    }
}

void slow_streams::read_from(stream& one) {
    std::array<char, 8192> chunk;
    const ssize_t count = ::recv(one.fd.get(), chunk.data(), chunk.size(), 0);
    if (count > 0) {
        take(one, chunk.data(), static_cast<std::size_t>(count));
    } else if (count == 0) {
        one.state = ended_ && one.named && one.echoed == one.sent ? outcome::exact : outcome::broken;
    } else if (errno != EAGAIN && errno != EINTR) {
        one.state = outcome_of(errno);
    }
}

void slow_streams::take(stream& one, const char* bytes, std::size_t count) {
    std::size_t at = 0;
    while (at < count && !one.named) {
        const char letter = bytes[at++];
        one.named = letter == '\n';
        if (!one.named) { one.server += letter; }
    }
    for (; at < count; ++at, ++one.echoed) {
        if (one.echoed >= one.sent || bytes[at] != byte_of(one.number, one.echoed)) {
            one.state = outcome::broken;
            return;
        }
    }
}

}  // namespace fluxnet::test
